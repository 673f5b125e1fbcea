"""Reverse-mode differentiation on NumPy arrays, in files short enough to read in one sitting.

Begin in `engine/` with `tensor.py`, then `functions.py` and `activations.py` (each local derivative beside its
formula), `convolution.py` (and pooling), `layers.py`, `recurrent.py`, `losses.py` and `training.py`; `gradients.py` and
`matmul.py` hold what the engine needs of plain arrays, `manual_backprop.py` is the same back-propagation from four
matrix equations, without an engine. `optimisers/` has the update rules, `race/` races them; `graph/` shows computation
graphs and traces PyTorch networks, `drawing/` draws them.

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
    "Tensor": "engine.tensor",
    "parameters": "engine.layers",
    "set_training": "engine.layers",
    "train": "engine.training",
    "topological_order": "engine.tensor",
    "without_gradient": "engine.tensor",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"gradatim.autodiff.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'gradatim.autodiff' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
