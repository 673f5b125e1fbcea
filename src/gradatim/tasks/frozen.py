"""Features of a network that is not trained here: computed once for all rows, then read by convex heads.

`--encoder image=efficientnet_lite0:pretrained` gives the weights, `--encoder text=minilm:pretrained` those of a text
encoder, which brings its own tokenizer. What was computed is kept on disk by the content of weights and inputs, so that
the next run on the same cells does not compute it again.

Texts are read in batches of about as many tokens each, sorted by length, equal ones once; in bfloat16 where the
machine has it and a probe finds the vectors within PRECISE of float32's.
"""

import copy
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gradatim.data.batch import Field
from gradatim.data.codecs import Codec
from gradatim.data.codecs.bert_tokens import tokenizer_beside
from gradatim.data.codecs.text import TextCodec
from gradatim.data.schema import Column
from gradatim.device import native_bfloat16
from gradatim.errors import ArtifactError
from gradatim.estimators.features.scale import moments
from gradatim.files import sha256_of, to_json_bytes, write_atomic
from gradatim.models.address import load_weights
from gradatim.models.fusion.encoders import ColumnEncoder
from gradatim.models.outline import check_numbers, check_parts, finite, outlining
from gradatim.tasks.word_tables import WORDS, fill, is_words, words_codec

CHUNK, CHUNK_ROWS = 64, 512
FOLDER_VARIABLE = "GRADATIM_FEATURES"
MOST_BYTES = 2 * 2**30  # kept on disk; beyond it those unused for longest go
TEXTS_AT_ONCE = 8192  # sorted by length among themselves
TOKENS = 1024  # of a batch of texts, padding included
TEXT_TOKENS, MOST_TEXT_TOKENS = 256, 512  # of one text, when the column says nothing; at most
MOST_KNOWN = 20_000  # texts whose vectors are kept in memory
PRECISE = 0.02  # relative error of bfloat16 up to which it is used
PROBE_TEXTS, PROBE_TOKENS = 8, 24


def encoder_of(encoders: Mapping[str, Mapping[str, Any]], column: Column) -> Mapping[str, Any] | None:
    """The encoder that the user named for a column, by its name or its kind."""
    return encoders.get(column.name, encoders.get(column.kind))


def reads_pretrained(column: Column, encoder: Mapping[str, Any] | None) -> bool:
    """Whether the column is a text that a pretrained encoder reads with its own tokenizer, or word vectors."""
    return column.kind == "text" and bool(encoder and encoder.get("weights"))


def pretrained_codec(column: Column, encoder: Mapping[str, Any] | None) -> Codec:
    """The codec with the tokenizer that lies beside the encoder's weights; the column's max_length is heeded."""
    assert encoder is not None
    if is_words(column, encoder):
        return words_codec(column, encoder)
    most = min(int(column.options.get("max_length") or TEXT_TOKENS), MOST_TEXT_TOKENS)
    return TextCodec.pretrained(tokenizer_beside(encoder["weights"]), max_length=most)


