"""Transposed convolution: a convolution read backwards, from small maps to large ones."""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError


def transposed_convolution(
    values: torch.Tensor, weight: torch.Tensor, stride: int = 1, padding: int = 0, size: tuple[int, int] | None = None
) -> torch.Tensor:
    """The transpose of `conv2d(·, weight, stride, padding)`: (B, outputs, H', W') → (B, inputs, H, W).

    weight is that of the convolution, (outputs, inputs, k, k). H = (H' − 1) · stride − 2 · padding + k, or `size`,
    since a strided convolution maps up to `stride` sizes to one. "Deconvolution" is a misnomer: it does not undo the
    convolution, it is its adjoint, ⟨conv(x), y⟩ = ⟨x, transposed(y)⟩.
    """
    extra = [0, 0]
    if size is not None:
        for axis, (wanted, now) in enumerate(zip(size, values.shape[-2:], strict=True)):
            extra[axis] = wanted - ((now - 1) * stride - 2 * padding + weight.shape[2 + axis])
        if not all(0 <= number < stride for number in extra):
            raise GradatimError(
                f"expected a size that the convolution maps to {tuple(values.shape[-2:])}, received {tuple(size)}"
            )
    return F.conv_transpose2d(values, weight, stride=stride, padding=padding, output_padding=extra)


def by_inserting_zeros(
    values: torch.Tensor, weight: torch.Tensor, stride: int = 1, padding: int = 0
) -> torch.Tensor:
    """The same by its picture: spread the map with stride − 1 zeros between, pad, convolve with the turned kernel.

    Slower (it multiplies by the zeros), and the way to understand why overlapping windows print a chequered pattern
    when the kernel is no multiple of the stride.
    """
    rows, channels, height, width = values.shape
    spread = values.new_zeros(rows, channels, (height - 1) * stride + 1, (width - 1) * stride + 1)
    spread[:, :, ::stride, ::stride] = values
    turned = weight.flip(2, 3).transpose(0, 1)
    return F.conv2d(F.pad(spread, [weight.shape[-1] - 1 - padding] * 4), turned)


@torch.no_grad()
def bilinear_(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """Set a transposed convolution, in place, to enlarge each channel by itself with straight lines between pixels.

    The start of the up-sampling layers in fully convolutional nets (Long, Shelhamer & Darrell 2015, § 3.3). For a
    factor f take kernel 2f − f mod 2, stride f, padding ⌈(f − 1) / 2⌉.
    """
    kernel = layer.kernel_size[0]
    factor = (kernel + 1) // 2
    centre = factor - 1 if kernel % 2 else factor - 0.5
    line = 1 - (torch.arange(kernel) - centre).abs() / factor
    layer.weight.zero_()
    for channel in range(min(layer.weight.shape[:2])):
        layer.weight[channel, channel] = line[:, None] * line[None, :]
    if layer.bias is not None:
        layer.bias.zero_()
    return layer
