"""The pipeline as the bytes of a file, ONNX or PyTorch's own archive, and such a file as something that answers."""

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.errors import GradatimError
from gradatim.export.parts import Pipeline
from gradatim.files import to_json_bytes

FORMATS = {"onnx": ".onnx", "pt2": ".pt2"}
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "pt2": ()}
ABOUT = "gradatim.json"  # what a pt2 archive calls the description; in ONNX it is the metadata entry "gradatim"
ANSWER = {True: "probabilities", False: "number"}

Answer = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def check_packages(form: str) -> None:
    """Raise GradatimError when the packages of a format are not installed."""
    missing = [name for name in NEEDED[form] if find_spec(name) is None]
    if missing:
        raise GradatimError(f"export: --format {form} needs {', '.join(missing)}, not installed here; "
                            "pip install 'gradatim[export]'")


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters talk to programmers: nothing of it reaches the user."""
    names = ("torch", "onnxscript", "onnx_ir", "torch.onnx", "torch.export", "")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def dynamic_shapes(pipeline: Pipeline, layout: str) -> tuple[dict[int, Any], ...]:
    """For each input which of its sizes are open: rows everywhere, sides of pictures, tokens, frames."""
    rows = torch.export.Dim("rows", min=1)
    shapes = []
    for entry in pipeline.entries:
        free = torch.export.Dim.AUTO  # the exporter finds out what a size may be
        open_sizes: dict[int, Any] = {0: rows}
        if entry.codec.kind == "image" and entry.part == "":
            first = 1 if layout == "nhwc" else 2
            open_sizes |= {first: free, first + 1: free}
        elif entry.part in ("ids", "log_mel"):
            open_sizes |= {1 if entry.part == "ids" else 2: free}
        shapes.append(open_sizes)
    return tuple(shapes)


def exported(pipeline: Pipeline, example: Sequence[torch.Tensor], layout: str) -> torch.export.ExportedProgram:
    """The graph, with the open sizes; GradatimError where a network does something that no graph can say."""
    shapes = dynamic_shapes(pipeline, layout)
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(pipeline.eval(), tuple(example), dynamic_shapes=(shapes,), strict=False)
    except Exception as error:  # the exporter raises almost anything
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise GradatimError(f"export: this network cannot be written as a graph ({type(error).__name__}: "
                            f"{first[:200]})") from None


def onnx_bytes(program: torch.export.ExportedProgram, pipeline: Pipeline, answer: str) -> bytes:
    """The ONNX model, opset 20."""
    with quiet():
        written = torch.onnx.export(
            program, dynamo=True, optimize=True, opset_version=20, verbose=False,
            input_names=[entry.name for entry in pipeline.entries], output_names=[answer],
        )
    assert written is not None
    return written.model_proto.SerializeToString()


def pt2_bytes(program: torch.export.ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """PyTorch's archive, with the description as an extra file."""
    stream = io.BytesIO()
    with quiet():
        torch.export.save(program, stream, extra_files={ABOUT: to_json_bytes(about).decode()})
    return stream.getvalue()


def with_metadata(model: bytes, about: Mapping[str, Any]) -> bytes:
    """The ONNX model with the description in its metadata: one JSON text, and classes and task by themselves."""
    import onnx

    proto = onnx.load_model_from_string(model)
    entries = {"gradatim": to_json_bytes(about).decode(), "task": str(about["task"]), "target": str(about["target"]),
               "classes": to_json_bytes(about["classes"], indent=0).decode()}
    onnx.helper.set_model_props(proto, entries)
    proto.producer_name, proto.producer_version = "gradatim", str(about["gradatim"])
    proto.doc_string = f"{about['task']} of {about['target']}"
    return proto.SerializeToString()


def onnx_answer(model: bytes, threads: int | None = None) -> Answer:
    """A model as a function of its inputs by name, through onnxruntime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}
    return lambda inputs: session.run(None, {name: inputs[name] for name in taken})[0]


def pt2_answer(archive: bytes, names: Sequence[str]) -> Answer:
    """An archive as a function of its inputs by name, through torch.export.load."""
    with quiet():
        program = torch.export.load(io.BytesIO(archive)).module()

    def answer(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return program(*(torch.from_numpy(inputs[name]) for name in names)).numpy()

    return answer


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for the quantiser, which wants files; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gradatim-", dir=os.environ.get("TMPDIR")) as name:
        yield Path(name)
