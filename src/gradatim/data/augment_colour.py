"""Light, colour, noise, blur and cutout: changes that leave everything where it is.

Brightness, contrast, saturation, hue and grey are affine maps of colours, so one 3 × 3 matrix and one offset a picture
do them all (Haeberli 1993, "Matrix operations for image processing"): brightness and contrast scale, the latter about
the picture's mean luminance; saturation moves between luminance and colour; hue turns the two chroma axes of YIQ.
The results are those of PIL's ImageEnhance, but cut to the range once at the end and not after every step; hue keeps
the luminance, where turning it in HSV would not. Cutout: DeVries and Taylor (2017).
"""

import numpy as np
import torch

from gradatim.data.augment_options import Augmentation
from gradatim.data.augment_random import RowRandom

LUMINANCE = np.array([0.299, 0.587, 0.114])
# RGB → YIQ (NTSC 1953)
YIQ = np.array([LUMINANCE, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
BACK = np.linalg.inv(YIQ)


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
    """Pictures float32 (B, C, H, W) through a Gaussian of 0 to `options.blur` pixels, each its own.

    Both passes are products with a band matrix a row, whose rows sum to 1: the edge is repeated.
    """
    deviations = options.blur * random.uniform("blur")[:, 0]
    height, width = pictures.shape[-2:]
    down = _on(gaussian_bands(deviations, height), pictures)[:, None]
    along = down if height == width else _on(gaussian_bands(deviations, width), pictures)[:, None]
    return down @ pictures @ along.transpose(-1, -2)


def gaussian_bands(deviations: np.ndarray, size: int) -> np.ndarray:
    """Matrices (B, size, size) that blur a line of pixels whose ends are repeated, up to 4 deviations away."""
    reach = min(int(np.ceil(4 * float(deviations.max(initial=0.0)))), 4 * size)
    steps = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (steps / np.maximum(deviations, 1e-3)[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    bands = np.zeros((len(deviations), size, size))
    lines = np.arange(size)
    for place, step in enumerate(steps):
        bands[:, lines, np.clip(lines + step, 0, size - 1)] += _repeated(weights[:, place], size)
    return bands


def _repeated(values: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(values[:, None], count, axis=1)


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
