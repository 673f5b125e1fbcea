"""Explanations from the gradient of a score with respect to the input: saliency, integrated gradients, SmoothGrad,
Grad-CAM.

A *score* takes tensors by name, each with rows on its first axis, and gives one number a row. It is evaluated on many
rows at once, so it must treat every row by itself (a network in eval mode does).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError

Values = Mapping[str, torch.Tensor]
Score = Callable[[Values], torch.Tensor]
CHUNK = 32  # rows in one pass


def saliency(score: Score, values: Values) -> dict[str, torch.Tensor]:
    """∂score/∂value at one row: how the score answers to the smallest change of each number.

    values: (1, …) each. Source: Simonyan, Vedaldi & Zisserman 2014, section 3.

    >>> found = saliency(lambda v: (v["x"] ** 2).sum(1), {"x": torch.tensor([[1.0, -3.0]])})
    >>> found["x"].tolist()
    [[2.0, -6.0]]
    """
    return gradients(score, values)


def gradients(score: Score, values: Values) -> dict[str, torch.Tensor]:
    """The gradient of each row's score with respect to that row, shaped like `values`."""
    with torch.enable_grad():
        leaves = {name: value.detach().clone().requires_grad_() for name, value in values.items()}
        total = score(leaves).sum()
        if not total.requires_grad:  # it depends on none of them
            return {name: torch.zeros_like(value) for name, value in leaves.items()}
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if gradient is None else gradient.detach()
        for (name, value), gradient in zip(leaves.items(), found)
    }


def integrated_gradients(
    score: Score, values: Values, baselines: Values, *, steps: int = 64
) -> dict[str, torch.Tensor]:
    """(x − x′) · ∫₀¹ ∂score/∂x at x′ + t·(x − x′) dt: what each number adds on the straight way from the baseline.

    Complete: the attributions of all values sum to score(x) − score(x′), up to the error of the integral, which is
    taken by Gauss–Legendre's rule with `steps` nodes in u, t = u³: normalising layers turn fastest near an empty
    baseline. Source: Sundararajan, Taly & Yan 2017, eq. 1 and proposition 1.

    >>> x, zero = {"x": torch.tensor([[2.0, 3.0]])}, {"x": torch.zeros(1, 2)}
    >>> integrated_gradients(lambda v: v["x"].prod(1), x, zero)["x"].round(decimals=4).tolist()
    [[3.0, 3.0]]
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    middle = (nodes + 1) / 2
    places, shares = middle**3, 1.5 * weights * middle**2
    sums = {name: torch.zeros_like(value) for name, value in values.items()}
    for start in range(0, steps, CHUNK):
        part = slice(start, start + CHUNK)
        rows = {}
        for name, value in values.items():
            t = torch.as_tensor(places[part]).to(value).reshape(-1, *[1] * (value.ndim - 1))
            rows[name] = baselines[name] + t * (value - baselines[name])
        for name, gradient in gradients(score, rows).items():
            share = torch.as_tensor(shares[part]).to(gradient).reshape(-1, *[1] * (gradient.ndim - 1))
            sums[name] += (gradient * share).sum(0, keepdim=True)
    return {name: (value - baselines[name]) * sums[name] for name, value in values.items()}


def smooth_grad(
    score: Score, values: Values, *, deviation: float = 0.15, samples: int = 32, seed: int = 0
) -> dict[str, torch.Tensor]:
    """The mean of the gradients at noisy copies of the row: the slope over a neighbourhood, with less speckle.

    deviation: of the noise, in units of each value's range (largest less smallest number). Source: Smilkov et al. 2017.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = {name: float(value.max() - value.min()) * deviation if value.numel() > 1 else 0.0
              for name, value in values.items()}
    sums = {name: torch.zeros_like(value) for name, value in values.items()}
    for start in range(0, samples, CHUNK):
        count = min(CHUNK, samples - start)
        rows = {}
        for name, value in values.items():
            noise = torch.randn(count, *value.shape[1:], generator=generator).to(value)
            rows[name] = value + spread[name] * noise
        for name, gradient in gradients(score, rows).items():
            sums[name] += gradient.sum(0, keepdim=True)
    return {name: value / samples for name, value in sums.items()}


def grad_cam(score: Score, values: Values, layer: nn.Module, size: tuple[int, int] | None = None) -> torch.Tensor:
    """ReLU(Σ_k α_k · A_k), α_k the mean of ∂score/∂A_k over the map: where the maps of `layer` speak for the score.

    layer: a module whose output is (1, K, h, w) while the score is computed. Returns (h, w), or `size`, enlarged by
    straight lines between the places. Source: Selvaraju et al. 2017, eq. 1 and 2.
    """
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        leaf = output.detach().requires_grad_()
        kept.append(leaf)
        return leaf.clone()  # what follows may write into it

    with torch.enable_grad(), _hooked(layer, keep):
        total = score({name: value.detach() for name, value in values.items()}).sum()
        if not kept or kept[-1].ndim != 4:
            raise GradatimError("grad_cam: expected a layer with maps (1, K, h, w), received another; name a "
                                "convolution before the maps are averaged")
        if not total.requires_grad:
            gradient = torch.zeros_like(kept[-1])
        else:
            (gradient,) = torch.autograd.grad(total, [kept[-1]])
    maps = F.relu((gradient.mean((2, 3), keepdim=True) * kept[-1].detach()).sum(1, keepdim=True))
    if size is not None:
        maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
    return maps[0, 0]


def last_maps(network: nn.Module, score: Score, values: Values) -> nn.Module | None:
    """The module of `network` that gives the last maps with more than one place; None where there are none.

    Found by running it: the last call whose output is (B, K, h, w) with h·w > 1, and of calls within one another the
    innermost that still gives these maps.
    """
    calls: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = []
    for module in network.modules():

        def note(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                calls.append((module, output))

        hooks.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            score({name: value.detach() for name, value in values.items()})
    finally:
        for hook in hooks:
            hook.remove()
    if not calls:
        return None
    last = calls[-1][1]
    return next(module for module, output in calls if output is last)


@contextmanager
def _hooked(layer: nn.Module, hook: Callable[..., torch.Tensor]) -> Iterator[None]:
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
