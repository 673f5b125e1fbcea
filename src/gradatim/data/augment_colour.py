"""Light, colour, noise, blur and cutout: changes that leave everything where it is.

Brightness, contrast, saturation, hue and grey are affine maps of colours, so one 3 × 3 matrix and one offset a picture
do them all (Haeberli 1993, "Matrix operations for image processing"): brightness and contrast scale, the latter about
the picture's mean luminance; saturation moves between luminance and colour; hue turns the two chroma axes of YIQ.
The results are those of PIL's ImageEnhance, but cut to the range once at the end and not after every step; hue keeps
the luminance, where turning it in HSV would not. Cutout: DeVries and Taylor (2017).
"""

import math

import numpy as np
import torch

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom

LUMINANCE = np.array([0.299, 0.587, 0.114])
# RGB → YIQ (NTSC 1953)
YIQ = np.array([LUMINANCE, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
BACK = np.linalg.inv(YIQ)
REACH = 4  # deviations, at which a Gaussian is cut


def relight(pictures: torch.Tensor, options: Augmentation, random: RowRandom) -> torch.Tensor:
    """Pictures float32 (B, C, H, W) in 0…255 under another light; C = 3 is RGB, others know no colours."""
    batch, channels = pictures.shape[:2]
    brightness = 1 + random.spread("brightness", options.brightness)
    contrast = 1 + random.spread("contrast", options.contrast)
    scale = brightness * contrast
    means = torch.zeros(batch, device=pictures.device)
    if options.contrast:
        weights = LUMINANCE if channels == 3 else np.full(channels, 1 / channels)
        each = torch.tensor(weights, dtype=torch.float32, device=pictures.device)
        means = (pictures.mean((2, 3)) * each).sum(1)
    offset = _on(((1 - contrast) * brightness), pictures) * means
    if channels == 3 and (options.saturation or options.hue or options.grey):
        matrix = _on(scale[:, None, None] * colour_matrices(options, random), pictures)[..., None, None]
        red, green, blue = pictures.unbind(1)
        changed = torch.empty_like(pictures)
        for place in range(3):
            row = matrix[:, place]
            mix = torch.mul(red, row[:, 0], out=changed[:, place])
            mix.addcmul_(green, row[:, 1]).addcmul_(blue, row[:, 2])
    else:
        changed = pictures * _on(scale, pictures).view(-1, 1, 1, 1)
    if options.contrast:
        changed += offset.view(-1, 1, 1, 1)
    if options.noise:
        noise = random.noise("noise", tuple(pictures.shape[1:]), pictures.device)
        changed.add_(noise, alpha=255 * options.noise)
    return changed


def colour_matrices(options: Augmentation, random: RowRandom) -> np.ndarray:
    """Saturation, hue and grey of each row as one matrix on RGB, float64 (B, 3, 3); rows sum to 1."""
    saturation = 1 + random.spread("saturation", options.saturation)
    saturation = np.where(random.chance("grey", options.grey), 0.0, saturation)
    angle = 2 * np.pi * random.spread("hue", options.hue)
    chroma = np.zeros((len(random), 3, 3))
    chroma[:, 0, 0] = 1.0
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * np.cos(angle)
    chroma[:, 1, 2] = -saturation * np.sin(angle)
    chroma[:, 2, 1] = saturation * np.sin(angle)
    return BACK @ chroma @ YIQ


def blur(pictures: torch.Tensor, options: Augmentation, random: RowRandom) -> torch.Tensor:
    """Pictures float32 (B, C, H, W) through a Gaussian of 0 to `options.blur` pixels, each its own; edges repeated.

    A sum of shifted copies along one axis, then along the other: unlike a product of matrices it adds in the same
    order whatever the size of the batch, so that a row gets the same bits in any company.
    """
    deviations = options.blur * random.uniform("blur")[:, 0]
    weights = _on(gaussian_weights(deviations, math.ceil(REACH * options.blur)), pictures)
    for axis in (2, 3):
        pictures = _blurred(pictures, weights, axis)
    return pictures


def gaussian_weights(deviations: np.ndarray, reach: int) -> np.ndarray:
    """The weights of the pixels 0, 1 … `reach` steps away, float64 (B, reach + 1); over both sides they sum to 1."""
    steps = np.arange(reach + 1)
    weights = np.exp(-0.5 * (steps / np.maximum(deviations, 1e-3)[:, None]) ** 2)
    return weights / (2 * weights.sum(axis=1, keepdims=True) - weights[:, :1])


def _blurred(pictures: torch.Tensor, weights: torch.Tensor, axis: int) -> torch.Tensor:
    reach, size = weights.shape[1] - 1, pictures.shape[axis]
    places = torch.arange(-reach, size + reach, device=pictures.device).clamp_(0, size - 1)
    wide = pictures.index_select(axis, places)
    blurred = pictures * weights[:, 0].view(-1, 1, 1, 1)
    for step in range(1, reach + 1):
        both = wide.narrow(axis, reach - step, size) + wide.narrow(axis, reach + step, size)
        blurred.addcmul_(both, weights[:, step].view(-1, 1, 1, 1))
    return blurred


def cut_out(pictures: torch.Tensor, options: Augmentation, random: RowRandom) -> torch.Tensor:
    """Pictures of any type (B, C, H, W) with one square each filled with `options.fill`.

    The centre may lie anywhere, so that part of the square may fall outside (DeVries and Taylor, section 3.2).
    """
    height, width = pictures.shape[-2:]
    side = max(1, round(options.cutout * min(height, width)))
    middle = random.uniform("cutout", 2) * [height, width]
    hidden = []
    for axis, count in enumerate((height, width)):
        start = np.round(middle[:, axis, None] - side / 2)
        places = np.arange(count)
        hidden.append(torch.from_numpy((places >= start) & (places < start + side)).to(pictures.device))
    return pictures.masked_fill((hidden[0][:, :, None] & hidden[1][:, None, :])[:, None], options.fill)


def _on(values: np.ndarray, pictures: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(pictures.device)
