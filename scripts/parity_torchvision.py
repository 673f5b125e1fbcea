"""Our networks for pictures and torchvision's, with the same names, weights and pictures: do they say the same?

Run by scripts/parity_torchvision.sh. Weights are drawn from each tensor's name, so they need no file and are the same
on every side; what the reference answers is recorded in tests/models/golden/vision.json, which the test suite holds
our networks to without torchvision.
"""

import argparse
import hashlib
import json
import math
import sys
import types
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.models.address import resolve

GOLDEN = Path(__file__).resolve().parents[1] / "tests/models/golden/vision.json"
SEED, LOGITS = 7, 6
EFFICIENTNETS = [f"efficientnet_b{number}" for number in range(8)]
VGGS = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
TORCHVISION = ["alexnet", *VGGS, "googlenet", "inception_v3", "resnet18", "resnet34", "resnet50", "resnet101",
               "resnet152", "mobilenet_v2", *EFFICIENTNETS]  # fmt: skip
TIMM = {"se_resnet18": "seresnet18", "se_resnet34": "seresnet34", "se_resnet50": "seresnet50",
        "se_resnet101": "seresnet101", "se_resnet152": "seresnet152", "mobilenet_v1": "mobilenetv1_100"}  # fmt: skip
SIDES = {"inception_v3": 160, "vgg": 64}  # others 96


def side_of(name: str) -> int:
    """How large the pictures are that a network is compared on: small, for speed."""
    return next((side for start, side in SIDES.items() if name.startswith(start)), 96)


def uniform(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """float32 in 0 … 1, the same for the same key and shape everywhere."""
    generator = np.random.default_rng([SEED, zlib.crc32(key.encode())])
    return torch.from_numpy(generator.random(math.prod(shape), dtype=np.float32)).reshape(shape)


def weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state of these names and shapes, every tensor drawn from its name."""
    filled: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        shape = tuple(tensor.shape)
        if name.endswith("num_batches_tracked"):
            filled[name] = torch.zeros((), dtype=torch.long)
        elif len(shape) > 1:
            filled[name] = (uniform(name, shape) * 2 - 1) * math.sqrt(6 / math.prod(shape[1:]))
        elif name.endswith("running_var"):
            filled[name] = uniform(name, shape) + 0.5
        elif name.endswith("weight"):
            filled[name] = uniform(name, shape) * 0.8 + 0.4
        else:
            filled[name] = (uniform(name, shape) - 0.5) * 0.4
    return filled


def pictures(side: int, rows: int = 4) -> torch.Tensor:
    """Patches of 8 × 8 random colours, so that the rows differ after any mean: (rows, 3, side, side)."""
    patches = (uniform(f"pictures {side}", (rows, 3, math.ceil(side / 8), math.ceil(side / 8))) - 0.5) * 3.5
    return patches.repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, :side, :side].contiguous()


def normed(network: nn.Module, batch: torch.Tensor) -> nn.Module:
    """The network in eval mode, its batch norms holding the statistics of a batch: no signal fades then."""
    norms = [module for module in network.eval().modules() if isinstance(module, nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    network(batch)
    for norm, before in zip(norms, momentum, strict=True):
        norm.eval().momentum = before
    return network


def fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """A digest of the names and shapes of a state, whatever their order."""
    lines = sorted(f"{name} {tuple(tensor.shape)}\n" for name, tensor in state.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def ours(name: str) -> nn.Module:
    """Our network with weights from its names, as `normed` leaves it on the pictures it is compared on."""
    with torch.device("meta"):
        network = resolve(name)()
    return normed(filled(network, weights(network.state_dict())), pictures(side_of(name)))


def filled(network: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    """A network of meta tensors with a copy of a state."""
    network.load_state_dict({key: value.clone() for key, value in state.items()}, strict=True, assign=True)
    return network


def references() -> Iterator[tuple[str, str, Callable[[], nn.Module]]]:
    """(our name, whose, a function that builds theirs on meta)."""
    import timm
    import torchvision
    from timm.layers import SEModule

    for name in TORCHVISION:
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        yield name, f"torchvision {torchvision.__version__}", partial(getattr(torchvision.models, name), **extra)
    for name, theirs in TIMM.items():
        more: dict[str, Any] = {}
        if name == "mobilenet_v1":
            more = {"act_layer": "relu"}
        else:  # timm rounds the narrow middle to a multiple of 8; the paper does not
            more = {"block_args": {"attn_layer": partial(SEModule, rd_divisor=1)}}
        yield name, f"timm {timm.__version__}", partial(timm.create_model, theirs, **more)


def compare(name: str, build: Callable[[], nn.Module]) -> tuple[float, dict[str, Any]]:
    """The largest difference relative to the largest logit, and what is recorded of the reference."""
    with torch.device("meta"):
        theirs = build()
    network = ours(name)
    state = weights(network.state_dict())
    other = theirs.state_dict()
    if name == "mobilenet_v1":  # timm has other names for it: the same order
        assert [tuple(v.shape) for v in state.values()] == [tuple(v.shape) for v in other.values()], name
        filled(theirs, dict(zip(other, state.values(), strict=True)))
    else:
        assert fingerprint(state) == fingerprint(other), f"{name}: names or shapes differ"
        filled(theirs, state)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in theirs.parameters())
    batch = pictures(side_of(name))
    normed(theirs, batch)
    expected, found = theirs(batch), network(batch)
    worst = float((found - expected).abs().max() / expected.abs().max())
    if name in ("googlenet", "inception_v3"):
        theirs.training = True  # the auxiliary heads answer only then; every other module stays in eval mode
        batch = pictures(299 if name == "inception_v3" else 224)
        for one, two in zip(network.all_logits(batch), theirs(batch), strict=True):  # type: ignore[operator]
            worst = max(worst, float((one - two).abs().max() / two.abs().max()))
    record = {
        "parameters": sum(p.numel() for p in theirs.parameters()), "entries": len(other), "side": side_of(name),
        "names": fingerprint(state), "largest": round(float(expected.abs().max()), 6),
        "logits": [[float(f"{value:.6g}") for value in row] for row in expected[:, :LOGITS].tolist()],
    }
    return worst, record


@torch.inference_mode()
def main() -> None:
    """Compare all, print a table, end with code 1 where one differs by more than 0.1 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path, required=True, help="the folder with torchvision and timm")
    parser.add_argument("--record", action="store_true", help="write the golden file")
    parser.add_argument("--only", nargs="*", help="names to compare, default all")
    arguments = parser.parse_args()
    sys.path.append(str(arguments.reference))
    # torchvision's compiled part wants the torch it was built with; the networks themselves do without
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    records, failed = {}, False
    print(f"{'network':<18}{'parameters':>14}{'entries':>9}{'difference':>12}  reference")
    for name, source, build in references():
        if arguments.only and name not in arguments.only:
            continue
        worst, record = compare(name, build)
        failed |= not worst < 1e-3
        records[name] = {"reference": source, **record}
        print(f"{name:<18}{record['parameters']:>14,}{record['entries']:>9}{worst:>12.1e}  {source}", flush=True)
    if arguments.record and not failed:
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(record)}" for name, record in records.items())
        GOLDEN.write_text(f"{{\n{lines}\n}}\n")
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
