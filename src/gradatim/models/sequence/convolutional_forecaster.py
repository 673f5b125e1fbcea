"""A temporal convolutional network: dilated causal convolutions over a window, then all steps of the horizon at once.

Paper: Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
Modeling", 2018 (TCN); dilations as in WaveNet (van den Oord et al. 2016).

The idea: each layer looks at the present step and one that lies 1, 2, 4, 8 … steps back (kernel 3: and two such), so
that the last position sees the whole window after log₂ of its length layers. Padding is on the left alone: no position
ever sees a later one. Residual branches keep the gradient alive.

What differs from the paper: one convolution a block, group norm over channels of a position in place of weight norm
(so that windows and positions stay apart), GELU, the quantile head and its line from the window.

What to notice: all positions are computed at once, which makes it several times as fast as the GRU on long windows.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.forecast_head import ForecastHead, NoHead, demo_window, steps_of
from gradatim.nn.init import initialise_dense


class CausalBlock(nn.Module):
    """x + W·GELU(causal convolution of norm(x)): (B, C, L) → (B, C, L); position t sees t, t − d, t − 2 d …"""

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.left = (kernel - 1) * dilation
        self.norm = nn.LayerNorm(channels)
        self.convolution = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.pointwise = nn.Conv1d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        normed = self.norm(values.transpose(1, 2)).transpose(1, 2)
        mixed = F.gelu(self.convolution(F.pad(normed, (self.left, 0))))
        return values + self.pointwise(self.dropout(mixed))


class ConvolutionalForecaster(nn.Module):
    """Embedding of each step, causal blocks of growing dilation, the last position to the head.

    forward: as `gradatim.models.sequence.recurrent_forecaster.RecurrentForecaster`.
    """

    def __init__(
        self, horizon: int, outputs: int, context: int, covariates: int, season: int, channels: int, kernel: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(2 + covariates, channels)
        initialise_dense(self.embedding)
        dilations, reach = [1], kernel
        while reach < context:
            dilations.append(2 * dilations[-1])
            reach += (kernel - 1) * dilations[-1]
        self.blocks = nn.Sequential(*(CausalBlock(channels, kernel, dilation, dropout) for dilation in dilations))
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.num_features = channels
        self.head: nn.Module = NoHead() if not outputs else ForecastHead(
            channels, context, horizon, outputs, covariates, season, dropout=dropout)

    def forward(
        self, window: torch.Tensor, seen: torch.Tensor, behind: torch.Tensor, ahead: torch.Tensor
    ) -> torch.Tensor:
        return self.head(self.dropout(self.positions(window, seen, behind)[:, -1]), window, ahead)

    def positions(self, window: torch.Tensor, seen: torch.Tensor, behind: torch.Tensor) -> torch.Tensor:
        """What each position of the window knows, (B, L, channels): nothing of the positions after it."""
        values = self.blocks(self.embedding(steps_of(window, seen, behind)).transpose(1, 2))
        return self.norm(values.transpose(1, 2))


def convolutional_forecaster(
    horizon: int = 12, outputs: int = 3, context: int = 24, covariates: int = 0, season: int = 12, channels: int = 48,
    kernel: int = 3, dropout: float = 0.1,
) -> ConvolutionalForecaster:
    """A TCN that forecasts `outputs` quantiles of `horizon` steps from `context` steps."""
    return ConvolutionalForecaster(horizon, outputs, context, covariates, season, channels, kernel, dropout)


def demo() -> tuple[ConvolutionalForecaster, tuple[torch.Tensor, ...]]:
    """Windows of 16 steps with two covariates, 4 steps ahead."""
    network = convolutional_forecaster(horizon=4, outputs=3, context=16, covariates=2, season=4, channels=16)
    return network, demo_window(16, 4, 2)
