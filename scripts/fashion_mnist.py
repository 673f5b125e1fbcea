"""Fashion-MNIST: 70,000 grey pictures of clothes, 28 × 28, ten classes (Xiao and others, 2017; MIT licence).

From the Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist). Writes train/CLASS/*.png and
test/CLASS/*.png, and with --csv also tables of pixels (label, then pixel_0 … pixel_783).

    python scripts/fashion_mnist.py data-real/fashion-mnist
"""

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
from dataset_folder import DatasetFolder, needs, write_csv
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def main() -> None:
    """Read the arguments, convert, say what to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("data-real/fashion-mnist"))
    parser.add_argument("--rows", type=int, help="at most so many training pictures, the first ones")
    parser.add_argument("--csv", action="store_true", help="also write the pixels as train.csv and test.csv")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args()
    needs(SOURCE, "dataset-fashion-mnist")
    folder = DatasetFolder(options.folder, force=options.force)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        pictures = read_idx(SOURCE / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(SOURCE / f"{prefix}-labels-idx1-ubyte.gz")
        if part == "train" and options.rows:
            pictures, labels = pictures[: options.rows], labels[: options.rows]
        write_pictures(pictures, labels, folder.path / part)
        print(f"{folder.path / part}: {len(labels):,} pictures in {len(CLASSES)} folders: {', '.join(CLASSES)}")
        if options.csv:
            columns = ["label", *(f"pixel_{i}" for i in range(784))]
            rows = ([CLASSES[label], *picture.ravel().tolist()] for label, picture in zip(labels, pictures))
            write_csv(folder.path / f"{part}.csv", columns, rows)
            print(f"{folder.path / part}.csv: {len(labels):,} rows of 784 pixels")
    folder.next(
        "gradatim fit DIR/train --minutes 5 -o runs/fashion-mnist",
        "gradatim evaluate runs/fashion-mnist DIR/test",
    )


def read_idx(path: Path) -> np.ndarray:
    """An array in the IDX format of the MNIST files: magic number, sizes, bytes."""
    with gzip.open(path) as file:
        data = file.read()
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def write_pictures(pictures: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """One PNG a picture in the folder of its class, numbered in the order of the source."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for number, (picture, label) in enumerate(zip(pictures, labels)):
        Image.fromarray(picture).save(folder / CLASSES[label] / f"{number:05d}.png", compress_level=1)


if __name__ == "__main__":
    main()
