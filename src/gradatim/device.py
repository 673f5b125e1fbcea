"""Where a network runs: device, number format, memory layout, threads; and the levers that make this machine
fast.
"""

import ctypes
import os
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from gradatim.errors import GradatimError

DEVICES = ("cpu", "cuda", "mps")
DTYPES = ("float32", "bfloat16")

# glibc's names for mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a network runs, chosen once. `reasons` says why, one sentence a choice.

    device: "cpu", "cuda" or "mps"; dtype: the format of products under `autocast`, weights stay float32;
    channels_last: pictures and convolutions keep channels innermost; threads: of one operation on the CPU.
    """

    device: str = "cpu"
    dtype: str = "float32"
    channels_last: bool = False
    threads: int = 1
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.device.split(":")[0] not in DEVICES:
            raise GradatimError(f"expected a device among {', '.join(DEVICES)}, received '{self.device}'")
        if self.dtype not in DTYPES:
            raise GradatimError(f"expected a dtype among {', '.join(DTYPES)}, received '{self.dtype}'")

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.device}, {self.dtype}, {layout}, {self.threads} threads"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self) | {"reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Placement":
        """Read what `to_json` wrote."""
        try:
            return cls(
                str(value["device"]),
                str(value["dtype"]),
                bool(value["channels_last"]),
                int(value["threads"]),
                tuple(map(str, value.get("reasons", ()))),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise GradatimError(
                f"expected a placement with device, dtype, channels_last and threads; {error!r} in {value!r}"
            ) from None


@cache
def _cpu_facts() -> tuple[str, frozenset[str]]:
    """(vendor, flags) of the processor, from /proc/cpuinfo; ("", empty) where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "", frozenset()
    facts: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts.get("vendor_id", ""), frozenset((facts.get("flags") or facts.get("Features") or "").split())


def native_bfloat16(device: str) -> tuple[bool, str]:
    """Whether the device multiplies bfloat16 in hardware, and the evidence."""
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"CUDA capability {major}.{minor}"
    if device.startswith("mps"):
        return False, "not used on mps: products there were not checked"
    flags = _cpu_facts()[1]
    for flag in ("amx_bf16", "avx512_bf16", "bf16"):
        if flag in flags:
            return True, f"the processor has {flag}"
    return False, "the processor has neither avx512_bf16 nor amx_bf16"


def fast_channels_last(device: str, native: bool) -> tuple[bool, str]:
    """Whether convolutions train faster with channels innermost, and the evidence; native: bfloat16 is."""
    if device == "cpu":
        if torch.backends.mkldnn.is_available():
            return True, "oneDNN's convolutions want it (steps took 0.6 to 1.0 of the time)"
        return False, "this PyTorch has no oneDNN"
    if device.startswith("cuda"):
        return native, "tensor cores want it" if native else "this GPU has no bfloat16 tensor cores"
    return False, "the default"


def choose(*, device: str | None = None) -> Placement:
    """Choose device, number format and layout for this machine, with the reasons.

    device: "cpu", "cuda", "cuda:1", "mps", or None for the fastest there is.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        reasons = [f"device {device}: " + ("no accelerator found" if device == "cpu" else "an accelerator is there")]
    else:
        reasons = [f"device {device}: asked for"]
        kind = device.split(":")[0]
        there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(kind, kind not in DEVICES):
            raise GradatimError(f"expected a device that this machine has, received '{device}'; use 'cpu'")
        if kind not in DEVICES:
            raise GradatimError(f"expected a device among {', '.join(DEVICES)}, received '{device}'")
    native, evidence = native_bfloat16(device)
    dtype = "bfloat16" if native else "float32"
    reasons.append(f"dtype {dtype}: {evidence}")
    channels_last, evidence = fast_channels_last(device, native)
    reasons.append(f"layout {'channels last' if channels_last else 'channels first'}: {evidence}")
    threads = torch.get_num_threads()
    reasons.append(f"threads {threads}: as PyTorch found them (OMP_NUM_THREADS, physical cores)")
    return Placement(device, dtype, channels_last, threads, tuple(reasons))


def autocast(placement: Placement) -> AbstractContextManager[Any]:
    """The context in which a forward pass runs: bfloat16 products where the placement says so, else nothing.

    >>> with autocast(Placement("cpu", "bfloat16")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    if placement.dtype == "float32":
        return nullcontext()
    return torch.autocast(placement.device.split(":")[0], getattr(torch, placement.dtype))


def pull_levers(placement: Placement, *, memory: bool) -> list[str]:
    """Set what makes this machine fast, process-wide, and say what was done and why; never called at import.

    memory: also let the allocator keep freed memory (faster, but it is not handed back to the system).
    The command line calls it; in Python it is the caller's choice.
    """
    done = []
    if torch.get_num_threads() != placement.threads:
        torch.set_num_threads(placement.threads)
        done.append(f"threads set to {placement.threads}, as the plan says")
    if placement.device.startswith("cuda"):
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        done.append("float32 products on the GPU use TF32 (10-bit mantissa): several times faster")
        return done
    done.append(_lever_onednn())
    if memory:
        done.append(_lever_malloc())
    if os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE":
        done.append(
            "advice: where other programs use the same cores, start with OMP_WAIT_POLICY=PASSIVE, "
            "else waiting threads steal them"
        )
    return done


def _lever_onednn() -> str:
    """Send float32 products to oneDNN on AMD processors with AVX512 and without AMX, if its error is
    float32's.

    There the setting "bf16" only selects the library: it multiplies in float32, twice as fast as MKL's path
    for processors of another maker. With AMX it would round to bfloat16, hence the gate and the probe.
    """
    vendor, flags = _cpu_facts()
    if not torch.backends.mkldnn.is_available():
        return "oneDNN products: off, this PyTorch has no oneDNN"
    if vendor != "AuthenticAMD" or "avx512f" not in flags or any(flag.startswith("amx") for flag in flags):
        return "oneDNN products: off, they gain only on AMD processors with AVX512 and without AMX"
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    error = product_error()
    if not error < 1e-5:
        products.fp32_precision = before
        return f"oneDNN products: off, the probe found a relative error of {error:.1e}, more than float32's"
    return f"oneDNN products: on for float32, relative error {error:.1e} in a probe"


def product_error(size: int = 384) -> float:
    """Largest error of a float32 product against float64, relative to the largest entry (float32: about
    1e-6).
    """
    source = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, size, size, generator=source)
    exact = left.double() @ right.double()
    return float((left @ right - exact).abs().max() / exact.abs().max())


def _lever_malloc() -> str:
    """Make glibc keep freed memory: else each large tensor costs page faults anew."""
    if platform.libc_ver()[0] != "glibc":
        return "allocator: untouched, this is not glibc"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "allocator: untouched, glibc's mallopt was not found"
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20))
    if not all(mallopt(name, value) == 1 for name, value in settings):
        return "allocator: glibc refused a setting"
    return "allocator: freed memory is kept, which saves page faults; it is not handed back until the end"
