"""Depthwise separable convolution: look in each channel by itself, then mix the channels."""

from collections.abc import Callable

import torch
from torch import nn

from gradatim.nn.convolution.block import ConvolutionBlock


class SeparableConvolution(nn.Module):
    """A k × k filter a channel, then 1×1 over the channels: (B, inputs, H, W) → (B, outputs, H/stride, W/stride).

    Weights: k² · inputs + inputs · outputs, where a full convolution has k² · inputs · outputs: for 3×3 and many
    channels about a ninth. It equals a full convolution whose kernel is, for each output, the depthwise filters times
    the mixing weights: rank one in (position, output) for each input.

    With `activation`, batch norm and activation follow both halves (MobileNet, Howard et al. 2017, fig. 3); without,
    the halves are plain and only the second has a bias. Source: Sifre 2014, "Rigid-motion scattering", § 6.2.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1,
        activation: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.depthwise: nn.Module
        self.pointwise: nn.Module
        if activation is None:
            self.depthwise = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
            self.pointwise = nn.Conv2d(inputs, outputs, 1)
        else:
            self.depthwise = ConvolutionBlock(inputs, inputs, kernel, stride, groups=inputs, activation=activation)
            self.pointwise = ConvolutionBlock(inputs, outputs, 1, activation=activation)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.depthwise(values))
