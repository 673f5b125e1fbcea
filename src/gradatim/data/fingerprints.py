"""What is compared of a cell when duplicates are looked for: pixels, waveform, full text, or the cell itself.

Every cell is read once. A picture leaves a digest of its decoded pixels, a 32×32 grey and an 8×8 colour thumbnail;
a sound a digest of its samples and an 8×8 map of where its energy lies in time and frequency; a text itself without
its case and spacing. Sizes, formats and durations are kept beside, since the audit looks for shortcuts in them.
"""

import hashlib
import io
import os
import stat
import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import CellError, DataError
from gradatim.files import path_under
from gradatim.problems import Problems

MAX_PIXELS = 100_000_000
GREY, COLOUR = 32, 8  # thumbnail edges
BANDS = 8  # of the energy map of a sound, in time and in frequency
HERTZ = 8_000
SECONDS = 60  # of a sound that are compared
DRAFT_PIXELS = 1_000_000  # JPEG above this is decoded at a reduced scale, at least 256 px an edge
FACTS = ("bytes", "width", "height", "seconds", "hertz", "channels")

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Prints:
    """The comparable content of one column, one entry a row; None and zeros where missing or unreadable.

    ids: equal exactly when two cells have the same content (a 128-bit digest for pictures and sounds);
    grey: uint8 (N, 32, 32), colour: uint8 (N, 8, 8, 3) of pictures; energy: float32 (N, 64) of sounds;
    facts: float (N,) by name (bytes, width, height, seconds, hertz, channels), NaN where unknown;
    formats, names: file format and file name; sources: (cell, folder), to decode a sound again.
    """

    column: str
    kind: str
    ids: list[Hashable | None]
    grey: np.ndarray | None = None
    colour: np.ndarray | None = None
    energy: np.ndarray | None = None
    facts: dict[str, np.ndarray] = field(default_factory=dict)
    formats: list[str | None] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    sources: list[tuple[object, Path | None]] = field(default_factory=list)
    unreadable: dict[int, CellError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Look:
    """One decoded picture or sound, reduced to what is compared."""

    digest: bytes
    grey: np.ndarray | None
    colour: np.ndarray | None
    energy: np.ndarray | None
    facts: dict[str, float]
    format: str | None


def read_prints(
    table: Table,
    schema: Schema,
    *,
    problems: Problems | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> dict[str, Prints]:
    """The prints of every input column; cells that cannot be read are listed in `problems` and never raise."""
    prints = {}
    for column in schema.inputs:
        if column.name not in table.frame.columns:
            continue
        found = _print_column(table, column, max_pixels, progress)
        prints[column.name] = found
        for row, error in found.unreadable.items() if problems is not None else ():
            assert problems is not None
            problems.add(error.code, str(error), column=column.name, row=row, line=table.line(row))
    return prints


def join(first: dict[str, Prints], second: dict[str, Prints]) -> dict[str, Prints]:
    """The prints of two tables one below the other, for the columns that both have."""
    joined = {}
    for name in first.keys() & second.keys():
        a, b = first[name], second[name]
        if a.kind != b.kind:
            continue
        joined[name] = Prints(
            name, a.kind, a.ids + b.ids,
            _stack(a.grey, b.grey), _stack(a.colour, b.colour), _stack(a.energy, b.energy),
            {fact: np.concatenate([a.facts[fact], b.facts[fact]]) for fact in a.facts.keys() & b.facts.keys()},
            a.formats + b.formats, a.names + b.names, a.sources + b.sources,
            {**a.unreadable, **{row + len(a): error for row, error in b.unreadable.items()}},
        )
    return {name: joined[name] for name in first if name in joined}


def normal_text(text: str) -> str:
    """A text without its case and its spacing.

    >>> normal_text("  A  Cat ")
    'a cat'
    """
    return " ".join(text.casefold().split())


def look_at_picture(cell: object, folder: Path | None, max_pixels: int = MAX_PIXELS) -> Look:
    """Decode one picture (a file name, bytes, a PIL picture, an array (H, W[, C])) and reduce it.

    The size is read from the header, and a picture of more than `max_pixels` is refused before it is decoded.
    Raises CellError with codes image-missing, image-unreadable, image-too-large.
    """
    content, facts = _content(cell, folder, "image")
    try:
        picture = _opened(content)
        if picture.width * picture.height > max_pixels:
            raise CellError(
                "image-too-large",
                f"expected at most {max_pixels} pixels, the header says {picture.width}×{picture.height}; shrink it",
            )
        facts |= {"width": float(picture.width), "height": float(picture.height)}
        size, name = picture.size, picture.format
        if name == "JPEG" and picture.width * picture.height > DRAFT_PIXELS:
            picture.draft("RGB", (256, 256))
        plain = _plain(picture)
    except CellError:
        raise
    except Image.DecompressionBombError as error:
        raise CellError("image-too-large", f"expected at most {max_pixels} pixels: {error}") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError) as error:
        raise CellError("image-unreadable", f"expected a picture in {_named(cell)}: {_short(error)}") from None
    digest = hashlib.blake2b(plain.tobytes(), digest_size=16, key=f"{max(size)}:{plain.size}".encode()).digest()
    # The triangle filter averages when it shrinks and interpolates when it enlarges, so copies of other sizes agree.
    grey = np.asarray(plain.convert("L").resize((GREY, GREY), Image.Resampling.BILINEAR))
    colour = np.asarray(plain.resize((COLOUR, COLOUR), Image.Resampling.BILINEAR))
    return Look(digest, grey, colour, None, facts, name)


def look_at_sound(cell: object, folder: Path | None) -> Look:
    """Decode the first 60 s of a sound and reduce it. Raises CellError (audio-missing, audio-unreadable)."""
    samples, hertz, seconds, facts, name = _samples(cell, folder)
    digest = hashlib.blake2b(samples.tobytes(), digest_size=16, key=f"{hertz}:{seconds:.6f}".encode()).digest()
    facts |= {"seconds": seconds, "hertz": float(hertz), "channels": float(samples.shape[1])}
    return Look(digest, None, None, _energy(_at_8_kilohertz(samples, hertz)), facts, name)


def waveform(cell: object, folder: Path | None) -> np.ndarray:
    """The first 60 s of a sound as one channel at 8 kHz, float32 (T,), silence at both ends removed."""
    samples, hertz, _, _, _ = _samples(cell, folder)
    return _without_silence(_at_8_kilohertz(samples, hertz))


def _print_column(table: Table, column: Column, max_pixels: int, progress: Progress | None) -> Prints:
    cells = table.cells(column.name)
    if column.kind == "image":
        look = partial(look_at_picture, folder=table.folder, max_pixels=max_pixels)
        with warnings.catch_warnings():  # Pillow warns from 89 megapixels on; the limit here is our own
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _print_media(table, column, look, cells, progress)
    if column.kind == "audio":
        return _print_media(table, column, partial(look_at_sound, folder=table.folder), cells, progress)
    if column.kind == "text":
        return Prints(column.name, "text", [None if cell is None else normal_text(str(cell)) or None for cell in cells])
    return Prints(column.name, column.kind, [_scalar(cell) for cell in cells])


def _print_media(
    table: Table, column: Column, look: Callable[[object], Look], cells: list, progress: Progress | None
) -> Prints:
    looks = _map_cells(look, cells, progress)
    count = len(cells)
    prints = Prints(column.name, column.kind, [None] * count, formats=[None] * count, names=[None] * count)
    prints.sources = [(cell, table.folder) for cell in cells]
    prints.facts = {fact: np.full(count, np.nan) for fact in FACTS}
    if column.kind == "image":
        prints.grey = np.zeros((count, GREY, GREY), np.uint8)
        prints.colour = np.zeros((count, COLOUR, COLOUR, 3), np.uint8)
    else:
        prints.energy = np.zeros((count, BANDS * BANDS), np.float32)
    for row, found in enumerate(looks):
        prints.names[row] = cells[row] if isinstance(cells[row], str) else None
        if isinstance(found, CellError):
            prints.unreadable[row] = found
        if not isinstance(found, Look):
            continue
        prints.ids[row], prints.formats[row] = found.digest, found.format
        for store, value in ((prints.grey, found.grey), (prints.colour, found.colour), (prints.energy, found.energy)):
            if store is not None and value is not None:
                store[row] = value
        for fact, number in found.facts.items():
            prints.facts[fact][row] = number
    return prints


def _map_cells(
    look: Callable[[object], Look], cells: Sequence[object], progress: Progress | None
) -> list[Look | CellError | None]:
    def safe(cell: object) -> Look | CellError | None:
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        try:
            return look(cell)
        except CellError as error:
            return error

    started = time.perf_counter()
    results = [safe(cell) for cell in cells[:32]]
    seconds_each = (time.perf_counter() - started) / max(1, len(results))
    rest = cells[32:]
    # Small pictures spend their time in Python, where threads only fight for the interpreter (3× slower at 28×28).
    if seconds_each > 2e-3 and len(rest) > 32:
        with ThreadPoolExecutor(2) as pool:
            for result in pool.map(safe, rest):
                _append(results, result, len(cells), progress)
    else:
        for cell in rest:
            _append(results, safe(cell), len(cells), progress)
    return results


def _append(results: list, result: object, total: int, progress: Progress | None) -> None:
    results.append(result)
    if progress is not None and (len(results) % 500 == 0 or len(results) == total):
        progress(len(results), total)


def _content(cell: object, folder: Path | None, kind: str) -> tuple[object, dict[str, float]]:
    """What to decode (a path, a stream or an object in memory), and its size in bytes when it has one."""
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
        cell = cell["bytes"]
    if isinstance(cell, bytes | bytearray):
        return io.BytesIO(bytes(cell)), {"bytes": float(len(cell))}
    if not isinstance(cell, str | Path):
        return cell, {}
    try:
        path, status = _file_in(folder, str(cell)) if folder is not None else (str(cell), os.stat(cell))
    except DataError as error:
        raise CellError(f"{kind}-missing", str(error)) from None
    except OSError:
        where = "" if folder is None else f" in {folder}"
        raise CellError(f"{kind}-missing", f"expected a file, found no '{cell}'{where}; check the name") from None
    except ValueError as error:  # a NUL byte
        raise CellError(f"{kind}-missing", f"expected a file name, received {cell!r}: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CellError(f"{kind}-missing", f"expected a file, '{cell}' is not one; check the name")
    return path, {"bytes": float(status.st_size)}


def _file_in(folder: Path, name: str) -> tuple[str, os.stat_result]:
    """The path of a file inside the folder and its status; `path_under` decides wherever a link could lead outside."""
    parent, base = os.path.split(name)
    path = os.path.join(_folder_in(folder, parent or "."), base)
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        path = str(path_under(folder, name))
        status = os.stat(path)
    return path, status


@lru_cache(maxsize=4096)
def _folder_in(folder: Path, name: str) -> str:
    return str(path_under(folder, name))  # 40 µs, too much to spend on each file of a folder


def _opened(content: object) -> Image.Image:
    if isinstance(content, Image.Image):
        return content
    if isinstance(content, np.ndarray):
        array = content[..., 0] if content.ndim == 3 and content.shape[-1] == 1 else content
        if array.dtype.kind == "f":
            array = np.clip(array * (255.0 if array.size and np.nanmax(array) <= 1.0 else 1.0), 0, 255).astype(np.uint8)
        return Image.fromarray(array.astype(np.uint8) if array.dtype == bool else array)
    if not isinstance(content, str | io.BytesIO):
        raise TypeError(f"received {type(content).__name__}")
    return Image.open(content)


def _plain(picture: Image.Image) -> Image.Image:
    """The first frame, upright, as RGB; see-through pixels lie on mid-grey, where white and black shapes both show."""
    picture.load()
    if picture.mode in ("L", "RGB") and picture.format == "PNG" and not picture.info:
        return picture.convert("RGB")
    if picture.format in ("JPEG", "MPO", "TIFF", "WEBP") or "exif" in picture.info:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        array = np.asarray(picture).astype(np.float64)
        if picture.mode == "F":
            low, high = (float(np.nanmin(array)), float(np.nanmax(array))) if array.size else (0.0, 1.0)
            array = (np.nan_to_num(array, nan=low) - low) / (high - low or 1.0) * 65535
        # Pillow reads 16-bit PNG as mode I in some versions: its range tells.
        picture = Image.fromarray(np.clip(array / (257.0 if array.size and array.max() > 255 else 1.0), 0, 255)
                                  .astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        top = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", top.size, (128, 128, 128, 255)), top).convert("RGB")
    return picture.convert("RGB")


def _samples(cell: object, folder: Path | None) -> tuple[np.ndarray, int, float, dict[str, float], str | None]:
    """Samples float32 (T, channels) of the first 60 s, hertz, whole duration, facts, format."""
    import soundfile

    content, facts = _content(cell, folder, "audio")
    try:
        if isinstance(content, str | io.BytesIO):
            with soundfile.SoundFile(content) as file:
                hertz, seconds = file.samplerate, file.frames / max(1, file.samplerate)
                samples = file.read(frames=SECONDS * hertz, dtype="float32", always_2d=True)
                return np.nan_to_num(samples), hertz, seconds, facts, file.format
        samples, hertz = _array_sound(content)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError) as error:
        raise CellError("audio-unreadable", f"expected a sound in {_named(cell)}: {_short(error)}") from None
    return samples[: SECONDS * hertz], hertz, len(samples) / hertz, facts, None


def _array_sound(content: Any) -> tuple[np.ndarray, int]:
    """Samples in memory: an array at 16 kHz, (samples, hertz), or {"array": …, "sampling_rate": …}."""
    hertz = 16_000
    if isinstance(content, dict):
        content, hertz = content["array"], int(content.get("sampling_rate", hertz))
    elif isinstance(content, tuple):
        content, hertz = content[0], int(content[1])
    samples = np.nan_to_num(np.asarray(content, dtype=np.float32))
    if samples.ndim not in (1, 2) or hertz < 1:
        raise ValueError(f"received an array of shape {samples.shape} at {hertz} Hz")
    return (samples[:, None] if samples.ndim == 1 else samples), hertz


def _at_8_kilohertz(samples: np.ndarray, hertz: int) -> np.ndarray:
    from math import gcd

    from scipy.signal import resample_poly

    mono = samples.mean(axis=1) if len(samples) else np.zeros(0, np.float32)
    if hertz == HERTZ or len(mono) < 2:
        return mono.astype(np.float32)
    common = gcd(HERTZ, hertz)
    if hertz // common > 2000:  # an odd rate would need a filter of millions of taps; the nearest kilohertz is enough
        hertz = max(1000, round(hertz / 1000) * 1000)
        common = gcd(HERTZ, hertz)
    return resample_poly(mono, HERTZ // common, hertz // common).astype(np.float32)


def _without_silence(wave: np.ndarray) -> np.ndarray:
    """Without what is 40 dB under the peak at both ends: encoders pad there."""
    loud = np.flatnonzero(np.abs(wave) > 0.01 * np.abs(wave).max()) if len(wave) else np.zeros(0, int)
    return wave[loud[0] : loud[-1] + 1] if len(loud) else wave[:0]


def _energy(wave: np.ndarray) -> np.ndarray:
    """Square root of the share of energy in 8 stretches of time × 8 bands: a unit vector, float32 (64,)."""
    wave = _without_silence(wave)
    if len(wave) == 0:
        return np.zeros(BANDS * BANDS, np.float32)
    wave = np.pad(wave, (0, max(0, 256 * BANDS - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, 256)[::128] * np.hanning(256).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    edges = np.round(128 * (np.geomspace(1, 9, BANDS + 1) - 1) / 8).astype(int)
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    stretches = np.stack([part.sum(axis=0) for part in np.array_split(bands, BANDS)])
    return np.sqrt(stretches / max(stretches.sum(), 1e-30)).astype(np.float32).ravel()


def _scalar(cell: object) -> Hashable | None:
    """A number, category or time cell so that '1.0' and ' 1' are the same."""
    if cell is None:
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return None
        if text[0] in "+-.0123456789":
            try:
                return float(text)
            except ValueError:
                return text
        return text
    if isinstance(cell, float) and cell != cell:
        return None
    if isinstance(cell, bool | int | float):
        return float(cell)
    return cell if isinstance(cell, Hashable) else repr(cell)


def _stack(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return None if a is None or b is None else np.concatenate([a, b])


def _named(cell: object) -> str:
    return f"'{cell}'" if isinstance(cell, str | Path) else type(cell).__name__


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
