"""From stored pixels to what a convolution likes: scaling and standardising inside the network."""

from collections.abc import Sequence

import torch
from torch import nn


class PixelNormalize(nn.Module):
    """uint8 (B, C, H, W) → float32 (B, out_channels, H, W), (x / 255 − mean) / deviation by channel.

    `mean`, `std`: over the training pixels on the scale 0..1, one a channel (of the pictures, or of the network). One
    grey channel is repeated when the network behind wants more. Pictures that come as floats are
    taken to be on 0..255 as well. Keeps the memory layout.
    """

    def __init__(self, channels: int, mean: Sequence[float], std: Sequence[float], *, out_channels: int = 0) -> None:
        super().__init__()
        self.channels, self.out_channels = channels, out_channels or channels
        if self.out_channels != channels and channels != 1:
            raise ValueError(
                f"expected a network of {channels} input channels, received one of {self.out_channels}; "
                f"leave `in_channels` out of the encoder's arguments"
            )
        given = self.out_channels if len(mean) == self.out_channels else channels
        centre, spread = (self._by_channel(values, given) for values in (mean, std))
        spread = spread.clamp(min=1e-3)
        self.register_buffer("scale", 1.0 / (255.0 * spread))
        self.register_buffer("shift", -centre / spread)
        self.scale: torch.Tensor
        self.shift: torch.Tensor

    @staticmethod
    def _by_channel(values: Sequence[float], channels: int) -> torch.Tensor:
        numbers = torch.tensor(list(values), dtype=torch.float32).reshape(-1)
        if numbers.numel() not in (1, channels):
            raise ValueError(f"expected 1 or {channels} numbers, one a channel, received {numbers.numel()}")
        return numbers.expand(channels).reshape(1, channels, 1, 1).clone()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        values = torch.addcmul(self.shift, pixels.to(self.scale.dtype), self.scale)
        return values if values.shape[1] == self.out_channels else values.expand(-1, self.out_channels, -1, -1)
