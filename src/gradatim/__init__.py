"""Gradatim: from a table of pictures, texts, sounds, categories and numbers to a checked, explained, saved model.

>>> import gradatim as gd
>>> gd.__version__
'0.1.0'
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name → module; imported on first use, so that `import gradatim` stays instant.
_PUBLIC = {
    "fit": "gradatim.run",
    "load": "gradatim.run",
    "Run": "gradatim.run",
    "Classifier": "gradatim.faces",
    "Regressor": "gradatim.faces",
    "read_table": "gradatim.data.readers",
    "infer_schema": "gradatim.data.infer",
    "audit_table": "gradatim.audit.audit",
    "score_files": "gradatim.evaluate.foreign",
    "race": "gradatim.autodiff.race.race",
    "Table": "gradatim.data.table",
    "Schema": "gradatim.data.schema",
    "Column": "gradatim.data.schema",
    "graph": "gradatim.autodiff.graph.graph",
    "trace": "gradatim.autodiff.graph.trace",
    "convolution_arithmetic": "gradatim.models.arithmetic",
    "lesson": "gradatim.lessons.catalogue",
    "GradatimError": "gradatim.errors",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'gradatim' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
