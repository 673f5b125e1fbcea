"""Convolution, batch norm, activation: the brick of nearly every net for pictures since 2015."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F


class ConvolutionBlock(nn.Sequential):
    """Convolution without bias, batch norm, activation: (B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉).

    Named 0, 1 and 2, as in torchvision's MobileNets and EfficientNets. `activation` makes the last layer; None leaves
    it out, which is what stands before a sum. `norm` makes the batch norm from a number of channels. The padding keeps
    the size at stride 1.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1,
        activation: Callable[[], nn.Module] | None = nn.ReLU, norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False), norm(outputs)
        ]
        super().__init__(*layers, *([] if activation is None else [activation()]))


class ConvolutionUnit(nn.Module):
    """Convolution, batch norm (ε = 0.001), ReLU; without the norm, convolution with bias, ReLU.

    Named conv and bn, as in torchvision's GoogLeNet and Inception v3. The kernel may be oblong.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1,
        padding: int | tuple[int, int] = 0, normed: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=not normed)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001) if normed else nn.Identity()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(values)), inplace=True)
