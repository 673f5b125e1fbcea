"""From what a network has read of a series to quantiles of each step ahead, starting at the seasonal naive forecast.

Three parts are added. A line from the window to the horizon, as in DLinear and NLinear (Zeng et al. 2023), begins as
the value one season before, so that training starts from a sensible forecast and has to beat it. A decoder shared by
all steps mixes what was read with the covariates of the step (as the temporal decoder of TiDE, Das et al. 2023). The
bias begins as the quantiles of a normal error.
"""

import torch
from torch import nn

from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32

FIRST_SPREAD = 0.5  # of the error, in units of the window's deviation, before anything is learned


class ForecastHead(nn.Module):
    """features (B, F), window (B, L), ahead (B, H, K) → float32 quantiles (B, H · quantiles), step by step.

    Quantiles may cross; whoever reads them sorts them.
    """

    def __init__(
        self, features: int, context: int, horizon: int, quantiles: int, covariates: int, season: int, width: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.horizon, self.quantiles = horizon, quantiles
        self.step_width = width
        self.line = nn.Linear(context, horizon, bias=False)
        self.steps = nn.Linear(features, horizon * width)
        self.mix = nn.Linear(width + covariates, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * width, quantiles)
        initialise_dense(self)
        with torch.no_grad():
            self.line.weight.zero_()
            for step in range(horizon):
                self.line.weight[step, max(context - season + step % season, 0)] = 1.0
            self.output.weight.mul_(0.1)
            level = (torch.arange(quantiles, dtype=torch.float32) + 0.5) / quantiles
            self.output.bias.copy_(FIRST_SPREAD * torch.erfinv(2 * level - 1) * 2**0.5)

    def forward(self, features: torch.Tensor, window: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
        read = self.steps(features).view(features.shape[0], self.horizon, self.step_width)
        mixed = torch.nn.functional.gelu(self.mix(torch.cat([read, ahead.to(read.dtype)], dim=2)))
        found = at_least_float32(self.output(self.dropout(mixed))) + at_least_float32(self.line(window))[..., None]
        return found.flatten(1)


class NoHead(nn.Module):
    """Gives the features back."""

    def forward(self, features: torch.Tensor, window: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
        return at_least_float32(features)


def steps_of(window: torch.Tensor, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
    """Values, masks and covariates of the window side by side: (B, L), (B, L), (B, L, K) → (B, L, 2 + K)."""
    return torch.cat([window[..., None], seen[..., None].to(window.dtype), behind.to(window.dtype)], dim=2)


def demo_window(context: int, horizon: int, covariates: int) -> tuple[torch.Tensor, ...]:
    """Three windows with gaps and their covariates, for the demos of the forecasters."""
    seen = torch.rand(3, context) > 0.2
    window = torch.randn(3, context) * seen
    return (window, seen.float(), torch.randn(3, context, covariates), torch.randn(3, horizon, covariates))