def length_batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Rows in batches of at most `tokens`, padding to the longest of a batch included; the longest texts first.

    >>> [rows.tolist() for rows in length_batches(np.array([2, 9, 3, 2]), 6)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(tokens // max(int(lengths[order[start]]), 1), 1)
        yield order[start : start + count]
        start += count


class FrozenFeatures:
    """The last layer before the classifier of a pretrained network, standardised on training rows.

    kind, describe: what the codec says of the column; encoder: blueprint of the network. The same face as the other
    extractors: `raw`, `fit_raw`, `standardise`.
    """

    def __init__(self, kind: str, describe: Mapping[str, Any], encoder: Mapping[str, Any]) -> None:
        self.kind, self.describe, self.encoder = kind, dict(describe), dict(encoder)
        self.network = ColumnEncoder(kind, self.describe, self.encoder).eval().requires_grad_(False)
        self.means = self.scales = np.zeros(0, dtype=np.float32)
        self.dtype = "float32"
        self.cache_key = ""  # set with the weights; empty: nothing is kept on disk
        self.rows_at_once = TEXTS_AT_ONCE if kind == "text" else CHUNK_ROWS
        self._lower: list[nn.Module] = []
        self._known: dict[bytes, np.ndarray] = {}

    def load(self, path: str) -> list[str]:
        """Fill in weights from a local file; returns what was left aside."""
        if self.encoder["address"] == WORDS:
            return fill(self.network.network, path)
        said = load_weights(self.network.network, path)
        if self.kind == "text":
            self.dtype = "bfloat16" if native_bfloat16("cpu")[0] and self._lost() < PRECISE else "float32"
            said.append(f"texts are read in {self.dtype}")
        about = {"weights": sha256_of(path), "describe": self.describe, "encoder": self.encoder, "dtype": self.dtype}
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

    def _lost(self) -> float:
        """Largest relative error of a text's vector in bfloat16, on a few texts of random words."""
        source = torch.Generator().manual_seed(0)
        shape, words = (PROBE_TEXTS, PROBE_TOKENS), int(self.describe["vocabulary"])
        ids = torch.randint(1, words, shape, generator=source)
        lengths = torch.full((PROBE_TEXTS,), PROBE_TOKENS)
        with torch.inference_mode():
            exact = self.network({"ids": ids, "lengths": lengths})
            rounded = self._in_bfloat16({"ids": ids, "lengths": lengths})
        return float(((rounded - exact).norm(dim=1) / exact.norm(dim=1).clamp(min=1e-12)).max())

    def _in_bfloat16(self, field: Field) -> torch.Tensor:
        """The network with products in bfloat16, whose weights are converted once."""
        if not self._lower:
            lower = copy.deepcopy(self.network)
            for module in lower.modules():
                if isinstance(module, nn.Linear):
                    module.to(torch.bfloat16)
            self._lower.append(lower)
        with torch.autocast("cpu", torch.bfloat16):
            return self._lower[0](field).float()

    def _of_texts(self, ids: torch.Tensor, lengths: torch.Tensor) -> np.ndarray:
        """Vectors of texts, equal ones computed once: ids (N, L), lengths (N,) → float32 (N, D)."""
        counts, numbers = lengths.numpy(), ids.numpy().astype(np.int32)
        keys = [numbers[row, : counts[row]].tobytes() for row in range(len(counts))]
        first = {key: row for row, key in reversed(list(enumerate(keys))) if key not in self._known}
        found = {key: self._known[key] for key in keys if key in self._known}
        places = np.array(sorted(first.values()), dtype=np.int64)
        answer = self._in_bfloat16 if self.dtype == "bfloat16" else self.network
        for part in length_batches(counts[places], TOKENS):
            rows = torch.from_numpy(places[part])
            longest = max(int(counts[places[part]].max()), 1)
            batch = {"ids": ids[rows, :longest].long(), "lengths": lengths[rows]}
            found |= zip((keys[row] for row in places[part]), answer(batch).float().numpy())
        if len(self._known) + len(first) <= MOST_KNOWN:
            self._known |= {key: found[key] for key in first}
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, self.network.num_features), np.float32)

    def _computed(self, field: Field) -> np.ndarray:
        if self.kind == "text":
            assert isinstance(field, dict)
            with torch.inference_mode():
                return self._of_texts(field["ids"], field["lengths"])
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
        state = {"frozen": {"kind": self.kind, "describe": self.describe, "encoder": self.encoder,
                            "dtype": self.dtype}}
        weights = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        return state, {**weights, "means": self.means, "scales": self.scales}

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], torch.Tensor]
    ) -> "FrozenFeatures":
        """Rebuild: on `meta` first, compared with the header, then filled."""
        entry = state["frozen"]
        check_numbers(entry, shapes)
        with outlining(len(shapes)):
            features = cls(str(entry["kind"]), entry["describe"], entry["encoder"])
        own = features.network.state_dict()
        width = (features.network.num_features,)
        expected = {f"network/{n}": tuple(t.shape) for n, t in own.items()} | {"means": width, "scales": width}
        if expected != dict(shapes):
            raise ArtifactError("expected the tensors of the frozen network, found others in the weights")
        tensors = {name: finite(name, read(f"network/{name}")).to(tensor.dtype) for name, tensor in own.items()}
        features.network.load_state_dict(tensors, assign=True)
        check_parts(features.network)
        if entry.get("dtype") == "bfloat16" and native_bfloat16("cpu")[0]:
            features.dtype = "bfloat16"
        features.means, features.scales = (finite(name, read(name)).float().numpy() for name in ("means", "scales"))
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
