"""LeNet-5: the convolutional network that read handwritten digits.

Paper: LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 1998.

The idea: a feature that is worth looking for in one place is worth looking for everywhere, so one small window of
weights slides over the picture (shared weights, local receptive fields); halving the map after each such layer makes
the answer care less where exactly a stroke lies; and everything, from pixels to the answer, is trained by one gradient.

What differs from the paper: the second convolution reads all six maps (the paper wires ten of each sixteen by hand);
pooling has no weights; the answer is a linear layer and not distances to drawn digits. `activation="tanh",
pooling="average"` comes nearest to the paper; ReLU and maxima, the usual reading today, learn faster.

What to notice: 61,706 parameters for 28 × 28 grey pictures and 10 classes, and 48,120 of them sit in the first dense
layer: convolutions are cheap in weights. With size 28 the first layer pads by 2, which gives the paper's 32 × 32.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.nn.convolution.pooling import max_pool_2x2
from gradatim.nn.init import initialise_convolutional
from gradatim.nn.precision import at_least_float32

ACTIVATIONS: dict[str, Callable[..., torch.Tensor]] = {"relu": F.relu, "tanh": torch.tanh}
POOLINGS: dict[str, Callable[..., torch.Tensor]] = {
    "maximum": max_pool_2x2, "average": partial(F.avg_pool2d, kernel_size=2)
}  # fmt: skip


class LeNet(nn.Module):
    """Two convolutions with pooling, then dense layers of 120, 84 and num_classes.

    forward: float (B, in_channels, size, size) → float32 logits (B, num_classes), or features (B, 84) when num_classes
    is 0.
    """

    def __init__(self, num_classes: int, in_channels: int, size: int, activation: str, pooling: str) -> None:
        super().__init__()
        if size < 12:
            raise ValueError(f"expected pictures of at least 12 pixels, received {size}")
        if activation not in ACTIVATIONS or pooling not in POOLINGS:
            raise ValueError(
                f"expected an activation among {', '.join(ACTIVATIONS)} and a pooling among {', '.join(POOLINGS)}, "
                f"received '{activation}' and '{pooling}'"
            )
        self.activation, self.pooling = activation, pooling
        side = (size // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.num_features = 84
        self.fc3 = nn.Linear(84, num_classes) if num_classes else nn.Identity()
        initialise_convolutional(self)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        act, pool = ACTIVATIONS[self.activation], POOLINGS[self.pooling]
        values = pool(act(self.conv1(pictures)))
        values = pool(act(self.conv2(values))).flatten(1)
        values = act(self.fc2(act(self.fc1(values))))
        return at_least_float32(self.fc3(values))


def lenet5(
    num_classes: int = 10, in_channels: int = 1, size: int = 28, activation: str = "relu", pooling: str = "maximum"
) -> LeNet:
    """LeNet-5 for square pictures of `size` pixels; 61,706 parameters at 28 grey pixels and 10 classes."""
    return LeNet(num_classes, in_channels, size, activation, pooling)


def demo() -> tuple[LeNet, tuple[torch.Tensor, ...]]:
    """LeNet-5 for 10 classes and three grey pictures of 28 × 28."""
    return lenet5(), (torch.randn(3, 1, 28, 28),)
