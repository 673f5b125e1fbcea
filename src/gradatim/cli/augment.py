"""`gradatim augment`: what augmentation does to pictures and sounds, as a contact sheet."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import check_free, pairs, print_json

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def augment(
    source: str,
    *,
    target: str | None = None,
    kind: Repeated = (),
    gather: Repeated = (),
    options: Repeated = (),
    column: str | None = None,
    rows: int = 6,
    variants: int = 6,
    seed: int = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("augmented.png"),
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Show pictures or sounds of a table beside what training would make of them, with boxes and points of the target.

    Nothing is trained. What is shown for a row in an epoch is what `gradatim fit --augment` with these options does to
    it; without options it is the careful default. Sounds are shown as spectrograms.

    Parameters
    ----------
    source
        A table that names pictures or sounds, or a folder of class folders.
    target
        The column to predict: its boxes and points move with the picture, its classes are written below.
    kind
        COLUMN=KIND where the guess is wrong; repeat for more.
    gather
        NEW=COLUMN,COLUMN,…: one target of several columns, as box=xmin,ymin,xmax,ymax,label.
    options
        NAME=VALUE,… as rotate=15,crop=0.8,colour=0.2: flip, flip_vertical, rotate, scale, shear, shift, crop,
        brightness, contrast, saturation, hue, colour, grey, noise, blur, cutout, mixup, cutmix, none; of sounds gain,
        snr, shift, speed, time_mask, frequency_mask; repeat for more.
    column
        The column to show, where there are several.
    rows
        How many to show, spread over the table.
    variants
        How often each is changed.
    seed
        Same seed, same changes.
    output
        The PNG file to write.
    force
        Replace the output file when it exists.
    json
        Print the options in full as JSON.
    """
    from gradatim.data.augment_options import AugmentRequest
    from gradatim.data.gather import gather_columns
    from gradatim.data.infer import infer_schema
    from gradatim.data.readers import read_table
    from gradatim.errors import GradatimError
    from gradatim.evaluate.contact_sheet import augmentation_sheet
    from gradatim.files import write_atomic

    asked = AugmentRequest.parse(options)
    for name, count in (("rows", rows), ("variants", variants)):
        if not 1 <= count <= 50:
            raise GradatimError(f"augment: --{name}: expected 1 to 50, received {count}")
    if output.suffix.lower() != ".png":
        raise GradatimError(f"{output}: expected a name ending in .png")
    check_free(output, force)
    table = gather_columns(read_table(source), pairs(gather, "--gather"))
    schema = infer_schema(table, target=target, task=None if target else "augmentation", kinds=pairs(kind, "--kind"))
    sheet = augmentation_sheet(table, schema, asked, column=column, rows=rows, variants=variants, seed=seed)
    write_atomic(output, png(sheet.image))
    if json:
        print_json({"output": output, "rows": sheet.rows, "options": sheet.options.to_json(), "mixup": asked.mixup,
                    "cutmix": asked.cutmix})
        return
    chosen = {name: value for name, value in sheet.options.to_json().items() if value and name != "fill"}
    chosen |= {name: value for name, value in (("mixup", asked.mixup), ("cutmix", asked.cutmix)) if value}
    print(", ".join(f"{name} {value:.4g}" for name, value in chosen.items()) or "nothing changes")
    what = "sounds" if sheet.kind == "audio" else "pictures"
    print(f"{len(sheet.rows)} {what} of {table.source}, {variants} times each: {output}")


def png(image: object) -> bytes:
    """A PIL picture as the bytes of a PNG file."""
    import io

    from PIL import Image

    assert isinstance(image, Image.Image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
