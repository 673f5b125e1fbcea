"""GoogLeNet, the first Inception: the paper's, and the one with batch norm whose weights are about.

Paper: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015 (arXiv 1409.4842, 2014).

The idea: at each depth look with windows of several sizes, 1 × 1, 3 × 3, 5 × 5 and a pooling, side by side, and let
the next layer choose. To pay for it, a 1 × 1 convolution narrows the channels before each large window. Twenty-two
layers deep, the net is hard to reach for a gradient from the far end; so two auxiliary heads classify from half-way up
and add 0.3 of their loss in training; at test time they are thrown away. The mean over the map replaces dense layers.

What differs from the paper: in `inception_v1` only the start of the weights (Kaiming) and that heads pool to 4 × 4
whatever the size. `googlenet` is torchvision's, whose published weights load as they stand: batch norm and no response
normalisation, the "5 × 5" branch is 3 × 3 (a slip of the port), the fourth pooling 2 × 2.

What to notice: 7 million parameters, a twelfth of AlexNet's, and half its error. `network(pictures)` are the logits,
always; `network.all_logits(pictures)` puts those of the auxiliary heads behind them, for `auxiliary_loss`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.models.vision.alexnet import response_norm
from gradatim.nn.convolution.block import ConvolutionUnit
from gradatim.nn.convolution.image_input import check_images, imagenet_to_half
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.precision import at_least_float32

SMALLEST = {False: 15, True: 31}  # without and with the paper's wider fourth pooling
# channels: 1×1; narrowed and 3×3; narrowed and 5×5; behind the pooling (the paper's table 1)
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


class Inception(nn.Module):
    """Four ways side by side, their channels joined: (B, inputs, H, W) → (B, sum of the four, H, W)."""

    def __init__(self, inputs: int, widths: tuple[int, ...], large: int, normed: bool) -> None:
        super().__init__()
        one, narrow_three, three, narrow_five, five, pooled = widths
        self.branch1 = ConvolutionUnit(inputs, one, 1, normed=normed)
        self.branch2 = nn.Sequential(
            ConvolutionUnit(inputs, narrow_three, 1, normed=normed),
            ConvolutionUnit(narrow_three, three, 3, padding=1, normed=normed),
        )
        self.branch3 = nn.Sequential(
            ConvolutionUnit(inputs, narrow_five, 1, normed=normed),
            ConvolutionUnit(narrow_five, five, large, padding=large // 2, normed=normed),
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), ConvolutionUnit(inputs, pooled, 1, normed=normed))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(values), self.branch2(values), self.branch3(values), self.branch4(values)], 1)


class AuxiliaryHead(nn.Module):
    """A classifier half-way up: the map brought to 4 × 4, 1×1, two dense layers: (B, inputs, H, W) → (B, classes)."""

    def __init__(self, inputs: int, width: float, num_classes: int, dropout: float, normed: bool) -> None:
        super().__init__()
        narrow, dense = make_divisible(128 * width), make_divisible(1024 * width)
        self.conv = ConvolutionUnit(inputs, narrow, 1, normed=normed)
        self.fc1 = nn.Linear(narrow * 16, dense)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(dense, num_classes)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        values = self.conv(F.adaptive_avg_pool2d(values, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(values))))


class GoogLeNet(nn.Module):
    """Stem, nine Inception blocks, mean over the picture, linear head; two auxiliary heads if wanted.

    forward: float (B, in_channels, H, W), H and W from 15 (the paper's: 31) → float32 logits (B, num_classes), or
    features (B, num_features) when num_classes is 0 (then without auxiliary heads).
    """

    def __init__(
        self, paper: bool, num_classes: int, in_channels: int, width: float, auxiliary: bool, transform_input: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        if transform_input and in_channels != 3:
            raise GradatimError(f"transform_input: expected 3 channels, received {in_channels}")
        normed, self.in_channels, self.transform_input = not paper, in_channels, transform_input
        self.smallest = SMALLEST[paper]
        stem, wide = make_divisible(64 * width), make_divisible(192 * width)
        self.conv1 = ConvolutionUnit(in_channels, stem, 7, 2, padding=3, normed=normed)
        self.conv2 = ConvolutionUnit(stem, stem, 1, normed=normed)
        self.conv3 = ConvolutionUnit(stem, wide, 3, padding=1, normed=normed)
        # the paper's response normalisation stands on both sides of the second and third convolution
        self.lrn = response_norm() if paper else nn.Identity()
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(3 if paper else 2, 2, ceil_mode=True)
        auxiliary = auxiliary and bool(num_classes)
        heads: list[nn.Module] = []
        inputs = wide
        for place, counts in INCEPTIONS.items():
            widths = tuple(make_divisible(count * width) for count in counts)
            self.add_module(f"inception{place}", Inception(inputs, widths, 5 if paper else 3, normed))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
            if place in ("4a", "4d"):
                heads.append(AuxiliaryHead(inputs, width, num_classes, 0.7, normed) if auxiliary else nn.Identity())
        self.aux1, self.aux2 = heads
        self.auxiliary, self.num_features = auxiliary, inputs
        self.dropout = nn.Dropout(dropout if num_classes else 0.0)
        self.fc = nn.Linear(inputs, num_classes) if num_classes else nn.Identity()
        if normed:
            initialise_convolutional(self)
        else:
            last = [self.fc] + [head.fc2 for head in heads if isinstance(head, AuxiliaryHead)]
            initialise_without_norm(self, heads=last)

    def maps(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The map that the head reads, and those of the second and the first auxiliary head."""
        check_images(pictures, self.in_channels, self.smallest)
        values = self.conv1(imagenet_to_half(pictures) if self.transform_input else pictures)
        values = self.conv3(self.conv2(self.lrn(self.maxpool(values))))
        values = self.maxpool(self.lrn(values))
        seen = {}
        for place in INCEPTIONS:
            values = self.get_submodule(f"inception{place}")(values)
            seen[place] = values
            if place in ("3b", "4e"):
                values = (self.maxpool if place == "3b" else self.maxpool4)(values)
        return values, seen["4d"], seen["4a"]

    def answer(self, values: torch.Tensor) -> torch.Tensor:
        """The last map → logits or features."""
        return at_least_float32(self.fc(self.dropout(F.adaptive_avg_pool2d(values, 1).flatten(1))))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.answer(self.maps(pictures)[0])

    def all_logits(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits of the net, then, where it has them, of the second and the first auxiliary head.

        In training: `auxiliary_loss(network.all_logits(pictures), labels)` of `gradatim.nn.convolution.auxiliary`.
        """
        last, second, first = self.maps(pictures)
        if not self.auxiliary:
            return (self.answer(last),)
        return self.answer(last), at_least_float32(self.aux2(second)), at_least_float32(self.aux1(first))


def googlenet(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, auxiliary: bool = True,
    transform_input: bool = False, dropout: float = 0.2,
) -> GoogLeNet:
    """GoogLeNet in torchvision's form; 13,004,888 parameters at 1000 classes, 6,624,904 without auxiliary heads.

    The heads learn only by `all_logits`: leave them out for a plain loop. torchvision's published weights want
    transform_input=True. width: factor on the number of channels of every layer.
    """
    return GoogLeNet(False, num_classes, in_channels, width, auxiliary, transform_input, dropout)


def inception_v1(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, auxiliary: bool = True, dropout: float = 0.4
) -> GoogLeNet:
    """GoogLeNet as in the paper; 13,378,280 parameters at 1000 classes, 6,998,552 without auxiliary heads."""
    return GoogLeNet(True, num_classes, in_channels, width, auxiliary, False, dropout)


def demo() -> tuple[GoogLeNet, tuple[torch.Tensor, ...]]:
    """A quarter of the width for 10 classes without auxiliary heads, and three pictures of 48 × 48."""
    return googlenet(num_classes=10, width=0.25, auxiliary=False), (torch.randn(3, 3, 48, 48),)
