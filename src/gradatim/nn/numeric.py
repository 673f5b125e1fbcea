"""Numbers as vectors: piecewise-linear and periodic embeddings (Gorishniy, Rubachev & Babenko 2022).

A linear layer sees a number only through one slope. Spread over bins (a thermometer whose current degree is partly
full) or over sines, the same number lets the next layer bend anywhere. Inputs are standardised, so the bins stand at
fixed quantiles of the standard normal instead of the column's own (the paper fits them); what lies beyond the outer
bins keeps only its sign and the plain value beside it.
"""

import math

import torch
from torch import nn

from gradatim.nn.init import small_normal_


class PiecewiseLinear(nn.Module):
    """(B, F) → (B, F, bins): component t is how far the number has filled bin t, from 0 to 1 (eq. 1 of the paper)."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        share = (torch.arange(1, bins, dtype=torch.float64) / bins) * 2 - 1
        inner = math.sqrt(2.0) * torch.erfinv(share)
        edges = torch.cat([torch.tensor([-4.0], dtype=torch.float64), inner, torch.tensor([4.0], dtype=torch.float64)])
        self.register_buffer("edges", edges[:-1].float())
        self.register_buffer("widths", (edges[1:] - edges[:-1]).float())
        self.edges: torch.Tensor
        self.widths: torch.Tensor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return ((values[..., None] - self.edges) / self.widths).clamp(0.0, 1.0)


class Periodic(nn.Module):
    """(B, F) → (B, F, 2k): sine and cosine of 2π c x with learned frequencies c ~ N(0, deviation²) (§ 3.3)."""

    def __init__(self, features: int, frequencies: int, *, deviation: float = 0.3) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(features, frequencies))
        small_normal_(self.frequency, deviation=deviation)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        angle = 2 * math.pi * self.frequency * values[..., None]
        return torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)
