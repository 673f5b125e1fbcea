"""Features of a network that is not trained here: computed once for all rows, then read by convex heads.

`--encoder image=efficientnet_lite0:pretrained` gives the weights; pictures and sounds only. What was computed is kept
on disk by the content of weights and inputs, so that the next run on the same pictures does not compute it again.
"""

import hashlib
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.data.batch import Field
from gradatim.errors import ArtifactError
from gradatim.estimators.features.scale import moments
from gradatim.files import sha256_of, to_json_bytes, write_atomic
from gradatim.models.address import load_weights
from gradatim.models.fusion.encoders import ColumnEncoder
from gradatim.models.outline import finite, outlining

CHUNK = 64
FOLDER_VARIABLE = "GRADATIM_FEATURES"
MOST_BYTES = 2 * 2**30  # kept on disk; beyond it those unused for longest go


class FrozenFeatures:
    """The last layer before the classifier of a pretrained network, standardised on training rows.

    kind, describe: what the codec says of the column; encoder: blueprint of the network. The same face as the other
    extractors: `raw`, `fit_raw`, `standardise`.
    """

    def __init__(self, kind: str, describe: Mapping[str, Any], encoder: Mapping[str, Any]) -> None:
        self.kind, self.describe, self.encoder = kind, dict(describe), dict(encoder)
        self.network = ColumnEncoder(kind, self.describe, self.encoder).eval().requires_grad_(False)
        self.means = self.scales = np.zeros(0, dtype=np.float32)
        self.cache_key = ""  # set with the weights; empty: nothing is kept on disk

    def load(self, path: str) -> list[str]:
        """Fill in weights from a local file; returns what was left aside."""
        said = load_weights(self.network.network, path)
        about = {"weights": sha256_of(path), "describe": self.describe, "encoder": self.encoder}
        self.cache_key = hashlib.sha256(to_json_bytes(about)).hexdigest()
        return said

    def raw(self, field: Field) -> np.ndarray:
        """Features before standardising, float32 (N, D); from the disk where they were computed before."""
        if not self.cache_key:
            return self._computed(field)
        digest = hashlib.sha256(self.cache_key.encode())
        for name, tensor in sorted(field.items()) if isinstance(field, dict) else [("", field)]:
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
        path = features_folder() / f"{digest.hexdigest()[:40]}.npy"
        found = _read(path)
        if found is None:
            found = self._computed(field)
            _write(path, found)
        return found

    def _computed(self, field: Field) -> np.ndarray:
        rows = len(next(iter(field.values()))) if isinstance(field, dict) else len(field)
        parts = []
        with torch.inference_mode():
            for start in range(0, rows, CHUNK):
                part = slice(start, start + CHUNK)
                chunk = {n: t[part] for n, t in field.items()} if isinstance(field, dict) else field[part]
                parts.append(self.network(chunk).float())
        return torch.cat(parts).numpy()

    def fit_raw(self, rows: np.ndarray) -> "FrozenFeatures":
        """Learn mean and deviation from raw rows of the training part; the network stays shared."""
        fitted = object.__new__(FrozenFeatures)
        fitted.__dict__.update(self.__dict__)
        fitted.means, fitted.scales = moments(rows)
        return fitted

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """Raw rows brought to mean zero and deviation one."""
        return ((rows - self.means) / self.scales).astype(np.float32)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """JSON state and tensors."""
        state = {"frozen": {"kind": self.kind, "describe": self.describe, "encoder": self.encoder}}
        weights = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        return state, {**weights, "means": self.means, "scales": self.scales}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor]
    ) -> "FrozenFeatures":
        """Rebuild: on `meta` first, compared with the header, then filled."""
        entry = state["frozen"]
        with outlining(len(shapes)):
            features = cls(str(entry["kind"]), entry["describe"], entry["encoder"])
        own = features.network.state_dict()
        width = (features.network.num_features,)
        expected = {f"network/{n}": tuple(t.shape) for n, t in own.items()} | {"means": width, "scales": width}
        if expected != dict(shapes):
            raise ArtifactError("expected the tensors of the frozen network, found others in the weights")
        tensors = {name: finite(name, read(f"network/{name}")).to(tensor.dtype) for name, tensor in own.items()}
        features.network.load_state_dict(tensors, assign=True)
        features.means, features.scales = read("means").numpy(), read("scales").numpy()
        return features


def features_folder() -> Path:
    """Where features are kept: $GRADATIM_FEATURES, else gradatim/features under the user's cache folder."""
    told = os.environ.get(FOLDER_VARIABLE)
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradatim" / "features"


def _read(path: Path) -> np.ndarray | None:
    """Features as they were kept; None where there are none or the file is damaged."""
    try:
        found = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and found.dtype == np.float32 else None


def _write(path: Path, features: np.ndarray) -> None:
    """Keep features; a folder that cannot be written costs time, no more."""
    stream = io.BytesIO()
    np.save(stream, features, allow_pickle=False)
    try:
        write_atomic(path, stream.getvalue())
        files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in path.parent.glob("*.npy"))
        surplus = sum(size for _, size, _ in files) - MOST_BYTES
        for _, size, file in files:
            if surplus <= 0:
                break
            file.unlink(missing_ok=True)
            surplus -= size
    except OSError:
        return
