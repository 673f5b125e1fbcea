"""Batches of pairs of like length, and the training step's view of them: what was written, what is expected next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradatim.data.batch import Batch
from gradatim.data.table import Table
from gradatim.models.sequence.attention_translator import LEAST
from gradatim.nn.attention.mask import length_mask
from gradatim.randomness import generator
from gradatim.tasks.translation_tokens import BOUNDARY, PADDING, PairTokens

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True, slots=True)
class Texts:
    """Sources and targets of the rows of a table; None where a cell is missing or blank."""

    sources: list[str | None]
    targets: list[str | None]

    @classmethod
    def of(cls, table: Table, source: str, target: str | None) -> "Texts":
        """The cells of two columns as texts."""
        given = [text_of(cell) for cell in table.cells(source)]
        if target is None or target not in table.frame.columns:
            return cls(given, [None] * len(given))
        return cls(given, [text_of(cell) for cell in table.cells(target)])

    def paired(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows that have both."""
        return np.array([row for row in rows if self.sources[row] is not None and self.targets[row] is not None],
                        dtype=np.int64)


def text_of(cell: object) -> str | None:
    """A cell as text; None when it is missing or blank."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return None
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    return text if text.strip() else None


class EncodedPairs:
    """The ids of pairs, by their place among `rows`; `cut_sources` and `cut_targets` count those that were cut."""

    def __init__(self, tokens: PairTokens, texts: Texts, rows: np.ndarray) -> None:
        self.rows = rows
        self.sources = tokens.all_sources([str(texts.sources[row]) for row in rows])
        found = tokens.all_targets([str(texts.targets[row]) for row in rows], self.sources)
        self.targets = [ids for ids, _ in found]
        self.cut_sources = sum(encoded.cut for encoded in self.sources)
        self.cut_targets = sum(cut for _, cut in found)
        self.lengths = np.array([max(len(source.ids), len(target) + 1)
                                 for source, target in zip(self.sources, self.targets)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def tokens(self) -> int:
        """Target tokens with the end, and source tokens."""
        return sum(len(source.ids) + len(target) + 1 for source, target in zip(self.sources, self.targets))

    def batch(self, places: np.ndarray) -> Batch:
        """The pairs at these places, padded to the longest of them."""
        sources = [self.sources[place].ids for place in places]
        targets = [self.targets[place] for place in places]
        expected, _ = padded([np.append(ids, BOUNDARY) for ids in targets])
        written, lengths = padded([np.append(BOUNDARY, ids) for ids in targets])
        ids, source_lengths = padded(sources)
        return Batch(self.rows[places], {SOURCE: {"ids": ids, "lengths": source_lengths}},
                     {TARGET: {"written": written, "expected": expected, "lengths": lengths}})


def padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Ids of rows int64 (B, longest), filled up with padding, and their lengths (B,)."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.full((len(rows), max(int(lengths.max(initial=0)), 1)), PADDING, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
    return torch.from_numpy(ids), torch.from_numpy(lengths)


class Buckets:
    """Places in batches of at most `budget` tokens after padding; rows of equal length are dealt anew each epoch.

    The number of batches is the same in every epoch, because only the sorted lengths decide where a batch ends.
    """

    def __init__(self, lengths: np.ndarray, budget: int, seed: int) -> None:
        self.lengths, self.seed = lengths, seed
        self.ends: list[int] = []
        count = 0
        for place, length in enumerate(np.sort(lengths, kind="stable").tolist()):
            if count and (count + 1) * length > budget:
                self.ends.append(place)
                count = 0
            count += 1
        self.ends.append(len(lengths))

    def __len__(self) -> int:
        return len(self.ends)

    def epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch, a pure function of its number."""
        random = generator(self.seed, "buckets", epoch)
        order = np.lexsort((random.random(len(self.lengths)), self.lengths))
        parts = [order[low:high] for low, high in zip([0, *self.ends[:-1]], self.ends)]
        return [parts[place] for place in random.permutation(len(parts))]


Taught = tuple[Tensor, Tensor | None, Tensor | None]


def teach(network: nn.Module, batch: Batch) -> Taught:
    """Teacher forcing: logits (tokens, V) of every expected token of the batch, given the true ones before it.

    Where the network has a lexicon: also its gate and the lexicon's share of each expected token, (tokens,) each.
    """
    source, target = batch.inputs[SOURCE], batch.targets[TARGET]
    assert isinstance(source, dict) and isinstance(target, dict)
    translator: Any = network
    real = length_mask(target["lengths"], target["written"].shape[1])
    if getattr(translator, "gate", None) is None:
        features = translator.teach(source["ids"], source["lengths"], target["written"])
        return translator.logits(features[real]), None, None
    features, gate, shares = translator.lexical(source["ids"], source["lengths"], target["written"],
                                                target["expected"])
    return translator.logits(features[real]), gate[real], shares[real]


def expected_of(batch: Batch) -> Tensor:
    """The tokens that `teach` gives logits of."""
    target = batch.targets[TARGET]
    assert isinstance(target, dict)
    return target["expected"][length_mask(target["lengths"], target["expected"].shape[1])]


class CrossEntropy:
    """Mean cross entropy of a token; `smoothing` of the probability goes to all tokens alike (Szegedy et al. 2016).

    With a lexicon the true token's probability is the mixture's. `alone` is the share of the loss that the softmax then
    has for itself: else a lexicon that is half right keeps the softmax from ever being asked.
    """

    def __init__(self, smoothing: float, *, alone: float = 0.0) -> None:
        self.smoothing, self.alone = smoothing, alone

    def __call__(self, output: Taught, batch: Batch) -> Tensor:
        """output: as `teach` gives it."""
        logits, gate, shares = output
        expected = expected_of(batch)
        if gate is None or shares is None:
            return F.cross_entropy(logits.float(), expected, label_smoothing=self.smoothing)
        logs = logits.float().log_softmax(1)
        own = logs.gather(1, expected[:, None])[:, 0]
        mixed = -torch.log((1 - gate) * own.exp() + gate * shares + LEAST).mean()
        if not self.alone:
            return mixed
        softmax = (self.smoothing - 1) * own.mean() - self.smoothing * logs.mean()
        return (1 - self.alone) * mixed + self.alone * softmax
