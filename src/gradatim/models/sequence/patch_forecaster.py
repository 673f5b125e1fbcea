"""A Transformer over patches of a series, then all steps of the horizon at once.

Paper: Nie et al., "A Time Series is Worth 64 Words: Long-term Forecasting with Transformers", ICLR 2023 (PatchTST).

The idea: a single value says little, so a token is a patch of neighbouring steps. That makes the sequence short, and
attention, whose cost grows with the square of the length, cheap. Series are read one at a time and share all weights.
The window is put at level 0 and scale 1 before (reversible instance normalisation, Kim et al. 2022).

What differs from the paper: layer norm before each branch, masks of missing values and covariates inside the patches,
the mean over the tokens beside the last one in place of the flattened tokens (which would hold most of the weights),
quantiles, and a line from the window to the horizon.

What to notice: patches overlap by half; the oldest step is repeated so that the newest patch ends at the origin.
"""

import torch
from torch import nn

from gradatim.nn.attention.attention import TransformerBlock
from gradatim.nn.forecast_head import ForecastHead, NoHead, demo_window, steps_of
from gradatim.nn.init import initialise_dense


class PatchForecaster(nn.Module):
    """Overlapping patches, linear embedding, learned positions, Transformer blocks, last and mean token to the head.

    forward: as `gradatim.models.sequence.recurrent_forecaster.RecurrentForecaster`. width must be a multiple of heads.
    """

    def __init__(
        self, horizon: int, outputs: int, context: int, covariates: int, season: int, patch: int, width: int,
        heads: int, depth: int, dropout: float,
    ) -> None:
        super().__init__()
        patch = max(min(patch, context), 2)
        self.patch, self.stride = patch, max(patch // 2, 1)
        self.left = (-(context - patch)) % self.stride
        count = (context + self.left - patch) // self.stride + 1
        self.embedding = nn.Linear(patch * (2 + covariates), width)
        self.positions = nn.Parameter(torch.zeros(count, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, expansion=2, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.num_features = 2 * width
        initialise_dense(self)
        nn.init.normal_(self.positions, std=0.02)
        self.head: nn.Module = NoHead() if not outputs else ForecastHead(
            2 * width, context, horizon, outputs, covariates, season, dropout=dropout)

    def forward(
        self, window: torch.Tensor, seen: torch.Tensor, behind: torch.Tensor, ahead: torch.Tensor
    ) -> torch.Tensor:
        steps = steps_of(window, seen, behind)
        steps = torch.cat([steps[:, :1].expand(-1, self.left, -1), steps], dim=1)
        tokens = self.embedding(steps.unfold(1, self.patch, self.stride).flatten(2)) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return self.head(self.dropout(torch.cat([tokens[:, -1], tokens.mean(1)], dim=1)), window, ahead)


def patch_forecaster(
    horizon: int = 12, outputs: int = 3, context: int = 24, covariates: int = 0, season: int = 12, patch: int = 8,
    width: int = 48, heads: int = 4, depth: int = 2, dropout: float = 0.1,
) -> PatchForecaster:
    """A Transformer over patches that forecasts `outputs` quantiles of `horizon` steps from `context` steps."""
    return PatchForecaster(horizon, outputs, context, covariates, season, patch, width, heads, depth, dropout)


def demo() -> tuple[PatchForecaster, tuple[torch.Tensor, ...]]:
    """Windows of 17 steps with two covariates in patches of 4, 4 steps ahead."""
    network = patch_forecaster(horizon=4, outputs=3, context=17, covariates=2, season=4, patch=4, width=16, heads=2)
    return network, demo_window(17, 4, 2)
