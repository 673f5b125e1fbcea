"""Bits per character on a text file in equal time: nanoGPT's CPU setting by its plain loop, xz, and a run of ours.

    python -m bench language-race FILE [--seconds 180] [--threads 2] [--skip-plain] [--network recurrent]

All see the same training texts and are scored on the same test texts, which nobody chose by. The plain loop trains 4
layers, 128 wide, 64 tokens of context, batches of 12, AdamW, in float32, its learning rate falling from 1e-3 to 1e-4
by a cosine over the steps that were forecast, until it has had as many seconds of the processor as the whole run of
ours: on a machine that others use the clock on the wall would not be fair. xz compresses the test texts alone, and
after the training texts (the growth of the archive), which is its way of having seen them.
"""

import argparse
import lzma
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import gradatim as gd
from bench.language_model import PlainGPT, with_products
from bench.side_by_side import report
from gradatim.data.codecs.lossless import LosslessTokens
from gradatim.data.readers import read_table
from gradatim.tasks.language_members import windowed_probabilities
from gradatim.tasks.language_model import bits_per_character

SHAPE = {"width": 128, "heads": 4, "depth": 4, "context": 64}
BATCH = 12


def main(arguments: list[str] | None = None) -> None:
    """Fit, train, compress; print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench language-race")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--network", default="recurrent")
    parser.add_argument("--output", type=Path, help="folder to keep the run in")
    parser.add_argument("--skip-plain", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    began, processor = time.perf_counter(), time.process_time()
    run = gd.fit(options.file, task="language-model", minutes=options.seconds / 60, levers=True, say=print,
                 output=options.output, force=True, options={"network": options.network})
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    texts = parted(run, options.file)
    rows: list[dict[str, Any]] = []
    for one in run.facts["candidates"]:
        rows.append({"what": one["name"], "bits per character, development": one["value"], "note": one["note"],
                     "seconds": one["seconds"]})
    score = run.facts["scores"]["metrics"]["bits_per_character"]
    rows.append({"what": "gradatim fit, its choice: " + run.facts["answer"]["name"],
                 "bits per character, test": round(score["value"], 4),
                 "interval": f"{score['low']:.3f} to {score['high']:.3f}", "seconds": round(seconds),
                 "processor seconds": round(processor)})
    for member in run.artifact.ensemble.members:
        given = [np.asarray(one) for one in each(member, run, texts["test"])]
        rows.append({"what": f"its {type(member).__name__} alone",
                     "bits per character, test": round(bits_per_character(given, texts["test"]), 4)})
    rows += compressed(texts)
    if not options.skip_plain:
        rows.append(with_products("ieee", lambda: plain(texts, processor))())
    command = (f"python -m bench language-race {options.file.name} --seconds {options.seconds:g} "
               f"--threads {options.threads} --network {options.network}")
    print(report(f"language_race_{options.file.stem}", command, rows,
                 note=f"{sum(map(len, texts['train'])):,} characters in training texts, "
                      f"{sum(map(len, texts['test'])):,} in test texts."))


def parted(run: Any, path: Path) -> dict[str, list[str]]:
    """The texts of each part as the run split them."""
    cells = read_table(path).cells(run.task.column)
    return {name: [cells[row] for row in run.artifact.split[name] if cells[row]]
            for name in ("train", "development", "test")}


def each(member: Any, run: Any, texts: list[str]) -> Any:
    """A member's probabilities of texts."""
    ids = [run.task.tokens.ids(text) for text in texts]
    return member.probabilities(ids) if hasattr(member, "probabilities") else [
        member.model.probabilities(one) for one in ids]


def compressed(texts: dict[str, list[str]]) -> list[dict[str, Any]]:
    """xz -9e of the test texts, alone and after the training texts; one character parts two texts."""
    def size(parts: list[str]) -> int:
        return 8 * len(lzma.compress("\n".join(parts).encode(), preset=9 | lzma.PRESET_EXTREME))

    characters = sum(len(text) + 1 for text in texts["test"])
    after = size(texts["train"] + texts["test"]) - size(texts["train"])
    column = "bits per character, test"
    return [{"what": "xz -9e, test texts alone", column: round(size(texts["test"]) / characters, 4)},
            {"what": "xz -9e, growth after the training texts", column: round(after / characters, 4)}]


def plain(texts: dict[str, list[str]], seconds: float) -> dict[str, Any]:
    """nanoGPT's loop in nanoGPT's CPU setting."""
    tokens = LosslessTokens.train(texts["train"], "characters")
    stream = torch.from_numpy(np.concatenate([np.append(tokens.ids(text), 0) for text in texts["train"]]))
    torch.manual_seed(0)
    network = PlainGPT(**SHAPE, vocabulary=len(tokens))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    began, wall, taken, forecast = time.process_time(), time.perf_counter(), 0, 2000
    while True:
        gone = time.process_time() - began
        if gone > seconds:
            break
        if taken in (20, 200):
            forecast = int(taken * seconds / gone)
        share = min(max(taken - 100, 0) / max(forecast - 100, 1), 1.0)
        rate = 1e-3 * (taken + 1) / 100 if taken < 100 else 1e-4 + 4.5e-4 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(stream) - SHAPE["context"] - 1, (BATCH,))
        ids = torch.stack([stream[start : start + SHAPE["context"] + 1] for start in starts.tolist()])
        loss = F.cross_entropy(network(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        taken += 1
    network.eval()
    with torch.inference_mode():
        given = windowed_probabilities(network, [tokens.ids(text) for text in texts["test"]], "cpu")
    return {"what": "nanoGPT's CPU setting, plain loop",
            "bits per character, test": round(bits_per_character(given, texts["test"]), 4),
            "processor seconds": round(seconds), "seconds": round(time.perf_counter() - wall),
            "note": f"{taken:,} steps of {BATCH} × {SHAPE['context']} tokens, last training loss "
                    f"{float(loss.detach()) / math.log(2):.2f} bits"}


if __name__ == "__main__":
    main()
