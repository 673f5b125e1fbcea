"""ZFNet: AlexNet repaired by looking at what its layers see.

Paper: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014 (arXiv 1311.2901, 2013).

The idea: run a net backwards. Take one activation, put it back through each layer (unpool to where each maximum lay,
keep what is positive, convolve with the transposed filters), and the picture that comes out shows which pattern the
unit answered to. Seen so, AlexNet's 11 × 11 filters of stride 4 held dead units and aliases; with 7 × 7 of stride 2
and a second layer of stride 2, two points of top-5 error went away, and the same net won ILSVRC 2013.

What differs from the paper: one tower; the normalisation after the first two poolings is AlexNet's, across channels;
filters are not rescaled to a norm of 0.1 while training, and weights start by Kaiming. `project` is the paper's § 2.1.

What to notice: 62,357,608 parameters, as many as AlexNet's 62,378,344 without towers; what changed is where the first
layers look. The projection is not the gradient: the gradient lets pass where the forward activation was positive, the
projection where the backward signal is.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError
from gradatim.models.vision.alexnet import response_norm
from gradatim.nn.convolution.image_input import check_images
from gradatim.nn.convolution.make_divisible import make_divisible
from gradatim.nn.convolution.transposed import transposed_convolution
from gradatim.nn.convolution.unpooling import max_pool_with_switches, unpool
from gradatim.nn.init_without_norm import initialise_without_norm
from gradatim.nn.precision import at_least_float32

SMALLEST = 47
# channels, kernel, stride, padding of the five convolutions; the first, second and last are pooled
CONVOLUTIONS = ((96, 7, 2, 1), (256, 5, 2, 0), (384, 3, 1, 1), (384, 3, 1, 1), (256, 3, 1, 1))
POOLED, NORMED = (1, 2, 5), (1, 2)


class ZFNet(nn.Module):
    """Five convolutions, the map brought to 6 × 6, three dense layers.

    forward: float (B, in_channels, H, W), H and W from 47 → float32 logits (B, num_classes). With num_classes 0:
    features (B, num_features), the mean of the last map, without the dense layers.
    """

    def __init__(self, num_classes: int, in_channels: int, width: float, dropout: float) -> None:
        super().__init__()
        self.in_channels = inputs = in_channels
        for number, (channels, kernel, stride, padding) in enumerate(CONVOLUTIONS, start=1):
            outputs = make_divisible(channels * width)
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, kernel, stride, padding))
            inputs = outputs
        self.norm = response_norm()
        self.num_features, self.headless = inputs, not num_classes
        self.dropout = nn.Dropout(dropout)
        dense = make_divisible(4096 * width)
        self.fc6 = nn.Linear(36 * inputs, dense) if num_classes else nn.Identity()
        self.fc7 = nn.Linear(dense, dense) if num_classes else nn.Identity()
        self.fc8 = nn.Linear(dense, num_classes) if num_classes else nn.Identity()
        initialise_without_norm(self, heads=[self.fc8])

    def layer(self, number: int, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One convolution with what follows it → the map after pooling, and the switches where it is pooled."""
        values, switches = F.relu(self.get_submodule(f"conv{number}")(values)), None
        if number in POOLED:
            values, switches = max_pool_with_switches(values, 3, 2, ceil_mode=True)
        return self.norm(values) if number in NORMED else values, switches

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        check_images(pictures, self.in_channels, SMALLEST)
        values = pictures
        for number in range(1, 6):
            values, _ = self.layer(number, values)
        if self.headless:
            return at_least_float32(values.mean((2, 3)))
        values = F.adaptive_avg_pool2d(values, 6).flatten(1)
        values = self.dropout(F.relu(self.fc6(values)))
        return at_least_float32(self.fc8(self.dropout(F.relu(self.fc7(values)))))

    @torch.no_grad()
    def project(self, pictures: torch.Tensor, layer: int, channel: int) -> torch.Tensor:
        """What each picture shows to one channel of a layer, 1 to 5, where it answers most: (B, in_channels, H, W).

        All other activations of the layer are set to 0; then unpooling with the switches, ReLU and the transposed
        filters, layer by layer down to the pixels. Values are relative: scale them for the eye.
        """
        check_images(pictures, self.in_channels, SMALLEST)
        if not 1 <= layer <= 5 or not 0 <= channel < cast(nn.Conv2d, self.get_submodule(f"conv{layer}")).out_channels:
            raise GradatimError(f"expected a layer from 1 to 5 and one of its channels, received {layer} and {channel}")
        inputs, trail = pictures, []
        for number in range(1, layer + 1):
            outputs, switches = self.layer(number, inputs)
            trail.append((number, inputs.shape[-2:], switches))
            inputs = outputs
        flat = inputs[:, channel].flatten(1)
        strongest = flat.argmax(1, keepdim=True)
        values = torch.zeros_like(inputs)
        values[:, channel] = torch.zeros_like(flat).scatter(1, strongest, flat.gather(1, strongest)).view_as(
            inputs[:, channel]
        )
        for number, size, switches in reversed(trail):
            conv = cast(nn.Conv2d, self.get_submodule(f"conv{number}"))
            kernel, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
            if switches is not None:
                high, wide = ((side + 2 * padding - kernel) // stride + 1 for side in size)
                values = unpool(values, switches, (high, wide))
            values = transposed_convolution(F.relu(values), conv.weight, stride, padding, (size[0], size[1]))
        return values


def zfnet(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5) -> ZFNet:
    """ZFNet; 62,357,608 parameters at 1000 classes. width: factor on the number of channels of every layer."""
    return ZFNet(num_classes, in_channels, width, dropout)


def demo() -> tuple[ZFNet, tuple[torch.Tensor, ...]]:
    """A net of an eighth of the width for 10 classes, and three pictures of 64 × 64."""
    return zfnet(num_classes=10, width=0.125), (torch.randn(3, 3, 64, 64),)
