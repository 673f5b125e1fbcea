"""One contender of the time-to-accuracy benchmark: trains Fashion-MNIST and notes time and accuracy after each epoch.

`python -m bench.time_to_accuracy_worker CONTENDER SEED` reads "LIMIT ROWS" and answers with one JSON line.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bench.vision_worker import MEAN, STD, fashion

Note = Callable[[float], bool]


class Watch:
    """The clock, stopped while the test pictures are answered."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.epochs: list[dict[str, float]] = []
        self.start()

    def start(self) -> None:
        """Now the first step begins."""
        self.stopped = np.zeros(2)
        self.began = np.array([time.perf_counter(), time.process_time()])

    def note(self, answer: Callable[[], float]) -> bool:
        """Take the accuracy with the clock stopped; whether the time is up."""
        before = np.array([time.perf_counter(), time.process_time()])
        clock, processor = before - self.began - self.stopped
        self.epochs.append({"clock": clock, "processor": processor, "accuracy": answer()})
        self.stopped += np.array([time.perf_counter(), time.process_time()]) - before
        return processor > self.limit


def gradatim(name: str, seed: int, watch: Watch, count: int) -> None:
    """The network, optimiser, schedule, smoothing and augmentation that `gradatim fit --flip` chooses for pictures."""
    import torch

    from gradatim.data.augment import augment, default_augmentation
    from gradatim.data.batch import Batch
    from gradatim.data.loader import batch_order
    from gradatim.device import autocast, choose, pull_levers
    from gradatim.models.fusion.encoders import default_encoder
    from gradatim.models.fusion.network import fusion_network
    from gradatim.train.forecast import default_batch_size, plan_for_minutes
    from gradatim.train.loop import fit
    from gradatim.train.steps import Supervised

    placement = choose(device="cpu")
    pull_levers(placement, memory=True)
    (pictures, labels), (test, truth) = fashion("train"), fashion("t10k")
    x, y = torch.from_numpy(pictures[:count].copy())[:, None], torch.from_numpy(labels[:count].copy())
    test_x = torch.from_numpy(test.copy())[:, None]
    describe = {"channels": 1, "size": 28, "mean": [MEAN], "std": [STD]}
    column = {"kind": "image", "describe": describe, "encoder": default_encoder("image", describe)}
    torch.manual_seed(seed)
    network = fusion_network({"picture": column}, 10)
    size = default_batch_size(len(x))
    epochs = int(name.split()[1])
    plan = plan_for_minutes(1e6, rows=len(x), batch_size=size, seconds_per_step=0.05, max_epochs=epochs,
                            optimizer="muon", placement=placement, seed=seed)  # fmt: skip
    plan = replace(plan, label_smoothing=0.1, weight_decay=0.05)
    options = {"picture": replace(default_augmentation("image", describe), flip=0.5)}

    def objective(output: Any, batch: Batch) -> Any:
        return torch.nn.functional.cross_entropy(output, batch.targets["label"], label_smoothing=0.1)  # type: ignore[arg-type]

    def batches(epoch: int) -> Any:
        for rows in batch_order(np.arange(len(x)), size, seed=seed, epoch=epoch):
            place = torch.from_numpy(rows)
            batch = Batch(rows, {"picture": x[place]}, {"label": y[place]},
                          {"picture": torch.ones(len(rows), dtype=torch.bool)})  # fmt: skip
            yield augment(batch, options, {"picture": "image"}, seed=seed, epoch=epoch)

    def accuracy() -> float:
        network.eval()
        with torch.inference_mode(), autocast(placement):
            answer = torch.cat([network({"picture": part}).float() for part in test_x.split(500)])
        network.train()
        return float((answer.argmax(1).numpy() == truth).mean())

    class Epochs:
        def epoch(self, training: Any) -> None:
            watch.note(accuracy)

    watch.start()
    fit(Supervised(network, objective, plan), batches, plan, [Epochs()])


def pytorch_tutorial(name: str, seed: int, watch: Watch, count: int) -> None:
    """PyTorch's quickstart: 784-512-512-10, SGD 1e-3, batch 64, DataLoader over tensors made by ToTensor."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    (pictures, labels), (test, truth) = fashion("train"), fashion("t10k")
    x = torch.from_numpy(pictures[:count].copy()).float()[:, None] / 255
    test_x = torch.from_numpy(test.copy()).float()[:, None] / 255
    loader = DataLoader(TensorDataset(x, torch.from_numpy(labels[:count].copy())), batch_size=64)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                            nn.Linear(512, 10))  # fmt: skip
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def accuracy() -> float:
        with torch.no_grad():
            return float((network(test_x).argmax(1).numpy() == truth).mean())

    watch.start()
    while True:
        for pixels, label in loader:
            loss = nn.functional.cross_entropy(network(pixels), label)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if watch.note(accuracy):
            return


def keras_tutorial(name: str, seed: int, watch: Watch, count: int) -> None:
    """Keras' `mnist_convnet` example: two convolutions, pooling, dropout, Adam, batch 128."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    (pictures, labels), (test, truth) = fashion("train"), fashion("t10k")
    x, test_x = (part.astype("float32")[..., None] / 255 for part in (pictures[:count], test))
    model = keras.Sequential([
        keras.Input(shape=(28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    y = keras.utils.to_categorical(labels[:count], 10)

    def accuracy() -> float:
        return float((np.asarray(model.predict(test_x, batch_size=500, verbose=0)).argmax(1) == truth).mean())

    watch.start()
    while True:
        model.fit(x, y, batch_size=128, epochs=1, verbose=0)
        if watch.note(accuracy):
            return


def main() -> None:
    """Train the contender named on the command line."""
    name, seed = sys.argv[1], int(sys.argv[2])
    limit, count = sys.stdin.readline().split()
    watch = Watch(float(limit))
    train = gradatim if name.startswith("gradatim") else keras_tutorial if "Keras" in name else pytorch_tutorial
    if "OMP_NUM_THREADS" in os.environ:
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    train(name, seed, watch, int(count))
    print("ANSWER " + json.dumps({"epochs": watch.epochs}), flush=True)


if __name__ == "__main__":
    main()
