"""From files to training batches: decoding folders of JPEG and PNG, and augmenting, by size of the pictures.

    python -m bench loading [--sides 160 320 640 1280] [--count 256] [--to 96]

Ours: the table is decoded once into uint8 tensors in memory (threads, JPEGs decoded at reduced size), then batches are
chosen and augmented as a whole. Peer: torch's DataLoader over a dataset that opens and resizes each file by PIL, as the
tutorials do, again in each epoch; with and without `draft`, by 0 and 2 workers. Images a second of the clock and of the
processor, workers included.
"""

import argparse
import resource
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bench.side_by_side import report
from gradatim.data.augment import augment, default_augmentation
from gradatim.data.batch import Batch
from gradatim.data.codecs.image import ImageCodec
from gradatim.data.loader import encode_table
from gradatim.data.table import Table

BATCH = 64
PEER = "DataLoader + PIL, 0 workers"
Contender = Callable[[], Any]


def processor_seconds() -> float:
    """Of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(entry.ru_utime + entry.ru_stime for entry in used)


def write_pictures(folder: Path, count: int, side: int, form: str) -> list[str]:
    """Photograph-like pictures: smooth shapes with a little noise."""
    noise = np.random.default_rng(side)
    names = []
    for number in range(count):
        small = noise.integers(0, 256, (side // 16 + 2, side // 16 + 2, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture).astype(np.int16) + noise.integers(-6, 7, (side * 3 // 4, side, 3))
        names.append(f"{number}.{form}")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / names[-1], quality=90)
    return names


class Pictures(Dataset[torch.Tensor]):
    """Opens, resizes and turns one file into a tensor, as in the tutorials."""

    def __init__(self, folder: Path, names: list[str], size: int, draft: bool) -> None:
        self.folder, self.names, self.size, self.draft = folder, names, size, draft

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        image = Image.open(self.folder / self.names[index])
        if self.draft:
            image.draft("RGB", (self.size, self.size))
        image = image.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float().div_(255)


def contenders_for(folder: Path, names: list[str], size: int) -> dict[str, Contender]:
    """Ways to have every picture once as a tensor."""
    table = Table(pl.DataFrame({"file": names}), folder)

    def ours() -> None:
        encode_table(table, {"file": ImageCodec(size=size, channels=3)})

    def loader(workers: int, draft: bool) -> Contender:
        def run() -> None:
            for _ in DataLoader(Pictures(folder, names, size, draft), BATCH, num_workers=workers):
                pass

        return run

    return {
        "gradatim": ours, PEER: loader(0, False), "DataLoader + PIL, 2 workers": loader(2, False),
        "DataLoader + PIL with draft, 2 workers": loader(2, True),
    }  # fmt: skip


def take_turns(contenders: dict[str, Contender], count: int, turns: int) -> dict[str, tuple[list[float], list[float]]]:
    """Images a second of the clock and of the processor, each turn; the first of all is to warm up."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in contenders}
    for turn in range(turns + 1):
        for name in list(contenders)[:: 1 if turn % 2 == 0 else -1]:
            clock, processor = time.perf_counter(), processor_seconds()
            contenders[name]()
            clock, processor = time.perf_counter() - clock, processor_seconds() - processor
            if turn:
                found[name][0].append(count / clock)
                found[name][1].append(count / max(processor, 1e-9))
    return found


def rows_of(what: str, side: int, found: dict[str, tuple[list[float], list[float]]], peer: str) -> list[dict[str, Any]]:
    """Table rows."""
    return [
        {
            "work": what, "side": side, "contender": name, "images/s": statistics.median(clock),
            f"× {peer}": statistics.median(a / b for a, b in zip(clock, found[peer][0])),
            "images a processor second": statistics.median(processor),
            f"× {peer}, processor": statistics.median(a / b for a, b in zip(processor, found[peer][1])),
        }
        for name, (clock, processor) in found.items()
    ]  # fmt: skip


def augmenting(size: int, turns: int) -> dict[str, tuple[list[float], list[float]]]:
    """Whole-batch augmentation of pictures in memory (shift and flip) beside the same one by one in tensors."""
    from dataclasses import replace

    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1024, 3, size, size), dtype=np.uint8))
    options = {"file": replace(default_augmentation("image", {"size": size, "mean": [0.5]}), flip=0.5)}
    most = max(1, round(size / 14))

    def ours() -> None:
        for low in range(0, len(pictures), 128):
            rows = np.arange(low, low + 128)
            batch = Batch(rows, {"file": pictures[low : low + 128]}, {}, {"file": torch.ones(128, dtype=torch.bool)})
            augment(batch, options, {"file": "image"}, seed=0, epoch=0)

    def alone() -> None:
        for low in range(0, len(pictures), 128):
            changed = []
            for picture in pictures[low : low + 128]:
                picture = picture.flip(-1) if torch.rand(()) < 0.5 else picture
                padded = torch.nn.functional.pad(picture[None].float(), (most,) * 4, mode="replicate")[0]
                top, left = torch.randint(0, 2 * most + 1, (2,)).tolist()
                changed.append(padded[:, top : top + size, left : left + size])
            torch.stack(changed)

    return take_turns({"gradatim": ours, "one by one": alone}, len(pictures), turns)


def main(arguments: list[str] | None = None) -> None:
    """Measure all that was asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench loading")
    parser.add_argument("--sides", nargs="+", type=int, default=[160, 320, 640, 1280])
    parser.add_argument("--to", type=int, default=96, help="side of the tensors")
    parser.add_argument("--count", type=int, default=256, help="pictures of 640; more of smaller, fewer of larger")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--name", default="loading")
    options = parser.parse_args(arguments)
    rows = []
    for form in ("jpg", "png"):
        for side in options.sides:
            count = max(32, min(4 * options.count, options.count * 640 // side))
            with tempfile.TemporaryDirectory() as folder:
                names = write_pictures(Path(folder), count, side, form)
                found = take_turns(contenders_for(Path(folder), names, options.to), count, options.turns)
            rows += rows_of(f"decode {form} to {options.to}", side, found, PEER)
            print(*rows[-len(found) :], sep="\n", file=sys.stderr, flush=True)
    for side in (28, 64, 96):
        rows += rows_of("flip and shift", side, augmenting(side, options.turns), "one by one")
    command = "python -m bench loading " + shlex.join(arguments if arguments is not None else sys.argv[1:])
    print(report(options.name, command.strip(), rows))


if __name__ == "__main__":
    main()
