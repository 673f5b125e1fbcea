"""Translators: cached decoding equals teaching, padding and the future change nothing, Luong and Bahdanau by hand."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from gradatim.models.sequence.attention_translator import attention_translator
from gradatim.models.sequence.transformer_translator import transformer_translator
from gradatim.nn.beam_search import beam_search, greedy

KINDS: dict[str, dict[str, Any]] = {
    "general": {}, "dot": {"attention": "dot"}, "concat": {"attention": "concat", "cell": "lstm", "layers": 2},
    "feeding": {"feeding": True, "layers": 2}, "bahdanau": {"attention": "bahdanau", "cell": "lstm"},
    "separate": {"shared": False, "num_classes": 13},
}
NAMES = [*KINDS, "transformer", "transformer-separate"]


def translator(name: str) -> Any:
    torch.manual_seed(3)
    if name.startswith("transformer"):
        apart: dict[str, Any] = {"shared": False} if name.endswith("separate") else {}
        return transformer_translator(13 if apart else 15, 15, max_length=16, width=32, heads=2, readers=2, writers=3,
                                      **apart).eval()
    return attention_translator(**{"num_classes": 15, "vocabulary": 15, "width": 16, **KINDS[name]}).eval()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0], [2, 2, 2, 2, 0]])
    written = torch.tensor([[1, 5, 6, 7], [1, 9, 9, 0], [1, 4, 0, 0]])
    return source, torch.tensor([5, 2, 4]), written


@pytest.mark.parametrize("name", NAMES)
def test_written_token_by_token_it_says_what_it_says_when_taught(name):
    network, (source, lengths, written) = translator(name), batch()
    with torch.no_grad():
        taught = network.logits(network.teach(source, lengths, written))
        state = network.read(source, lengths, most=8)
        for place in range(written.shape[1]):
            logits, state = network.step(written[:, place], state)
            torch.testing.assert_close(logits, taught[:, place], atol=2e-5, rtol=1e-4)
            if place == 1:  # beams are followed on: rows swapped, and one taken twice
                order = torch.tensor([2, 0, 1, 0])
                state = network.reorder(state, order)
                written, taught = written[order], taught[order]


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    network, (source, lengths, written) = translator(name), batch()
    with torch.no_grad():
        together = network.teach(source, lengths, written)
        wide = network.teach(F.pad(source, (0, 3)), lengths, F.pad(written, (0, 2)))
        torch.testing.assert_close(wide[:, :4], together, atol=2e-5, rtol=1e-4)
        garbage = source.clone()
        garbage[1, 2:] = 7
        torch.testing.assert_close(network.teach(garbage, lengths, written), together, atol=2e-5, rtol=1e-4)
        for row in range(3):
            alone = network.teach(source[row : row + 1, : lengths[row]], lengths[row : row + 1], written[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], atol=2e-5, rtol=1e-4)
        looked = network.align(source, lengths, written)
    assert looked.shape == (3, 4, 5)
    torch.testing.assert_close(looked.sum(2), torch.ones(3, 4), atol=1e-4, rtol=0)
    assert not looked[1, :, 2:].any()


@pytest.mark.parametrize("name", NAMES)
def test_the_future_never_leaks(name):
    network, (source, lengths, written) = translator(name), batch()
    table = network.source if network.target is None else network.target
    kept: list[torch.Tensor] = []

    def watched(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
        if given[0].shape == written.shape:
            output = output.detach().requires_grad_()
            kept.append(output)
        return output

    handle = table.register_forward_hook(watched)
    for place in range(written.shape[1]):
        kept.clear()
        network.teach(source[:, :3], lengths.clamp(max=3), written)[:, place].square().sum().backward()
        gradient = kept[-1].grad
        assert gradient is not None
        assert not gradient[:, place + 1 :].any() and gradient[:, : place + 1].abs().sum(2).gt(0).all()
    handle.remove()


def test_luong_by_hand():
    network, (source, lengths, written) = translator("general"), batch()
    with torch.no_grad():
        state = network.read(source, lengths)
        layer = network.writer[0]
        cell = torch.nn.GRU(16, 16, batch_first=True)
        cell.load_state_dict({"weight_ih_l0": layer.weight_ih, "weight_hh_l0": layer.weight_hh,
                              "bias_ih_l0": layer.bias_ih, "bias_hh_l0": layer.bias_hh})
        states = cell(network.source(written), state["hidden"][0][None])[0]
        for row in range(3):
            memory = state["memory"][row, : lengths[row]]
            for place in range(4):
                scores = memory @ network.attention.project.weight.T @ states[row, place]
                weights = scores.softmax(0)
                expected = torch.tanh(network.join(torch.cat([weights @ memory, states[row, place]])))
                found = network.teach(source, lengths, written)[row, place]
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(network.align(source, lengths, written)[row, place, : lengths[row]], weights,
                                           atol=1e-5, rtol=1e-4)


def test_bahdanau_looks_with_the_state_before():
    network, (source, lengths, written) = translator("bahdanau"), batch()
    with torch.no_grad():
        state = network.read(source, lengths)
        first = network.attention(state["hidden"][-1], state["memory"], state["mask"])[1]
        looked = network.align(source, lengths, written)
        torch.testing.assert_close(looked[:, 0], first, atol=1e-5, rtol=1e-4)
        other = network.align(source, lengths, torch.full_like(written, 7))
        torch.testing.assert_close(other[:, 0], first, atol=1e-5, rtol=1e-4)  # what is written now comes too late


@pytest.mark.parametrize("name", ["general", "bahdanau", "transformer"])
def test_beam_search_over_the_caches_is_that_over_whole_texts(name):
    network, (source, lengths, _) = translator(name), batch()
    first = torch.ones(3, dtype=torch.int64)
    options: dict[str, Any] = {"end": 1, "longest": 6, "beams": 3, "best": 3}

    def whole(tokens: torch.Tensor, state: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        written = torch.cat([state["written"], tokens[:, None]], dim=1)
        logits = network.logits(network.teach(state["source"], state["lengths"], written)[:, -1])
        return logits, {**state, "written": written}

    with torch.no_grad():
        cached = beam_search(network.step, network.read(source, lengths, 6), first, reorder=network.reorder, **options)
        plain = beam_search(whole, {"source": source, "lengths": lengths, "written": source[:, :0]}, first, **options)
        assert torch.equal(cached.ids, plain.ids)
        torch.testing.assert_close(cached.score, plain.score, atol=1e-4, rtol=1e-4)
        walked = greedy(network.step, network.read(source, lengths, 6), first, end=1, longest=6,
                        reorder=network.reorder)

    assert walked.ids.shape == (3, 1, 6)


def test_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="an attention among"):
        attention_translator(attention="hard")
    with pytest.raises(ValueError, match="one vocabulary for both sides"):
        transformer_translator(num_classes=5, vocabulary=6)
    with pytest.raises(ValueError, match="at most 16 tokens"):
        ids = torch.ones(1, 17, dtype=torch.int64)
        translator("transformer").teach(ids, torch.tensor([17]), ids[:, :1])
