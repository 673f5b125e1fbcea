"""Emoji with boxes: a picture of the emoji set pasted on a photograph → where it is, and what it is.

Photographs are crops of those that come with scikit-image (its licences are in its own documentation); a rectangle or
two lie about, and one picture in seven holds nothing. Sprites are in no other part: those of `train.csv` of the emoji
set go into train.csv, those of its `test.csv` into test.csv. Needs scripts/emoji.py to have run.

    python scripts/emoji_boxes.py data-real/emoji-boxes --emoji data-real/emoji
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from dataset_folder import DatasetFolder
from PIL import Image
from scipy import ndimage

PHOTOS = ("coffee.png", "astronaut.png", "motorcycle_left.png", "hubble_deep_field.jpg", "ihc.png", "rocket.jpg",
          "chelsea.png", "brick.png", "gravel.png", "grass.png", "retina.jpg", "camera.png")
GROUPS = ("people", "objects", "symbols", "travel")
NOTHING = 1 / 7  # share of pictures without a sprite


def main() -> None:
    """Read the arguments, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/emoji-boxes"))
    parser.add_argument("--emoji", type=Path, default=Path("data-real/emoji"), help="the folder of scripts/emoji.py")
    parser.add_argument("--rows", type=int, default=1500, help="of train.csv; test.csv has a fifth of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    folder = DatasetFolder(options.folder, force=options.force)
    (folder.path / "pictures").mkdir(exist_ok=True)
    photos = photographs()
    for part, count in (("train", options.rows), ("test", options.rows // 5)):
        sprites = sprites_of(options.emoji, f"{part}.csv")
        random = np.random.default_rng([options.seed, len(part)])
        rows: list[dict[str, object]] = []
        for number in range(count):
            picture, box = scene(photos, sprites, random)
            name = f"pictures/{part}-{number:04d}.jpg"
            picture.save(folder.path / name, quality=90)
            rows.append({"picture": name, "box": box})
        folder.write_table(f"{part}.csv", rows)
    folder.next("gradatim augment DIR/train.csv --target box --options rotate=15,crop=0.7,colour=0.2",
                "gradatim fit DIR/train.csv --target box --test DIR/test.csv --minutes 3")


def photographs() -> list[Image.Image]:
    """The photographs that come with scikit-image."""
    import skimage

    return [Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB") for name in PHOTOS]


def sprites_of(emoji: Path, table: str) -> dict[str, list[Image.Image]]:
    """The sprites of each group, cut out of their white ground."""
    found: dict[str, list[Image.Image]] = {group: [] for group in GROUPS}
    with (emoji / table).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["group"] in found:
                found[row["group"]].append(cut_out(Image.open(emoji / row["picture"])))
    return found


def cut_out(picture: Image.Image) -> Image.Image:
    """RGBA without the white that is joined to the edge, as large as what is left."""
    pixels = np.asarray(picture.convert("RGBA")).copy()
    regions, _ = ndimage.label((pixels[..., :3] >= 250).all(-1))
    edge = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    pixels[np.isin(regions, edge[edge > 0]), 3] = 0
    whole = Image.fromarray(pixels)
    return whole.crop(whole.getchannel("A").getbbox() or (0, 0, *whole.size))


def scene(
    photos: list[Image.Image], sprites: dict[str, list[Image.Image]], random: np.random.Generator
) -> tuple[Image.Image, str]:
    """A picture of 96 to 192 pixels a side, and its cell."""
    width, height = (int(side) for side in random.integers(96, 193, 2))
    picture = background(photos[random.integers(len(photos))], width, height, random)
    for _ in range(random.integers(0, 3)):
        left, top = int(random.integers(0, width - 8)), int(random.integers(0, height - 8))
        across, down = (int(side) for side in random.integers(5, 30, 2))
        colour = tuple(int(level) for level in random.integers(0, 256, 3))
        picture.paste(colour, (left, top, min(left + across, width), min(top + down, height)))
    if random.random() < NOTHING:
        return picture, "[]"
    group = GROUPS[random.integers(len(GROUPS))]
    sprite = sprites[group][random.integers(len(sprites[group]))]
    scale = random.uniform(0.25, 0.6) * min(width, height) / max(sprite.size)
    size = (max(6, int(sprite.width * scale)), max(6, int(sprite.height * scale)))
    left, top = int(random.integers(0, width - size[0] + 1)), int(random.integers(0, height - size[1] + 1))
    sprite = sprite.resize(size, Image.Resampling.LANCZOS)
    picture.paste(sprite, (left, top), sprite)
    return picture, json.dumps([[left, top, left + size[0], top + size[1], group]])


def background(photo: Image.Image, width: int, height: int, random: np.random.Generator) -> Image.Image:
    """A window of a photograph, mirrored half the time."""
    zoom = random.uniform(0.6, 2.0)
    across, down = int(min(width * zoom, photo.width)), int(min(height * zoom, photo.height))
    left, top = int(random.integers(0, photo.width - across + 1)), int(random.integers(0, photo.height - down + 1))
    window = photo.crop((left, top, left + across, top + down)).resize((width, height), Image.Resampling.BILINEAR)
    return window.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else window


if __name__ == "__main__":
    main()
