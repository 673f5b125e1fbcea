"""Where a token stands: attention is blind to order, so the place must be put into the numbers.

Three ways. Sinusoids (Vaswani et al. 2017, § 3.5) and learned vectors (Gehring et al. 2017) are added to the
embeddings; rotations (Su et al. 2021, RoFormer, eq. 15) turn queries and keys instead, so that their product depends
on the distance alone.
"""

import math

import torch
from torch import nn

from gradatim.nn.init import small_normal_

WAVELENGTH = 10000.0


def sinusoidal_positions(length: int, width: int) -> torch.Tensor:
    """Fixed position codes (length, width): sine and cosine at geometric wavelengths (Vaswani et al. 2017, § 3.5)."""
    if width % 2:
        raise ValueError(f"expected an even width, received {width}")
    place = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(WAVELENGTH) / width))
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).reshape(length, width)


class SinusoidalPositions(nn.Module):
    """Add the fixed codes: (B, L, width) → (B, L, width). `start` is the place of the first token."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codes", sinusoidal_positions(max_length, width), persistent=False)
        self.codes: torch.Tensor

    def forward(self, values: torch.Tensor, start: int = 0) -> torch.Tensor:
        check_length(start + values.shape[1], len(self.codes))
        return values + self.codes[start : start + values.shape[1]].to(values.dtype)


class LearnedPositions(nn.Module):
    """Add a learned vector for each place: (B, L, width) → (B, L, width). `start` is the place of the first token."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_length, width))
        small_normal_(self.weight)

    def forward(self, values: torch.Tensor, start: int = 0) -> torch.Tensor:
        check_length(start + values.shape[1], len(self.weight))
        return values + self.weight[start : start + values.shape[1]]


class RotaryPositions(nn.Module):
    """Turn pairs of numbers by an angle that grows with the place: (B, heads, L, head width) → the same shape.

    Number i is paired with number i + half, as in LLaMA's published weights; the angle of pair i at place p is
    p · wavelength^(−2i / head width) (Su et al. 2021, eq. 15). q · k then depends on the two places' distance alone.

    places: int (L,) or (B, L), where they are not start, start + 1, …
    """

    def __init__(self, max_length: int, head_width: int, wavelength: float = WAVELENGTH) -> None:
        super().__init__()
        if head_width % 2:
            raise ValueError(f"expected an even width of a head, received {head_width}")
        rate = wavelength ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
        angle = torch.arange(max_length, dtype=torch.float64)[:, None] * rate
        self.register_buffer("cosine", angle.cos().float(), persistent=False)
        self.register_buffer("sine", angle.sin().float(), persistent=False)
        self.cosine: torch.Tensor
        self.sine: torch.Tensor

    def forward(self, values: torch.Tensor, start: int = 0, places: torch.Tensor | None = None) -> torch.Tensor:
        length = values.shape[2]
        if places is None:
            check_length(start + length, len(self.cosine))
            cosine, sine = self.cosine[start : start + length], self.sine[start : start + length]
        else:
            cosine, sine = self.cosine[places], self.sine[places]
            if places.dim() == 2:
                cosine, sine = cosine[:, None], sine[:, None]  # the same for all heads
        left, right = values.chunk(2, dim=-1)
        turned = torch.cat([left * cosine - right * sine, right * cosine + left * sine], dim=-1)
        return turned.to(values.dtype)


def check_length(needed: int, known: int) -> None:
    """Refuse more places than there are codes for."""
    if needed > known:
        raise ValueError(f"expected texts of at most {known} tokens, received {needed}")
