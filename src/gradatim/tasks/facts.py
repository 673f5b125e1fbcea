"""The facts of a run as JSON values: what the report, the card and `--json` tell."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.codecs.series_cells import shown_series
from gradatim.data.schema import Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.errors import GradatimError
from gradatim.evaluate.advice import advice
from gradatim.evaluate.calibrate import calibration
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.score import METRICS, RANKED, RANKED_CLASSES, TOP5_FROM_CLASSES
from gradatim.evaluate.slices import failing_slices
from gradatim.evaluate.suspects import likely_mislabelled, likely_mistyped
from gradatim.files import write_atomic
from gradatim.problems import Problems
from gradatim.tasks import SupervisedTask, Task
from gradatim.tasks.choose import Candidate
from gradatim.tasks.explain import explained_facts
from gradatim.tasks.label_curve import curve_section
from gradatim.tasks.line import Fitted
from gradatim.tasks.memo import Clock
from gradatim.tasks.placed import as_placed, said_of
from gradatim.tasks.supervised import Outcome

WORST_ROWS = 12
SUSPECTS = 20
PROBLEMS = 200
SAMPLES = 3
MOST_CHARTED = 1_000_000  # probabilities that the report holds for its charts


def fingerprint(table: Table) -> str:
    """SHA-256 of the names, types and cells of a table, however they lie in memory; Python objects count only."""
    digest = hashlib.sha256()
    for series in table.frame:
        digest.update(f"{series.name}\x00{series.dtype}\x00{len(series)}\x00".encode())
        digest.update(series.is_null().to_numpy().tobytes())
        if series.dtype == pl.Object:
            continue
        if series.dtype.is_numeric() or series.dtype.is_temporal() or series.dtype == pl.Boolean:
            values = series.to_physical().fill_null(0).to_numpy()
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
            continue
        plain = series.dtype in (pl.String, pl.Categorical, pl.Enum)
        texts = series.cast(pl.String).fill_null("").to_list() if plain else [repr(cell) for cell in series.to_list()]
        digest.update(np.array([len(text) for text in texts], dtype=np.int64).tobytes())
        digest.update("".join(texts).encode())
    return digest.hexdigest()


def score_rows(task: Task, answer: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Every metric with its interval on the rows whose label is known; the others are counted in a note."""
    return task.score(answer, truth)


