"""Inception v3: large windows taken apart into small and into oblong ones.

Paper: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016 (arXiv 1512.00567, 2015).

The idea: a 5 × 5 window is two 3 × 3 in a row for 18/25 of the cost, a 7 × 7 is a 1 × 7 and a 7 × 1 for 2/7; so each
kind of block looks far with little. Where the map shrinks, a strided convolution and a pooling run side by side, so
that nothing is squeezed through a narrow place. Batch norm everywhere, also in the auxiliary head, which acts less as
a source of gradient than as a regulariser; and labels are smoothed.

What differs from the paper: nothing that is drawn there; the widths of the 7 × 7 branches (128, 160, 160, 192) are
those of the authors' code, by way of torchvision, whose published weights load as they stand. The auxiliary head
brings maps under 17 × 17 to 5 × 5 by their own means, so that small pictures work.

What to notice: made for 299 pixels, it takes them from 75. `network(pictures)` are the logits, always;
`network.all_logits(pictures)` puts those of the auxiliary head behind them, for `auxiliary_loss`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.nn.convolution.block import ConvolutionUnit
from gradatim.nn.convolution.image_input import check_images, imagenet_to_half
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

SMALLEST = 75
ALONG, DOWN = (1, 7), (7, 1)


class BlockA(nn.Module):
    """1×1; 5×5; two 3×3; pooling (the paper's fig. 5): channels 64 + 64 + 96 + pooled, same size."""

    def __init__(self, inputs: int, pooled: int, width: float) -> None:
        super().__init__()
        narrow, wide, wider, pooled = (make_divisible(count * width) for count in (48, 64, 96, pooled))
        self.branch1x1 = ConvolutionUnit(inputs, wide, 1)
        self.branch5x5_1 = ConvolutionUnit(inputs, narrow, 1)
        self.branch5x5_2 = ConvolutionUnit(narrow, wide, 5, padding=2)
        self.branch3x3dbl_1 = ConvolutionUnit(inputs, wide, 1)
        self.branch3x3dbl_2 = ConvolutionUnit(wide, wider, 3, padding=1)
        self.branch3x3dbl_3 = ConvolutionUnit(wider, wider, 3, padding=1)
        self.branch_pool = ConvolutionUnit(inputs, pooled, 1)
        self.outputs = 2 * wide + wider + pooled

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        five = self.branch5x5_2(self.branch5x5_1(values))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(values)))
        return torch.cat([self.branch1x1(values), five, double, self.branch_pool(around(values))], 1)


class BlockB(nn.Module):
    """Halve the map (fig. 10): 3×3; two 3×3; pooling: channels 384 + 96 + inputs."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        large, narrow, wide = (make_divisible(count * width) for count in (384, 64, 96))
        self.branch3x3 = ConvolutionUnit(inputs, large, 3, 2)
        self.branch3x3dbl_1 = ConvolutionUnit(inputs, narrow, 1)
        self.branch3x3dbl_2 = ConvolutionUnit(narrow, wide, 3, padding=1)
        self.branch3x3dbl_3 = ConvolutionUnit(wide, wide, 3, 2)
        self.outputs = large + wide + inputs

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(values)))
        return torch.cat([self.branch3x3(values), double, F.max_pool2d(values, 3, 2)], 1)


class BlockC(nn.Module):
    """1×1; 7×7 as 1×7 and 7×1; the same twice; pooling (fig. 6): four times 192 channels, same size."""

    def __init__(self, inputs: int, seven: int, width: float) -> None:
        super().__init__()
        wide, seven = make_divisible(192 * width), make_divisible(seven * width)
        self.branch1x1 = ConvolutionUnit(inputs, wide, 1)
        self.branch7x7_1 = ConvolutionUnit(inputs, seven, 1)
        self.branch7x7_2 = ConvolutionUnit(seven, seven, ALONG, padding=(0, 3))
        self.branch7x7_3 = ConvolutionUnit(seven, wide, DOWN, padding=(3, 0))
        self.branch7x7dbl_1 = ConvolutionUnit(inputs, seven, 1)
        self.branch7x7dbl_2 = ConvolutionUnit(seven, seven, DOWN, padding=(3, 0))
        self.branch7x7dbl_3 = ConvolutionUnit(seven, seven, ALONG, padding=(0, 3))
        self.branch7x7dbl_4 = ConvolutionUnit(seven, seven, DOWN, padding=(3, 0))
        self.branch7x7dbl_5 = ConvolutionUnit(seven, wide, ALONG, padding=(0, 3))
        self.branch_pool = ConvolutionUnit(inputs, wide, 1)
        self.outputs = 4 * wide

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(values)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(values)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(values), once, twice, self.branch_pool(around(values))], 1)


class BlockD(nn.Module):
    """Halve the map: 3×3; 1×7, 7×1 and 3×3; pooling: channels 320 + 192 + inputs."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        wide, large = make_divisible(192 * width), make_divisible(320 * width)
        self.branch3x3_1 = ConvolutionUnit(inputs, wide, 1)
        self.branch3x3_2 = ConvolutionUnit(wide, large, 3, 2)
        self.branch7x7x3_1 = ConvolutionUnit(inputs, wide, 1)
        self.branch7x7x3_2 = ConvolutionUnit(wide, wide, ALONG, padding=(0, 3))
        self.branch7x7x3_3 = ConvolutionUnit(wide, wide, DOWN, padding=(3, 0))
        self.branch7x7x3_4 = ConvolutionUnit(wide, wide, 3, 2)
        self.outputs = large + wide + inputs

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        three = self.branch3x3_2(self.branch3x3_1(values))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(values))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([three, seven, F.max_pool2d(values, 3, 2)], 1)


