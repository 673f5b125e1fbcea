"""Optimisers by their usual names over torch.optim, with weight decay where it belongs, and their state by
name.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradatim.errors import GradatimError
from gradatim.train.finetune import Thaw
from gradatim.train.muon import Muon

# name → (class, settings that make it the published method)
_TABLE: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {"rho": 0.9}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "muon": (Muon, {}),
}
OPTIMIZERS = tuple(_TABLE)
_FUSED = ("sgd", "momentum", "nesterov", "adagrad", "adam", "adamw")
_LINEAR_RULE = ("sgd", "momentum", "nesterov")

# Good first rates for a batch of 128; `recipe` searches for better ones.
_RATES = {
    "sgd": 0.1,
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.01,
    "adadelta": 1.0,
    "rmsprop": 1e-3,
    "adam": 2e-3,
    "adamw": 2e-3,
    "muon": 8e-3,
}

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def default_learning_rate(name: str, batch_size: int = 128) -> float:
    """A learning rate to start from: ×N with the batch for SGD and its momenta, ×√N (16–1024) for the others.

    >>> default_learning_rate("sgd", 256), default_learning_rate("adamw", 32)
    (0.2, 0.001)
    """
    _check(name)
    ratio = batch_size / 128
    if name in _LINEAR_RULE:
        return _RATES[name] * min(ratio, 4.0)
    return _RATES[name] * math.sqrt(min(max(ratio, 1 / 8), 8.0)) if name != "adadelta" else 1.0


def make_optimizer(
    name: str, network: nn.Module, learning_rate: float, weight_decay: float = 0.0,
    thaws: Mapping[str, Thaw] | None = None, **options: Any,
) -> torch.optim.Optimizer:
    """The named optimiser over the trainable parameters of `network`.

    Weight decay applies to weight matrices and kernels alone: it is off for biases, for the scales of
    normalisations, for embeddings (rows of rare words would shrink while no gradient holds them) and for bare
    parameters such as positions, class tokens and absent vectors. "muon" takes the hidden weights
    (convolutions flattened) and leaves the rest and the last linear layer, the head, to AdamW. options go to
    the torch class (momentum, betas, eps …). thaws: parameters that learn more slowly, or only from a step on (see
    `gradatim.train.finetune`). Raises GradatimError on an unknown name.

    >>> groups = make_optimizer("adamw", nn.Linear(2, 3), 1e-3, 0.1).param_groups
    >>> [(group["names"], group["weight_decay"]) for group in groups]
    [(['weight'], 0.1), (['bias'], 0.0)]
    """
    _check(name)
    kind, settings = _TABLE[name]
    settings = settings | options
    groups = _groups(network, weight_decay, thaws or {}, muon=name == "muon")
    if not groups:
        raise GradatimError("expected a network with trainable parameters, received one with none; unfreeze a part")
    if name != "muon":
        for group in groups:
            group.pop("muon")
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    if name in _FUSED and devices <= {"cpu", "cuda"} and len(devices) == 1:
        settings = {"fused": True} | settings
    try:
        return kind(groups, lr=learning_rate, **settings)
    except (TypeError, ValueError) as error:
        raise GradatimError(f"optimizer '{name}': {error}; received options {options}") from None


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """State and settings by parameter name: {"state": {name: {key: tensor}}, "groups": [settings]}, for a
    checkpoint.
    """
    state = {
        name: dict(optimizer.state[parameter])
        for name, parameter in _named(optimizer)
        if optimizer.state.get(parameter)
    }
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return {"state": state, "groups": _plain(groups)}


def load_optimizer_state(optimizer: torch.optim.Optimizer, value: Mapping[str, Any]) -> None:
    """Put back what `optimizer_state` returned, bit by bit; the groups and settings must be those of this
    optimiser.

    Tensors shaped like their parameter take its strides too: fused kernels walk both in memory order.
    """
    own = optimizer_state(optimizer)["groups"]
    stored = _plain(value["groups"])
    for mine, theirs in zip(own, stored):
        differing = sorted(
            key
            for key in mine.keys() | theirs.keys()
            if key not in ("lr", "initial_lr") and mine.get(key) != theirs.get(key)
        )
        if differing:
            raise GradatimError(
                f"expected the optimiser that the checkpoint was made with; "
                f"{', '.join(differing)} differ; resume with the stored plan"
            )
    if len(own) != len(stored):
        raise GradatimError(f"expected {len(own)} parameter groups, found {len(stored)}; resume with the stored plan")
    for group, theirs in zip(optimizer.param_groups, stored):
        group["lr"] = theirs["lr"]
    optimizer.state.clear()
    for name, parameter in _named(optimizer):
        if name in value["state"]:
            optimizer.state[parameter] = {key: _like(item, parameter) for key, item in value["state"][name].items()}


def _like(item: Any, parameter: Tensor) -> Any:
    if not isinstance(item, Tensor):
        return item
    if item.shape != parameter.shape:
        return item.detach().clone().to(parameter.device)
    return torch.empty_like(parameter, dtype=item.dtype).copy_(item)


def _named(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for group in optimizer.param_groups:
        yield from zip(group["names"], group["params"])


def _plain(value: Any) -> Any:
    """Tuples as lists: what JSON gives back."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _groups(
    network: nn.Module, weight_decay: float, thaws: Mapping[str, Thaw], *, muon: bool
) -> list[dict[str, Any]]:
    """Trainable parameters in three groups: Muon's matrices, other decayed weights, all that is not decayed.

    Three for each pace at which parameters thaw, where there are several.
    """
    heads = [module for module in network.modules() if isinstance(module, nn.Linear)]
    head = heads[-1] if heads else None
    kinds = ((weight_decay, True), (weight_decay, False), (0.0, False))
    groups: dict[tuple[Thaw, int], dict[str, Any]] = {}
    for thaw in dict.fromkeys([Thaw(), *thaws.values()]):
        for place, (decay, with_muon) in enumerate(kinds):
            group: dict[str, Any] = {"params": [], "names": [], "weight_decay": decay, "muon": with_muon}
            if thaw != Thaw():
                group |= {"factor": thaw.factor, "first_step": thaw.first_step}
            groups[thaw, place] = group
    seen: set[int] = set()
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            decayed = parameter.ndim >= 2 and "weight" in name and not isinstance(module, _NORMS + _EMBEDDINGS)
            place = 2 if not decayed else 0 if muon and module is not head else 1
            full = f"{prefix}.{name}" if prefix else name
            group = groups[thaws.get(full, Thaw()), place]
            group["params"].append(parameter)
            group["names"].append(full)
    return [group for group in groups.values() if group["params"]]


def _check(name: str) -> None:
    if name not in _TABLE:
        raise GradatimError(f"expected an optimizer among {', '.join(OPTIMIZERS)}; received '{name}'")
