"""MobileNet v2: wide inside, narrow between.

Paper: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018 (arXiv 1801.04381).

The idea: what a layer has to say lies in few dimensions, so blocks hand narrow maps to each other; but a ReLU on a
narrow map destroys, so the work is done six times wider: widen by 1 × 1, filter each channel by itself, narrow by
1 × 1 with no activation, add the input. The sum joins the narrow ends, the inverse of ResNet's bottleneck, and the
wide maps never have to be kept.

What differs from the paper: nothing. Names and counts are torchvision's, whose published weights load as they stand.

What to notice: 3,504,872 parameters, of which 1,281,000 are the head; 0.3 thousand million multiply-adds at 224 pixels,
a sixth of ResNet-18's. ReLU6 is bounded, for eight-bit arithmetic.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.block import ConvolutionBlock
from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

SMALLEST = 1
STEM, LAST = 32, 1280
# expansion, channels, repeats, stride (the paper's table 2)
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow, add: (B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [ConvolutionBlock(inputs, wide, 1, activation=nn.ReLU6)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *widen, ConvolutionBlock(wide, wide, 3, stride, groups=wide, activation=nn.ReLU6),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )
        self.straight = stride == 1 and inputs == outputs

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = self.conv(values)
        return values + branch if self.straight else branch


class MobileNetV2(nn.Module):
    """A strided convolution, inverted residuals, 1×1 to 1280 channels, mean over the picture, linear head.

    forward: float (B, in_channels, H, W), any H and W, sensibly from 32 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, stages: tuple[tuple[int, int, int, int], ...], num_classes: int, in_channels: int, width: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.in_channels, inputs = in_channels, make_divisible(STEM * width)
        layers: list[nn.Module] = [ConvolutionBlock(in_channels, inputs, 3, 2, activation=nn.ReLU6)]
        for expansion, channels, repeats, stride in stages:
            outputs = make_divisible(channels * width)
            for number in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, 1 if number else stride, expansion))
                inputs = outputs
        self.num_features = make_divisible(LAST * max(1.0, width))
        layers.append(ConvolutionBlock(inputs, self.num_features, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.classifier: nn.Module = nn.Identity()
        if num_classes:
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.num_features, num_classes))
        initialise_convolutional(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = F.adaptive_avg_pool2d(self.features(pictures), 1).flatten(1)
        return at_least_float32(self.classifier(values))


def mobilenet_v2(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2
) -> MobileNetV2:
    """MobileNet v2; 3,504,872 parameters at 1000 classes. width: factor on every layer (the last, if above 1)."""
    return MobileNetV2(STAGES, num_classes, in_channels, width, dropout)


def demo() -> tuple[MobileNetV2, tuple[torch.Tensor, ...]]:
    """Three stages at a quarter of the width for 10 classes, and three pictures of 32 × 32."""
    return MobileNetV2(STAGES[:3], 10, 3, 0.25, 0.0), (torch.randn(3, 3, 32, 32),)
