"""The linear-chain CRF against sums over every sequence there is: values, gradients, masks, what is forbidden."""

from itertools import pairwise, product

import pytest
import torch

from gradatim.nn.crf import LinearChainCRF

LENGTHS = torch.tensor([4, 1, 3, 0])
TAGS = 3


def made(forbidden: torch.Tensor | None = None) -> tuple[LinearChainCRF, torch.Tensor]:
    torch.manual_seed(0)
    crf = LinearChainCRF(TAGS, forbidden).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf, torch.randn(4, 4, TAGS, dtype=torch.float64, requires_grad=True)


def brute(crf: LinearChainCRF, emissions: torch.Tensor, length: int) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """Every sequence of a row and its score."""
    transitions, start, end = crf.scores()
    sequences = list(product(range(TAGS), repeat=length))
    scores = []
    for tags in sequences:
        score = start[tags[0]] + end[tags[-1]] + sum(emissions[t, tag] for t, tag in enumerate(tags))
        scores.append(score + sum(transitions[a, b] for a, b in pairwise(tags)))
    return sequences, torch.stack(scores)


def no_twos() -> torch.Tensor:
    forbidden = torch.zeros(TAGS + 1, TAGS + 1, dtype=torch.bool)
    forbidden[2, 2] = forbidden[-1, 1] = forbidden[0, -1] = True
    return forbidden


@pytest.mark.parametrize("forbidden", [None, no_twos()])
def test_partition_marginals_and_best_equal_all_sequences(forbidden):
    crf, emissions = made(forbidden)
    partition = crf.log_partition(emissions, LENGTHS)
    marginals = crf.log_marginals(emissions, LENGTHS)
    best, score = crf.viterbi(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert best[row, length:].tolist() == [-1] * (4 - length)
        assert not marginals[row, length:].any()
        if not length:
            assert partition[row] == 0
            continue
        sequences, scores = brute(crf, emissions[row], length)
        torch.testing.assert_close(partition[row], torch.logsumexp(scores, 0))
        assert tuple(best[row, :length].tolist()) == sequences[int(scores.argmax())]
        torch.testing.assert_close(score[row], scores.max())
        shares = scores.softmax(0)
        for time in range(length):
            for tag in range(TAGS):
                share = sum(p for p, tags in zip(shares, sequences) if tags[time] == tag)
                torch.testing.assert_close(marginals[row, time, tag].exp(), torch.as_tensor(share, dtype=torch.float64))
        if forbidden is not None:
            steps = [(TAGS, best[row, 0]), *zip(best[row, : length - 1], best[row, 1:length]),
                     (best[row, length - 1], TAGS)]
            assert not any(forbidden[int(a), int(b)] for a, b in steps)


def test_likelihood_and_gradients_equal_all_sequences():
    crf, emissions = made()
    tags = torch.tensor([[0, 2, 1, 1], [2, -1, -1, -1], [1, 1, 0, -1], [-1, -1, -1, -1]])
    ours = crf.log_likelihood(emissions, tags, LENGTHS)
    theirs = []
    for row, length in enumerate(LENGTHS.tolist()[:3]):
        sequences, scores = brute(crf, emissions[row], length)
        theirs.append(scores.log_softmax(0)[sequences.index(tuple(tags[row, :length].tolist()))])
    torch.testing.assert_close(ours[:3], torch.stack(theirs))
    assert ours[3] == 0
    leaves = [emissions, *crf.parameters()]
    for mine, other in zip(torch.autograd.grad(ours.sum(), leaves, retain_graph=True),
                           torch.autograd.grad(torch.stack(theirs).sum(), leaves)):
        torch.testing.assert_close(mine, other)


def test_the_gradient_of_the_partition_is_the_marginals():
    crf, emissions = made()
    gradient = torch.autograd.grad(crf.log_partition(emissions, LENGTHS).sum(), emissions)[0]
    inside = torch.arange(4) < LENGTHS[:, None]
    torch.testing.assert_close(gradient[inside], crf.log_marginals(emissions, LENGTHS).exp()[inside].detach())
    assert not gradient[~inside].any()


def test_padding_never_counts():
    crf, emissions = made()
    tags = torch.randint(0, TAGS, (4, 4))
    longer = torch.cat([emissions.detach(), 1e3 * torch.randn(4, 5, TAGS, dtype=torch.float64)], dim=1)
    more = torch.cat([tags, torch.randint(0, TAGS, (4, 5))], dim=1)
    torch.testing.assert_close(crf.log_likelihood(longer, more, LENGTHS), crf.log_likelihood(emissions, tags, LENGTHS))
    torch.testing.assert_close(crf.log_marginals(longer, LENGTHS)[:, :4], crf.log_marginals(emissions, LENGTHS))
    assert torch.equal(crf.viterbi(longer, LENGTHS)[0][:, :4], crf.viterbi(emissions, LENGTHS)[0])


def test_half_precision_emissions_are_widened():
    crf = LinearChainCRF(TAGS)
    emissions = torch.randn(2, 5, TAGS).bfloat16()
    assert crf.log_partition(emissions, torch.tensor([5, 2])).dtype == torch.float32


def test_large_scores_stay_finite():
    crf = LinearChainCRF(TAGS)
    emissions = 1e4 * torch.randn(2, 50, TAGS)
    values = crf.log_marginals(emissions, torch.tensor([50, 7]))
    assert bool(values.isfinite().all()) and bool((values <= 1e-3).all())


def test_forbidden_steps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="expected forbidden steps of shape"):
        LinearChainCRF(TAGS, torch.zeros(TAGS, TAGS))
