"""Reverse-mode differentiation on NumPy arrays, in files short enough to read in one sitting.

Begin with `tensor.py` (the engine), then `functions.py` and `activations.py` (each local derivative beside its
formula), `windows.py` (convolution and pooling), `layers.py`, `recurrent.py`, `losses.py` and `training.py`;
`gradients.py` and `products.py` hold what the engine needs of plain arrays. `byhand.py` is the same back-propagation
from four matrix equations, without an engine.

>>> from gradatim import autodiff
>>> weight = autodiff.Tensor(2.0, requires_gradient=True)
>>> (weight**3).backward()
>>> weight.gradient.item()
12.0
"""

from importlib import import_module
from typing import Any

# Public name → module of this package; imported on first use.
_PUBLIC = {
    "Tensor": "tensor",
    "parameters": "layers",
    "set_training": "layers",
    "train": "training",
    "topological_order": "tensor",
    "without_gradient": "tensor",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"gradatim.autodiff.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'gradatim.autodiff' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