def headline(task: Task, answer: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Value and interval of the task's metric; None where these rows do not define it, as an AUC of one class."""
    found = score_rows(task, answer, truth)["metrics"].get(task.metric, {})
    return {"metric": task.metric, **{name: found.get(name) for name in ("value", "low", "high")}}


def check_metric(name: str | None, task: str, classes: int | None = None) -> None:
    """Refuse a metric that does not exist, or not for this task and number of classes, before anything is trained."""
    binary = () if classes in (None, 2) else ("f1", "precision", "recall")
    top = () if classes is None or classes >= TOP5_FROM_CLASSES else ("top5_accuracy",)
    ranked = RANKED if classes is not None and classes > RANKED_CLASSES else ()
    out = (*binary, *top, *ranked)
    allowed = [key for key, metric in METRICS.items() if metric.task == task and key not in out]
    if name is not None and name in (*binary, *top) and METRICS[name].task == task:
        wanted = f"at least {TOP5_FROM_CLASSES}" if name in top else "two"
        raise GradatimError(f"--metric {name}: expected a target of {wanted} classes, received one of {classes}; "
                            f"choose among {', '.join(allowed)}")
    if name is not None and name not in allowed:
        kind = task if not classes else f"{task} with {classes} classes"
        raise GradatimError(f"--metric: expected one of {', '.join(allowed)} for {kind}, received '{name}'")


def candidate_facts(
    candidates: Sequence[Candidate], labels: np.ndarray, task: SupervisedTask
) -> list[dict[str, Any]]:
    """Score of each candidate on the rows that it answered without having seen them."""
    found = []
    for candidate in candidates:
        seen = candidate.answered()
        found.append({
            "name": candidate.name, **headline(task, candidate.answers[seen], labels[seen]),
            "loss": float(task.row_losses(candidate.answers[seen], labels[seen]).mean()),
            "rows": int(seen.sum()), "seconds": round(candidate.seconds, 2), "chosen": candidate.weight > 0,
            "weight": candidate.weight, "note": candidate.note,
        })
    return found


def flat_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of the networks as names and plain values."""
    placement = plan.get("placement", {})
    shown = {name: value for name, value in plan.items() if isinstance(value, str | int | float)}
    return shown | {name: placement[name] for name in ("device", "dtype", "channels_last", "threads") if placement}


def schema_facts(schema: Schema, table: Table) -> list[dict[str, Any]]:
    """Name, kind, role, evidence and three samples of each column."""
    found = []
    for column in schema.columns:
        cells = table.frame.get_column(column.name).drop_nulls().head(200).to_list()
        samples = list(dict.fromkeys(str(cell)[:60] for cell in cells))[:SAMPLES]
        found.append({"name": column.name, "kind": column.kind, "role": column.role, "why": list(column.why),
                      "samples": samples})
    return found


def worst_rows(outcome: Outcome, table: Table, schema: Schema) -> list[dict[str, Any]]:
    """The test rows with the highest loss, with their cells."""
    task = outcome.task
    if len(outcome.test_rows) == 0:
        return []
    losses = task.row_losses(outcome.test_answers, outcome.test_labels)
    found = []
    for place in np.argsort(-losses)[:WORST_ROWS]:
        row, answer = int(outcome.test_rows[place]), outcome.test_answers[place]
        entry: dict[str, Any] = {"row": row, "line": table.line(row), "loss": float(losses[place])}
        placed = as_placed(task)
        if placed is not None:
            entry |= placed.tell(outcome.test_labels[place], answer)
        elif task.classes:
            entry |= {
                "true": str(task.classes[int(outcome.test_labels[place])]),
                "predicted": str(task.classes[int(answer.argmax())]), "probability": float(answer.max()),
            }
        else:
            entry |= {"true": float(outcome.test_labels[place]), "predicted": float(answer), "probability": None}
        entry["cells"] = cells_of(table, schema, row)
        found.append(entry)
    return found


def cells_of(table: Table, schema: Schema, row: int) -> list[dict[str, Any]]:
    """The input cells of a row as JSON values; pictures and sounds by their file name, series as numbers."""
    cells = []
    for column in schema.inputs[:12]:
        cell = table.cell(column.name, int(row))
        shown = cell if isinstance(cell, str | int | float | bool) or cell is None else f"<{type(cell).__name__}>"
        shown = shown_series(cell) if column.kind == "series" else shown
        cells.append({"column": column.name, "kind": column.kind, "cell": shown})
    return cells


def suspects(outcome: Outcome, table: Table, schema: Schema) -> list[dict[str, Any]]:
    """Choice rows whose label the models, not having seen it, contradict with confidence."""
    task, labels, answers, rows = outcome.task, outcome.choice_labels, outcome.choice_answers, outcome.choice_rows
    if as_placed(task) is not None:
        return []
    if task.classes:
        found = likely_mislabelled(labels, answers, task.classes, rows=rows, most=SUSPECTS)
    else:
        found = likely_mistyped(labels, answers, rows=rows, most=SUSPECTS)
    return [{**entry, "line": table.line(int(entry["row"])), "cells": cells_of(table, schema, int(entry["row"]))}
            for entry in found]


def assemble_facts(
    schema: Schema,
    provenance: Mapping[str, Any],
    recipe: Mapping[str, Any],
    outcome: Outcome,
    table: Table,
    split: Split,
    findings: Sequence[Any],
    problems: Problems,
    ledger: Sequence[Mapping[str, Any]],
    clock: Clock,
    uses: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Everything the report tells; the keys are documented in `gradatim.evaluate.report`."""
    task = outcome.task
    candidates = candidate_facts(outcome.candidates, outcome.compared_labels, task)
    chosen = [entry for entry in candidates if entry["chosen"]]
    facts: dict[str, Any] = {
        "title": f"{task.target} from {', '.join(c.name for c in schema.inputs[:4])}",
        "source": table.source,
        "created": provenance["created"],
        "task": task.name,
        "target": task.target,
        "classes": [str(name) for name in task.classes],
        "rows": {
            "labelled": len(split.train) + len(split.development) + len(split.test), "train": len(split.train),
            "development": len(split.development), "test": len(split.test),
            "unlabelled": len(table) - len(split.train) - len(split.development) - len(split.test),
        },
        "answer": {"name": " + ".join(entry["name"] for entry in chosen), "why": outcome.why,
                   "verdict": outcome.verdict, "notes": [*outcome.notes, *not_charted(outcome.test_answers)]},
        "schema": schema_facts(schema, table),
        "split_notes": list(split.notes),
        "findings": [finding.to_json() for finding in findings],
        "candidates": candidates,
        "candidates_note": [*outcome.notes[:1], outcome.verdict],
        "plan": flat_plan(outcome.plan),
        "history": outcome.histories,
        "forecast": outcome.forecast,
        "ledger": list(ledger),
        "suspects": suspects(outcome, table, schema),
        "worst": worst_rows(outcome, table, schema),
        "problems": problems.to_json()[:PROBLEMS],
        "problem_counts": problems.counts(),
        "recipe": dict(recipe),
        "provenance": dict(provenance),
        "uses": list(uses),
        "sections": curve_section(outcome.label_curves, task.metric),
        "seconds": {**{name: round(value, 2) for name, value in clock.parts.items()},
                    "total": round(clock.elapsed(), 2)},
    }
    if len(outcome.test_rows):
        facts |= test_facts(outcome, table, schema)
    return facts


def test_facts(outcome: Outcome, table: Table, schema: Schema) -> dict[str, Any]:
    """Scores, calibration, slices and advice from the rows that were used for no choice."""
    task, answers, labels = outcome.task, outcome.test_answers, outcome.test_labels
    scores = score_rows(task, answers, labels)
    score = {**headline(task, answers, labels), "rows": len(labels), "note": outcome.saved}
    development = headline(task, outcome.choice_answers, outcome.choice_labels)
    facts: dict[str, Any] = {"score": score, "scores": scores}
    if as_placed(task) is None:
        if answers.size <= MOST_CHARTED:  # for the charts; predictions/test.csv has all of them
            facts["test_predictions"] = {"rows": outcome.test_rows.tolist(), "labels": labels.tolist(),
                                         "probabilities" if task.classes else "values": np.round(answers, 5).tolist()}
        facts["slices"] = failing_slices(table.take(outcome.test_rows), schema, labels=labels, answers=answers,
                                         classes=task.classes)
        facts["explanations"] = explained_facts(outcome.scored, schema, table, outcome.test_rows,
                                                task.row_losses(answers, labels))
    training = training_score(outcome)
    baseline = headline(task, outcome.candidates[0].answers, outcome.compared_labels)["value"]
    if None not in (training, development["value"], baseline):
        facts["advice"] = advice(training, development["value"], baseline, metric=score["metric"],
                                 low=development["low"], high=development["high"])
    if task.classes:
        facts["calibration"] = calibration(labels, answers) | {"temperature": outcome.scored.temperature}
    return facts


def not_charted(answers: np.ndarray) -> list[str]:
    """The note on answers of test rows that are too many for the charts of the report."""
    return [] if answers.size <= MOST_CHARTED else [
        f"the report has no charts of single predictions: {answers.size:,} numbers, over {MOST_CHARTED:,}; "
        "predictions/test.csv has all of them"]


def training_score(outcome: Outcome) -> float:
    """The metric of the scored ensemble on (a sample of) the rows that it was fitted on."""
    return headline(outcome.task, outcome.training_answers, outcome.training_labels)["value"]


def line_facts(
    schema: Schema, provenance: Mapping[str, Any], recipe: Mapping[str, Any], fitted: Fitted, table: Table,
    findings: Sequence[Any], problems: Problems, clock: Clock, uses: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the report tells of a task with a line of its own: what is the same for all, then the line's own facts."""
    task, split = fitted.task, fitted.split
    inputs = ", ".join(column.name for column in schema.inputs[:4])
    parts = {name: len(rows) for name, rows in split.parts().items()}
    return {
        "title": f"{task.target} from {inputs}" if task.target and inputs else f"{task.name} of {table.source}",
        "source": table.source,
        "created": provenance["created"],
        "task": task.name,
        "target": task.target,
        "classes": [str(name) for name in task.classes],
        "rows": {"labelled": sum(parts.values()), **parts, "unlabelled": len(table) - sum(parts.values())},
        "schema": schema_facts(schema, table),
        "split_notes": list(split.notes),
        "findings": [finding.to_json() for finding in findings],
        "history": fitted.histories,
        "problems": problems.to_json()[:PROBLEMS],
        "problem_counts": problems.counts(),
        "recipe": dict(recipe),
        "provenance": dict(provenance),
        "uses": list(uses),
        "seconds": {**{name: round(value, 2) for name, value in clock.parts.items()},
                    "total": round(clock.elapsed(), 2)},
        **fitted.facts,
    }


def write_history(folder: Path, histories: Mapping[str, Any]) -> None:
    """history.csv: a row an epoch, the stage in the first column."""
    rows = [{"stage": stage, **row} for stage, history in histories.items() for row in history]
    if rows:
        write_atomic(folder / "history.csv", pl.DataFrame(rows, infer_schema_length=None).write_csv())


def predictions_of(outcome: Outcome, table: Table) -> dict[str, Predictions]:
    """Answers of rows that their models had not seen, by the part of the split."""
    parts = {"development": (outcome.choice_rows, outcome.choice_answers),
             "test": (outcome.test_rows, outcome.test_answers)}
    return {name: said_of(outcome.task, answers, table.take(rows), rows)
            for name, (rows, answers) in parts.items() if len(rows)}


def write_predictions(folder: Path, said: Mapping[str, Predictions]) -> None:
    """predictions/NAME.csv."""
    for name, predictions in said.items():
        predictions.to_csv(folder / "predictions" / f"{name}.csv")
