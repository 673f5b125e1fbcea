"""SE-ResNet-18, 34, 50, 101 and 152: residual nets whose channels are turned up and down by the whole picture.

Paper: Hu, Shen & Sun, "Squeeze-and-Excitation Networks", CVPR 2018 (arXiv 1709.01507, 2017).

The idea: a convolution weighs its channels the same whatever the picture. Here each residual branch ends with a small
net: the mean of every channel (squeeze), two layers with a narrow middle, and a gate between 0 and 1 for each channel
(excitation), by which the channel is multiplied. A picture of the sea can turn up what finds waves. It costs hardly
any multiplications and won ILSVRC 2017.

What differs from the paper: as in our ResNet, the stride sits on the 3 × 3 convolution. The narrow middle has a
sixteenth of the channels, its layers have biases. Names are torchvision's ResNet's, with se.fc1 and se.fc2 added.

What to notice: SE-ResNet-50 has 28,088,024 parameters, a tenth more than ResNet-50, most of them in the last stage;
`block.se.gates(maps)` shows that early gates hardly depend on the class and late ones do (the paper's fig. 6).
"""

import torch
from torch.nn import functional as F

from gradatim.models.vision.resnet import BasicBlock, Bottleneck, ResNet
from gradatim.nn.convolution.squeeze_excite import SqueezeExcite

REDUCTION = 16


class SqueezeExciteBasicBlock(BasicBlock):
    """Two 3×3 convolutions and a gate: (B, inputs, H, W) → (B, width, H/stride, W/stride)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride)
        self.se = SqueezeExcite(width, width // REDUCTION)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = F.relu(self.bn1(self.conv1(values)), inplace=True)
        branch = self.se(self.bn2(self.conv2(branch)))
        straight = values if self.downsample is None else self.downsample(values)
        return F.relu(branch + straight, inplace=True)


class SqueezeExciteBottleneck(Bottleneck):
    """1×1, 3×3, 1×1 and a gate: (B, inputs, H, W) → (B, 4 · width, H/stride, W/stride)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__(inputs, width, stride)
        self.se = SqueezeExcite(4 * width, 4 * width // REDUCTION)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        branch = F.relu(self.bn1(self.conv1(values)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        branch = self.se(self.bn3(self.conv3(branch)))
        straight = values if self.downsample is None else self.downsample(values)
        return F.relu(branch + straight, inplace=True)


class SEResNet(ResNet):
    """A ResNet of blocks with gates.

    forward: float (B, in_channels, H, W), H and W from 32 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0.
    """


def se_resnet18(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> SEResNet:
    """SE-ResNet-18: basic blocks 2, 2, 2, 2; 11,778,592 parameters at 1000 classes."""
    return SEResNet(SqueezeExciteBasicBlock, (2, 2, 2, 2), num_classes, in_channels, zero_last)


def se_resnet34(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> SEResNet:
    """SE-ResNet-34: basic blocks 3, 4, 6, 3; 21,958,868 parameters at 1000 classes."""
    return SEResNet(SqueezeExciteBasicBlock, (3, 4, 6, 3), num_classes, in_channels, zero_last)


def se_resnet50(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> SEResNet:
    """SE-ResNet-50: bottlenecks 3, 4, 6, 3; 28,088,024 parameters at 1000 classes."""
    return SEResNet(SqueezeExciteBottleneck, (3, 4, 6, 3), num_classes, in_channels, zero_last)


def se_resnet101(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> SEResNet:
    """SE-ResNet-101: bottlenecks 3, 4, 23, 3; 49,326,872 parameters at 1000 classes."""
    return SEResNet(SqueezeExciteBottleneck, (3, 4, 23, 3), num_classes, in_channels, zero_last)


def se_resnet152(num_classes: int = 1000, in_channels: int = 3, zero_last: bool = False) -> SEResNet:
    """SE-ResNet-152: bottlenecks 3, 8, 36, 3; 66,821,848 parameters at 1000 classes."""
    return SEResNet(SqueezeExciteBottleneck, (3, 8, 36, 3), num_classes, in_channels, zero_last)


def demo() -> tuple[SEResNet, tuple[torch.Tensor, ...]]:
    """One block a stage for 10 classes, and three pictures of 64 × 64."""
    return SEResNet(SqueezeExciteBasicBlock, (1, 1, 1, 1), 10, 3, False), (torch.randn(3, 3, 64, 64),)
