"""How the weights of a convolutional net without batch norm start: the scale must hold through every layer."""

from collections.abc import Iterable

from torch import nn

from gradatim.nn.init import RELU_GAIN, kaiming_normal_, zero_


def initialise_without_norm(network: nn.Module, *, heads: Iterable[nn.Module] = ()) -> None:
    """Kaiming normal by fan in for convolutions and linear layers, biases 0, in place.

    `heads` are the layers that give logits: no ReLU follows, so their gain is 1. The first papers drew every weight
    with deviation 0.01, which fades through many layers; VGG could only be trained by growing it (Simonyan & Zisserman
    2015, § 3.1), until the start was scaled by the fan (He et al. 2015).
    """
    last = set(heads)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            kaiming_normal_(module.weight, gain=1.0 if module in last else RELU_GAIN)
            if module.bias is not None:
                zero_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
