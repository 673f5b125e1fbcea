"""Scores anybody's predictions: a file of predictions, a file of labels, matched by an id or by order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.join import joining_keys
from gradatim.data.numbers import parse_number
from gradatim.data.readers import read_table
from gradatim.data.spelling import one_spelling, spelling_of
from gradatim.data.table import Table
from gradatim.errors import CellError, DataError
from gradatim.evaluate.calibrate import calibration
from gradatim.evaluate.metrics import METRICS, metric_named
from gradatim.evaluate.predictions import PREDICTION, PROBABILITY
from gradatim.evaluate.score import TOP5_FROM_CLASSES, score_classification, score_regression
from gradatim.evaluate.thresholds import choose_threshold, parse_goal

# Labels that are numbers with more distinct values than this, or with a fraction, are taken for a regression target.
MOST_NUMERIC_CLASSES = 20
_PREFIXES = (PROBABILITY, "probability_", "prob_", "proba_", "p_", "")


def score_files(
    predictions_path: Path | str,
    labels_path: Path | str,
    *,
    id: str | None = None,
    target: str | None = None,
    metric: str | None = None,
    constraint: str | None = None,
) -> dict[str, Any]:
    """Score the predictions of any model: what `score_classification` or `score_regression` gives, and `score` (the
    headline), `target`, `id`, `calibration` and the notes on how rows were matched. Arguments: see `facts_of_files`;
    constraint: for probabilities of two classes, the goal of a `threshold`, as 'highest recall with precision >= 0.9'.
    """
    goal = None if constraint is None else parse_goal(constraint)
    facts = facts_of_files(predictions_path, labels_path, id=id, target=target, metric=metric)
    if goal is not None:
        given, classes = facts["test_predictions"], facts["classes"]
        if len(classes) != 2 or "probabilities" not in given:
            raise DataError(f"--constraint: expected probabilities of two classes, received {len(classes)} classes"
                            + ("" if "probabilities" in given else " without probabilities"))
        facts["scores"]["threshold"] = choose_threshold(given["labels"], given["probabilities"][:, 1], goal,
                                                        positive=str(classes[1]))
    found = {**facts["scores"], "notes": [*facts["notes"], *facts["scores"]["notes"]]}
    return found | {key: facts[key] for key in ("score", "target", "id", "calibration") if key in facts}


def facts_of_files(
    predictions_path: Path | str,
    labels_path: Path | str,
    *,
    id: str | None = None,
    target: str | None = None,
    metric: str | None = None,
) -> dict[str, Any]:
    """What a report tells about the predictions of any model.

    predictions: a column `prediction`, or named as the target, or the only one left; beside it or instead of it a
    column of probabilities for each class (`probability:CLASS`, `prob_CLASS`, `p_CLASS` or just `CLASS`). id: the
    column that joins the two files (default: the one they share whose cells are all different; with none, by
    order, which is said in `notes`). target: the label column; metric: the headline, which also names the task.

    Gives facts that `build_report` understands: title, source, task, target, classes, rows, score, scores,
    calibration, test_predictions, and notes. Raises DataError, one line.
    """
    said, truth = read_table(predictions_path), read_table(labels_path)
    if metric is not None:
        metric_named(metric)
    target = _target_column(said, truth, target, id)
    id = _id_column(said, truth, target, id)
    said_frame, truth_cells, notes = _matched(said, truth, target, id)
    kept = [place for place, cell in enumerate(truth_cells) if cell is not None]
    if len(kept) < len(truth_cells):
        notes.append(f"{len(truth_cells) - len(kept)} rows without a label were left out.")
    if not kept:
        raise DataError(f"{truth.source}: expected labels in '{target}', found every cell empty")
    said_frame, truth_cells = said_frame[kept], [truth_cells[place] for place in kept]
    probabilities = _probability_columns(said_frame, truth_cells, id, target)
    numbers = None if probabilities else _regression_labels(truth_cells, metric)
    facts: dict[str, Any] = {
        "title": f"Predictions in {Path(str(predictions_path)).name}", "source": truth.source, "target": target,
        "rows": {"test": len(kept)}, "notes": notes, "id": id,
    }
    if numbers is None:
        facts |= _score_classes(said, said_frame, truth_cells, probabilities, id, target, notes)
    else:
        facts |= _score_numbers(said, said_frame, numbers, id, target)
    return facts | {"score": _headline(facts, metric)}


def _target_column(said: Table, truth: Table, target: str | None, id: str | None) -> str:
    columns = truth.frame.columns
    if target is not None:
        if target not in columns:
            raise DataError(f"{truth.source}: expected the label column '{target}', found {', '.join(columns)}")
        return target
    left = [name for name in columns if name != id]
    if len(left) == 1:
        return left[0]
    shared = [name for name in left if name in said.frame.columns]
    joining = [name for name in shared if _all_different(truth.frame[name])]
    own = [name for name in left if name not in shared] if joining or id else []
    same = [name for name in joining if set(_texts(said, name)) == set(_texts(truth, name))]
    for candidates in (own, [name for name in shared if name not in joining],
                       [name for name in joining if name not in same] if len(same) == 1 else []):
        if len(candidates) == 1:
            return candidates[0]
    raise DataError(f"{truth.source}: expected one label column, found {', '.join(left)}; name it with --target")


def _id_column(said: Table, truth: Table, target: str, id: str | None) -> str | None:
    if id is not None:
        for table in (said, truth):
            if id not in table.frame.columns:
                raise DataError(f"{table.source}: expected the id column '{id}', found "
                                f"{', '.join(table.frame.columns)}")
        return id
    shared = [name for name in truth.frame.columns
              if name in said.frame.columns and name not in (target, PREDICTION)]
    unique = [name for name in shared if _all_different(truth.frame[name])]
    if len(unique) > 1:
        raise DataError(f"{said.source}: expected one id column, found {', '.join(unique)} in both files; "
                        "name it with --id")
    # A shared column with repeats is still meant to join the files: the repeats are the error to report.
    return unique[0] if unique else (shared[0] if len(shared) == 1 else None)


def _texts(table: Table, name: str) -> list[str | None]:
    return table.frame[name].cast(pl.String, strict=False).to_list()


def _all_different(cells: pl.Series) -> bool:
    return cells.null_count() == 0 and cells.n_unique() == len(cells)


def _matched(said: Table, truth: Table, target: str, id: str | None) -> tuple[pl.DataFrame, list[Any], list[str]]:
    """Predictions in the order of the labels, the label cells, and notes on how they were matched."""
    if id is None:
        if len(said) != len(truth):
            raise DataError(f"{said.source}: expected as many predictions as labels, or a shared id column; received "
                            f"{len(said)} predictions for {len(truth)} labels; add the id column and name it with --id")
        return said.frame, truth.cells(target), [f"Matched by order: {len(said)} rows in both files, no shared id."]
    keys = []
    for table, key in zip((said, truth), joining_keys(said.frame[id], truth.frame[id]), strict=True):
        empty = key.null_count()
        if empty:
            raise DataError(f"{table.source}: expected an id in each row of '{id}', found {empty} empty; fill them in")
        repeats = key.filter(key.is_duplicated())
        if len(repeats):
            raise DataError(f"{table.source}: expected each '{id}' once, found {repeats.n_unique()} repeated "
                            f"({len(repeats)} rows, first '{repeats[0]}'); keep one row each")
        keys.append({value: place for place, value in enumerate(key.to_list())})
    missing = [value for value in keys[1] if value not in keys[0]]
    extra = [value for value in keys[0] if value not in keys[1]]
    if missing:
        raise DataError(f"{said.source}: expected a prediction for each of {len(keys[1])} ids, {len(missing)} are "
                        f"missing (first '{missing[0]}')" + (f" and {len(extra)} are unknown" if extra else "")
                        + "; predict every row of the test file")
    if extra:
        raise DataError(f"{said.source}: expected {len(keys[1])} predictions, found {len(extra)} more whose '{id}' has "
                        f"no label (first '{extra[0]}'); remove them")
    frame = said.frame[[keys[0][value] for value in keys[1]]]
    return frame, truth.cells(target), [f"Matched by '{id}': {len(frame)} rows."]


def _probability_columns(
    frame: pl.DataFrame, truth: Sequence[Any], id: str | None, target: str
) -> dict[str, str]:
    """Class → its probability column; empty when there is none. Classes with labels but no column are an error."""
    labels = {_spelling(cell) for cell in truth}
    free = [name for name in frame.columns if name not in (id, target, PREDICTION, "row")]
    for prefix in _PREFIXES:
        own = [name for name in free if name.startswith(prefix)]
        found = dict(zip(_aligned([name.removeprefix(prefix) for name in own], labels), own, strict=True))
        if prefix == "":
            found = {label: name for label, name in found.items() if label in labels}
        if len(found) < 2:
            continue
        lacking = sorted(labels - found.keys())
        if lacking and prefix == PROBABILITY:
            raise DataError(f"expected a probability column for each class, found none for {len(lacking)} "
                            f"(first '{lacking[0]}'); add '{prefix}{lacking[0]}' (zeros if it is never predicted)")
        if not lacking:
            return found
    return {}


def _regression_labels(truth: Sequence[Any], metric: str | None) -> np.ndarray | None:
    """The labels as numbers when the task is regression, else None."""
    if metric is not None and METRICS[metric].task == "classification":
        return None
    numbers = [_number(cell) for cell in truth]
    if any(value is None for value in numbers):
        if metric is not None:
            bad = next(cell for cell, value in zip(truth, numbers) if value is None)
            raise DataError(f"expected numbers as labels for {metric}, received '{bad}'; choose another metric")
        return None
    values = np.array(numbers, dtype=np.float64)
    whole = bool((values == np.round(values)).all())
    return values if metric is not None or not whole or len(np.unique(values)) > MOST_NUMERIC_CLASSES else None


def _score_classes(
    said: Table, frame: pl.DataFrame, truth: Sequence[Any], columns: dict[str, str], id: str | None, target: str,
    notes: list[str],
) -> dict[str, Any]:
    labels = [_spelling(cell) for cell in truth]
    if columns:
        classes = list(columns)
        table = np.stack([_floats(said, frame, name) for name in columns.values()], axis=1)
        probabilities: np.ndarray | None = table
        predicted = _chosen(said, frame, classes, id, target, columns)
    else:
        name = _prediction_column(said, frame, id, target, ())
        cells = frame[name].to_list()
        binary = _binary_scores(cells, labels)
        if binary is not None:
            classes, probabilities, predicted = ["0", "1"], np.stack([1 - binary, binary], axis=1), None
            notes.append(f"'{name}' holds numbers from 0 to 1: taken for the probability of '1'.")
        else:
            _no_empty(said, name, cells)
            spelled = _aligned([_spelling(cell) for cell in cells], set(labels))
            classes = _in_order(set(labels) | set(spelled))
            strange = len(set(spelled) - set(labels))
            if strange and strange == len(set(spelled)):
                raise DataError(f"{said.source}: expected labels such as '{labels[0]}' in '{name}', received "
                                f"'{spelled[0]}'; write classes in the spelling of the labels")
            place = {label: number for number, label in enumerate(classes)}
            probabilities, predicted = None, np.array([place[label] for label in spelled], dtype=np.int64)
    place = {label: number for number, label in enumerate(classes)}
    numbers = np.array([place[label] for label in labels], dtype=np.int64)
    scores = score_classification(numbers, probabilities, classes, predicted=predicted)
    facts: dict[str, Any] = {"task": "classification", "classes": classes, "scores": scores}
    said_rows: dict[str, Any] = {"rows": np.arange(len(numbers)), "labels": numbers}
    if probabilities is not None:
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        facts["calibration"] = calibration(numbers, probabilities)
        said_rows["probabilities"] = probabilities
    return facts | {"test_predictions": said_rows}


def _score_numbers(
    said: Table, frame: pl.DataFrame, labels: np.ndarray, id: str | None, target: str
) -> dict[str, Any]:
    name = _prediction_column(said, frame, id, target, ())
    values = _floats(said, frame, name)
    return {"task": "regression", "classes": [], "scores": score_regression(labels, values),
            "test_predictions": {"rows": np.arange(len(labels)), "labels": labels, "values": values}}


def _headline(facts: dict[str, Any], metric: str | None) -> dict[str, Any]:
    found = facts["scores"]["metrics"]
    name = metric or ("accuracy" if facts["task"] == "classification" else "rmse")
    if name not in found:
        raise DataError(f"{name} cannot be computed from these predictions: {_why_not(name, facts)}; choose among "
                        f"{', '.join(found)}")
    return {"metric": name, "value": found[name]["value"], "low": found[name]["low"], "high": found[name]["high"],
            "rows": facts["scores"]["rows"], "note": " ".join(facts["notes"])}


def _why_not(name: str, facts: dict[str, Any]) -> str:
    """What a metric would need that predictions of another program lack."""
    metric, count = metric_named(name), len(facts["classes"])
    if metric.task != facts["task"]:
        return f"it is one of {metric.task}, the target is one of {facts['task']}"
    if metric.needs_probabilities and "log_loss" not in facts["scores"]["metrics"]:
        return f"it needs a column '{PROBABILITY}CLASS' for each class"
    if name == "top5_accuracy" and count < TOP5_FROM_CLASSES:
        return f"it expects at least {TOP5_FROM_CLASSES} classes, there are {count}"
    if name in ("f1", "precision", "recall") and count != 2:
        return f"it expects two classes, there are {count}"
    return "these rows do not define it"


def _prediction_column(
    said: Table, frame: pl.DataFrame, id: str | None, target: str, taken: Sequence[str]
) -> str:
    for name in (PREDICTION, target):
        if name in frame.columns and name != id:
            return name
    left = [name for name in frame.columns if name not in (id, "row", *taken)]
    if len(left) == 1:
        return left[0]
    raise DataError(f"{said.source}: expected a column '{PREDICTION}' or '{target}', found {', '.join(frame.columns)}; "
                    "rename the one that holds the predictions")


def _chosen(
    said: Table, frame: pl.DataFrame, classes: list[str], id: str | None, target: str, columns: dict[str, str]
) -> np.ndarray | None:
    """The predicted classes beside the probabilities; None (the most probable) when there is no such column."""
    name = next((name for name in (PREDICTION, target) if name in frame.columns and name != id
                 and name not in columns.values()), None)
    if name is None:
        return None
    _no_empty(said, name, frame[name].to_list())
    spelled = _aligned([_spelling(cell) for cell in frame[name].to_list()], set(classes))
    place = {label: number for number, label in enumerate(classes)}
    strange = [label for label in spelled if label not in place]
    if strange:
        raise DataError(f"{said.source}: expected predictions among the classes with a probability column, received "
                        f"{len(strange)} others (first '{strange[0]}')")
    return np.array([place[label] for label in spelled], dtype=np.int64)


def _binary_scores(cells: Sequence[Any], labels: Sequence[str]) -> np.ndarray | None:
    """Predictions between 0 and 1 for labels 0 and 1, as Kaggle asks for; None when they are something else."""
    if not set(labels) <= {"0", "1"}:
        return None
    numbers = [_number(cell) for cell in cells]
    values = np.array([np.nan if value is None else value for value in numbers], dtype=np.float64)
    if np.isnan(values).any() or values.min() < 0 or values.max() > 1 or (values == np.round(values)).all():
        return None
    return values


def _aligned(texts: Sequence[str], labels: set[str]) -> list[str]:
    """The label that each text spells: '3.0' for '3', 'true' for 'True'; the text itself where it spells none."""
    form = spelling_of(pl.Series(sorted(labels)))
    known = {one_spelling(label, form): label for label in labels}
    return [text if text in labels else known.get(one_spelling(text, form), text) for text in texts]


def _floats(said: Table, frame: pl.DataFrame, name: str) -> np.ndarray:
    values = []
    for row, cell in enumerate(frame[name].to_list()):
        value = _number(cell)
        if value is None or not np.isfinite(value):
            shown = "an empty cell" if cell is None else f"'{cell}'"
            raise DataError(f"{said.source}: expected a number in each row of '{name}', received {shown} at the row of "
                            f"label {row + 1}; mend it")
        values.append(value)
    return np.array(values, dtype=np.float64)


def _no_empty(said: Table, name: str, cells: Sequence[Any]) -> None:
    empty = sum(cell is None for cell in cells)
    if empty:
        raise DataError(f"{said.source}: expected a prediction in each row of '{name}', found {empty} empty; "
                        "predict every row")


def _number(cell: Any) -> float | None:
    try:
        return parse_number(cell)
    except CellError:
        return None


def _spelling(cell: Any) -> str:
    """A class as text: whole floats lose their '.0', text its outer spaces."""
    if isinstance(cell, float) and cell == int(cell):
        return str(int(cell))
    return str(cell).strip()


def _in_order(labels: set[str]) -> list[str]:
    try:
        return sorted(labels, key=float)
    except ValueError:
        return sorted(labels)
