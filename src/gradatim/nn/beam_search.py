"""Decoding: from a network that says what may come next to a sequence. Greedy, sampled, and by beam search.

All three take a step function: `step(tokens, state) -> (logits, state)`, tokens int64 (N,) being the last token of each
row, logits (N, V) what may follow it, state anything that `reorder(state, rows)` can take rows out of (by default a
tree of tensors whose axis 0 is the row). What may never come (padding, <SOS>) the step sets to -infinity.

Beam search keeps the `beams` best beginnings of each row; those that reach <EOS> are put aside. They are ranked by
log P / ((5 + length) / 6)^α (Wu et al. 2016, "Google's Neural Machine Translation System", eq. 14), without which short
sequences win, each token being a factor under one. It ends as soon as nothing still open can overtake.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
Reorder = Callable[[Any, Tensor], Any]
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Sequences, best first. ids int64 (B, n, T) with <EOS>, `end` also being what fills them up; lengths int64 (B, n)
    count <EOS>; log_probability, score float64 (B, n); ended bool (B, n), False where it was cut at `longest`.

    Where there are fewer than n sequences the rest has score -infinity and length 0.
    """

    ids: Tensor
    lengths: Tensor
    log_probability: Tensor
    score: Tensor
    ended: Tensor

    def sequences(self, rank: int = 0) -> list[list[int]]:
        """The sequence of that rank of each row as a list, without <EOS>."""
        lengths = (self.lengths - self.ended.long())[:, rank].tolist()
        return [row[:length] for row, length in zip(self.ids[:, rank].tolist(), lengths)]


