"""Linear-chain conditional random field: the tags of a sentence are scored together, not each by itself.

Lafferty, McCallum & Pereira 2001. With emissions e_t(y) from any network and learned transitions, a sequence has the
score start(y_1) + Σ_t e_t(y_t) + Σ_t transition(y_{t−1}, y_t) + end(y_T), and p(y | x) = exp(score − log Z). log Z and
the marginals come from the forward and backward recursions in log space, the best sequence from Viterbi's, each in
O(T C²). Padding is never read: a row's recursions stand still past its length.
"""

from collections.abc import Sequence

import torch
from torch import nn

IMPOSSIBLE = -1e4  # score of a forbidden step: exp of it is 0 in float32, and it leaves no NaN behind


class LinearChainCRF(nn.Module):
    """Transitions between `tags` tags, from the start and to the end; all scores begin at 0.

    forbidden: bool (tags + 1, tags + 1), True where a step is never made; the last row is the start, the last column
    the end. Emissions are (B, L, tags), lengths int (B,), tags int (B, L) with anything past the length; a row of
    length 0 has likelihood 1. Everything is computed in float32 or wider.

    >>> crf = LinearChainCRF(2)
    >>> round(crf.log_partition(torch.zeros(1, 3, 2), torch.tensor([3]))[0].exp().item(), 3)  # 2³ sequences
    8.0
    """

    penalty: torch.Tensor

    def __init__(self, tags: int, forbidden: Sequence[Sequence[bool]] | torch.Tensor | None = None) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))
        never = torch.zeros(tags + 1, tags + 1) if forbidden is None else torch.as_tensor(forbidden)
        if never.shape != (tags + 1, tags + 1):
            raise ValueError(f"expected forbidden steps of shape {(tags + 1, tags + 1)}, received {tuple(never.shape)}")
        self.register_buffer("penalty", never.float() * IMPOSSIBLE)

    def scores(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Transitions (C, C) from tag to tag, start (C,), end (C,), with what is forbidden."""
        return (self.transitions + self.penalty[:-1, :-1], self.start + self.penalty[-1, :-1],
                self.end + self.penalty[:-1, -1])

    def forward(self, emissions: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """As `log_marginals`."""
        return self.log_marginals(emissions, lengths)

    def log_likelihood(self, emissions: torch.Tensor, tags: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """log p(tags | emissions) by row, (B,)."""
        return self.sequence_score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def sequence_score(self, emissions: torch.Tensor, tags: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The score of one sequence a row, (B,)."""
        emissions = _wide(emissions)
        transitions, start, end = self.scores()
        inside = torch.arange(tags.shape[1], device=tags.device) < lengths[:, None]
        known = tags.clamp(min=0)
        emitted = emissions.gather(2, known[..., None])[..., 0] * inside
        moved = transitions[known[:, :-1], known[:, 1:]] * inside[:, 1:]
        last = known.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
        return emitted.sum(1) + moved.sum(1) + (start[known[:, 0]] + end[last]) * (lengths > 0)

    def log_partition(self, emissions: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """log Z by row, (B,), by the forward recursion."""
        total = torch.logsumexp(self._forwards(_wide(emissions), lengths)[-1] + self.scores()[2], dim=1)
        return torch.where(lengths > 0, total, torch.zeros_like(total))

    def log_marginals(self, emissions: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """log p(y_t = c | x), (B, L, C), by the forward and backward recursions; 0 at the padding."""
        emissions = _wide(emissions)
        forwards, backwards = self._forwards(emissions, lengths), self._backwards(emissions, lengths)
        joint = torch.stack(forwards, dim=1) + torch.stack(backwards, dim=1)
        inside = torch.arange(emissions.shape[1], device=emissions.device) < lengths[:, None]
        return torch.where(inside[..., None], joint.log_softmax(dim=2), torch.zeros_like(joint))

    def viterbi(self, emissions: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The best sequence of each row, int64 (B, L) with −1 at the padding, and its score (B,)."""
        emissions = _wide(emissions)
        transitions, start, end = self.scores()
        best = start + emissions[:, 0]
        origins = []
        for time in range(1, emissions.shape[1]):
            score, origin = (best[:, :, None] + transitions).max(dim=1)
            going = (time < lengths)[:, None]
            best = torch.where(going, score + emissions[:, time], best)
            stay = torch.arange(best.shape[1], device=best.device).expand_as(origin)
            origins.append(torch.where(going, origin, stay))  # past the end the path stands still
        total, tag = (best + end).max(dim=1)
        path = [tag]
        for origin in reversed(origins):
            path.append(origin.gather(1, path[-1][:, None])[:, 0])
        tags = torch.stack(path[::-1], dim=1)
        inside = torch.arange(tags.shape[1], device=tags.device) < lengths[:, None]
        return tags.masked_fill(~inside, -1), torch.where(lengths > 0, total, torch.zeros_like(total))

    def _forwards(self, emissions: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """α_t(c): log of the summed scores of all beginnings that end in c at t; past the end, that of the last."""
        transitions, start, _ = self.scores()
        alphas = [start + emissions[:, 0]]
        for time in range(1, emissions.shape[1]):
            alpha = torch.logsumexp(alphas[-1][:, :, None] + transitions, dim=1) + emissions[:, time]
            alphas.append(torch.where((time < lengths)[:, None], alpha, alphas[-1]))
        return alphas

    def _backwards(self, emissions: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
        """β_t(c): log of the summed scores of all continuations after c at t; at the last token and past it, `end`."""
        transitions, _, end = self.scores()
        betas = [end.expand(len(emissions), -1)]
        for time in range(emissions.shape[1] - 1, 0, -1):
            beta = torch.logsumexp(transitions + (emissions[:, time] + betas[-1])[:, None, :], dim=2)
            betas.append(torch.where((time < lengths)[:, None], beta, betas[-1]))
        return betas[::-1]


def _wide(emissions: torch.Tensor) -> torch.Tensor:
    return emissions.float() if emissions.dtype in (torch.bfloat16, torch.float16) else emissions
