"""What a network for pictures says of its input, and the two usual scales of pixels."""

import torch

from gradatim.errors import GradatimError

# torchvision's means and deviations of ImageNet's colours, red, green, blue
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def check_images(pictures: torch.Tensor, channels: int, least: int) -> None:
    """Refuse what is not float (B, channels, H, W) with both sides of at least `least` pixels, in one line.

    >>> check_images(torch.zeros(2, 3, 16, 20), 3, 32)
    Traceback (most recent call last):
    gradatim.errors.GradatimError: expected pictures (B, 3, H, W) of at least 32 x 32 pixels, received (2, 3, 16, ...
    """
    if pictures.dim() != 4 or pictures.shape[1] != channels or min(pictures.shape[-2:]) < least:
        raise GradatimError(
            f"expected pictures (B, {channels}, H, W) of at least {least} x {least} pixels, received "
            f"{tuple(pictures.shape)}; resize them, or take a network made for them"
        )


def imagenet_to_half(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures standardised by ImageNet's colours, standardised by mean 0.5 and deviation 0.5: (B, 3, H, W) → same.

    Weights that came from TensorFlow (torchvision's GoogLeNet and Inception v3) were trained on pixels in −1 … 1; this
    lets them take the input that all other published weights take.
    """
    bands = [
        pictures[:, band : band + 1] * (deviation / 0.5) + (mean - 0.5) / 0.5
        for band, (mean, deviation) in enumerate(zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True))
    ]
    return torch.cat(bands, 1)
