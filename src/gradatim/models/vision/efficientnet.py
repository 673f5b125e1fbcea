"""EfficientNet-B0 … B7: one small net, found by search, and one rule to make it larger.

Paper: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019.

The idea: a net can be made deeper, wider, or fed larger pictures, and each alone soon stops paying; together they keep
paying. With φ the wish for more, depth grows by 1.2^φ, width by 1.1^φ, the picture's side by 1.15^φ, chosen so that
the cost doubles when φ grows by 1 (`compound_scaling`). The small net is made of MobileNet's inverted bottlenecks with
squeeze-and-excitation, swish and stochastic depth.

What differs from the paper: convolutions pad the same on both sides, as in torchvision, whose names and counts these
are (published weights load as they stand); TensorFlow pads more on the right where it strides. B5, B6 and B7 have
TensorFlow's batch norm numbers (ε = 0.001, momentum 0.01), again as there.

What to notice: the published factors are rounder than the rule's powers. B0 reaches ResNet-50's accuracy with a fifth
of the parameters and a tenth of the multiply-adds; on many processors it is no faster, as depthwise filters wait for
memory. Each net was trained at its own size: 224, 240, 260, 300, 380, 456, 528, 600 pixels.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.block import ConvolutionBlock
from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.convolution.squeeze_excite import SqueezeExcite
from gradatim.nn.convolution.stochastic_depth import StochasticDepth
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

SMALLEST = 1
STEM = 32
# expansion, kernel, stride, channels, repeats (the paper's table 1)
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
          (6, 3, 1, 320, 1))  # fmt: skip
swish = partial(nn.SiLU, inplace=True)


def compound_scaling(wish: float) -> tuple[float, float, float, float]:
    """Depth, width, picture side and cost for φ = wish, as factors on B0: 1.2^φ, 1.1^φ, 1.15^φ and their cost.

    A layer's cost grows with its depth, and with the squares of width and side (§ 3.3, eq. 3).

    >>> [round(factor, 2) for factor in compound_scaling(1)]
    [1.2, 1.1, 1.15, 1.92]
    """
    depth, width, side = 1.2**wish, 1.1**wish, 1.15**wish
    return depth, width, side, depth * width**2 * side**2


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, gate, narrow, add: (B, inputs, H, W) → (B, outputs, H/stride, W/stride).

    drop: chance that the branch is left out for a row in training.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, drop: float,
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        widen = [ConvolutionBlock(inputs, wide, 1, activation=swish, norm=norm)] if expansion != 1 else []
        self.block = nn.Sequential(
            *widen, ConvolutionBlock(wide, wide, kernel, stride, groups=wide, activation=swish, norm=norm),
            SqueezeExcite(wide, max(1, inputs // 4), swish),
            ConvolutionBlock(wide, outputs, 1, activation=None, norm=norm),
        )
        self.straight = stride == 1 and inputs == outputs
        self.stochastic_depth = StochasticDepth(drop)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = self.block(values)
        return values + self.stochastic_depth(branch) if self.straight else branch


class EfficientNet(nn.Module):
    """A strided convolution, seven stages of inverted bottlenecks, 1×1, mean over the picture, linear head.

    forward: float (B, in_channels, H, W), any H and W, sensibly from 32 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, width: float, depth: float, dropout: float, num_classes: int, in_channels: int, drop: float,
        stages: tuple[tuple[int, int, int, int, int], ...] = STAGES, tensorflow_norm: bool = False,
    ) -> None:
        super().__init__()
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01) if tensorflow_norm else nn.BatchNorm2d
        self.in_channels, inputs = in_channels, make_divisible(STEM * width)
        groups: list[nn.Module] = [ConvolutionBlock(in_channels, inputs, 3, 2, activation=swish, norm=norm)]
        repeats = [math.ceil(stage[-1] * depth) for stage in stages]
        place = 0
        for (expansion, kernel, stride, channels, _), count in zip(stages, repeats, strict=True):
            outputs, blocks = make_divisible(channels * width), []
            for number in range(count):
                chance = drop * place / sum(repeats)
                blocks.append(
                    InvertedBottleneck(inputs, outputs, kernel, 1 if number else stride, expansion, chance, norm)
                )
                inputs, place = outputs, place + 1
            groups.append(nn.Sequential(*blocks))
        self.num_features = 4 * inputs
        groups.append(ConvolutionBlock(inputs, self.num_features, 1, activation=swish, norm=norm))
        self.features = nn.Sequential(*groups)
        self.classifier: nn.Module = nn.Identity()
        if num_classes:
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.num_features, num_classes))
        initialise_convolutional(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = F.adaptive_avg_pool2d(self.features(pictures), 1).flatten(1)
        return at_least_float32(self.classifier(values))


def efficientnet_b0(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B0, made for 224 pixels; 5,288,548 parameters at 1000 classes."""
    return EfficientNet(1.0, 1.0, 0.2, num_classes, in_channels, drop)


def efficientnet_b1(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B1, made for 240 pixels; 7,794,184 parameters at 1000 classes."""
    return EfficientNet(1.0, 1.1, 0.2, num_classes, in_channels, drop)


def efficientnet_b2(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B2, made for 260 pixels; 9,109,994 parameters at 1000 classes."""
    return EfficientNet(1.1, 1.2, 0.3, num_classes, in_channels, drop)


def efficientnet_b3(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B3, made for 300 pixels; 12,233,232 parameters at 1000 classes."""
    return EfficientNet(1.2, 1.4, 0.3, num_classes, in_channels, drop)


def efficientnet_b4(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B4, made for 380 pixels; 19,341,616 parameters at 1000 classes."""
    return EfficientNet(1.4, 1.8, 0.4, num_classes, in_channels, drop)


def efficientnet_b5(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B5, made for 456 pixels; 30,389,784 parameters at 1000 classes."""
    return EfficientNet(1.6, 2.2, 0.4, num_classes, in_channels, drop, tensorflow_norm=True)


def efficientnet_b6(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B6, made for 528 pixels; 43,040,704 parameters at 1000 classes."""
    return EfficientNet(1.8, 2.6, 0.5, num_classes, in_channels, drop, tensorflow_norm=True)


def efficientnet_b7(num_classes: int = 1000, in_channels: int = 3, drop: float = 0.2) -> EfficientNet:
    """EfficientNet-B7, made for 600 pixels; 66,347,960 parameters at 1000 classes."""
    return EfficientNet(2.0, 3.1, 0.5, num_classes, in_channels, drop, tensorflow_norm=True)


def demo() -> tuple[EfficientNet, tuple[torch.Tensor, ...]]:
    """Three stages at a quarter of the width for 10 classes without stochastic depth, and three pictures of 32 × 32."""
    return EfficientNet(0.25, 1.0, 0.2, 10, 3, 0.0, STAGES[:3]), (torch.randn(3, 3, 32, 32),)
