"""Recurrent cells: equal to torch's in values and gradients, to arithmetic by hand, and to the fused layers."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gradatim.nn.recurrent.cells import BasicCell, GRUCell, LSTMCell, run_cell
from gradatim.nn.recurrent.layers import GATES, MaskedRecurrent, RecurrentDirection, detached

LENGTHS = torch.tensor([6, 1, 4, 0])
PAIRS = [
    (BasicCell(5, 4), nn.RNNCell(5, 4)),
    (BasicCell(5, 4, "relu"), nn.RNNCell(5, 4, nonlinearity="relu")),
    (LSTMCell(5, 4), nn.LSTMCell(5, 4)),
    (GRUCell(5, 4), nn.GRUCell(5, 4)),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_cells_equal_torchs_in_values_and_gradients(ours, theirs):
    torch.manual_seed(0)
    ours, theirs = ours.double(), theirs.double()
    ours.load_state_dict(theirs.state_dict())  # names and shapes are the same
    inputs = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(ours.parts))
    received = ours(inputs, state)
    expected = theirs(inputs, state if len(state) == 2 else state[0])
    expected = expected if isinstance(expected, tuple) else (expected,)
    for mine, other in zip(received, expected):
        torch.testing.assert_close(mine, other)
    weigh = [torch.randn(3, 4, dtype=torch.float64) for _ in expected]
    leaves = (inputs, *state)
    mine = torch.autograd.grad(sum((w * r).sum() for w, r in zip(weigh, received)), (*leaves, *ours.parameters()))
    other = torch.autograd.grad(sum((w * r).sum() for w, r in zip(weigh, expected)), (*leaves, *theirs.parameters()))
    for left, right in zip(mine, other):
        torch.testing.assert_close(left, right)


def test_a_gru_that_resets_before_its_matrix_follows_its_equations():
    cell = GRUCell(1, 1, "before").double()
    weights = {"r": (0.5, -1.0, 0.1, 0.2), "z": (0.3, 0.7, -0.2, 0.0), "g": (1.5, 2.0, 0.05, -0.3)}
    with torch.no_grad():
        for row, (w_x, w_h, b_x, b_h) in enumerate(weights.values()):
            cell.weight_ih[row, 0], cell.weight_hh[row, 0], cell.bias_ih[row], cell.bias_hh[row] = w_x, w_h, b_x, b_h
    x, h = 0.8, -0.6

    def gate(name, value):
        w_x, w_h, b_x, b_h = weights[name]
        return w_x * x + b_x + w_h * value + b_h

    r, z = (1 / (1 + math.exp(-gate(name, h))) for name in "rz")
    g = math.tanh(gate("g", r * h))
    expected = z * h + (1 - z) * g
    (received,) = cell(torch.tensor([[x]], dtype=torch.float64), (torch.tensor([[h]], dtype=torch.float64),))
    assert received.item() == pytest.approx(expected, abs=1e-12)
    after = GRUCell(1, 1, "after").double()
    after.load_state_dict(cell.state_dict())
    (other,) = after(torch.tensor([[x]], dtype=torch.float64), (torch.tensor([[h]], dtype=torch.float64),))
    assert abs(other.item() - expected) > 1e-3  # the two places of the reset are two different cells
    inputs = torch.randn(2, 1, dtype=torch.float64, requires_grad=True)
    state = torch.randn(2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: cell(a, (b,))[0], (inputs, state))


@pytest.mark.parametrize("kind", list(GATES))
def test_fused_layers_equal_the_written_cells(kind):
    torch.manual_seed(0)
    cell = {"rnn": lambda: BasicCell(5, 4), "rnn_relu": lambda: BasicCell(5, 4, "relu"), "lstm": lambda: LSTMCell(5, 4),
            "gru": lambda: GRUCell(5, 4), "gru_before": lambda: GRUCell(5, 4, "before")}[kind]()
    layer = RecurrentDirection(5, 4, kind)
    layer.load_state_dict(cell.state_dict())
    values = torch.randn(4, 6, 5)
    first = tuple(torch.randn(4, 4) for _ in range(cell.parts))
    for lengths in (None, LENGTHS):
        received, last = layer.run(values, first, lengths)
        expected, ends = run_cell(cell, values, first, lengths)
        mask = torch.ones(4, 6, dtype=torch.bool) if lengths is None else torch.arange(6) < lengths[:, None]
        torch.testing.assert_close(received[mask], expected[mask])
        for mine, other in zip(last, ends):
            torch.testing.assert_close(mine, other)
        for layer_gradient, cell_gradient in zip(
            torch.autograd.grad(received[mask].square().sum() + sum(part.sum() for part in last), layer.parameters()),
            torch.autograd.grad(expected[mask].square().sum() + sum(part.sum() for part in ends), cell.parameters()),
        ):
            torch.testing.assert_close(layer_gradient, cell_gradient)


@pytest.mark.parametrize("kind", list(GATES))
def test_a_stream_in_windows_gives_what_it_gives_in_one_piece(kind):
    torch.manual_seed(0)
    network = MaskedRecurrent(3, 4, layers=2, cell=kind, bidirectional=False)
    values = torch.randn(2, 12, 3)
    whole, end = network.carry(values)
    state, parts = None, []
    for window in values.split(5, dim=1):
        read, state = network.carry(window, state=state)
        parts.append(read)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    for mine, other in zip(state, end):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(network(values, torch.tensor([12, 12])), whole)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_carried_states_equal_torchs_packed(kind, bidirectional):
    torch.manual_seed(0)
    ours = MaskedRecurrent(5, 4, layers=2, cell=kind, bidirectional=bidirectional)
    theirs = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](
        5, 4, num_layers=2, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for suffix, stack in [("", ours.rightward), ("_reverse", ours.leftward)][: 1 + bidirectional]:
            for number, layer in enumerate(stack):
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    getattr(theirs, f"{name}_l{number}{suffix}").copy_(getattr(layer, name))
    values, lengths = torch.randn(3, 6, 5), torch.tensor([6, 1, 4])
    first = tuple(torch.randn(2 * (1 + bidirectional), 3, 4) for _ in range(1 + (kind == "lstm")))
    packed, ends = theirs(pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False),
                          first if kind == "lstm" else first[0])
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    received, last = ours.carry(values, lengths, first)
    torch.testing.assert_close(received, expected)
    for mine, other in zip(last, ends if kind == "lstm" else (ends,)):
        torch.testing.assert_close(mine, other)


def test_a_detached_state_ends_the_gradient_at_its_window():
    network = MaskedRecurrent(3, 4, cell="lstm", bidirectional=False)
    early, late = (torch.randn(2, 5, 3, requires_grad=True) for _ in range(2))
    _, state = network.carry(early)
    network.carry(late, state=detached(state))[0].sum().backward()
    assert early.grad is None and bool(late.grad.any())
    network.carry(late, state=network.carry(early)[1])[0].sum().backward()
    assert bool(early.grad.any())


@pytest.mark.parametrize("kind", list(GATES))
def test_the_future_never_leaks_and_padding_is_never_read(kind):
    torch.manual_seed(0)
    network = MaskedRecurrent(3, 4, layers=2, cell=kind, bidirectional=False)
    values = torch.randn(2, 7, 3, requires_grad=True)
    network(values, torch.tensor([7, 7]))[:, 3].sum().backward()
    assert bool(values.grad[:, :4].any()) and not values.grad[:, 4:].any()
    both = MaskedRecurrent(3, 4, layers=2, cell=kind, bidirectional=True)
    lengths = torch.tensor([7, 4])
    other = values.detach().clone()
    other[1, 4:] = 1e3
    torch.testing.assert_close(both(other, lengths), both(values.detach(), lengths), rtol=0, atol=0)
    carried, last = both.carry(other, lengths)
    torch.testing.assert_close(carried, both(values.detach(), lengths))
    assert all(bool(part.isfinite().all()) and float(part.abs().max()) < 100 for part in last)


def test_other_names_are_refused():
    for make in (lambda: BasicCell(2, 2, "sine"), lambda: GRUCell(2, 2, "never"),
                 lambda: RecurrentDirection(2, 2, "x")):
        with pytest.raises(ValueError, match="expected"):
            make()
