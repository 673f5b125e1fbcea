"""A contact sheet of augmentation: a row a picture or sound, the original first, then what each epoch would see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from gradatim.data.augment import Augmentation, AugmentRequest, Follow, augment, default_augmentation, mix
from gradatim.data.augment_sound import waves_of, with_waves
from gradatim.data.batch import Batch
from gradatim.data.codecs import Codec, codec_for
from gradatim.data.loader import encode_table
from gradatim.data.places import framed
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table
from gradatim.errors import DataError, SchemaError
from gradatim.evaluate.marks import draw_marks
from gradatim.evaluate.sound_drawing import coloured
from gradatim.evaluate.thumbnails import plain

PAPER, INK, MUTED, RULE = "#fcfcfa", "#1c2226", "#5d686f", "#dcdfdc"
CELL, GAP, MARGIN, LINE = 144, 8, 20, 18  # pixels
FIT_CELLS = 256  # cells on which size and mean are measured
SOUND, NOTHING = (168, 84), "#e4e4df"  # pixels of a spectrogram; the ground beyond a sound's end
LONGEST, SHORT = 20, 14  # letters under a picture, alone and beside a share


@dataclass(frozen=True, slots=True)
class Sheet:
    """The picture of the sheet, the options that were shown, and the rows of the table that they were shown on."""

    image: Image.Image
    options: Augmentation
    rows: list[int]
    kind: str = "image"


def augmentation_sheet(
    table: Table, schema: Schema, asked: AugmentRequest, *, column: str | None = None, rows: int = 6,
    variants: int = 6, seed: int = 0,
) -> Sheet:
    """Draw what `asked` does to some pictures or sounds of a table, spread over it; boxes and points with them.

    column: the one to show, where there are several. Errors: SchemaError where there is no such column or a choice,
    DataError where none of its cells can be read.
    """
    chosen = _shown_column(schema, column)
    kinds = {chosen.name: chosen.kind}
    asked.check(kinds)
    cells = table.cells(chosen.name)
    codec = codec_for(chosen).fit(cells[:: -(-len(cells) // FIT_CELLS)], table.folder)
    places = np.unique(np.linspace(0, len(table) - 1, min(len(table), 4 * rows)).astype(np.int64))
    some = table.take(places)
    targets = {c.name: codec_for(c, target=True).fit(table.cells(c.name)) for c in schema.targets
               if c.kind in ("boxes", "points")}
    encoded = encode_table(some, {chosen.name: codec, **targets})
    there = np.flatnonzero(encoded.present[chosen.name].numpy())[:rows]
    if not len(there):
        what = "picture" if chosen.kind == "image" else "sound"
        raise DataError(f"{table.source}: expected a readable {what} in '{chosen.name}', found none among {len(some)}")
    batch = encoded.batch(there, [chosen.name], list(targets))
    batch.rows = places[there]
    options = asked.of(chosen.name, chosen.kind, default_augmentation(chosen.kind, codec.describe()))
    follows = {name: Follow(c.kind, chosen.name, getattr(c, "mirror", None) or ()) for name, c in targets.items()}
    labels = _labels(some, schema, there)
    waves = waves_of(some, {chosen.name: codec}, {chosen.name: options}, numbers=places)
    batches, words = [batch], [labels]
    for epoch in range(variants):
        changed = augment(with_waves(batch, waves, seed=seed, epoch=epoch), {chosen.name: options}, kinds, seed=seed,
                          epoch=epoch, follows=follows)
        said: Sequence[str] = [""] * len(labels)
        if asked.mixup or asked.cutmix:
            mixed = mix(changed, kinds, mixup=asked.mixup, cutmix=asked.cutmix, seed=seed, epoch=epoch)
            changed, said = mixed.batch, _shares(labels, mixed.pair.tolist(), mixed.weight.tolist())
        batches.append(changed)
        words.append(list(said))
    titles = ["original", *(f"epoch {epoch + 1}" for epoch in range(variants))]
    if chosen.kind == "audio":
        columns, foot = _sounds(batches, chosen.name, words, codec.describe())
    else:
        columns = [_pictures(each, chosen.name, targets, said, named=each is batch)
                   for each, said in zip(batches, words)]
        foot = ""
    return Sheet(_composed(columns, titles, foot), options, batch.rows.tolist(), chosen.kind)


def _sounds(
    batches: Sequence[Batch], name: str, words: Sequence[Sequence[str]], described: Mapping[str, Any]
) -> tuple[list[list[tuple[Image.Image, str]]], str]:
    """The spectrograms of each batch at one scale of time and of power, with what is said of them, and the scales."""
    fields: list[Any] = [batch.inputs[name] for batch in batches]
    pace = float(described["frames_per_second"])
    longest = max(int(field["lengths"].max()) for field in fields)
    tops = fields[0]["log_mel"].amax((1, 2)).tolist()
    columns = []
    for field, said in zip(fields, words):
        column = []
        for values, frames, top, text in zip(field["log_mel"].numpy(), field["lengths"].tolist(), tops, said):
            wide = max(1, round(SOUND[0] * frames / longest))
            canvas = Image.new("RGB", SOUND, NOTHING)
            canvas.paste(coloured(values[:, :max(frames, 1)], (wide, SOUND[1]), top=top), (0, 0))
            column.append((canvas, " · ".join(filter(None, (text, f"{frames / pace:.2f} s")))))
        columns.append(column)
    return columns, (f"time to the right, {longest / pace:.2f} s in all; frequency upwards, 0 to "
                     f"{described['hertz'] / 2000:g} kHz, even in mel; grey: no sound")


def _shown_column(schema: Schema, name: str | None) -> Column:
    known = [column for column in schema.inputs if column.kind in ("image", "audio")]
    found = [column for column in known if name in (None, column.name)]
    if len(found) != 1:
        names = ", ".join(column.name for column in known) or "none"
        raise SchemaError(f"expected one column of pictures or sounds, found {names}; name one with --column" if known
                          else "expected a column of pictures or sounds, found none; see `gradatim schema`")
    return found[0]


def _labels(table: Table, schema: Schema, rows: np.ndarray) -> list[str]:
    """What each picture is, by its category target; its row else."""
    named = next((column.name for column in schema.targets if column.kind in ("category", "number")), None)
    if named is None:
        return [""] * len(rows)
    cells = table.cells(named)
    return ["" if cells[row] is None else plain(cells[row], LONGEST) for row in rows]


def _shares(labels: Sequence[str], pair: Sequence[int], weight: Sequence[float]) -> list[str]:
    """'62% cat' over '38% dog', or the label alone where it is the same."""
    said = []
    for label, other, share in zip(labels, pair, weight):
        parts = [f"{share:.0%} {label[:SHORT]}", f"{1 - share:.0%} {labels[other][:SHORT]}"]
        said.append(label if labels[other] == label and label else "\n".join(part.strip() for part in parts))
    return said


def _pictures(
    batch: Batch, name: str, targets: Mapping[str, Codec[Any]], said: Sequence[str], *, named: bool = False
) -> list[tuple[Image.Image, str]]:
    """The pictures of a batch with their marks (boxes with their labels if `named`), and the words below."""
    value = batch.inputs[name]
    assert isinstance(value, torch.Tensor)
    side = value.shape[-1]
    scale = CELL / side if side > CELL / 2 else float(CELL // side)
    to, shift, _ = framed(batch.context.get(name) or [None] * len(batch), 1.0)
    found = []
    for row, picture in enumerate(value.numpy()):
        array = picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
        marks = _marks(batch, targets, row, to[row], shift[row], named=named)
        found.append((draw_marks(Image.fromarray(array), marks, scale=scale), said[row]))
    return found


def _marks(
    batch: Batch, targets: Mapping[str, Codec[Any]], row: int, scale: np.ndarray, shift: np.ndarray, *, named: bool
) -> dict[str, Any]:
    """Boxes and points of a row in the pixels of its square."""
    marks: dict[str, Any] = {"boxes": [], "points": []}
    for name, codec in targets.items():
        field = batch.targets[name]
        assert isinstance(field, dict)
        if codec.kind == "boxes":
            for place in range(int(field["lengths"][row])):
                corners = field["corners"][row, place].double().numpy().reshape(2, 2) * scale + shift
                known = getattr(codec, "classes", [])
                label = known[int(field["labels"][row, place])] if known and named else ""
                marks["boxes"].append({"of": "true", "corners": corners.ravel().tolist(), "label": label})
        else:
            for point, seen in zip(field["points"][row].double().numpy() * scale + shift, field["visible"][row]):
                if seen:
                    marks["points"].append({"of": "true", "at": point.tolist()})
    return marks


def _composed(
    columns: Sequence[Sequence[tuple[Image.Image, str]]], titles: Sequence[str], foot: str = ""
) -> Image.Image:
    """Columns side by side; more room after the first; a line below where there is one to say."""
    cell = columns[0][0][0].size
    lines = max(words.count("\n") + 1 if words else 0 for column in columns for _, words in column)
    height = cell[1] + lines * LINE + GAP
    lefts = [MARGIN + place * (cell[0] + GAP) + (2 * GAP if place else 0) for place in range(len(columns))]
    below = MARGIN + LINE + height * len(columns[0])
    size = (lefts[-1] + cell[0] + MARGIN, below - GAP + MARGIN + (LINE if foot else 0))
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for left, title, column in zip(lefts, titles, columns):
        pen.text((left, MARGIN - 4), title, fill=INK if title == titles[0] else MUTED, font=font)
        for place, (picture, words) in enumerate(column):
            top = MARGIN + LINE + place * height
            sheet.paste(picture, (left, top))
            pen.rectangle((left - 1, top - 1, left + cell[0], top + cell[1]), outline=RULE)
            if words:
                pen.multiline_text((left, top + cell[1] + 2), words, fill=INK, font=font, spacing=3)
    if foot:
        pen.text((MARGIN, below), foot, fill=MUTED, font=font)
    return sheet
