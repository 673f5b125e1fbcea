"""Any sound as mono float32 samples at one rate: what a file or an array means, before its spectrum is taken."""

import io
import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import firwin, resample_poly

from gradatim.data.codecs.cell_files import check_size, file_cell, read_bytes, shown
from gradatim.errors import CellError

RATES = (1_000, 768_000)  # hertz taken for real; other headers are damaged
MOST_CHANNELS = 64
LOUDEST = 1e6  # float samples beyond are cut here, so that their squares stay finite
FINEST = 2_000  # largest number in a resampling ratio


def read_sound(cell: object, folder: Path | None, *, hertz: int, max_seconds: float | None, max_bytes: int,
               limit_seconds: float) -> tuple[np.ndarray, float]:
    """Mono samples of the first `max_seconds` at `hertz`, and the duration of the whole in seconds.

    Channels are averaged; samples that are no numbers become 0. Nothing beyond `max_seconds` is decoded.
    Errors: CellError 'audio-missing', 'audio-outside', 'audio-too-large', 'audio-too-long', 'audio-unreadable'.
    """
    content = file_cell(cell)
    name = shown(content) if isinstance(content, str) else "sound"
    if isinstance(content, str):
        content = read_bytes(content, folder, kind="audio", max_bytes=max_bytes)
    elif content is not None:
        check_size(len(content), name, kind="audio", max_bytes=max_bytes)
    if content is None:
        samples, rate, seconds = _of_array(cell, max_seconds, limit_seconds)
    else:
        samples, rate, seconds = _of_file(content, name, max_seconds, limit_seconds)
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    mono = np.clip(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)
    return resample(mono.astype(np.float32), rate, hertz), seconds


def sound_header(cell: object, folder: Path | None, *, max_bytes: int, limit_seconds: float) -> tuple[int, int, float]:
    """Sampling rate in hertz, channels, and seconds, of a file from its header alone; errors as `read_sound`."""
    content = file_cell(cell)
    name = shown(content) if isinstance(content, str) else "sound"
    if isinstance(content, str):
        content = read_bytes(content, folder, kind="audio", max_bytes=max_bytes)
    if content is None:
        samples, rate, seconds = _of_array(cell, None, limit_seconds)
        return rate, 1 if samples.ndim == 1 else samples.shape[1], seconds
    check_size(len(content), name, kind="audio", max_bytes=max_bytes)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            seconds = _check_header(name, file.samplerate, file.channels, file.frames, limit_seconds)
            return file.samplerate, file.channels, seconds
    except CellError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from None


def duration(cell: object, folder: Path | None, *, max_bytes: int, limit_seconds: float) -> float:
    """Seconds, from the header alone."""
    return read_sound(cell, folder, hertz=16_000, max_seconds=0.0, max_bytes=max_bytes, limit_seconds=limit_seconds)[1]


def resample(samples: np.ndarray, rate: int, hertz: int) -> np.ndarray:
    """Mono samples from one rate to another by a polyphase low-pass filter (Kaiser window, 20 zero crossings).

    The ratio is exact when both numbers of the reduced fraction are at most 2,000; else the nearest such fraction,
    a detuning under 1 in 10⁶ for rates in use.

    >>> len(resample(np.zeros(44_100, np.float32), 44_100, 16_000))
    16000
    """
    if rate == hertz or not len(samples):
        return samples
    ratio = Fraction(hertz, rate)
    if max(ratio.numerator, ratio.denominator) > FINEST:
        inverse = ratio > 1
        ratio = (1 / ratio if inverse else ratio).limit_denominator(FINEST)
        ratio = 1 / ratio if inverse else ratio
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(samples, up, down, window=_low_pass(up, down)).astype(np.float32)


@lru_cache(maxsize=64)
def _low_pass(up: int, down: int) -> np.ndarray:
    widest = max(up, down)
    return firwin(2 * 10 * widest + 1, 1 / widest, window=("kaiser", 5.0)).astype(np.float32)


def _of_file(content: bytes, name: str, max_seconds: float | None,
             limit_seconds: float) -> tuple[np.ndarray, int, float]:
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate, frames = file.samplerate, file.frames
            seconds = _check_header(name, rate, file.channels, frames, limit_seconds)
            wanted = frames if max_seconds is None else min(frames, math.ceil(max_seconds * rate))
            # What the header promises may be far more than what the file holds: memory follows the data.
            blocks = list(_blocks(file, wanted))
    except CellError:
        raise
    except Exception as error:  # libsndfile and its binding raise several kinds
        raise _unreadable(name, error) from None
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    if len(samples) < 0.9 * wanted:  # some MP3 headers only estimate
        raise CellError("audio-unreadable", f"{name}: expected {wanted} samples as the header promises, "
                                            f"found {len(samples)}; the file is truncated")
    return samples, rate, seconds


def _unreadable(name: str, error: Exception) -> CellError:
    reason = str(error).rpartition(": ")[2] or type(error).__name__
    return CellError("audio-unreadable", f"{name}: expected a sound (WAV, FLAC, OGG, MP3), received something else or "
                                         f"damaged data ({reason})")


def _blocks(file: soundfile.SoundFile, wanted: int) -> "list[np.ndarray]":
    blocks, left = [], wanted
    while left > 0:
        block = file.read(min(left, 1 << 18), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block.mean(axis=1, keepdims=True))
        left -= len(block)
    return blocks


def _of_array(cell: object, max_seconds: float | None, limit_seconds: float) -> tuple[np.ndarray, int, float]:
    """A pair (samples, rate), or an object {"array", "sampling_rate"} as in data sets of the Hub."""
    if isinstance(cell, dict) and {"array", "sampling_rate"} <= cell.keys():
        cell = (cell["array"], cell["sampling_rate"])
    try:
        pair: Any = cell
        values, given = pair
        samples, rate = np.asarray(values), int(given)
    except (TypeError, ValueError):
        samples, rate = np.zeros((1, 1, 1)), 0
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "buif":
        raise CellError("audio-unreadable", "expected a file name, bytes or a pair (samples, rate), "
                                            f"received {type(cell).__name__}")
    if not samples.size:
        samples = np.zeros(0)
    elif samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T  # (channels, N), as torch has it, to (N, channels)
    frames = samples.shape[0]
    channels = samples.shape[1] if samples.ndim == 2 else 1
    seconds = _check_header("sound", rate, channels, frames, limit_seconds)
    if max_seconds is not None:
        samples = samples[: math.ceil(max_seconds * rate)]
    if samples.dtype.kind == "i":
        scaled = samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min)
    elif samples.dtype == np.uint8:
        scaled = (samples.astype(np.float64) - 128) / 128
    else:
        scaled = samples.astype(np.float64)
    return scaled, rate, seconds


def _check_header(name: str, rate: int, channels: int, frames: int, limit_seconds: float) -> float:
    if not RATES[0] <= rate <= RATES[1] or not 1 <= channels <= MOST_CHANNELS or frames < 0:
        raise CellError("audio-unreadable", f"{name}: expected {RATES[0]}–{RATES[1]} Hz and 1–{MOST_CHANNELS} "
                                            f"channels, the header says {rate} Hz and {channels}")
    seconds = frames / rate
    if seconds > limit_seconds:
        raise CellError("audio-too-long", f"{name}: expected at most {limit_seconds:g} seconds, its header promises "
                                          f"{seconds:.0f}; raise the option limit_seconds")
    return seconds
