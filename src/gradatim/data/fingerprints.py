"""What is compared of a cell when duplicates are looked for: pixels, waveform, full text, or the cell itself.

Every cell is read once. A picture leaves a digest of its decoded pixels, a 32×32 grey and an 8×8 colour thumbnail;
a sound a digest of its samples and an 8×8 map of where its energy lies in time and frequency; a text itself without
its case and spacing. Sizes, formats and durations are kept beside, since the audit looks for shortcuts in them.
"""

import hashlib
import io
import time
import warnings
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from gradatim.data.codecs.cell_files import file_cell, read_bytes, shown
from gradatim.data.codecs.columns import distinct
from gradatim.data.codecs.picture import deepest, open_picture, upright
from gradatim.data.codecs.series_cells import read_series
from gradatim.data.codecs.sound import read_sound
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import CellError
from gradatim.problems import Problems

MAX_PIXELS = 64_000_000  # as the image codec has it
MAX_BYTES = 256 * 2**20
LIMIT_SECONDS = 3600.0
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
    formats, names: file format and file name; sources: (cell, folder), to decode a sound again;
    codes: int64 (N,) of numbers and categories, equal where the ids are, −1 where there is none.
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
    codes: np.ndarray | None = None

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


def look_at_picture(
    cell: object, folder: Path | None, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Look:
    """Decode one picture cell as the image codec does, and reduce it.

    The size is read from the header, and a picture of more than `max_pixels` is refused before it is decoded.
    Raises CellError (image-missing, image-outside, image-too-large, image-unreadable).
    """
    content, name, facts = _content(cell, folder, "image", max_bytes)
    try:
        picture = open_picture(content, None, max_bytes=max_bytes, max_pixels=max_pixels)
        width, height = picture.size
        facts |= {"width": float(width), "height": float(height)}
        written = picture.format
        draft = (256, 256) if width * height > DRAFT_PIXELS else None
        plain = upright(picture, white=deepest(picture) or 65535, draft=draft)
    except CellError as error:
        raise _with_name(error, name) from None
    rgb = plain.convert("RGB")
    digest = hashlib.blake2b(rgb.tobytes(), digest_size=16, key=f"{max(width, height)}:{rgb.size}".encode()).digest()
    # The triangle filter averages when it shrinks and interpolates when it enlarges, so copies of other sizes agree.
    grey = np.asarray(plain.convert("L").resize((GREY, GREY), Image.Resampling.BILINEAR))
    colour = np.asarray(rgb.resize((COLOUR, COLOUR), Image.Resampling.BILINEAR))
    return Look(digest, grey, colour, None, facts, written)


def look_at_sound(cell: object, folder: Path | None, *, max_bytes: int = MAX_BYTES) -> Look:
    """Decode the first 60 s of a sound cell at 8 kHz as the audio codec does, and reduce it.

    Raises CellError (audio-missing, audio-outside, audio-too-large, audio-too-long, audio-unreadable).
    """
    import soundfile

    content, name, facts = _content(cell, folder, "audio", max_bytes)
    try:
        wave, seconds = _wave(content)
    except CellError as error:
        raise _with_name(error, name) from None
    written = None
    if isinstance(content, bytes):
        header = soundfile.info(io.BytesIO(content))
        facts |= {"hertz": float(header.samplerate), "channels": float(header.channels)}
        written = header.format
    facts |= {"seconds": seconds}
    digest = hashlib.blake2b(wave.tobytes(), digest_size=16, key=f"{seconds:.6f}".encode()).digest()
    return Look(digest, None, None, _energy(wave), facts, written)


def waveform(cell: object, folder: Path | None) -> np.ndarray:
    """The first 60 s of a sound as one channel at 8 kHz, float32 (T,), silence at both ends removed."""
    return _without_silence(_wave(_content(cell, folder, "audio", MAX_BYTES)[0])[0])


def _print_column(table: Table, column: Column, max_pixels: int, progress: Progress | None) -> Prints:
    cells = table.cells(column.name) if column.kind in ("image", "audio", "series", "text") else []
    if column.kind == "image":
        look = partial(look_at_picture, folder=table.folder, max_pixels=max_pixels)
        with warnings.catch_warnings():  # Pillow warns from 89 megapixels on; the limit here is our own
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _print_media(table, column, look, cells, progress)
    if column.kind == "audio":
        return _print_media(table, column, partial(look_at_sound, folder=table.folder), cells, progress)
    if column.kind == "series":
        return _print_series(table, column, cells)
    if column.kind == "text":
        return Prints(column.name, "text", [None if cell is None else normal_text(str(cell)) or None for cell in cells])
    return _print_scalars(column, table.frame.get_column(column.name))


def _print_scalars(column: Column, cells: pl.Series) -> Prints:
    """Numbers, categories and times: each different cell is looked at once."""
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        return Prints(column.name, column.kind, [_scalar(cell) for cell in cells.to_list()])
    numbers = cells.str.strip_chars().cast(pl.Float64, strict=False) if cells.dtype == pl.String else None
    if numbers is not None and numbers.is_finite().fill_null(False).all():
        codes = np.unique(numbers.to_numpy(), return_inverse=True)[1]  # all plain numbers: no cell is looked at
        return Prints(column.name, column.kind, numbers.to_list(), codes=codes)
    values, places = distinct(cells)
    scalars = [*map(_scalar, values), None]
    known: dict[Hashable, int] = {}
    codes = np.array([-1 if value is None else known.setdefault(value, len(known)) for value in scalars])[places]
    return Prints(column.name, column.kind, [scalars[place] for place in places.tolist()], codes=codes)


def _print_series(table: Table, column: Column, cells: list) -> Prints:
    """Series are the same where their numbers are, however these are written."""
    prints = Prints(column.name, "series", [None] * len(cells))
    for row, cell in enumerate(cells):
        try:
            series = read_series(cell, table.folder)
        except CellError as error:
            prints.unreadable[row] = error
            continue
        if series is not None:
            key = repr(series.shape).encode()
            prints.ids[row] = hashlib.blake2b(series.tobytes(), digest_size=16, key=key).digest()
    return prints


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


def _content(
    cell: object, folder: Path | None, kind: str, max_bytes: int
) -> tuple[object, str | None, dict[str, float]]:
    """The bytes of a file (or the cell itself when it is none), its name, and its size among the facts."""
    content = file_cell(cell)
    name = shown(content) if isinstance(content, str) else None
    if isinstance(content, str):
        content = read_bytes(content, folder, kind=kind, max_bytes=max_bytes)
    if content is None:
        return cell, None, {}
    return content, name, {"bytes": float(len(content))}


def _with_name(error: CellError, name: str | None) -> CellError:
    """The error of a decoder that was given bytes, with the name of their file."""
    if name is None:
        return error
    return CellError(error.code, f"{name}: " + str(error).removeprefix("picture: ").removeprefix("sound: "))


def _wave(content: object) -> tuple[np.ndarray, float]:
    return read_sound(content, None, hertz=HERTZ, max_seconds=SECONDS, max_bytes=MAX_BYTES, limit_seconds=LIMIT_SECONDS)


def _without_silence(wave: np.ndarray) -> np.ndarray:
    """Without what is 30 dB under the peak at both ends: encoders pad and add noise there."""
    loud = np.flatnonzero(np.abs(wave) > 0.03 * np.abs(wave).max()) if len(wave) else np.zeros(0, int)
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
