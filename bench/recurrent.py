"""Recurrent layers: an LSTM language model against nn.LSTM, written cells against fused, buckets against padding.

Rows are timed in turn, A B A B, on one thread by the processor's clock; ratios are medians over turns. `--sweep` adds
how the time of a step grows with length, width and batch: of growth 1 it takes twice as long when the size doubles.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench.side_by_side import paired_ratio, report, take_turns
from gradatim.data.buckets import bucket_order, padded_share
from gradatim.data.loader import batch_order
from gradatim.nn.recurrent.cells import LSTMCell, run_cell
from gradatim.nn.recurrent.layers import MaskedRecurrent, detached

VOCABULARY, BATCH, WINDOW, WIDTH, LAYERS = 96, 32, 64, 256, 2


class Peer(nn.Module):
    """The plain way: nn.LSTM over whole windows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(width, width, num_layers=LAYERS, batch_first=True)

    def forward(self, values: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        return self.recurrent(values, state)


class Ours(nn.Module):
    """MaskedRecurrent with its state carried."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrent = MaskedRecurrent(width, width, layers=LAYERS, cell="lstm", bidirectional=False)

    def forward(self, values: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        return self.recurrent.carry(values, state=state)


class Written(nn.Module):
    """The cell from its equations, a Python loop over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(LSTMCell(width, width) for _ in range(LAYERS))

    def forward(self, values: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        last = []
        for number, cell in enumerate(self.cells):
            assert isinstance(cell, LSTMCell)
            values, after = run_cell(cell, values, None if state is None else state[number])
            last.append(after)
        return values, last


def trainer(reader: nn.Module, width: int, *, batch: int, window: int, bfloat16: bool) -> Callable[[], None]:
    """Two windows of truncated back-propagation through time with an update after each."""
    torch.manual_seed(0)
    embedding, head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
    parameters = [*embedding.parameters(), *reader.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    ids = torch.randint(0, VOCABULARY, (batch, 2 * window + 1))

    def run() -> None:
        state: Any = None
        for start in (0, window):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                read, state = reader(embedding(ids[:, start : start + window]), state)
                scores = head(read)
            loss = F.cross_entropy(scores.float().flatten(0, 1), ids[:, start + 1 : start + window + 1].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            state = _without_history(state)

    return run


def _without_history(state: Any) -> Any:
    return [_without_history(part) for part in state] if isinstance(state, list) else detached(state)


def language_model(turns: int) -> list[dict[str, Any]]:
    """Tokens a second of training, and how many times the peer's."""
    sizes = {"batch": BATCH, "window": WINDOW}
    contenders = {
        "nn.LSTM, float32": trainer(Peer(WIDTH), WIDTH, bfloat16=False, **sizes),
        "fused, bfloat16 autocast": trainer(Ours(WIDTH), WIDTH, bfloat16=True, **sizes),
        "fused, float32": trainer(Ours(WIDTH), WIDTH, bfloat16=False, **sizes),
        "written cells, float32": trainer(Written(WIDTH), WIDTH, bfloat16=False, **sizes),
    }
    timings = take_turns(contenders, turns=turns)
    peer = timings["nn.LSTM, float32"].processor_seconds
    return [{"what": f"LSTM language model, {name}",
             "tokens a processor second": 2 * BATCH * WINDOW / timing.processor_median,
             "times nn.LSTM": paired_ratio(peer, timing.processor_seconds)} for name, timing in timings.items()]


def buckets(turns: int) -> list[dict[str, Any]]:
    """An epoch over rows of unequal length: batches of like length against batches padded to their longest row, and
    to the longest row of all."""
    random = np.random.default_rng(0)
    lengths = np.minimum(random.geometric(1 / 25, size=1024) + 2, 200)
    torch.manual_seed(0)
    reader = MaskedRecurrent(64, 64, cell="lstm", bidirectional=True)
    values = torch.randn(1024, 200, 64)
    rows = np.arange(1024)
    orders = {"batches as they come": batch_order(rows, 32, seed=0, epoch=0),
              "buckets": bucket_order(rows, lengths, 32, seed=0, epoch=0)}
    orders["padded to the longest of all"] = orders["batches as they come"]
    padding = {name: padded_share(order, lengths) for name, order in orders.items()}
    padding["padded to the longest of all"] = 1 - lengths.mean() / lengths.max()

    def epoch(name: str) -> Callable[[], None]:
        def run() -> None:
            for batch in orders[name]:
                size = torch.from_numpy(lengths[batch])
                longest = int(lengths.max() if name.startswith("padded") else size.max())
                read = reader(values[torch.from_numpy(batch), :longest], size)
                reader.zero_grad()
                read.square().mean().backward()

        return run

    timings = take_turns({name: epoch(name) for name in orders}, turns=turns)
    plain = timings["batches as they come"].processor_seconds
    return [{"what": f"rows of unequal length, {name}",
             "tokens a processor second": float(lengths.sum()) / timing.processor_median,
             "times padding": paired_ratio(plain, timing.processor_seconds),
             "share of padding": float(padding[name])} for name, timing in timings.items()]


def sweep(turns: int) -> list[dict[str, Any]]:
    """Milliseconds of a training step as one size grows, the others at their middle."""
    rows = []
    for what, sizes in (("length", (16, 64, 256)), ("width", (64, 128, 256, 512)), ("batch", (2, 8, 32, 128))):
        before: dict[str, Any] = {}
        for size in sizes:
            chosen = {"length": WINDOW, "width": WIDTH, "batch": BATCH} | {what: size}
            step = trainer(Ours(chosen["width"]), chosen["width"], batch=chosen["batch"], window=chosen["length"],
                           bfloat16=True)
            timing = take_turns({"step": step}, turns=turns)["step"]
            row = {"what": f"LSTM step by {what}", "size": size, "ms": 500 * timing.processor_median,
                   "tokens a processor second": 2 * chosen["batch"] * chosen["length"] / timing.processor_median}
            if before:
                row["growth"] = float(np.log(row["ms"] / before["ms"]) / np.log(size / before["size"]))
            rows.append(row)
            before = row
    return rows


def main(arguments: list[str]) -> None:
    """Run, print and write the table."""
    parser = argparse.ArgumentParser(prog="python -m bench recurrent", description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sweep", action="store_true", help="also the growth with length, width, batch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = language_model(options.turns) + buckets(options.turns)
    if options.sweep:
        rows += sweep(options.turns)
    print(report("recurrent", "python -m bench recurrent " + " ".join(arguments), rows,
                 note=f"Two layers of {WIDTH}, batches of {BATCH}, windows of {WINDOW} with the state carried; one "
                      "thread, processor time; ratios are medians of turns side by side."))
