"""One contender of the inference benchmark in a process of its own.

`python -m bench.inference_worker CONTENDER NETWORK SIZE` reads "BATCH CALLS" a line and answers with JSON: seconds on
the clock and of the processor; "answers" writes the outputs for the shared pictures to standard output.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ADDRESSES = {
    "resnet18": "gradatim.models.vision.resnet.resnet18",
    "lite0": "gradatim.models.vision.efficientnet_lite.efficientnet_lite0",
}
WEIGHTS = {"lite0": "efficientnet_lite0"}  # published; a network without has random weights and statistics
SHARED = 48  # pictures that the outputs are compared on
Ask = Callable[[np.ndarray], np.ndarray]


def pictures(count: int, size: int) -> np.ndarray:
    """uint8 (count, 3, size, size): crops of scikit-image's photographs, always the same."""
    from PIL import Image
    from skimage import data

    sources = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    noise = np.random.default_rng(0)
    found = []
    for number in range(count):
        source = sources[number % len(sources)]
        side = int(noise.integers(min(source.shape[:2]) // 2, min(source.shape[:2])))
        top, left = (int(noise.integers(0, limit - side + 1)) for limit in source.shape[:2])
        crop = Image.fromarray(source[top : top + side, left : left + side]).resize((size, size))
        found.append(np.asarray(crop).transpose(2, 0, 1))
    return np.stack(found)


def network_of(name: str) -> Any:
    """The network in eval mode: published weights where there are any."""
    import torch
    from torch import nn

    from gradatim.models.address import build, load_weights
    from gradatim.weights import find, path_of

    torch.manual_seed(0)
    network = build({"address": ADDRESSES[name], "arguments": {}})
    if name in WEIGHTS:
        load_weights(network, str(path_of(find(WEIGHTS[name]))))
        return network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def normalised(pixels: Any) -> Any:
    """float32 on about −2..2, as the networks were trained."""
    return (pixels - 127.0) / 128.0


def eager(name: str, size: int, *, channels_last: bool, bfloat16: bool, fold: bool, compiled: bool = False) -> Ask:
    """The network in PyTorch."""
    import torch
    from torch import nn

    from gradatim.device import choose, pull_levers
    from gradatim.nn.convolution.fuse_batch_norm import fuse_batch_norm

    pull_levers(choose(device="cpu"), memory=True)
    network = network_of(name)
    if fold:
        network, _ = fuse_batch_norm(network, normalised(torch.from_numpy(pictures(2, size)).float()))
        if bfloat16:
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    module.to(torch.bfloat16)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    if compiled:
        torch._inductor.config.freezing = True
        network = torch.compile(network)

    def ask(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            values = normalised(torch.from_numpy(pixels).float()).contiguous(memory_format=layout)
            return network(values).float().numpy()

    if compiled:
        with torch.inference_mode():
            ask(pictures(1, size))
    return ask


def runtime(name: str, size: int, *, int8: bool) -> Ask:
    """The same network through onnxruntime, spinning off; its int8 calibrated on other crops."""
    import torch
    from torch import nn

    from gradatim.export.files import onnx_answer, quiet
    from gradatim.export.quantise import quantised

    class Members(nn.Module):  # named as an export of ours names them, so that the quantiser finds the network
        def __init__(self) -> None:
            super().__init__()
            inner = nn.Module()
            inner.network = nn.Module()
            inner.network.network = network_of(name)
            self.members = nn.ModuleList([inner])

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.members[0].network.network(normalised(pixels.to(torch.float32)))

    with quiet(), torch.no_grad():
        example = torch.from_numpy(pictures(2, size))
        whole = Members().eval()
        if int8:
            from gradatim.nn.convolution.fuse_batch_norm import fuse_batch_norm

            inner = whole.members[0].network
            inner.network = fuse_batch_norm(inner.network, normalised(example.float()))[0]
        written = torch.onnx.export(
            whole, (example,), dynamo=True, opset_version=20, input_names=["pixels"],
            dynamic_shapes=({0: torch.export.Dim("rows", min=1)},), verbose=False,
        )
    model = written.model_proto.SerializeToString()  # type: ignore[union-attr]
    if int8:
        crops = pictures(96, size)[SHARED:]
        model = quantised(model, [{"pixels": crops[low : low + 16]} for low in range(0, len(crops), 16)])
    graph = onnx_answer(model)
    return lambda pixels: graph({"pixels": pixels})


CONTENDERS: dict[str, Callable[[str, int], Ask]] = {
    "PyTorch": lambda n, s: eager(n, s, channels_last=False, bfloat16=False, fold=False),
    "float32, channels last, folded": lambda n, s: eager(n, s, channels_last=True, bfloat16=False, fold=True),
    "bfloat16, channels last": lambda n, s: eager(n, s, channels_last=True, bfloat16=True, fold=False),
    "gradatim": lambda n, s: eager(n, s, channels_last=True, bfloat16=True, fold=True),
    "compiled and frozen": lambda n, s: eager(n, s, channels_last=True, bfloat16=True, fold=True, compiled=True),
    "gradatim export --int8": lambda n, s: runtime(n, s, int8=True),
    "onnxruntime": lambda n, s: runtime(n, s, int8=False),
}


def main() -> None:
    """Serve requests from standard input until it ends."""
    name, network, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    began = time.perf_counter()
    ask = CONTENDERS[name](network, size)
    ready = time.perf_counter() - began
    crops = pictures(64, size)
    for line in sys.stdin:
        if line.startswith("answers"):
            path = Path(line.split(maxsplit=1)[1].strip())
            np.save(path, np.concatenate([ask(crops[low : low + 16]) for low in range(0, SHARED, 16)]))
            answer: dict[str, Any] = {"ready_seconds": ready}
        else:
            batch, calls = map(int, line.split())
            taken = crops[np.arange(batch) % len(crops)]
            ask(taken)
            clock, processor = time.perf_counter(), time.process_time()
            for _ in range(calls):
                ask(taken)
            answer = {"seconds": time.perf_counter() - clock, "processor_seconds": time.process_time() - processor,
                      "images": batch * calls}
        print("ANSWER " + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
