"""One contender of the vision benchmark in a process of its own, so that settings and backends do not mix.

`python -m bench.vision_worker CONTENDER NETWORK DTYPE BATCH` reads a number of steps a line and answers with JSON:
seconds, on the clock and of the processor, from the end of the first step to the end of the last, and the images
in between; "test" answers the test loss.
"""

import gzip
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")
MEAN, STD = 0.2860, 0.3530
RATE, DECAY = 1e-3, 0.01

Stamp = tuple[float, float]
Run = Callable[[int], list[Stamp]]
Score = Callable[[], tuple[float, float]]


def now() -> Stamp:
    """(clock, processor) seconds."""
    return time.perf_counter(), time.process_time()


def fashion(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 (N, 28, 28) and labels int64 (N,) of "train" or "t10k"."""
    with gzip.open(FOLDER / f"{part}-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(FOLDER / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return pictures, labels


def normalised(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures float32 (N, 1, 28, 28), standardised, and labels."""
    pictures, labels = fashion(part)
    return ((pictures.astype(np.float32) / 255 - MEAN) / STD)[:, None], labels


def torch_score(network: Any) -> Score:
    """(loss, accuracy) of a network on the test pictures, in float32."""
    import torch

    pictures, labels = map(torch.from_numpy, normalised("t10k"))

    def score() -> tuple[float, float]:
        network.eval()
        with torch.no_grad():
            output = torch.cat([network(part).float() for part in pictures.split(1000)])
        network.train()
        loss = torch.nn.functional.cross_entropy(output, labels)
        return loss.item(), (output.argmax(1) == labels).float().mean().item()

    return score


def torch_loader(size: int, *, batched: bool) -> Any:
    """A DataLoader over tensors in memory; batched: whole batches are picked by index, PyTorch's fastest way."""
    import torch
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    dataset = TensorDataset(*map(torch.from_numpy, normalised("train")))
    if batched:
        sampler = BatchSampler(RandomSampler(dataset), size, drop_last=True)
        return DataLoader(dataset, batch_size=None, sampler=sampler)
    return DataLoader(dataset, size, shuffle=True, drop_last=True)


def network_of(name: str) -> Any:
    """The shared network with the same first weights for all who use PyTorch."""
    import torch

    from bench.networks import NETWORKS

    torch.manual_seed(0)
    return NETWORKS[name]()


def gradatim(
    name: str, dtype: str, size: int, *, levers: bool = True, pooling: bool = True
) -> tuple[Run, Score]:
    """The loop of this library over uint8 pictures in memory, as a run of the command line sets it up.

    pooling: by the library's own loops, as its LeNet-5 pools; the same values and gradients.
    """
    import torch

    from gradatim.data.batch import Batch
    from gradatim.device import choose, pull_levers
    from gradatim.nn.convolution.pooling import max_pool_2x2
    from gradatim.randomness import generator
    from gradatim.train.loop import fit
    from gradatim.train.plan import Plan
    from gradatim.train.steps import Supervised

    class Pool(torch.nn.Module):
        def forward(self, values: Any) -> Any:
            return max_pool_2x2(values)

    placement = choose(device="cpu")
    if dtype == "float32":
        placement = replace(placement, dtype="float32")
    if levers:
        pull_levers(placement, memory=True)
    network = network_of(name)
    if pooling:
        for place, module in network.named_children():
            if isinstance(module, torch.nn.MaxPool2d):
                setattr(network, place, Pool())
    pictures, labels = (torch.from_numpy(part.copy()) for part in fashion("train"))

    def forward(network: Any, batch: Batch) -> Any:
        raw = batch.inputs["picture"]
        assert isinstance(raw, torch.Tensor)
        return network(raw[:, None].float().mul_(1 / (255 * STD)).sub_(MEAN / STD))

    def objective(output: Any, batch: Batch) -> Any:
        return torch.nn.functional.cross_entropy(output, batch.targets["label"])

    plan = Plan(1, 10**6, size, learning_rate=RATE, weight_decay=DECAY, schedule="constant", clip_norm=None,
                placement=placement)  # fmt: skip
    step = Supervised(network, objective, plan, forward=forward)
    turn = [0]

    def batches(steps: int) -> Any:
        turn[0] += 1
        left, epoch = steps, 0
        while left:
            order = generator(0, turn[0], epoch).permutation(len(labels))
            for low in range(0, len(order) - size + 1, size)[:left]:
                rows = torch.from_numpy(order[low : low + size])
                yield Batch(order[low : low + size], {"picture": pictures[rows]}, {"label": labels[rows]})
                left -= 1
            epoch += 1

    class Stamps:
        def __init__(self) -> None:
            self.times: list[Stamp] = []

        def batch(self, training: Any) -> None:
            self.times.append(now())

    def run(steps: int) -> list[Stamp]:
        stamp = Stamps()
        fit(step, lambda epoch: batches(steps), plan, [stamp])
        return stamp.times

    return run, torch_score(network)


def pytorch(name: str, dtype: str, size: int, *, batched: bool = False) -> tuple[Run, Score]:
    """A plain loop as in PyTorch's tutorials; `batched` with its fastest loader and fused AdamW."""
    import torch

    network = network_of(name)
    fused = {"fused": True} if batched else {}
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY, **fused)
    loader = torch_loader(size, batched=batched)

    def run(steps: int) -> list[Stamp]:
        times: list[Stamp] = []
        while len(times) < steps:
            for x, y in loader:
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                    loss = torch.nn.functional.cross_entropy(network(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                times.append(now())
                if len(times) == steps:
                    break
        return times

    return run, torch_score(network)


def lightning(name: str, dtype: str, size: int, *, tuned: bool = True) -> tuple[Run, Score]:
    """Trainer without logger, bars and checkpoints, batched loader, fused AdamW, its own mixed precision.

    Not tuned: as the guides begin, with a DataLoader over single pictures and AdamW as it comes.
    """
    import logging
    import warnings

    import pytorch_lightning as lightning
    import torch

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network_of(name)
            self.times: list[Stamp] = []

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            return torch.nn.functional.cross_entropy(self.network(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.network.parameters(), RATE, weight_decay=DECAY, fused=tuned or None)

        def on_train_batch_end(self, *args: Any) -> None:
            self.times.append(now())

    module = Module()
    loader = torch_loader(size, batched=tuned)

    def run(steps: int) -> list[Stamp]:
        module.times = []
        trainer = lightning.Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
            precision="bf16-mixed" if dtype == "bfloat16" else "32-true",
        )  # fmt: skip
        trainer.fit(module, loader)
        return module.times

    return run, torch_score(module.network)


def skorch(name: str, dtype: str, size: int) -> tuple[Run, Score]:
    """NeuralNetClassifier without its callbacks, batched loader, fused AdamW; float32 (it has no mixed precision)."""
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    class Stamps(Callback):
        def __init__(self) -> None:
            self.times: list[Stamp] = []

        def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
            self.times.append(now())

    def batched(dataset: Any, batch_size: int, **kwargs: Any) -> Any:
        sampler = BatchSampler(RandomSampler(dataset), batch_size, drop_last=True)
        return DataLoader(dataset, batch_size=None, sampler=sampler)

    stamp = Stamps()
    x, y = map(torch.from_numpy, normalised("train"))
    net = NeuralNetClassifier(
        network_of(name), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=RATE,
        optimizer__weight_decay=DECAY, optimizer__fused=True, batch_size=size, max_epochs=1, train_split=None,
        iterator_train=batched, callbacks=[("stamp", stamp)], callbacks__print_log=None,
        callbacks__train_loss=None, callbacks__valid_loss=None, callbacks__valid_acc=None,
        callbacks__epoch_timer=None, verbose=0,
    ).initialize()  # fmt: skip

    def run(steps: int) -> list[Stamp]:
        stamp.times = []
        while len(stamp.times) < steps:
            rows = torch.randperm(len(x))[: (steps - len(stamp.times)) * size]
            net.partial_fit(TensorDataset(x[rows], y[rows]), None)
        return stamp.times

    return run, torch_score(net.module_)


def keras(name: str, dtype: str, size: int) -> tuple[Run, Score]:
    """`compile` and `fit` over arrays in memory; the backend is KERAS_BACKEND, the layout the one it prefers."""
    import keras

    keras.utils.set_random_seed(0)
    if dtype == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    first = keras.backend.backend() == "torch"
    keras.config.set_image_data_format("channels_first" if first else "channels_last")
    model = keras_network(name, (1, 28, 28) if first else (28, 28, 1))
    model.compile(
        optimizer=keras.optimizers.AdamW(RATE, weight_decay=DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def arrays(part: str) -> tuple[np.ndarray, np.ndarray]:
        x, y = normalised(part)
        return (x if first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))), y

    x, y = arrays("train")
    x_test, y_test = arrays("t10k")

    class Stamps(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[Stamp] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.times.append(now())

    def run(steps: int) -> list[Stamp]:
        stamp = Stamps()
        while len(stamp.times) < steps:
            rows = np.random.permutation(len(x))[: (steps - len(stamp.times)) * size]
            rows = rows[: len(rows) // size * size]
            model.fit(x[rows], y[rows], batch_size=size, epochs=1, shuffle=True, verbose=0, callbacks=[stamp])
        return stamp.times

    def score() -> tuple[float, float]:
        output = np.asarray(model.predict(x_test, batch_size=1000, verbose=0), np.float64)
        logs = output - output.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        return float(-logs[np.arange(len(y_test)), y_test].mean()), float((output.argmax(1) == y_test).mean())

    return run, score


def keras_network(name: str, shape: tuple[int, ...]) -> Any:
    """The same networks in Keras layers."""
    import keras
    from keras import layers

    axis = 1 if shape[0] == 1 else -1

    def convolution(x: Any, wide: int, kernel: int, stride: int = 1, padding: str = "same") -> Any:
        x = layers.Conv2D(wide, kernel, stride, padding, use_bias=False)(x)
        return layers.BatchNormalization(axis, momentum=0.9, epsilon=1e-5)(x)

    inputs = keras.Input(shape)
    if name == "lenet":
        x = layers.Conv2D(6, 5, padding="same", activation="relu")(inputs)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Conv2D(16, 5, activation="relu")(x)
        x = layers.Flatten()(layers.MaxPooling2D(2)(x))
        x = layers.Dense(84, activation="relu")(layers.Dense(120, activation="relu")(x))
    else:
        x = layers.ReLU()(convolution(inputs, 16, 3))
        for narrow, wide, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
            inner = convolution(layers.ReLU()(convolution(x, wide, 3, stride)), wide, 3)
            around = x if narrow == wide else convolution(x, wide, 1, stride)
            x = layers.ReLU()(layers.Add()([inner, around]))
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, dtype="float32")(x))


CONTENDERS: dict[str, Callable[[str, str, int], tuple[Run, Score]]] = {
    "gradatim": gradatim,
    "gradatim, torch's pooling": lambda *a: gradatim(*a, pooling=False),
    "gradatim, no levers": lambda *a: gradatim(*a, levers=False),
    "PyTorch loop": pytorch,
    "PyTorch loop, batched loader": lambda *a: pytorch(*a, batched=True),
    "Lightning": lightning,
    "Lightning as it comes": partial(lightning, tuned=False),
    "skorch": skorch,
    "Keras (torch)": keras,
    "Keras (jax)": keras,
}


def main() -> None:
    """Serve requests from standard input until it ends."""
    name, network, dtype, size = sys.argv[1:5]
    run, score = CONTENDERS[name](network, dtype, int(size))
    for line in sys.stdin:
        if line.strip() == "test":
            loss, accuracy = score()
            answer = {"loss": loss, "accuracy": accuracy}
        else:
            times = run(int(line))
            clock, processor = (last - first for first, last in zip(times[0], times[-1]))
            answer = {
                "seconds": clock,
                "processor_seconds": processor,
                "images": (len(times) - 1) * int(size),
                "steps": len(times),
            }
        print("ANSWER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
