"""ResNet-18, 34, 50, 101 and 152: deep residual networks.

Paper: He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385, 2015).

The idea: a stack of layers is asked for what to add to its input, y = x + F(x), not for the output itself. If nothing
should change, F = 0 is easy to reach, so a deeper net is never harder to fit than a shallow one; and the sum hands the
gradient on undiminished. Two 3×3 convolutions make F in the small nets; in the deep ones a 1×1 narrows the channels
to a quarter, a 3×3 works there, a 1×1 widens them again.

What differs from the paper: in the bottleneck the stride sits on the 3×3 convolution, not on the first 1×1 (as in
torchvision, whose parameter names and counts these are: published weights load as they stand). The last batch norm of
each branch can start at γ = 0 (`zero_last`), after Goyal et al. 2017.

What to notice: ResNet-50 has hardly more parameters than ResNet-34 (25.6 and 21.8 million) though it is deeper and
four times as wide at the end. The input is cut to a quarter before the first block: for pictures under about 100
pixels take `small_resnet` instead.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32


class BasicBlock(nn.Module):
    """Two 3×3 convolutions: (B, inputs, H, W) → (B, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    @property
    def last_norm(self) -> nn.Module:
        """The batch norm just before the sum."""
        return self.bn2

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = F.relu(self.bn1(self.conv1(values)), inplace=True)
        branch = self.bn2(self.conv2(branch))
        straight = values if self.downsample is None else self.downsample(values)
        return F.relu(branch + straight, inplace=True)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1: (B, inputs, H, W) → (B, 4 · width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride)

    @property
    def last_norm(self) -> nn.Module:
        """The batch norm just before the sum."""
        return self.bn3

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = F.relu(self.bn1(self.conv1(values)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        branch = self.bn3(self.conv3(branch))
        straight = values if self.downsample is None else self.downsample(values)
        return F.relu(branch + straight, inplace=True)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The straight way where the shape changes: a strided 1×1 convolution and its norm (the paper's option B)."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, mean over the picture, linear head.

    forward: float (B, in_channels, H, W), H and W from 32 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0.
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, int, int, int], num_classes: int,
        in_channels: int, zero_last: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = 64
        for stage, depth in enumerate(depths):
            width = 64 * 2**stage
            blocks = []
            for place in range(depth):
                blocks.append(block(inputs, width, 2 if stage and not place else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_features = inputs
        self.fc = nn.Linear(inputs, num_classes) if num_classes else nn.Identity()
        last_norms = [m.last_norm for m in self.modules() if isinstance(m, BasicBlock | Bottleneck)]
        initialise_convolutional(self, zero_last=last_norms if zero_last else ())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        values = self.maxpool(F.relu(self.bn1(self.conv1(pictures)), inplace=True))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            values = stage(values)  # type: ignore[operator]
        return at_least_float32(self.fc(values.mean((2, 3))))


def resnet18(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> ResNet:
    """ResNet-18: basic blocks 2, 2, 2, 2; 11,689,512 parameters at 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, zero_last)


def resnet34(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> ResNet:
    """ResNet-34: basic blocks 3, 4, 6, 3; 21,797,672 parameters at 1000 classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, zero_last)


def resnet50(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> ResNet:
    """ResNet-50: bottlenecks 3, 4, 6, 3; 25,557,032 parameters at 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, zero_last)


def resnet101(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> ResNet:
    """ResNet-101: bottlenecks 3, 4, 23, 3; 44,549,160 parameters at 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels, zero_last)


def resnet152(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> ResNet:
    """ResNet-152: bottlenecks 3, 8, 36, 3; 60,192,808 parameters at 1000 classes."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels, zero_last)


def demo() -> tuple[ResNet, tuple[torch.Tensor, ...]]:
    """ResNet-18 for 10 classes and three pictures of 64 × 64."""
    return resnet18(num_classes=10), (torch.randn(3, 3, 64, 64),)
