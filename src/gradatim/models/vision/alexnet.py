"""AlexNet, in three shapes: the paper's on two towers, the same without towers, and the one whose weights are about.

Paper: Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012;
the slimmer shape: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv 1404.5997, 2014.

The idea: five convolutions and three dense layers, trained on more than a million pictures by two graphics cards. ReLU
in place of tanh lets so deep a net learn in days; each card holds half of the channels and they meet in one layer only
(grouped convolutions); channels at the same place compete (local response normalisation); dropout in the dense layers
and pictures cut, mirrored and recoloured at random keep 60 million weights from learning the training set by heart.

What differs from the paper: its pictures are 227 × 227, though it says 224; here padding by 2 gives the same 55 × 55
from 224. Weights start by Kaiming, not by 0.01. The response normalisation runs over all channels, not card by card.
`alexnet` is torchvision's shape (64-192-384-256-256, no normalisation), whose published weights load as they stand.

What to notice: there are five convolutions (some lecture notes count six); they hold 4 % of the weights and nine
tenths of the multiplications. Grouping saves 1.4 million weights and makes the two halves learn different things.
"""

import torch
from torch import nn

from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.precision import at_least_float32

SMALLEST = 63
# channels of the five convolutions; the dense layers have 4096
PAPER, SLIMMER = (96, 256, 384, 384, 256), (64, 192, 384, 256, 256)


def response_norm() -> nn.LocalResponseNorm:
    """b = a / (2 + 10⁻⁴ · Σ a²)^0.75, the sum over the five channels around (§ 3.3); torch divides its α by five."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet(nn.Module):
    """Five convolutions, the map brought to 6 × 6, three dense layers.

    forward: float (B, in_channels, H, W), H and W from 63 → float32 logits (B, num_classes). With num_classes 0:
    features (B, num_features), the mean of the last map, without the dense layers.
    """

    def __init__(
        self, channels: tuple[int, int, int, int, int], groups: int, normed: bool, dense: int, num_classes: int,
        in_channels: int, dropout: float,
    ) -> None:
        super().__init__()
        one, two, three, four, five = channels
        layers: list[nn.Module | None] = [
            nn.Conv2d(in_channels, one, 11, 4, padding=2), nn.ReLU(), response_norm() if normed else None,
            nn.MaxPool2d(3, 2),
            nn.Conv2d(one, two, 5, padding=2, groups=groups), nn.ReLU(), response_norm() if normed else None,
            nn.MaxPool2d(3, 2),
            nn.Conv2d(two, three, 3, padding=1), nn.ReLU(),
            nn.Conv2d(three, four, 3, padding=1, groups=groups), nn.ReLU(),
            nn.Conv2d(four, five, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2),
        ]
        self.in_channels = in_channels
        self.features = nn.Sequential(*[layer for layer in layers if layer is not None])
        self.avgpool = nn.AdaptiveAvgPool2d(6 if num_classes else 1)
        self.classifier: nn.Module = nn.Identity()
        self.num_features = five
        if num_classes:
            self.classifier = nn.Sequential(
                nn.Dropout(dropout), nn.Linear(five * 36, dense), nn.ReLU(),
                nn.Dropout(dropout), nn.Linear(dense, dense), nn.ReLU(),
                nn.Linear(dense, num_classes),
            )
        initialise_without_norm(self, heads=list(self.classifier.children())[-1:])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = self.avgpool(self.features(pictures)).flatten(1)
        return at_least_float32(self.classifier(values))


def _alexnet(
    channels: tuple[int, ...], groups: int, normed: bool, num_classes: int, in_channels: int, width: float,
    dropout: float,
) -> AlexNet:
    one, two, three, four, five = (make_divisible(count * width) for count in channels)
    dense = make_divisible(4096 * width)
    return AlexNet((one, two, three, four, five), groups, normed, dense, num_classes, in_channels, dropout)


def alexnet(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> AlexNet:
    """AlexNet in torchvision's shape, one tower; 61,100,840 parameters at 1000 classes.

    width: factor on the number of channels of every layer, in this and the other builders.
    """
    return _alexnet(SLIMMER, 1, False, num_classes, in_channels, width, dropout)


def alexnet_grouped(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
) -> AlexNet:
    """AlexNet as in the paper, two towers that meet in the third convolution; 60,965,224 parameters at 1000 classes."""
    return _alexnet(PAPER, 2, True, num_classes, in_channels, width, dropout)


def alexnet_ungrouped(
    num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
) -> AlexNet:
    """AlexNet with the paper's widths on one tower; 62,378,344 parameters at 1000 classes."""
    return _alexnet(PAPER, 1, True, num_classes, in_channels, width, dropout)


def demo() -> tuple[AlexNet, tuple[torch.Tensor, ...]]:
    """The paper's two towers at an eighth of the width for 10 classes, and three pictures of 64 × 64."""
    return alexnet_grouped(num_classes=10, width=0.125), (torch.randn(3, 3, 64, 64),)
