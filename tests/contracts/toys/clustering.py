"""Toy clustering: no target, no network; k-means (Lloyd 1982) on standardised numbers as a member of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from torch import nn

from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec, codec_from_json
from gradatim.errors import ArtifactError
from gradatim.evaluate.predictions import Predictions
from gradatim.tasks.source import Source


class KMeans(ClusterMixin, BaseEstimator):
    """Each centre is the mean of the rows that are nearest to it; begun at the farthest rows, one after the other."""

    def __init__(self, n_clusters: int = 3, max_iter: int = 50) -> None:
        self.n_clusters = n_clusters
        self.max_iter = max_iter

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Find the centres."""
        centres = X[:1]
        while len(centres) < self.n_clusters:
            centres = np.concatenate([centres, X[distances(X, centres).min(axis=1).argmax()][None]])
        for _ in range(self.max_iter):
            nearest = distances(X, centres).argmin(axis=1)
            centres = np.stack([X[nearest == number].mean(axis=0) for number in range(self.n_clusters)])
        self.cluster_centers_ = centres
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The number of the nearest centre, (N,)."""
        return distances(X, self.cluster_centers_).argmin(axis=1)


def distances(X: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (N, K)."""
    return ((X[:, None] - centres[None]) ** 2).sum(axis=-1)


@dataclass(frozen=True)
class Clusters:
    """The member: number codecs and the estimator on what they encode."""

    codecs: dict[str, Codec]
    estimator: KMeans

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        return tuple(self.codecs)

    def answer(self, source: Source) -> np.ndarray:
        """Numbers of clusters, int64 (N,)."""
        encoded = source.encode(self.codecs)
        return self.estimator.predict(matrix(encoded.batch(np.arange(len(source)), self.columns)))

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and arrays."""
        codecs = [{"column": name, "codec": codec.to_json()} for name, codec in self.codecs.items()]
        return {"member": "clusters", "codecs": codecs}, {"centres": self.estimator.cluster_centers_}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor],
        task: Any,
    ) -> "Clusters":
        """Rebuild from state."""
        codecs = {str(entry["column"]): codec_from_json(entry["codec"]) for entry in state["codecs"]}
        if set(shapes) != {"centres"} or shapes["centres"][1:] != (len(codecs),):
            raise ArtifactError(f"expected centres of {len(codecs)} numbers, found {dict(shapes)}")
        estimator = KMeans(shapes["centres"][0])
        estimator.cluster_centers_ = read("centres").numpy()
        return cls(codecs, estimator)


def matrix(batch: Batch) -> np.ndarray:
    """Number columns side by side, (N, D)."""
    return torch.stack([value for value in batch.inputs.values() if isinstance(value, torch.Tensor)], dim=1).numpy()


@dataclass(frozen=True)
class Clustering:
    """Rows that are alike."""

    count: int
    target: None = None
    metric: str = "none"
    name: str = field(default="clustering", init=False)

    @property
    def classes(self) -> list[Any]:
        """Clusters have no names."""
        return []

    def labels(self, cells: list[Any]) -> np.ndarray:
        """There is no truth."""
        return np.full(len(cells), None, dtype=object)

    def respond(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Of a network that gives a score a cluster: the highest."""
        return network(batch.inputs, batch.present).argmax(dim=1).cpu().numpy()

    def calibrated(self, answer: np.ndarray, temperature: float) -> np.ndarray:
        """Clusters are left as they are."""
        return answer

    def predictions(
        self, answer: np.ndarray, rows: Sequence[int] | np.ndarray, *, ids: Mapping[str, Any] | None = None
    ) -> Predictions:
        """One column, `cluster`."""
        clusters = pl.Series(np.asarray(answer, dtype=np.int64))
        return Predictions.of_columns(rows, {"cluster": clusters}, task=self.name, target="cluster", ids=ids)

    def score(self, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Nothing to compare with."""
        return {"metrics": {}, "notes": ["there is no target to compare with"]}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {"task": self.name, "count": self.count}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Clustering":
        """Read what `to_json` wrote."""
        return cls(int(value["count"]))