def take_rows(state: Any, rows: Tensor) -> Any:
    """The given rows, int64 (N,), of every tensor in a tree of dicts, lists and tuples."""
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if isinstance(state, Mapping):
        return {name: take_rows(part, rows) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return type(state)([take_rows(part, rows) for part in state])
    return state


def length_factor(length: Tensor | float, penalty: float) -> Any:
    """What the log probability of a sequence is divided by: ((5 + length) / 6)^α (Wu et al. 2016, eq. 14).

    >>> length_factor(7, 1.0)
    2.0
    """
    return ((5.0 + length) / 6.0) ** penalty


def beam_search(
    step: Step, state: Any, first: Tensor, *, end: int, longest: int, beams: int = 4, length_penalty: float = 0.6,
    best: int = 1, reorder: Reorder = take_rows,
) -> Decoded:
    """The best sequences after `first`, int64 (B,): at most `longest` tokens with <EOS> = `end`.

    best: how many a row, at most `beams`. What has not ended at `longest` ranks behind all that has. Equal scores: the
    better beam first, then the smaller token, so that a result does not hang on the machine. With as many beams as
    there are beginnings it is an exhaustive search.
    """
    if not 1 <= best <= beams or longest < 1:
        raise ValueError(f"expected 1 <= best <= beams and longest >= 1, received {best}, {beams}, {longest}")
    search = _Search(len(first), end, longest, beams, length_penalty, first.device)
    tokens, rows = first, torch.arange(len(first), device=first.device)  # rows: which of the batch are still open
    for place in range(longest):
        logits, state = step(tokens, state)
        width = logits.shape[0] // len(rows)  # one beam at the first step
        parents, tokens = search.extend(rows, F.log_softmax(logits.double(), dim=-1).view(len(rows), width, -1), place)
        open_rows = search.open_rows(rows, place)
        if place + 1 == longest or not bool(open_rows.any()):
            break
        index = torch.arange(len(rows), device=first.device)[:, None] * width + parents
        if not bool(open_rows.all()):
            rows, index, tokens = rows[open_rows], index[open_rows], tokens[open_rows]
        state, tokens = reorder(state, index.reshape(-1)), tokens.reshape(-1)
    return search.result(best)


class _Search:
    """Open and ended sequences of each row: ids (B, K, T), log probabilities and scores (B, K)."""

    def __init__(self, rows: int, end: int, longest: int, beams: int, penalty: float, device: torch.device) -> None:
        self.end, self.longest, self.beams, self.penalty = end, longest, beams, penalty
        shape = (rows, beams)
        self.ids = torch.full((*shape, longest), end, device=device)
        self.total = torch.full(shape, NEVER, dtype=torch.float64, device=device)
        self.ended_ids = self.ids.clone()
        self.ended_total, self.ended_score = self.total.clone(), self.total.clone()
        self.ended_length = torch.zeros(shape, dtype=torch.int64, device=device)
        self.length = torch.zeros(rows, dtype=torch.int64, device=device)

    def extend(self, rows: Tensor, following: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """One token more, by log probabilities (R, beams or 1, V). Gives parent beams and tokens, both (R, beams)."""
        count, width, size = following.shape
        before = self.total[rows, :width] if place else following.new_zeros(count, 1)
        totals = before[:, :, None] + following
        self._put_aside(rows, totals[:, :, self.end], place)
        totals[:, :, self.end] = NEVER
        flat = totals.reshape(count, width * size)
        if flat.shape[1] < self.beams:
            flat = F.pad(flat, (0, self.beams - flat.shape[1]), value=NEVER)
        values, chosen = top_stable(flat, self.beams)
        chosen = chosen.where(values > NEVER, torch.zeros_like(chosen))
        parents, tokens = chosen // size, chosen % size
        ids = self.ids[rows].gather(1, parents[:, :, None].expand(-1, -1, self.longest))
        ids[:, :, place] = tokens
        self.ids[rows], self.total[rows], self.length[rows] = ids, values, place + 1
        return parents, tokens

    def _put_aside(self, rows: Tensor, totals: Tensor, place: int) -> None:
        """Let the sequences that end here, log probabilities (R, beams or 1), compete with those that ended before."""
        scores = torch.cat([self.ended_score[rows], totals / length_factor(place + 1, self.penalty)], dim=1)
        ids = self.ids[rows, : totals.shape[1]].clone()
        ids[:, :, place:] = self.end
        values, kept = top_stable(scores, self.beams)
        self.ended_score[rows] = values
        self.ended_total[rows] = torch.cat([self.ended_total[rows], totals], dim=1).gather(1, kept)
        lengths = torch.cat([self.ended_length[rows], torch.full_like(totals, place + 1, dtype=torch.int64)], dim=1)
        self.ended_length[rows] = lengths.gather(1, kept)
        together = torch.cat([self.ended_ids[rows], ids], dim=1)
        self.ended_ids[rows] = together.gather(1, kept[:, :, None].expand(-1, -1, self.longest))

    def open_rows(self, rows: Tensor, place: int) -> Tensor:
        """Which rows, bool (R,), have an open sequence that may still overtake one that has ended."""
        best = self.total[rows, 0]  # log probabilities only fall; the factor is largest at one of the two ends
        reach = torch.maximum(best / length_factor(place + 2, self.penalty),
                              best / length_factor(self.longest, self.penalty))
        return (best > NEVER) & (reach > self.ended_score[rows, -1])

    def result(self, best: int) -> Decoded:
        """The ended sequences of each row, then the open ones."""
        ended = self.ended_score > NEVER
        length = self.length[:, None].expand_as(self.total)
        score = self.total / length_factor(length.double(), self.penalty)
        exists = torch.cat([ended, self.total > NEVER], dim=1)
        # Every row has its ended ones first, in order, and its open ones in order: stable by "does not exist".
        order = (~exists).long().argsort(dim=1, stable=True)[:, :best]
        return Decoded(
            torch.cat([self.ended_ids, self.ids], dim=1).gather(1, order[:, :, None].expand(-1, -1, self.longest)),
            torch.cat([self.ended_length, length], dim=1).gather(1, order) * exists.gather(1, order),
            torch.cat([self.ended_total, self.total], dim=1).gather(1, order),
            torch.cat([self.ended_score, score], dim=1).gather(1, order),
            torch.cat([ended, torch.zeros_like(ended)], dim=1).gather(1, order),
        )


def top_stable(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest `count` of each row with their places, of equals the first: (R, n) → twice (R, count).

    torch.topk leaves open which of equals it takes; only rows where that matters are sorted whole.

    >>> top_stable(torch.tensor([[1.0, 2.0, 1.0, 1.0]]), 2)[1].tolist()
    [[1, 0]]
    """
    more = min(count + 1, values.shape[1])
    found, places = values.topk(more, dim=1)
    if more > count:
        unclear = (found[:, count - 1] == found[:, count]).nonzero()[:, 0]
        found, places = found[:, :count].contiguous(), places[:, :count].contiguous()
        if len(unclear):
            ordered, order = values[unclear].sort(dim=1, descending=True, stable=True)
            found[unclear], places[unclear] = ordered[:, :count], order[:, :count]
    places, by_place = places.sort(dim=1)
    found, by_value = found.gather(1, by_place).sort(dim=1, descending=True, stable=True)
    return found, places.gather(1, by_value)


def greedy(
    step: Step, state: Any, first: Tensor, *, end: int, longest: int, reorder: Reorder = take_rows,
) -> Decoded:
    """The most probable token at each place, until <EOS>: fast, and blind to what it shuts out."""
    return _walk(step, state, first, end, longest, reorder, lambda logits: top_stable(logits, 1)[1][:, 0], None)


def sample(
    step: Step, state: Any, first: Tensor, *, end: int, longest: int, temperature: float = 1.0,
    top_k: int | None = None, top_p: float | None = None, generator: torch.Generator | None = None,
    reorder: Reorder = take_rows, heard: Callable[[Tensor], None] | None = None,
) -> Decoded:
    """A token drawn at each place, until <EOS>; see `narrowed`. heard: is told the tokens (B,) as they come.

    log_probability is that of the network itself, at temperature 1 and unnarrowed.
    """

    def draw(logits: Tensor) -> Tensor:
        shares = narrowed(logits.double(), temperature=temperature, top_k=top_k, top_p=top_p).softmax(dim=-1)
        return torch.multinomial(shares, 1, generator=generator)[:, 0]

    return _walk(step, state, first, end, longest, reorder, draw, heard)


def narrowed(
    logits: Tensor, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Logits (N, V) divided by the temperature, all but the likely tokens at -infinity.

    top_k: the k likeliest stay; top_p: the fewest that together have probability p (Holtzman et al. 2020, "The Curious
    Case of Neural Text Degeneration"), of what top_k has left. At least one stays.

    >>> narrowed(torch.tensor([[0.0, 2.0, 1.0]]), top_k=2).tolist()
    [[-inf, 2.0, 1.0]]
    """
    if not temperature > 0:
        raise ValueError(f"expected a temperature above 0, received {temperature}; take greedy for 0")
    logits = logits / temperature
    if top_k is None and top_p is None:
        return logits
    values, places = logits.sort(dim=-1, descending=True, stable=True)
    out = torch.zeros_like(values, dtype=torch.bool)
    if top_k is not None:
        out[:, max(top_k, 1) :] = True
    if top_p is not None:
        shares = values.masked_fill(out, NEVER).softmax(dim=-1)
        out |= shares.cumsum(dim=-1) - shares >= top_p
        out[:, 0] = False
    return logits.masked_fill(torch.zeros_like(out).scatter(1, places, out), NEVER)


def _walk(
    step: Step, state: Any, first: Tensor, end: int, longest: int, reorder: Reorder,
    choose: Callable[[Tensor], Tensor], heard: Callable[[Tensor], None] | None,
) -> Decoded:
    """One token a row at a time; rows that have ended are taken out of the batch."""
    count = len(first)
    ids = torch.full((count, longest), end, device=first.device)
    total = torch.zeros(count, dtype=torch.float64, device=first.device)
    lengths = torch.zeros(count, dtype=torch.int64, device=first.device)
    rows, tokens = torch.arange(count, device=first.device), first
    for place in range(longest):
        logits, state = step(tokens, state)
        tokens = choose(logits)
        total[rows] += F.log_softmax(logits.double(), dim=-1).gather(1, tokens[:, None])[:, 0]
        ids[rows, place], lengths[rows] = tokens, place + 1
        if heard is not None:
            heard(ids[:, place])
        going = tokens != end
        if not bool(going.any()):
            break
        if not bool(going.all()):
            kept = going.nonzero()[:, 0]
            rows, tokens, state = rows[kept], tokens[kept], reorder(state, kept)
    ended = ids.gather(1, (lengths - 1)[:, None])[:, 0] == end
    return Decoded(ids[:, None], lengths[:, None], total[:, None], total[:, None], ended[:, None])
