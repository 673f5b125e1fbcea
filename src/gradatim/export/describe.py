"""What stands beside an exported graph: what goes in, how it is made from cells, what comes out."""

from collections.abc import Mapping
from typing import Any

from gradatim import __version__
from gradatim.data.codecs.number import CLIP
from gradatim.export.parts import Entry, Pipeline
from gradatim.run import Run
from gradatim.tasks.members import Ensemble

HOW = {
    "image": "pixels of the picture in its own size, turned upright, transparency over white, {colours}; all pictures "
             "of one batch have one size; resizing and normalising are in the graph",
    "number": "x = the number (of a signed-log codec sign(x)·log(1 + |x| / log_unit)), then (x − mean) / std, cut to "
              "±{clip}; 0 where missing",
    "category": "the place of the cell among the codec's classes, as `encode` of the codec says; 0 where unknown",
    "text": "token numbers of the codec's tokenizer, rows filled with 0 to the longest, and how many tokens each has",
    "audio": "log-mel spectrograms as the codec makes them, filled with 0 to the longest, and how many frames each has",
}
SHAPES = {"ids": ["rows", "length"], "lengths": ["rows"], "present": ["rows"]}
TYPES = {"ids": "int64", "lengths": "int64", "present": "bool", "log_mel": "float32"}


def description(
    run: Run, ensemble: Ensemble, pipeline: Pipeline, layout: str, form: str, answer: str
) -> dict[str, Any]:
    """The sidecar and the metadata of the file, as JSON values.

    inputs: name, type, shape (words are open sizes), column, what it holds, and the codec in full, which
    `gradatim.data.codecs.codec_from_json` reads. output: name, shape, unit.
    """
    task: Any = ensemble.task
    classes = [label if isinstance(label, int | float | bool | str) else str(label) for label in task.classes]
    shape: list[Any] = ["rows", len(classes)] if classes else ["rows"]
    return {
        "gradatim": __version__, "format": form, "task": task.name, "target": task.target, "classes": classes,
        "inputs": [described(entry, layout) for entry in pipeline.entries],
        "output": {"name": answer, "type": "float32", "shape": shape,
                   "holds": "the probability of each class, in the order of `classes`" if classes
                   else "the number in the target's unit"},
        "members": len(pipeline.members), "schema": run.artifact.schema.to_json(),
        "provenance": {key: run.artifact.provenance.get(key) for key in ("created", "fingerprint", "rows", "seed")},
    }


def described(entry: Entry, layout: str) -> dict[str, Any]:
    """One input."""
    codec: Any = entry.codec
    told = {"name": entry.name, "column": entry.column, "kind": codec.kind}
    if entry.part == "present":
        return {**told, "type": "bool", "shape": ["rows"], "holds": "whether the cell is there; false: it is ignored"}
    if codec.kind == "image":
        sides: list[Any] = ["rows", "height", "width"]
        shape = [*sides, codec.channels] if layout == "nhwc" else [sides[0], codec.channels, *sides[1:]]
        kind = "uint8"
    elif entry.part == "log_mel":
        shape, kind = ["rows", int(codec.describe()["mels"]), "length"], "float32"
    elif entry.part:
        shape, kind = SHAPES[entry.part], TYPES[entry.part]
    else:
        shape, kind = ["rows"], "float32" if codec.kind == "number" else "int64"
    return {**told, "type": kind, "shape": shape, "holds": how(codec), "codec": codec.to_json()}


def how(codec: Any) -> str:
    """How a cell becomes the input, in words."""
    words: Mapping[str, Any] = {"colours": "grey (Pillow's mode L)" if getattr(codec, "channels", 3) == 1 else "RGB",
                                "clip": CLIP}
    return HOW[codec.kind].format(**words)

