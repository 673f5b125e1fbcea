"""Attention of a recurrent decoder: how well its state matches each place that the encoder read.

Bahdanau et al. 2015 (appendix A.1.2): an additive score, v · tanh(W s + U h). Luong et al. 2015 (eq. 8): dot s · h,
general s · W h, concat v · tanh(W [s; h]). A softmax over the places gives the weights, the weighted mean of what was
read is the context. All take one query (B, D) or several at once (B, T, D), and never look at padding.
"""

import torch
from torch import nn

SCORES = ("dot", "general", "concat")


def mix(
    scores: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (B, T, S) and memory (B, S, D) → context (B, T, D), weights float32 (B, T, S); mask bool (B, S)."""
    scores = scores.float()
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], torch.finfo(torch.float32).min)
    weights = scores.softmax(2)
    if mask is not None:
        weights = weights * mask[:, None]  # a row without content: zeros
    return weights.to(memory.dtype) @ memory, weights


class AdditiveAttention(nn.Module):
    """Score v · tanh(W s + U h): query (B, D) or (B, T, D), memory (B, S, M) → context, weights.

    context: (B, M) or (B, T, M); weights: float32 (B, S) or (B, T, S). `remember` computes U h once for all steps;
    give it back as `projected`. Luong's concat is the same score, with W and U side by side in one matrix.
    """

    def __init__(self, query_width: int, memory_width: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.memory = nn.Linear(memory_width, hidden, bias=False)
        self.score = nn.Linear(hidden, 1, bias=False)

    def remember(self, memory: torch.Tensor) -> torch.Tensor:
        """The part of the score that no query changes: (B, S, hidden)."""
        return self.memory(memory)

    def forward(
        self, query: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None = None,
        projected: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        single = query.dim() == 2
        asked = self.query(query[:, None] if single else query)
        known = self.remember(memory) if projected is None else projected
        scores = self.score(torch.tanh(asked[:, :, None] + known[:, None])).squeeze(3)
        context, weights = mix(scores, memory, mask)
        return (context[:, 0], weights[:, 0]) if single else (context, weights)


class MultiplicativeAttention(nn.Module):
    """Score s · h ('dot', equal widths) or s · W h ('general'); the same face as `AdditiveAttention`.

    'concat' is v · tanh(W [s; h]), Luong's name for the additive score.
    """

    def __init__(self, query_width: int, memory_width: int, score: str = "general", hidden: int | None = None) -> None:
        super().__init__()
        if score not in SCORES:
            raise ValueError(f"expected a score among {', '.join(SCORES)}, received '{score}'")
        if score == "dot" and query_width != memory_width:
            raise ValueError(f"expected equal widths for 'dot', received {query_width} and {memory_width}")
        self.kind = score
        self.project: nn.Module = nn.Identity()
        if score == "general":
            self.project = nn.Linear(memory_width, query_width, bias=False)
        elif score == "concat":
            self.project = AdditiveAttention(query_width, memory_width, hidden or query_width)

    def remember(self, memory: torch.Tensor) -> torch.Tensor:
        """The part of the score that no query changes."""
        return self.project.remember(memory) if isinstance(self.project, AdditiveAttention) else self.project(memory)

    def forward(
        self, query: torch.Tensor, memory: torch.Tensor, mask: torch.Tensor | None = None,
        projected: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(self.project, AdditiveAttention):
            return self.project(query, memory, mask, projected)
        single = query.dim() == 2
        asked = query[:, None] if single else query
        known = self.remember(memory) if projected is None else projected
        context, weights = mix(asked @ known.transpose(1, 2), memory, mask)
        return (context[:, 0], weights[:, 0]) if single else (context, weights)
