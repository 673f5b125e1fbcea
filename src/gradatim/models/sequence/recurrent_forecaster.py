"""A recurrent network that reads a window of a series and forecasts all steps of the horizon at once.

Paper: Wen et al., "A Multi-Horizon Quantile Recurrent Forecaster", 2017 (MQ-RNN), with the GRU of Cho et al. 2014.

The idea: a GRU reads values, masks of what is missing and covariates, oldest first. Its last state is all that the
forecast knows of the past. One direct output a step and quantile: no forecast is fed back as if it had been observed,
so errors do not pile up over the horizon.

What differs from the paper: one state after the last step (no forking at each), a GRU in place of the LSTM, a line from
the window to the horizon beside the network, which starts as the seasonal naive forecast.

What to notice: the state fades, so a season longer than some tens of steps reaches the forecast through the line.
"""

import torch
from torch import nn

from gradatim.nn.forecast_head import ForecastHead, NoHead, demo_window, steps_of
from gradatim.nn.init import initialise_dense
from gradatim.nn.recurrent.layers import RecurrentDirection


class RecurrentForecaster(nn.Module):
    """Embedding of each step, GRU layers, the last state to the head.

    forward: window (B, L) at level 0 and scale 1, gaps filled; seen (B, L) 1 where known; behind (B, L, K), ahead
    (B, H, K) covariates → float32 quantiles (B, H · outputs), or features (B, num_features) when outputs is 0.
    """

    def __init__(
        self, horizon: int, outputs: int, context: int, covariates: int, season: int, hidden: int, layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(2 + covariates, hidden)
        initialise_dense(self.embedding)
        self.layers = nn.ModuleList(RecurrentDirection(hidden, hidden, "gru") for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.num_features = hidden
        self.head: nn.Module = NoHead() if not outputs else ForecastHead(
            hidden, context, horizon, outputs, covariates, season, dropout=dropout)

    def forward(
        self, window: torch.Tensor, seen: torch.Tensor, behind: torch.Tensor, ahead: torch.Tensor
    ) -> torch.Tensor:
        values = self.embedding(steps_of(window, seen, behind))
        for layer in self.layers:
            values = layer(self.dropout(values))
        return self.head(self.dropout(values[:, -1]), window, ahead)


def recurrent_forecaster(
    horizon: int = 12, outputs: int = 3, context: int = 24, covariates: int = 0, season: int = 12, hidden: int = 64,
    layers: int = 1, dropout: float = 0.1,
) -> RecurrentForecaster:
    """A GRU that forecasts `outputs` quantiles of `horizon` steps from `context` steps."""
    return RecurrentForecaster(horizon, outputs, context, covariates, season, hidden, layers, dropout)


def demo() -> tuple[RecurrentForecaster, tuple[torch.Tensor, ...]]:
    """Two layers over windows of 16 steps with two covariates, 4 steps ahead."""
    network = recurrent_forecaster(horizon=4, outputs=3, context=16, covariates=2, season=4, hidden=16, layers=2)
    return network, demo_window(16, 4, 2)
