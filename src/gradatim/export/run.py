"""Export a run: build the graph, hold it against the run's own answers, measure what 8 bits cost, write at the end.

A file that is handed over has been opened again and has answered rows of the fitted table as the run does; otherwise
nothing is written.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.errors import GradatimError
from gradatim.export import files, rows
from gradatim.export.describe import description
from gradatim.export.parts import TASKS, Pipeline
from gradatim.export.quantise import quantised
from gradatim.export.resize import LAYOUTS
from gradatim.files import write_atomic, write_json
from gradatim.randomness import generator
from gradatim.run import Run
from gradatim.tasks.facts import headline
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.source import Source

CHECKED, CALIBRATED, MEASURED = 128, 256, 2000  # rows
TOLERANCE = 1e-3  # of a probability, or of the target's deviation, against the run in float32
ROUNDED = 0.05  # the same against the run's own answers where these are rounded to bfloat16
TURNS = 7

Say = Callable[[str], None]


def export_run(
    run: Run, output: Path | str, *, form: str = "onnx", layout: str = "nhwc", int8: bool = False,
    data: Any = None, networks_only: bool = False, tolerance: float = TOLERANCE, force: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Write a run to one file, checked; returns its description as JSON values.

    form: 'onnx' or 'pt2'. layout: of pictures, 'nhwc' or 'nchw', uint8 of any size. int8: also write FILE.int8.onnx,
    with the change of the metric on test rows, sizes and speeds. data: rows to check with, in place of the fitted
    table. networks_only: leave out members that no graph can say. tolerance: largest difference of a probability (of a
    number: in deviations of the target) against the run in float32.
    Raises GradatimError when a member cannot be exported, no rows are there to check with, or the answers differ.
    """
    output = Path(output)
    check_options(form, layout, int8, output, force)
    files.check_packages("onnx" if int8 else form)
    ensemble = chosen_members(run, networks_only)
    task: Any = ensemble.task
    table, parts = checking_rows(run, data)
    pipeline = Pipeline(ensemble, layout).eval()
    said = Sides(ensemble, pipeline, layout)
    numbers = sampled(np.concatenate([parts["development"], parts["test"]]), CHECKED)
    check = said.of(table.take(numbers))
    example = [torch.from_numpy(value.copy()) for value in twice(check.batches[0][1]).values()]
    say(f"writing the graph of {len(pipeline.members)} member{'s' if len(pipeline.members) > 1 else ''}")
    program = files.exported(pipeline, example, layout)
    answer_name = files.ANSWER[bool(task.classes)]
    about = description(run, ensemble, pipeline, layout, form, answer_name)
    names = [entry.name for entry in pipeline.entries]
    if form == "onnx":
        model = files.onnx_bytes(program, pipeline, answer_name)
        graph = files.onnx_answer(model)
    else:
        model = files.pt2_bytes(program, about)
        graph = files.pt2_answer(model, names)
    about["check"] = compared(check, graph, task, tolerance)
    say(check_line(about["check"]))
    smaller = None
    if int8:
        if form == "pt2":
            model_float = files.onnx_bytes(program, pipeline, answer_name)
        else:
            model_float = model
        smaller, about["int8"] = in_eight_bits(model_float, said, table, parts, task, say)
    finished = files.with_metadata(model, about) if form == "onnx" else files.pt2_bytes(program, about)
    write_atomic(output, finished)
    if smaller is not None:
        write_atomic(output.with_suffix(".int8.onnx"), files.with_metadata(smaller, about))
    write_json(output.with_suffix(output.suffix + ".json"), about)
    return about


def check_options(form: str, layout: str, int8: bool, output: Path, force: bool) -> None:
    """Refuse what cannot be, before anything is read."""
    if form not in files.FORMATS:
        raise GradatimError(f"--format: expected one of {', '.join(files.FORMATS)}; received '{form}'")
    if layout not in LAYOUTS:
        raise GradatimError(f"--layout: expected one of {', '.join(LAYOUTS)}; received '{layout}'")
    if int8 and form != "onnx":
        raise GradatimError("--int8: expected --format onnx, whose runtime has 8-bit products; received pt2")
    written = [output, *([output.with_suffix(".int8.onnx")] if int8 else [])]
    for path in written:
        if path.exists() and not force:
            raise GradatimError(f"{path}: the file exists; choose another -o, or pass --force to replace it")


