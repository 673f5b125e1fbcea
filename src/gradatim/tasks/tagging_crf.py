"""The linear-chain CRF on the usual features, fitted by L-BFGS to its regularised likelihood, which is convex.

−Σ log p(y | x) + λ/2 ‖w‖² with p as in Lafferty, McCallum & Pereira 2001; the gradient is what is expected less what
is seen. The same optimum as any other solver of it (CRFsuite with c2 = λ/2 and the same features).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from gradatim.errors import ArtifactError
from gradatim.estimators.chains import emissions_of, expectations, expected_uses
from gradatim.estimators.lbfgs import minimise
from gradatim.models.outline import finite
from gradatim.tasks.source import Source
from gradatim.tasks.tagging_features import feature_keys, feature_matrix
from gradatim.tasks.tagging_words import as_answers, offsets_of, read_sentences

MANY_TOKENS = 150_000  # from which a feature must be seen twice
MOST_WEIGHTS = 40_000_000


@dataclass(frozen=True, slots=True)
class FeatureCRF:
    """A fitted linear-chain CRF. keys: the features' numbers, ascending; weights (features, C) of the tags."""

    column: str
    keys: np.ndarray
    weights: np.ndarray
    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of tokens."""
        return (self.column,)

    def answer(self, source: Source) -> np.ndarray:
        """Marginal probabilities (L, C) of each row's tokens, an object array (N,)."""
        return self.marginals(read_sentences(source.table.cells(self.column)))

    def marginals(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """The same for lists of tokens."""
        scores = np.asarray(feature_matrix(sentences, self.keys) @ self.weights)
        offsets = offsets_of(sentences)
        found = np.zeros_like(scores)
        classes = scores.shape[1]
        expectations(scores, self.transitions, self.start, self.end, offsets, found,
                     np.zeros((classes, classes)), np.zeros(classes), np.zeros(classes))
        return as_answers(found, offsets)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        arrays = {"keys": self.keys, "weights": self.weights.astype(np.float32), "transitions": self.transitions,
                  "start": self.start, "end": self.end}
        return {"member": "feature-crf", "column": self.column}, arrays

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "FeatureCRF":
        """Rebuild from state; shapes are checked before anything is read."""
        classes, features = len(task.classes), shapes.get("keys", (0,))[0]
        expected = {"keys": (features,), "weights": (features, classes), "transitions": (classes, classes),
                    "start": (classes,), "end": (classes,)}
        if dict(shapes) != expected or not isinstance(state.get("column"), str):
            raise ArtifactError(f"expected the weights of a CRF of {classes} tags, found others")
        arrays = {name: finite(name, read(name)).numpy() for name in expected}
        keys = arrays.pop("keys")
        if keys.dtype != np.int64 or (keys[1:] <= keys[:-1]).any():
            raise ArtifactError("expected the features of a CRF in ascending order, found others")
        arrays = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}
        return cls(str(state["column"]), keys, **arrays)


def fit_crf(
    sentences: Sequence[Sequence[str]], tags: Sequence[np.ndarray], classes: int, *, column: str = "tokens",
    strength: float = 1.0, max_iter: int = 60, tol: float = 1e-2,
) -> FeatureCRF:
    """Fit to sentences whose tags are class numbers int64 (L,), none of them −1.

    strength: λ; tol: of half the Newton decrement, relative to the number of tokens (see `estimators.lbfgs`).
    """
    tokens = sum(map(len, sentences))
    keys = feature_keys(sentences, least=2 if tokens > MANY_TOKENS else 1)
    if len(keys) * classes > MOST_WEIGHTS:
        keys = feature_keys(sentences, least=3)
    objective = ChainObjective(feature_matrix(sentences, keys), np.concatenate(tags), offsets_of(sentences), classes,
                               strength)
    found = minimise(objective, np.zeros(objective.size), objective.precondition, tol=tol * tokens / 1000,
                     max_iter=max_iter, memory=8)
    weights, transitions, start, end = objective.split(found.parameters)
    # As they are stored, so that a loaded run answers alike.
    kept = objective.spread(weights).astype(np.float32).astype(np.float64)
    return FeatureCRF(column, keys, kept, transitions.copy(), start.copy(), end.copy())


