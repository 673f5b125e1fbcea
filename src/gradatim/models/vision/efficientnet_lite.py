"""EfficientNet-Lite0 … Lite4: EfficientNets for phones, without squeeze-excite and with ReLU6.

Paper: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite
variants: Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020.

The idea: an inverted bottleneck widens by 1×1, filters each channel by itself (depthwise, k × k), narrows by 1×1 and
adds its input; width, depth and picture size grow together by one rule. Lite leaves out squeeze-excite and swish, which
eight-bit processors do badly, bounds the activations by 6, and does not scale the stem, the head and the depth of the
first and last stage.

What differs from the paper: nothing but the names. They are those of the published PyTorch conversion of Lite0, whose
weights load as they stand; like TensorFlow, a strided convolution pads only as much as it needs, more on the right.

What to notice: 4,652,008 parameters at 1000 classes, of which 1,281,000 sit in the last layer; 0.4 thousand million
multiply-adds at 224 pixels, a fifth of ResNet-18's, for better accuracy on ImageNet (75.1 %).
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.convolution.stochastic_depth import StochasticDepth
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

# kernel, stride, expansion, channels out, repeats
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
STEM, HEAD = 32, 1280


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with TensorFlow's numbers."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class SameConvolution(nn.Conv2d):
    """Convolution with TensorFlow's padding 'same': (B, C, H, W) → (B, out, ⌈H / stride⌉, ⌈W / stride⌉).

    It has no bias until a batch norm is folded into it.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:  # kernels are odd: the same on both sides
            return F.conv2d(values, self.weight, self.bias, padding=kernel // 2, groups=self.groups)
        high, wide = ((math.ceil(side / stride) - 1) * stride + kernel - side for side in values.shape[-2:])
        high, wide = max(high, 0), max(wide, 0)
        values = F.pad(values, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.conv2d(values, self.weight, self.bias, stride=stride, groups=self.groups)


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow: (B, inputs, H, W) → (B, outputs, H/stride, W/stride).

    drop: chance that the branch is left out for a row in training (stochastic depth, Huang et al. 2016).
    """

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int, drop: float) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self._expand_conv = SameConvolution(inputs, wide, 1)
            self._bn0 = norm(wide)
        self._depthwise_conv = SameConvolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = norm(wide)
        self._project_conv = SameConvolution(wide, outputs, 1)
        self._bn2 = norm(outputs)
        self.expansion, self.straight = expansion, stride == 1 and inputs == outputs
        self.stochastic_depth = StochasticDepth(drop)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = values
        if self.expansion != 1:
            branch = F.relu6(self._bn0(self._expand_conv(branch)))
        branch = F.relu6(self._bn1(self._depthwise_conv(branch)))
        branch = self._bn2(self._project_conv(branch))
        return values + self.stochastic_depth(branch) if self.straight else branch


class EfficientNetLite(nn.Module):
    """Stem, seven stages of inverted bottlenecks, 1×1 to 1280 channels, mean, dropout, linear head.

    forward: float (B, in_channels, H, W), H and W from 32 → float32 logits (B, num_classes), or features (B, 1280)
    when num_classes is 0.
    """

    def __init__(
        self, width: float, depth: float, dropout: float, num_classes: int, in_channels: int, drop_connect: float
    ) -> None:
        super().__init__()
        self._conv_stem = SameConvolution(in_channels, STEM, 3, 2)
        self._bn0 = norm(STEM)
        blocks: list[tuple[int, int, int, int, int]] = []
        inputs = STEM
        for place, (kernel, stride, expansion, channels, repeats) in enumerate(STAGES):
            outputs = make_divisible(channels * width)
            first_or_last = place in (0, len(STAGES) - 1)
            for number in range(repeats if first_or_last else math.ceil(repeats * depth)):
                blocks.append((kernel, stride if number == 0 else 1, expansion, inputs, outputs))
                inputs = outputs
        self._blocks = nn.ModuleList(
            InvertedBottleneck(*block, drop_connect * place / len(blocks)) for place, block in enumerate(blocks)
        )
        self._conv_head = SameConvolution(inputs, HEAD, 1)
        self._bn1 = norm(HEAD)
        self._dropout = nn.Dropout(dropout)
        self.num_features = HEAD
        self._fc = nn.Linear(HEAD, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        values = F.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            values = block(values)
        values = F.relu6(self._bn1(self._conv_head(values))).mean((2, 3))
        return at_least_float32(self._fc(self._dropout(values)))


def efficientnet_lite0(num_classes: int = 1000, in_channels: int = 3, drop_connect: float = 0.2) -> EfficientNetLite:
    """EfficientNet-Lite0, made for 224 pixels; 4,652,008 parameters at 1000 classes."""
    return EfficientNetLite(1.0, 1.0, 0.2, num_classes, in_channels, drop_connect)


def efficientnet_lite1(num_classes: int = 1000, in_channels: int = 3, drop_connect: float = 0.2) -> EfficientNetLite:
    """EfficientNet-Lite1, made for 240 pixels; 5,416,680 parameters at 1000 classes."""
    return EfficientNetLite(1.0, 1.1, 0.2, num_classes, in_channels, drop_connect)


def efficientnet_lite2(num_classes: int = 1000, in_channels: int = 3, drop_connect: float = 0.2) -> EfficientNetLite:
    """EfficientNet-Lite2, made for 260 pixels; 6,092,072 parameters at 1000 classes."""
    return EfficientNetLite(1.1, 1.2, 0.3, num_classes, in_channels, drop_connect)


def efficientnet_lite3(num_classes: int = 1000, in_channels: int = 3, drop_connect: float = 0.2) -> EfficientNetLite:
    """EfficientNet-Lite3, made for 280 pixels; 8,197,096 parameters at 1000 classes."""
    return EfficientNetLite(1.2, 1.4, 0.3, num_classes, in_channels, drop_connect)


def efficientnet_lite4(num_classes: int = 1000, in_channels: int = 3, drop_connect: float = 0.2) -> EfficientNetLite:
    """EfficientNet-Lite4, made for 300 pixels; 13,006,568 parameters at 1000 classes."""
    return EfficientNetLite(1.4, 1.8, 0.3, num_classes, in_channels, drop_connect)


def demo() -> tuple[EfficientNetLite, tuple[torch.Tensor, ...]]:
    """Lite0 for 10 classes without stochastic depth, and three pictures of 48 × 48."""
    return efficientnet_lite0(num_classes=10, drop_connect=0.0), (torch.randn(3, 3, 48, 48),)