def chosen_members(run: Run, networks_only: bool) -> Ensemble:
    """The members to export: those of the answer, or its networks alone."""
    ensemble = run.artifact.ensemble
    if ensemble.task.name not in TASKS:
        raise GradatimError(f"export: expected a run of {' or '.join(TASKS)}, received one of {ensemble.task.name}")
    if not networks_only:
        return ensemble
    kept = [part for part in ensemble.used() if isinstance(part[0], NetworkMember)]
    if not kept:
        raise GradatimError("--networks-only: expected a network in the answer of this run, found none")
    members, weights, temperatures = zip(*kept)
    return replace(ensemble, members=tuple(members), weights=tuple(weights), temperatures=tuple(temperatures))


def checking_rows(run: Run, data: Any) -> tuple[Table, dict[str, np.ndarray]]:
    """The table to check with and its development and test rows (of other data: halves)."""
    table = run._fitted_table() if data is None else run.read(data)
    if table is None:
        raise GradatimError("export: expected the fitted table where it was, to check the file with; it is gone or has "
                            "changed: name rows with --data FILE")
    missing = [name for name in run.artifact.ensemble.columns if name not in table.frame.columns]
    if missing:
        raise GradatimError(f"{table.source}: expected the columns of the run, found none called {', '.join(missing)}")
    if data is not None:
        return table, {"development": np.arange(len(table))[::2], "test": np.arange(len(table))[1::2]}
    split = Split.from_json(run.artifact.split)
    return table, {"development": split.development, "test": split.test}


def sampled(numbers: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, the same at every call."""
    if len(numbers) <= most:
        return np.sort(numbers)
    return np.sort(generator("export", len(numbers)).choice(numbers, most, replace=False))


def twice(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At least two rows: the exporter takes a size of one for a constant."""
    return {name: value if len(value) > 1 else np.concatenate([value, value]) for name, value in inputs.items()}


class Sides:
    """The two sides of the comparison for any rows: inputs of the graph, and the run's own answers."""

    def __init__(self, ensemble: Ensemble, pipeline: Pipeline, layout: str) -> None:
        self.ensemble, self.pipeline, self.layout = ensemble, pipeline, layout
        self.float32 = rows.in_float32(ensemble)

    def of(self, table: Table, *, answers: bool = True) -> "Comparison":
        """Inputs and answers of some rows; a row whose only picture cannot be read is left out."""
        decoded = rows.whole_pictures(table, self.pipeline.entries)
        if all(entry.part != "present" for entry in self.pipeline.entries):
            column = self.pipeline.entries[0].column
            there = np.flatnonzero([cell is not None for cell in decoded.cells(column)])
            table, decoded = table.take(there), decoded.take(there)
        if not len(table):
            raise GradatimError("export: expected readable rows to check the file with, found none")
        batches = list(rows.inputs_of(decoded, self.pipeline, self.layout))
        exact = self.float32.answer(Source(decoded)) if answers else np.zeros(0)
        own = self.ensemble.answer(Source(table)) if answers else np.zeros(0)
        return Comparison(table, batches, exact, own)


class Comparison:
    """Rows of a table as inputs of the graph, with the run's answers: in float32 from the same pixels, and its own."""

    def __init__(
        self, table: Table, batches: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], exact: np.ndarray,
        own: np.ndarray,
    ) -> None:
        self.table, self.batches, self.exact, self.own = table, batches, exact, own

    def answered(self, graph: files.Answer) -> np.ndarray:
        """What a graph says to these rows."""
        return rows.answers(graph, self.batches, len(self.table))


