"""Texts as a stream to learn the next token from: lanes, windows, rounds; and a step that carries a state along."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradatim.data.batch import Batch
from gradatim.estimators.ngram import BOUNDARY
from gradatim.randomness import generator
from gradatim.train.plan import Plan
from gradatim.train.schedule import SchedulePosition
from gradatim.train.steps import Supervised

TEXT = "text"


class Rounds:
    """The batches of training, cut into rounds of equal length, after each of which the development texts are read.

    A pass deals all texts in a new order into one stream, parted by boundaries, and cuts it into `lanes` rows; a batch
    is a window of `length` tokens of each. Batch g of the run is window g mod windows of pass g div windows: a pure
    function of the seed. rows[0] of a batch is 0 where a pass begins.
    """

    def __init__(self, texts: Sequence[np.ndarray], *, lanes: int, length: int, steps: int, seed: int) -> None:
        size = sum(len(text) + 1 for text in texts)
        self.texts, self.steps, self.seed = texts, steps, seed
        self.lanes = max(1, min(lanes, size // 2))
        self.length = max(1, min(length, size // self.lanes))
        self.windows = max(1, -(-(size // self.lanes) // self.length))
        self._pass: tuple[int, np.ndarray] | None = None

    def __call__(self, number: int) -> "Round":
        """The batches of a round."""
        return Round(self, number)

    def batch(self, place: int) -> Batch:
        """Batch `place` of the whole run."""
        number, window = divmod(place, self.windows)
        if self._pass is None or self._pass[0] != number:
            self._pass = number, self._stream(number)
        part = self._pass[1][:, window * self.length : (window + 1) * self.length + 1]
        ids = torch.from_numpy(np.ascontiguousarray(part))
        return Batch(np.arange(self.lanes) + window * self.lanes, {TEXT: ids[:, :-1]}, {TEXT: ids[:, 1:]})

    def _stream(self, number: int) -> np.ndarray:
        order = generator("texts", self.seed, number).permutation(len(self.texts))
        parts: list[Any] = [[BOUNDARY]]
        for text in order:
            parts += [self.texts[text], [BOUNDARY]]
        stream = np.concatenate(parts).astype(np.int64)
        size = (len(stream) - 1) // self.lanes
        starts = np.arange(self.lanes) * size
        return stream[starts[:, None] + np.arange(size + 1)]


class Round:
    """A round of batches as a sequence, so that a resumed run skips without making them."""

    def __init__(self, rounds: Rounds, number: int) -> None:
        self.rounds, self.number = rounds, number

    def __len__(self) -> int:
        return self.rounds.steps

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        if index >= len(self):
            raise IndexError(index)
        return self.rounds.batch(self.number * self.rounds.steps + index)


class NextTokenStep:
    """The step of a language model: cross-entropy of the next token; a recurrent network goes on from its last state.

    The state, not the gradient, passes from window to window of a pass: truncated back-propagation through time.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        self.inner = Supervised(network, next_token_loss, plan, forward=self._forward)
        self.state: Any = None
        self._carries = hasattr(network, "carried")

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """That of the weights, whose rate the history notes."""
        return self.inner.optimizer

    @property
    def position(self) -> SchedulePosition:
        """Where the steps stand on the schedule."""
        return self.inner.position

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the weights from one window."""
        if batch.rows[0] == 0 or (self.state is not None and self.state[0].shape[1] != len(batch)):
            self.state = None
        return self.inner(batch)

    def _forward(self, network: nn.Module, batch: Batch) -> Tensor:
        if not self._carries:
            return network.logits(batch.inputs[TEXT])  # type: ignore[operator]
        scores, self.state = network.carried(batch.inputs[TEXT], self.state)  # type: ignore[operator]
        return scores

    def state_dict(self) -> dict[str, Any]:
        """That of the weights and the optimiser, and the carried state."""
        return {**self.inner.state_dict(), "carried": [] if self.state is None else list(self.state)}

    def load_state_dict(self, value: Mapping[str, Any], /) -> None:
        """Put back what `state_dict` returned."""
        self.inner.load_state_dict({name: part for name, part in value.items() if name != "carried"})
        self.state = tuple(part.clone() for part in value["carried"]) or None


def next_token_loss(scores: Any, batch: Batch) -> Tensor:
    """Mean cross-entropy of the next token in nats: scores (B, L, V)."""
    target = batch.targets[TEXT]
    assert isinstance(target, Tensor)
    return F.cross_entropy(scores.flatten(0, 1), target.flatten())
