"""Beam search against exhaustive search, ties, penalties, narrowing, greedy and sampling."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradatim.nn.beam_search import beam_search, greedy, length_factor, narrowed, sample, take_rows, top_stable

END = 0


def language(seed: int, vocabulary: int, rows: int) -> tuple[Any, Tensor, Tensor]:
    """A step whose logits hang on the whole beginning, through a hash of it kept in the state; state, first."""
    source = torch.Generator().manual_seed(seed)
    table = torch.randn(997, vocabulary, generator=source) * 1.5

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        state = {"hash": (state["hash"] * 31 + tokens + 7) % 997, "constant": state["constant"]}
        return table[state["hash"]], state

    return step, {"hash": torch.arange(rows) * 13, "constant": 5}, torch.full((rows,), vocabulary - 1)


def exhaustive(step: Any, state: Any, first: Tensor, vocabulary: int, longest: int, penalty: float) -> list[list[Any]]:
    """For each row every ended sequence by falling score: (score, log probability, ids with <EOS>)."""
    found = []
    for row in range(len(first)):
        every = []
        for length in range(longest):
            for ids in itertools.product(range(1, vocabulary), repeat=length):
                total, memory, last = 0.0, take_rows(state, torch.tensor([row])), first[row : row + 1]
                for token in (*ids, END):
                    logits, memory = step(last, memory)
                    total += float(logits.double().log_softmax(1)[0, token])
                    last = torch.tensor([token])
                every.append((total / length_factor(length + 1, penalty), total, [*ids, END]))
        found.append(sorted(every, key=lambda entry: -entry[0]))
    return found


@pytest.mark.parametrize("penalty", [0.0, 0.6, 2.0, -0.5])
def test_a_wide_beam_is_an_exhaustive_search(penalty):
    vocabulary, longest = 4, 4
    step, state, first = language(3, vocabulary, rows=3)
    decoded = beam_search(step, state, first, end=END, longest=longest, beams=40, length_penalty=penalty, best=7)
    for row, every in enumerate(exhaustive(step, state, first, vocabulary, longest, penalty)):
        for rank in range(7):
            score, total, ids = every[rank]
            assert decoded.ids[row, rank].tolist() == ids + [END] * (longest - len(ids))
            assert decoded.lengths[row, rank] == len(ids)
            assert decoded.score[row, rank] == pytest.approx(score)
            assert decoded.log_probability[row, rank] == pytest.approx(total)
            assert decoded.sequences(rank)[row] == ids[:-1]
    assert decoded.ended.all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6), st.floats(0, 2))
def test_a_row_does_not_depend_on_its_neighbours_and_more_beams_rarely_lose(seed, beams, longest, penalty):
    step, state, first = language(seed, 6, rows=4)
    options: dict[str, Any] = {"end": END, "longest": longest, "beams": beams, "length_penalty": penalty, "best": beams}
    together = beam_search(step, state, first, **options)
    for row in range(4):
        alone = beam_search(step, take_rows(state, torch.tensor([row])), first[:1], **options)
        assert torch.equal(alone.ids[0], together.ids[row])
        assert torch.equal(alone.score[0], together.score[row])
        assert torch.equal(alone.lengths[0], together.lengths[row])
    # What it says of a sequence is what the network says of it.
    for row, ids in enumerate(together.ids[:, 0].tolist()):
        total, memory, last = 0.0, take_rows(state, torch.tensor([row])), first[:1]
        for token in ids[: int(together.lengths[row, 0])]:
            logits, memory = step(last, memory)
            total, last = total + float(logits.double().log_softmax(1)[0, token]), torch.tensor([token])
        assert together.log_probability[row, 0] == pytest.approx(total)


def test_one_beam_without_a_penalty_finds_what_greedy_finds_where_it_ends():
    step, state, first = language(8, 5, rows=6)
    walked = greedy(step, state, first, end=END, longest=30)
    searched = beam_search(step, state, first, end=END, longest=30, beams=1, length_penalty=0.0)
    better = searched.log_probability >= walked.log_probability - 1e-9
    assert better[walked.ended].all()
    assert walked.log_probability.shape == (6, 1)


def test_equal_scores_go_to_the_first():
    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        return torch.zeros(len(tokens), 5), state

    decoded = beam_search(step, None, torch.zeros(2, dtype=torch.int64), end=4, longest=2, beams=2, best=2,
                          length_penalty=0.0)
    assert decoded.ids[0].tolist() == decoded.ids[1].tolist() == [[4, 4], [0, 4]]
    values, places = top_stable(torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]]), 2)
    assert places.tolist() == [[1, 2], [0, 1]] and values.tolist() == [[3, 3], [0, 0]]
    source = torch.Generator().manual_seed(0)
    many = torch.randint(0, 6, (200, 50), generator=source).float()
    assert torch.equal(top_stable(many, 7)[1], many.sort(dim=1, descending=True, stable=True)[1][:, :7])


def test_fewer_sequences_than_asked_for_and_none_that_ends():
    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits = torch.full((len(tokens), 3), float("-inf"))
        logits[:, 1] = 0.0
        return logits, state

    decoded = beam_search(step, None, torch.tensor([1]), end=END, longest=3, beams=3, best=3)
    assert decoded.sequences() == [[1, 1, 1]] and not decoded.ended.any()
    assert decoded.score[0, 1:].tolist() == [float("-inf")] * 2 and decoded.lengths[0].tolist() == [3, 0, 0]
    with pytest.raises(ValueError, match="expected 1 <= best <= beams"):
        beam_search(step, None, torch.tensor([1]), end=END, longest=3, beams=1, best=2)


def test_narrowing_keeps_the_likely():
    logits = torch.tensor([[1.0, 4.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    assert narrowed(logits, top_k=2).isfinite().tolist() == [[False, True, False, True], [True, True, False, False]]
    shares = logits.softmax(1)[0]
    kept = narrowed(logits, top_p=float(shares[1]) + 0.01).isfinite()
    assert kept[0].tolist() == [False, True, False, True]
    assert narrowed(logits, top_p=0.0).isfinite().sum(1).tolist() == [1, 1]
    assert narrowed(logits, top_p=1.0).isfinite().all()
    torch.testing.assert_close(narrowed(logits, temperature=2.0), logits / 2)
    with pytest.raises(ValueError, match="temperature above 0"):
        narrowed(logits, temperature=0.0)


def test_samples_have_the_shares_of_the_network_and_follow_the_seed():
    shares = torch.tensor([0.1, 0.6, 0.3])

    def step(tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        return shares.log().expand(len(tokens), 3), state

    first = torch.zeros(4000, dtype=torch.int64)
    heard: list[Tensor] = []

    def draw() -> Any:
        return sample(step, None, first, end=END, longest=3, generator=torch.Generator().manual_seed(1),
                      heard=heard.append)

    drawn, again = draw(), draw()
    assert torch.equal(drawn.ids, again.ids)
    found = torch.bincount(drawn.ids[:, 0, 0], minlength=3) / 4000
    torch.testing.assert_close(found, shares, atol=0.03, rtol=0)
    assert torch.equal(torch.stack(heard[:3], dim=1)[drawn.lengths[:, 0] == 3], drawn.ids[drawn.lengths[:, 0] == 3, 0])
    torch.testing.assert_close(drawn.log_probability[0, 0],
                               shares.double().log()[drawn.ids[0, 0, : int(drawn.lengths[0, 0])]].sum())
    sharp = sample(step, None, first[:50], end=END, longest=2, top_k=1)
    assert torch.equal(sharp.ids, greedy(step, None, first[:50], end=END, longest=2).ids)
