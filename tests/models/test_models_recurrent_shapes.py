"""The shapes of recurrent networks: against plain loops; the future never leaks, padding is never read."""

import pytest
import torch

from gradatim.models.sequence.sequence_to_sequence import sequence_to_sequence
from gradatim.models.sequence.sequence_to_vector import sequence_to_vector
from gradatim.models.sequence.tagger import recurrent_tagger, transformer_tagger
from gradatim.models.sequence.vector_to_sequence import vector_to_sequence
from gradatim.nn.recurrent.cells import LSTMCell, run_cell
from gradatim.nn.recurrent.layers import GATES, detached

LENGTHS = torch.tensor([7, 2, 4])
IDS = torch.randint(1, 20, (3, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", list(GATES))
def test_each_step_knows_the_past_alone_and_a_stream_may_be_cut(cell):
    torch.manual_seed(0)
    network = sequence_to_sequence(5, vocabulary=20, width=6, hidden=6, layers=2, cell=cell).eval()
    whole = network(IDS, torch.tensor([7, 7, 7]))
    later = IDS.clone()
    later[:, 4:] = 1
    torch.testing.assert_close(network(later, torch.tensor([7, 7, 7]))[:, :4], whole[:, :4], rtol=0, atol=0)
    first, state = network.carry(IDS[:, :3])
    second, _ = network.carry(IDS[:, 3:], detached(state))
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_the_last_state_answers_whatever_the_padding():
    torch.manual_seed(0)
    network = sequence_to_vector(0, vocabulary=20, width=6, hidden=5, bidirectional=True).eval()
    received = network(IDS, LENGTHS)
    assert received.shape == (3, 10)
    rightward, leftward = network.recurrent.rightward[0], network.recurrent.leftward[0]
    for row, length in enumerate(LENGTHS.tolist()):
        values = network.norm(network.embedding(IDS[row : row + 1, :length]))
        ends = []
        for layer, seen in ((rightward, values), (leftward, values.flip(1))):
            cell = LSTMCell(6, 5)
            cell.load_state_dict(layer.state_dict())
            ends.append(run_cell(cell, seen)[1][0])
        torch.testing.assert_close(received[row : row + 1], torch.cat(ends, dim=1))


def test_a_vector_unrolls_by_its_state():
    torch.manual_seed(0)
    network = vector_to_sequence(0, inputs=4, steps=5, hidden=6, cell="lstm").eval()
    vector = torch.randn(2, 4)
    cell = LSTMCell(6, 6)
    cell.load_state_dict(network.recurrent.rightward[0].state_dict())
    first = torch.tanh(network.begin(vector))
    fed = network.enter(vector)[:, None].expand(-1, 5, -1)
    torch.testing.assert_close(network(vector), run_cell(cell, fed, (first[:, :6], first[:, 6:]))[0])
    with pytest.raises(ValueError, match="expected a cell"):
        vector_to_sequence(cell="x")


@pytest.mark.parametrize("build", [recurrent_tagger, transformer_tagger])
@pytest.mark.parametrize("spelling", ["convolution", "recurrent", "none"])
def test_a_taggers_sentence_does_not_know_its_neighbours(build, spelling):
    torch.manual_seed(0)
    network = build(4, vocabulary=20, characters=12, width=8, character_width=6, spelling_features=6,
                    spelling=spelling).eval()
    characters = torch.randint(1, 12, (3, 7, 5))
    inside = torch.arange(7) < LENGTHS[:, None]
    words, characters = IDS * inside, characters * inside[..., None]
    together = network(words, characters, LENGTHS)
    torch.testing.assert_close(together.exp().sum(2)[inside], torch.ones(int(LENGTHS.sum())))  # marginals of the CRF
    for row, length in enumerate(LENGTHS.tolist()):
        alone = network(words[row : row + 1, :length], characters[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row, :length], rtol=1e-4, atol=1e-5)
    assert not together[~inside].any()


def test_without_a_crf_the_likelihood_is_that_of_each_token():
    torch.manual_seed(0)
    network = recurrent_tagger(4, vocabulary=20, characters=12, width=8, hidden=8, crf=False).eval()
    characters, tags = torch.zeros(3, 7, 2, dtype=torch.int64), torch.randint(0, 4, (3, 7))
    scores = network.emissions(IDS, characters, LENGTHS)
    expected = [-torch.nn.functional.cross_entropy(scores[row, :length], tags[row, :length], reduction="sum")
                for row, length in enumerate(LENGTHS.tolist())]
    torch.testing.assert_close(network.log_likelihood(scores, tags, LENGTHS), torch.stack(expected))
    with pytest.raises(ValueError, match="spelling"):
        recurrent_tagger(spelling="x")