def compared(check: Comparison, graph: files.Answer, task: Any, tolerance: float) -> dict[str, Any]:
    """The largest differences; GradatimError where they are above the tolerance. Rows are asked one by one as well."""
    found = check.answered(graph)
    unit = 1.0 if task.classes else float(task.codec.std)
    exact, own = (float(np.abs(found - side).max()) / unit for side in (check.exact, check.own))
    numbers, inputs = check.batches[0]
    alone = graph({name: value[:1] for name, value in inputs.items()})
    single = float(np.abs(alone[0] - found[numbers[0]]).max()) / unit
    facts: dict[str, Any] = {
        "rows": len(check.table), "unit": "probability" if task.classes else "standard deviations of the target",
        "largest_difference": exact, "against": "the run in float32, from the same pixels",
        "largest_difference_own": own, "tolerance": tolerance, "row_alone": single,
    }
    if task.classes:
        facts["same_class_own"] = float((found.argmax(1) == check.own.argmax(1)).mean())
    if not max(exact, single) <= tolerance:
        raise GradatimError(f"export: expected answers within {tolerance:g} of the run's, found a difference of "
                            f"{max(exact, single):.3g} on {len(check.table)} rows; nothing was written")
    if not own <= max(tolerance, ROUNDED) and facts.get("same_class_own", 0.0) < 0.98:
        raise GradatimError(f"export: expected answers within {ROUNDED:g} of the run's own, found a difference of "
                            f"{own:.3g}; nothing was written")
    return facts


def check_line(facts: Mapping[str, Any]) -> str:
    """The check in one sentence."""
    same = f", same class on {facts['same_class_own']:.1%}" if "same_class_own" in facts else ""
    return (f"checked on {facts['rows']} rows: largest difference {facts['largest_difference']:.1e} "
            f"({facts['unit']}) to {facts['against']}; {facts['largest_difference_own']:.1e} to its own answers{same}")


def in_eight_bits(
    model: bytes, said: Sides, table: Table, parts: Mapping[str, np.ndarray], task: Any, say: Say
) -> tuple[bytes, dict[str, Any]]:
    """The int8 model, and what it costs and gains: metric on test rows, bytes, milliseconds."""
    began = time.perf_counter()
    calibration = said.of(table.take(sampled(parts["development"], CALIBRATED)), answers=False)
    smaller = quantised(model, [inputs for _, inputs in calibration.batches])
    test = said.of(table.take(sampled(parts["test"], MEASURED)), answers=False)
    graphs = {"float32": files.onnx_answer(model), "int8": files.onnx_answer(smaller)}
    found = {name: test.answered(graph) for name, graph in graphs.items()}
    facts: dict[str, Any] = {
        "calibration_rows": len(calibration.table), "test_rows": len(test.table),
        "bytes": {"float32": len(model), "int8": len(smaller)},
        "largest_difference": float(np.abs(found["int8"] - found["float32"]).max()),
        "milliseconds": {str(size): paces(graphs, test.batches[0][1], size) for size in (1, 32)},
    }
    if task.target in table.frame.columns:
        truth = task.labels(test.table.cells(task.target))
        facts["score"] = {name: headline(task, answer, truth) for name, answer in found.items()}
    if task.classes:
        facts["same_class"] = float((found["int8"].argmax(1) == found["float32"].argmax(1)).mean())
    facts["note"] = "test rows are those of the fit; where the run was fitted again on all rows it has seen them"
    facts["seconds"] = time.perf_counter() - began
    say(eight_bits_line(facts))
    return smaller, facts


def paces(graphs: Mapping[str, files.Answer], inputs: Mapping[str, np.ndarray], size: int) -> dict[str, float]:
    """Median milliseconds of one call with so many rows, the graphs taking turns."""
    repeated = {name: np.resize(value, (size, *value.shape[1:])) for name, value in inputs.items()}
    taken: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(TURNS + 1):
        for name, graph in graphs.items():
            began = time.perf_counter()
            graph(repeated)
            if turn:
                taken[name].append(1000 * (time.perf_counter() - began))
    return {name: float(np.median(values)) for name, values in taken.items()}


def eight_bits_line(facts: Mapping[str, Any]) -> str:
    """What 8 bits cost and gain in one sentence."""
    sizes, many = facts["bytes"], facts["milliseconds"]["32"]
    line = (f"int8: {sizes['float32'] / 1e6:.2f} → {sizes['int8'] / 1e6:.2f} MB, "
            f"{many['float32']:.1f} → {many['int8']:.1f} ms for 32 rows")
    if "score" in facts:
        before, after = (facts["score"][name]["value"] for name in ("float32", "int8"))
        if before is not None and after is not None:
            line += f", {facts['score']['int8']['metric']} {before:.4g} → {after:.4g} on {facts['test_rows']} test rows"
    return line


