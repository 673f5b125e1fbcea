"""A small training run for test_train_resume.py: `killed_run.py FOLDER OPTIMIZER [STEP_TO_DIE_AT]`.

With STEP_TO_DIE_AT it sends itself SIGKILL there, in mid-epoch. It resumes when FOLDER holds a checkpoint.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from gradatim.data.batch import Batch
from gradatim.device import Placement
from gradatim.randomness import torch_generator
from gradatim.train.checkpoint import load_checkpoint
from gradatim.train.hooks import Checkpoint, EarlyStop, HistoryFile, KeepBest, WeightAverage
from gradatim.train.loop import fit
from gradatim.train.plan import Plan
from gradatim.train.steps import Supervised

ROWS, BATCH = 96, 12


class Die:
    """Kills the process at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def batch(self, training):
        if training.taken == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4),
    )  # fmt: skip


def main(folder: Path, optimizer: str, die_at: int | None) -> None:
    torch.set_num_threads(1)
    plan = Plan(
        epochs=6, steps_per_epoch=ROWS // BATCH, batch_size=BATCH, optimizer=optimizer, learning_rate=0.02,
        weight_decay=0.1, warmup_steps=4, seed=5, placement=Placement("cpu", "bfloat16", True, 1),
    )  # fmt: skip
    source = torch_generator(7)
    pictures = torch.randn(ROWS, 3, 8, 8, generator=source)
    labels = torch.randint(0, 4, (ROWS,), generator=source)

    def batches(epoch: int):
        order = torch.randperm(ROWS, generator=torch_generator(plan.seed, "order", epoch))
        for rows in order.split(BATCH):
            yield Batch(rows.numpy(), {"picture": pictures[rows]}, {"label": labels[rows]})

    net = network()
    step = Supervised(
        net,
        lambda output, batch: nn.functional.cross_entropy(output, batch.targets["label"]),
        plan,
        forward=lambda network, batch: network(batch.inputs["picture"]),
    )

    def evaluate():
        net.eval()
        with torch.no_grad():
            return {"development_loss": nn.functional.cross_entropy(net(pictures[::3]), labels[::3])}

    average = WeightAverage(net, 0.9)
    hooks = [
        Checkpoint(folder / "checkpoints", seconds=0.0, signals=False),
        average,
        KeepBest(net, "development_loss", source=average),
        EarlyStop("development_loss", patience=50),
        HistoryFile(folder / "history.csv"),
    ]
    if die_at is not None:
        hooks.append(Die(die_at))
    start = load_checkpoint(folder / "checkpoints")
    history = fit(step, batches, plan, hooks, evaluate=average.evaluating(evaluate), start=start)
    tensors = {f"network.{name}": value.contiguous() for name, value in net.state_dict().items()}
    for name, state in step.state_dict()["optimizer"]["state"].items():
        tensors |= {f"state.{name}.{key}": value.contiguous() for key, value in state.items()}
    tensors |= {f"best.{name}": value.contiguous() for name, value in hooks[2].weights.items()}
    save_file({name: value.clone() for name, value in tensors.items()}, folder / "final.safetensors")
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]
    facts = {"rows": rows, "reason": history.reason, "early": hooks[3].state_dict(), "best": hooks[2].best_epoch}
    facts["notes"] = history.notes
    (folder / "facts.json").write_text(json.dumps(facts))
    assert np.isfinite([row["loss"] for row in rows]).all()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
