"""VGG-11, 13, 16 and 19, with and without batch norm.

Paper: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015 (arXiv
1409.1556, 2014), configurations A, B, D and E.

The idea: nothing but 3 × 3 convolutions, and many of them. Three in a row see what one 7 × 7 sees, with 27 C² weights
in place of 49 C² and three ReLUs in place of one. Whenever pooling halves the map, the channels double, up to 512, so
that each layer costs about the same. Depth alone, from 11 to 19 layers, took the error down.

What differs from the paper: weights start by Kaiming, so that the deep nets can be trained at once (the paper grew
them from the shallow one); batch norm, a year younger than the paper, is there by the builders ending in _bn. Names
and counts are torchvision's, whose published weights load as they stand.

What to notice: of VGG-16's 138,357,544 weights 102,764,544 sit in the first dense layer, which reads 7 × 7 × 512; all
thirteen convolutions hold 14.7 million. Without the dense layers (num_classes 0) VGG still is a good describer of
textures, which is why style transfer uses it.
"""

import torch
from torch import nn

from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.precision import at_least_float32

SMALLEST = 32
WIDTHS = (64, 128, 256, 512, 512)
# how many convolutions stand before each of the five poolings
VGG11, VGG13, VGG16, VGG19 = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)


class VGG(nn.Module):
    """Five groups of 3×3 convolutions, each with a pooling, the map brought to 7 × 7, three dense layers.

    forward: float (B, in_channels, H, W), H and W from 32 → float32 logits (B, num_classes). With num_classes 0:
    features (B, num_features), the mean of the last map, without the dense layers.
    """

    def __init__(
        self, depths: tuple[int, ...], normed: bool, num_classes: int, in_channels: int, width: float, dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.in_channels = inputs = in_channels
        for depth, channels in zip(depths, WIDTHS, strict=True):
            for _ in range(depth):
                outputs = make_divisible(channels * width)
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
                layers += [nn.BatchNorm2d(outputs)] if normed else []
                layers.append(nn.ReLU(inplace=True))
                inputs = outputs
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7 if num_classes else 1)
        self.classifier: nn.Module = nn.Identity()
        self.num_features = inputs
        if num_classes:
            dense = make_divisible(4096 * width)
            self.classifier = nn.Sequential(
                nn.Linear(inputs * 49, dense), nn.ReLU(inplace=True), nn.Dropout(dropout),
                nn.Linear(dense, dense), nn.ReLU(inplace=True), nn.Dropout(dropout),
                nn.Linear(dense, num_classes),
            )
        initialise_without_norm(self, heads=list(self.classifier.children())[-1:])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = self.avgpool(self.features(pictures)).flatten(1)
        return at_least_float32(self.classifier(values))


def vgg11(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-11 (configuration A); 132,863,336 parameters at 1000 classes."""
    return VGG(VGG11, False, num_classes, in_channels, width, dropout)


def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-11 (configuration A) with batch norm; 132,868,840 parameters at 1000 classes."""
    return VGG(VGG11, True, num_classes, in_channels, width, dropout)


def vgg13(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-13 (configuration B); 133,047,848 parameters at 1000 classes."""
    return VGG(VGG13, False, num_classes, in_channels, width, dropout)


def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-13 (configuration B) with batch norm; 133,053,736 parameters at 1000 classes."""
    return VGG(VGG13, True, num_classes, in_channels, width, dropout)


def vgg16(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-16 (configuration D); 138,357,544 parameters at 1000 classes."""
    return VGG(VGG16, False, num_classes, in_channels, width, dropout)


def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-16 (configuration D) with batch norm; 138,365,992 parameters at 1000 classes."""
    return VGG(VGG16, True, num_classes, in_channels, width, dropout)


def vgg19(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-19 (configuration E); 143,667,240 parameters at 1000 classes."""
    return VGG(VGG19, False, num_classes, in_channels, width, dropout)


def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> VGG:
    """VGG-19 (configuration E) with batch norm; 143,678,248 parameters at 1000 classes."""
    return VGG(VGG19, True, num_classes, in_channels, width, dropout)


def demo() -> tuple[VGG, tuple[torch.Tensor, ...]]:
    """VGG-11 at an eighth of the width for 10 classes, and three pictures of 32 × 32."""
    return vgg11(num_classes=10, width=0.125), (torch.randn(3, 3, 32, 32),)