class ChainObjective:
    """Value and gradient of the regularised negative log-likelihood in one flat vector of parameters.

    A feature has a weight for each tag that it was seen with in training, as in CRFsuite; the others are 0. That is a
    tenth of all pairs.
    """

    def __init__(
        self, matrix: sparse.csr_matrix, tags: np.ndarray, offsets: np.ndarray, classes: int, strength: float
    ) -> None:
        self.matrix, self.offsets, self.classes, self.strength = matrix, offsets, classes, strength
        tokens = len(tags)
        marked = sparse.csr_matrix((np.ones(tokens), (np.arange(tokens), tags)), shape=(tokens, classes))
        pairs = (matrix.T.tocsr() @ marked).tocsr()
        pairs.sort_indices()
        self.starts, self.tags = pairs.indptr.astype(np.int64), pairs.indices.astype(np.int64)
        self.features = matrix.shape[1]
        self.size = len(self.tags) + classes * (classes + 2)
        firsts, lasts = offsets[:-1], offsets[1:] - 1
        inner = np.ones(tokens, dtype=bool)
        inner[firsts] = False
        after = np.flatnonzero(inner)
        moves = np.zeros((classes, classes))
        np.add.at(moves, (tags[after - 1], tags[after]), 1)
        ends = [np.bincount(tags[places], minlength=classes) for places in (firsts, lasts)]
        self.seen = _joined(pairs.data, moves, *ends)
        shares = np.bincount(tags, minlength=classes) / tokens
        spread = np.maximum(shares * (1 - shares), 0.01)
        uses = np.repeat(np.asarray(matrix.sum(axis=0)).ravel(), np.diff(self.starts))
        chains = np.full(classes, len(firsts) * 0.1)
        # About the diagonal of the Hessian: how often a parameter is used times the variance of its tag.
        self.curvature = strength + _joined(uses * spread[self.tags], tokens * np.outer(shares, shares), chains, chains)

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, transitions, start, end = self.split(parameters)
        classes, matrix = self.classes, self.matrix
        scores = np.empty((matrix.shape[0], classes))
        emissions_of(matrix.indptr, matrix.indices, self.starts, self.tags, weights, scores)
        marginals, pairs = np.zeros_like(scores), np.zeros((classes, classes))
        firsts, lasts, uses = np.zeros(classes), np.zeros(classes), np.empty(len(weights))
        partition = expectations(scores, transitions, start, end, self.offsets, marginals, pairs, firsts, lasts)
        expected_uses(matrix.indptr, matrix.indices, self.starts, self.tags, marginals, uses)
        expected = _joined(uses, pairs, firsts, lasts)
        value = partition - self.seen @ parameters + 0.5 * self.strength * parameters @ parameters
        return float(value), expected - self.seen + self.strength * parameters

    def precondition(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient over about the diagonal of the Hessian."""
        return gradient / self.curvature

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Weights of the pairs (P,), transitions (C, C), start (C,), end (C,)."""
        classes, cut = self.classes, len(self.tags)
        return (parameters[:cut], parameters[cut : cut + classes * classes].reshape(classes, classes),
                parameters[-2 * classes : -classes], parameters[-classes:])

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """The weights of the pairs as (features, C), 0 where a feature was never seen with a tag."""
        found = np.zeros((self.features, self.classes))
        found[np.repeat(np.arange(self.features), np.diff(self.starts)), self.tags] = weights
        return found

    def joined(self, crf: FeatureCRF) -> np.ndarray:
        """The parameters of a fitted CRF over the same features, flat."""
        weights = crf.weights[np.repeat(np.arange(self.features), np.diff(self.starts)), self.tags]
        return _joined(weights, crf.transitions, crf.start, crf.end)


def _joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])
