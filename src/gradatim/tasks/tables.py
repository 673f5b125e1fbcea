"""Gradient-boosted trees on the numbers and categories of a table: the outside candidate, kept as plain arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gradatim.data.codecs import Codec, codec_from_json
from gradatim.data.codecs.category import CategoryCodec
from gradatim.data.codecs.columns import category_codes
from gradatim.data.codecs.number import NumberCodec
from gradatim.data.schema import Column
from gradatim.estimators.state import estimator_from_state, estimator_to_state
from gradatim.tasks.heads import _under, fitted_codecs, number_cells
from gradatim.tasks.source import Source


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees; categories enter as whole numbers, missing cells as NaN."""

    codecs: dict[str, Codec]
    estimator: Any
    task: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        return tuple(self.codecs)

    @classmethod
    def fit(
        cls, source: Source, columns: Sequence[Column], rows: np.ndarray, labels: np.ndarray, task: Any, *, seed: int,
        rounds: int | None = None, learning_rate: float | None = None,
    ) -> "Trees":
        """Fit on the number and category columns among `columns`; rounds: at most so many, in steps of that rate."""
        plain = [column for column in columns if column.kind in ("number", "category")]
        codecs = fitted_codecs(source, plain, rows)
        features = tree_matrix(source, codecs, rows)
        categories = [place for place, column in enumerate(plain) if column.kind == "category"]
        given = {"max_iter": rounds, "learning_rate": learning_rate}
        estimator = task.trees(seed, categories).set_params(**{n: v for n, v in given.items() if v is not None})
        return cls(codecs, estimator.fit(features, labels[rows]), task)

    def answer_rows(self, source: Source, rows: np.ndarray) -> np.ndarray:
        """Probabilities or numbers for some rows."""
        if len(rows) == 0:
            return np.zeros((0, *self.task.answer_shape))
        return self.task.estimator_answer(self.estimator, tree_matrix(source, self.codecs, rows))

    def answer(self, source: Source) -> np.ndarray:
        """Probabilities or numbers for every row."""
        return self.answer_rows(source, np.arange(len(source)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        state, arrays = estimator_to_state(self.estimator)
        codecs = [{"column": name, "codec": codec.to_json()} for name, codec in self.codecs.items()]
        return ({"member": "trees", "estimator": state, "codecs": codecs},
                {f"estimator/{name}": array for name, array in arrays.items()})

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "Trees":
        """Rebuild from state; the estimator checks that its arrays make trees."""
        codecs = {str(entry["column"]): codec_from_json(entry["codec"]) for entry in state["codecs"]}
        return cls(codecs, estimator_from_state(state["estimator"], _under("estimator/", shapes, read)), task)


def tree_matrix(source: Source, codecs: Mapping[str, Codec], rows: np.ndarray) -> np.ndarray:
    """Float64 (rows, columns): numbers as they are, categories by their number in the codec, NaN where missing."""
    matrix = np.empty((len(rows), len(codecs)))
    for place, (name, codec) in enumerate(codecs.items()):
        if isinstance(codec, NumberCodec):
            matrix[:, place] = number_cells(source, codec, name)[rows]
        else:
            assert isinstance(codec, CategoryCodec)
            numbers, places, _ = category_codes(codec, source.table.frame.get_column(name)[rows])
            matrix[:, place] = np.where(numbers < 0, np.nan, numbers)[places]
    return matrix
