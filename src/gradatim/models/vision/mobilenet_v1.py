"""MobileNet v1: every convolution taken apart into looking and mixing.

Paper: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv
1704.04861, 2017.

The idea: a full convolution looks at neighbours and mixes channels at once. Done one after the other, a 3 × 3 filter
for each channel by itself and then a 1 × 1 over the channels, it costs about a ninth. Two numbers trade accuracy
against cost: `width` thins every layer, and smaller pictures cost less by the square.

What differs from the paper: widths are rounded to multiples of 8; the dropout before the head is off by default.

What to notice: 4,231,976 parameters at width 1, three quarters of them in 1 × 1 convolutions, which take 95 % of the
multiplications: a matrix product, what processors do best. The 3 × 3 filters are 1 % of the weights.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.block import ConvolutionBlock
from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.convolution.separable import SeparableConvolution
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

SMALLEST = 1
STEM = 32
# channels, stride (the paper's table 1)
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
          (1024, 2), (1024, 1))  # fmt: skip


class MobileNetV1(nn.Module):
    """A strided convolution, separable convolutions, mean over the picture, linear head.

    forward: float (B, in_channels, H, W), any H and W, sensibly from 32 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, blocks: tuple[tuple[int, int], ...], num_classes: int, in_channels: int, width: float, dropout: float
    ) -> None:
        super().__init__()
        self.in_channels, inputs = in_channels, make_divisible(STEM * width)
        layers: list[nn.Module] = [ConvolutionBlock(in_channels, inputs, 3, 2)]
        for channels, stride in blocks:
            outputs = make_divisible(channels * width)
            layers.append(SeparableConvolution(inputs, outputs, 3, stride, activation=nn.ReLU))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.num_features = inputs
        self.classifier: nn.Module = nn.Identity()
        if num_classes:
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, num_classes))
        initialise_convolutional(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = F.adaptive_avg_pool2d(self.features(pictures), 1).flatten(1)
        return at_least_float32(self.classifier(values))


def mobilenet_v1(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.0
) -> MobileNetV1:
    """MobileNet v1; 4,231,976 parameters at 1000 classes. width: the paper's α (1, 0.75, 0.5, 0.25)."""
    return MobileNetV1(BLOCKS, num_classes, in_channels, width, dropout)


def demo() -> tuple[MobileNetV1, tuple[torch.Tensor, ...]]:
    """Six blocks at a quarter of the width for 10 classes, and three pictures of 32 × 32."""
    return MobileNetV1(BLOCKS[:6], 10, 3, 0.25, 0.0), (torch.randn(3, 3, 32, 32),)
