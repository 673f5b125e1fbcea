"""Network in Network: small nets in place of filters, and no dense layer at all.

Paper: Lin, Chen & Yan, "Network In Network", ICLR 2014 (arXiv 1312.4400, 2013).

The idea: a filter is a linear yes or no about a patch; a small multilayer perceptron says more. Slid over the picture,
a perceptron is a convolution followed by 1 × 1 convolutions. And where each class has a map of its own, the mean over
that map is the answer: nothing is left to learn in dense layers, nothing to overfit there, and the maps show where the
class was seen. Both ideas, 1 × 1 convolutions and the mean over the picture, are in nearly every net since.

What differs from the paper: no ReLU after the last 1 × 1, so that a class's score may be below 0 (the authors' own
files have one). The paper gives the sizes of the CIFAR-10 net in its files only, and of ImageNet's in the model that
the authors published: these are those. Weights start by Kaiming.

What to notice: 7,595,176 parameters do on ImageNet what AlexNet needs 60 million for; for CIFAR-10, 966,986.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.precision import at_least_float32


class PerceptronConvolution(nn.Sequential):
    """A convolution and 1×1 convolutions behind it, each with ReLU: (B, inputs, H, W) → (B, widths[-1], H', W')."""

    def __init__(self, inputs: int, widths: tuple[int, ...], kernel: int, stride: int = 1, padding: int = 0) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, widths[0], kernel, stride, padding), nn.ReLU(inplace=True)]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 1), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class NetworkInNetwork(nn.Module):
    """Perceptron convolutions with pooling and dropout between, a map for each class, and the mean of each map.

    forward: float (B, in_channels, H, W), H and W from `smallest` → float32 logits (B, num_classes), or features
    (B, num_features), the means of the last hidden maps, when num_classes is 0.
    """

    def __init__(
        self, layers: list[nn.Module], features: int, num_classes: int, in_channels: int, smallest: int
    ) -> None:
        super().__init__()
        self.in_channels, self.smallest, self.num_features = in_channels, smallest, features
        self.features = nn.Sequential(*layers)
        self.head = nn.Conv2d(features, num_classes, 1) if num_classes else nn.Identity()
        initialise_without_norm(self, heads=[self.head])

    def class_maps(self, pictures: torch.Tensor) -> torch.Tensor:
        """The score of each class at each place, whose means are the logits: (B, num_classes, H', W')."""
        check_images(pictures, self.in_channels, self.smallest)
        return self.head(self.features(pictures))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return at_least_float32(F.adaptive_avg_pool2d(self.class_maps(pictures), 1).flatten(1))


def network_in_network(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
) -> NetworkInNetwork:
    """Network in Network for ImageNet, pictures from 39 pixels; 7,595,176 parameters at 1000 classes.

    width: factor on the number of channels of every layer.
    """
    one, two, three, four = (make_divisible(count * width) for count in (96, 256, 384, 1024))
    layers = [
        PerceptronConvolution(in_channels, (one, one, one), 11, 4), nn.MaxPool2d(3, 2, ceil_mode=True),
        PerceptronConvolution(one, (two, two, two), 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True),
        PerceptronConvolution(two, (three, three, three), 3, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Dropout(dropout), PerceptronConvolution(three, (four, four), 3, padding=1),
    ]
    return NetworkInNetwork(layers, four, num_classes, in_channels, 39)


def network_in_network_small(
    num_classes: int = 10, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
) -> NetworkInNetwork:
    """Network in Network for CIFAR-10, pictures from 4 pixels (made for 32); 966,986 parameters at 10 classes."""
    wide, middle, narrow = (make_divisible(count * width) for count in (192, 160, 96))
    layers = [
        PerceptronConvolution(in_channels, (wide, middle, narrow), 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Dropout(dropout),
        PerceptronConvolution(narrow, (wide, wide, wide), 5, padding=2), nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Dropout(dropout), PerceptronConvolution(wide, (wide, wide), 3, padding=1),
    ]
    return NetworkInNetwork(layers, wide, num_classes, in_channels, 4)


def demo() -> tuple[NetworkInNetwork, tuple[torch.Tensor, ...]]:
    """The net for CIFAR-10 at a quarter of the width, and three pictures of 16 × 16."""
    return network_in_network_small(width=0.25), (torch.randn(3, 3, 16, 16),)