class BlockE(nn.Module):
    """The widest (fig. 7): 1×1; 1×3 beside 3×1; the same behind a 3×3; pooling: 320 + 768 + 768 + 192 channels."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        one, wide, narrow, pooled = (make_divisible(count * width) for count in (320, 384, 448, 192))
        self.branch1x1 = ConvolutionUnit(inputs, one, 1)
        self.branch3x3_1 = ConvolutionUnit(inputs, wide, 1)
        self.branch3x3_2a = ConvolutionUnit(wide, wide, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvolutionUnit(wide, wide, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = ConvolutionUnit(inputs, narrow, 1)
        self.branch3x3dbl_2 = ConvolutionUnit(narrow, wide, 3, padding=1)
        self.branch3x3dbl_3a = ConvolutionUnit(wide, wide, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvolutionUnit(wide, wide, (3, 1), padding=(1, 0))
        self.branch_pool = ConvolutionUnit(inputs, pooled, 1)
        self.outputs = one + 4 * wide + pooled

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        three = self.branch3x3_1(values)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(values))
        return torch.cat([
            self.branch1x1(values), self.branch3x3_2a(three), self.branch3x3_2b(three), self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double), self.branch_pool(around(values)),
        ], 1)


def around(values: torch.Tensor) -> torch.Tensor:
    """The mean over 3 × 3, the zeros around the edge counted, same size."""
    return F.avg_pool2d(values, 3, 1, padding=1)


class AuxiliaryHead(nn.Module):
    """A classifier half-way: means to 5 × 5, a 1×1, a 5×5 over all of it: (B, inputs, H, W) → (B, classes)."""

    def __init__(self, inputs: int, width: float, num_classes: int) -> None:
        super().__init__()
        narrow, wide = make_divisible(128 * width), make_divisible(768 * width)
        self.conv0 = ConvolutionUnit(inputs, narrow, 1)
        self.conv1 = ConvolutionUnit(narrow, wide, 5)
        self.fc = nn.Linear(wide, num_classes)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        small = min(values.shape[-2:]) < 17
        values = F.adaptive_avg_pool2d(values, 5) if small else F.avg_pool2d(values, 5, 3)
        return self.fc(F.adaptive_avg_pool2d(self.conv1(self.conv0(values)), 1).flatten(1))


class InceptionV3(nn.Module):
    """Stem, eleven blocks, mean over the picture, linear head; an auxiliary head if wanted.

    forward: float (B, in_channels, H, W), H and W from 75 → float32 logits (B, num_classes), or features
    (B, num_features) when num_classes is 0 (then without the auxiliary head).
    """

    def __init__(
        self, num_classes: int, in_channels: int, width: float, auxiliary: bool, transform_input: bool, dropout: float
    ) -> None:
        super().__init__()
        if transform_input and in_channels != 3:
            raise GradatimError(f"transform_input: expected 3 channels, received {in_channels}")
        self.in_channels, self.transform_input = in_channels, transform_input
        self.auxiliary = auxiliary and bool(num_classes)
        stem, two, three, four = (make_divisible(count * width) for count in (32, 64, 80, 192))
        self.Conv2d_1a_3x3 = ConvolutionUnit(in_channels, stem, 3, 2)
        self.Conv2d_2a_3x3 = ConvolutionUnit(stem, stem, 3)
        self.Conv2d_2b_3x3 = ConvolutionUnit(stem, two, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvolutionUnit(two, three, 1)
        self.Conv2d_4a_3x3 = ConvolutionUnit(three, four, 3)
        self.Mixed_5b = BlockA(four, 32, width)
        self.Mixed_5c = BlockA(self.Mixed_5b.outputs, 64, width)
        self.Mixed_5d = BlockA(self.Mixed_5c.outputs, 64, width)
        self.Mixed_6a = BlockB(self.Mixed_5d.outputs, width)
        self.Mixed_6b = BlockC(self.Mixed_6a.outputs, 128, width)
        self.Mixed_6c = BlockC(self.Mixed_6b.outputs, 160, width)
        self.Mixed_6d = BlockC(self.Mixed_6c.outputs, 160, width)
        self.Mixed_6e = BlockC(self.Mixed_6d.outputs, 192, width)
        inputs = self.Mixed_6e.outputs
        self.AuxLogits = AuxiliaryHead(inputs, width, num_classes) if self.auxiliary else nn.Identity()
        self.Mixed_7a = BlockD(inputs, width)
        self.Mixed_7b = BlockE(self.Mixed_7a.outputs, width)
        self.Mixed_7c = BlockE(self.Mixed_7b.outputs, width)
        self.num_features = self.Mixed_7c.outputs
        self.dropout = nn.Dropout(dropout if num_classes else 0.0)
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def middle(self, pictures: torch.Tensor) -> torch.Tensor:
        """The map that the auxiliary head reads: 17 × 17 from 299 pixels."""
        check_images(pictures, self.in_channels, SMALLEST)
        values = self.Conv2d_1a_3x3(imagenet_to_half(pictures) if self.transform_input else pictures)
        values = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(values)), 3, 2)
        values = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(values)), 3, 2)
        values = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(values))))
        return self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(values))))

    def answer(self, middle: torch.Tensor) -> torch.Tensor:
        """The map half-way → logits or features."""
        values = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))
        return at_least_float32(self.fc(self.dropout(F.adaptive_avg_pool2d(values, 1).flatten(1))))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.answer(self.middle(pictures))

    def all_logits(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The logits of the net and, where it has it, of the auxiliary head.

        In training: `auxiliary_loss(network.all_logits(pictures), labels)` of `gradatim.nn.convolution.auxiliary`.
        """
        middle = self.middle(pictures)
        if not self.auxiliary:
            return (self.answer(middle),)
        return self.answer(middle), at_least_float32(self.AuxLogits(middle))


def inception_v3(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, auxiliary: bool = True,
    transform_input: bool = False, dropout: float = 0.5,
) -> InceptionV3:
    """Inception v3; 27,161,264 parameters at 1000 classes, 23,834,568 without the auxiliary head.

    The head learns only by `all_logits`: leave it out for a plain loop. torchvision's published weights want
    transform_input=True. width: factor on the number of channels of every layer.
    """
    return InceptionV3(num_classes, in_channels, width, auxiliary, transform_input, dropout)


def demo() -> tuple[InceptionV3, tuple[torch.Tensor, ...]]:
    """An eighth of the width for 10 classes without the auxiliary head, and three pictures of 112 × 112."""
    return inception_v3(num_classes=10, width=0.125, auxiliary=False), (torch.randn(3, 3, 112, 112),)
