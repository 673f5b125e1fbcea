"""What a model said, keyed by row: the frame that scores, slices and the report read, whoever's model it was."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gradatim.data.conll import write_conll
from gradatim.errors import DataError
from gradatim.files import write_atomic
from gradatim.problems import Problems

PROBABILITY = "probability:"
PREDICTION = "prediction"
ROW = "row"
_PLACES = re.compile(r"object|left|top|right|bottom|(?:x|y|seen)\d+")  # columns of numbers of boxes and points


@dataclass(frozen=True, slots=True)
class Predictions:
    """One line a row: `row`, id columns if any, `prediction` (original spelling or number), `probability:CLASS`….

    task: "classification", "regression" or another, which owns its columns (texts, boxes as JSON …); target: what
    is predicted; classes: in the order of the probability columns; problems: cells that could not be read and
    counted as absent; column: the one that holds the answer. Round-trips through CSV and Parquet (without the
    problems).

    >>> said = Predictions.of_classes([4, 7], np.array([[0.9, 0.1], [0.3, 0.7]]), ["no", "yes"], "bought")
    >>> said.frame["prediction"].to_list()
    ['no', 'yes']
    """

    frame: pl.DataFrame
    task: str
    target: str
    classes: tuple[str, ...] = field(default=())
    problems: Problems = field(default_factory=Problems, compare=False)
    column: str = PREDICTION

    def __post_init__(self) -> None:
        missing = [name for name in (ROW, self.column) if name not in self.frame.columns]
        if missing:
            raise DataError(f"expected predictions with columns row and {self.column}, received none called "
                            f"{' or '.join(missing)} among {', '.join(self.frame.columns) or 'no columns'}")

    def __len__(self) -> int:
        return self.frame.height

    @classmethod
    def of(
        cls,
        answer: np.ndarray,
        *,
        task: str,
        target: str,
        classes: Sequence[Any] = (),
        rows: Sequence[int] | np.ndarray | None = None,
        ids: Mapping[str, Any] | None = None,
        problems: Problems | None = None,
    ) -> "Predictions":
        """From a task's answer: probabilities (N, C) for classification, numbers (N,) for regression."""
        places = np.arange(len(answer)) if rows is None else rows
        if task == "regression":
            said = cls.of_numbers(places, answer, target, ids=ids)
        else:
            said = cls.of_classes(places, answer, classes, target, ids=ids)
        return said if problems is None else replace(said, problems=problems)

    @classmethod
    def of_classes(
        cls,
        rows: Sequence[int] | np.ndarray,
        probabilities: np.ndarray,
        classes: Sequence[Any],
        target: str,
        *,
        ids: Mapping[str, Any] | None = None,
        predicted: np.ndarray | None = None,
        cells: Callable[[list[Any]], pl.Series] | None = None,
    ) -> "Predictions":
        """From probabilities (N, C); the prediction is the most probable class unless `predicted` (N,) says else.

        cells: makes the column of predictions from labels, in the type of the target.
        """
        names = [str(name) for name in classes]
        if probabilities.shape != (len(rows), len(names)):
            raise DataError(f"expected probabilities of shape ({len(rows)}, {len(names)}), "
                            f"received {probabilities.shape}")
        chosen = probabilities.argmax(axis=1) if predicted is None else predicted
        columns = _keys(rows, ids, [PREDICTION, *(PROBABILITY + name for name in names)])
        whole = all(type(label) is int for label in classes)
        if cells is None:
            columns[PREDICTION] = pl.Series([classes[c] if whole else names[c] for c in chosen],
                                            dtype=pl.Int64 if whole else pl.String)
        else:
            columns[PREDICTION] = cells([classes[c] for c in chosen])
        for c, name in enumerate(names):
            columns[PROBABILITY + name] = pl.Series(np.asarray(probabilities[:, c], dtype=np.float64))
        return cls(pl.DataFrame(columns), "classification", target, tuple(names))

    @classmethod
    def of_numbers(
        cls,
        rows: Sequence[int] | np.ndarray,
        values: np.ndarray,
        target: str,
        *,
        ids: Mapping[str, Any] | None = None,
    ) -> "Predictions":
        """From predicted numbers (N,)."""
        columns = _keys(rows, ids, [PREDICTION])
        columns[PREDICTION] = pl.Series(np.asarray(values, dtype=np.float64))
        return cls(pl.DataFrame(columns), "regression", target)

    @classmethod
    def of_columns(
        cls,
        rows: Sequence[int] | np.ndarray,
        columns: Mapping[str, pl.Series],
        *,
        task: str,
        target: str,
        ids: Mapping[str, Any] | None = None,
    ) -> "Predictions":
        """From the columns of a task of another kind, each (N,); the first holds the answer.

        >>> said = Predictions.of_columns([0], {"text": pl.Series(["ja"])}, task="translation", target="dutch")
        >>> said.labels
        ['ja']
        """
        frame = pl.DataFrame({**_keys(rows, ids, columns), **columns})
        return cls(frame, task, target, column=next(iter(columns)))

    @property
    def rows(self) -> np.ndarray:
        """Row numbers, int64 (N,)."""
        return self.frame[ROW].to_numpy()

    @property
    def labels(self) -> list[Any]:
        """The predicted labels, numbers, texts …, one a row."""
        return self.frame[self.column].to_list()

    def probabilities(self) -> np.ndarray | None:
        """Probabilities float64 (N, C) in the order of `classes`; None when only classes were given."""
        names = [PROBABILITY + name for name in self.classes]
        if not names or any(name not in self.frame.columns for name in names):
            return None
        return self.frame.select(names).to_numpy().astype(np.float64)

    def predicted(self) -> np.ndarray:
        """Class numbers int64 (N,), −1 for a class not among `classes`; or predicted numbers float64 (N,)."""
        if self.task not in ("classification", "regression"):
            raise DataError(f"expected predictions of classes or numbers, received those of {self.task}")
        if self.task == "regression":
            return self.frame[PREDICTION].to_numpy().astype(np.float64)
        place = {name: number for number, name in enumerate(self.classes)}
        return np.array([place.get(str(c), -1) for c in self.frame[PREDICTION].to_list()], dtype=np.int64)

    def submission(self, id: str, *, probabilities: bool = False) -> pl.DataFrame:
        """Exactly the id and the target, in their original spelling; with `probabilities` their columns too."""
        if id not in self.frame.columns or id.startswith(PROBABILITY):
            known = [c for c in self.frame.columns if c != self.column and not c.startswith(PROBABILITY)]
            raise DataError(f"expected an id column among {', '.join(known)}; received '{id}'")
        name = self.target if self.target != id else self.column
        keep = [pl.col(id), pl.col(self.column).alias(name)]
        keep += [pl.col(PROBABILITY + c) for c in self.classes] if probabilities else []
        return self.frame.select(keep)

    def write(self, path: Path | str) -> None:
        """Write by suffix: .csv or .parquet; tags also .conll or .bio, a token a line."""
        suffix = Path(path).suffix.lower()
        if suffix == ".csv":
            self.to_csv(path)
        elif suffix in (".conll", ".bio") and self.task == "tagging" and "tokens" in self.frame.columns:
            tokens, tags = (self.frame[name].str.json_decode(pl.List(pl.String)).to_list()
                            for name in ("tokens", self.column))
            write_atomic(path, write_conll(tokens, tags))
        elif suffix == ".parquet":
            self.to_parquet(path)
        else:
            raise DataError(f"{path}: expected a name ending in .csv or .parquet, received '{suffix}'")

    def to_csv(self, path: Path | str) -> None:
        """Write as CSV; numbers keep every digit."""
        frame = written(self.frame, self.column)
        write_atomic(path, frame.write_csv(quote_style="necessary", line_terminator="\n"))

    def to_parquet(self, path: Path | str) -> None:
        """Write as Parquet."""
        buffer = io.BytesIO()
        self.frame.write_parquet(buffer, metadata={"gradatim.task": self.task, "gradatim.target": self.target,
                                                   "gradatim.column": self.column})
        write_atomic(path, buffer.getvalue())

    @classmethod
    def read(
        cls, path: Path | str, *, task: str | None = None, target: str = "target", classes: Sequence[Any] = (),
        column: str = PREDICTION, types: Mapping[str, Any] | None = None,
    ) -> "Predictions":
        """Read what `write` wrote. A CSV file knows neither task nor target: without probabilities it is taken
        for regression when every prediction is a number, unless `task` says otherwise. column, types: for CSV files
        of another task, the column that holds the answer and the polars types of those that are no text."""
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path}: expected predictions, found no file; check the path")
        try:
            if path.suffix.lower() == ".parquet":
                notes = pl.read_parquet_metadata(path)
                task, target = task or notes.get("gradatim.task"), notes.get("gradatim.target", target)
                column = notes.get("gradatim.column", column)
                frame = pl.read_parquet(path)
            else:
                frame = _read_csv(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path}: expected CSV or Parquet predictions, received something else "
                            f"({str(error).splitlines()[0]})") from None
        names = [str(c) for c in classes]
        names = names or [c.removeprefix(PROBABILITY) for c in frame.columns if c.startswith(PROBABILITY)]
        if PREDICTION in frame.columns and task is None:
            task = "regression" if not names and _all_numbers(frame[PREDICTION]) else "classification"
        if task == "classification" and not names and PREDICTION in frame.columns:
            names = sorted({str(c) for c in frame[PREDICTION].drop_nulls().to_list()})
        task = task or "classification"
        return cls(_typed(frame, task, path, types or {}), task, target, tuple(names), column=column)


def written(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """The frame as a CSV file has it: booleans and times of the answer's column as Python spells them.

    >>> written(pl.DataFrame({"prediction": [True]}), "prediction")["prediction"][0]
    'True'
    """
    if column not in frame.columns or frame.schema[column] not in (pl.Boolean, pl.Datetime):
        return frame
    return frame.with_columns(_spelled(frame.get_column(column)))


def _spelled(cells: pl.Series) -> pl.Series:
    return pl.Series(cells.name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)


def _keys(rows: Any, ids: Mapping[str, Any] | None, own: Iterable[str]) -> dict[str, Any]:
    columns: dict[str, Any] = {ROW: pl.Series(np.asarray(rows, dtype=np.int64))}
    taken = {ROW, *own}
    for name, cells in (ids or {}).items():
        if name in taken:
            raise DataError(f"expected an id column whose name is not {name!r}, which predictions use; rename it")
        if len(cells) != len(rows):
            raise DataError(f"expected {len(rows)} ids in '{name}', received {len(cells)}")
        columns[name] = pl.Series(cells, strict=False)
    return columns


def _read_csv(path: Path) -> pl.DataFrame:
    # Polars leaves doubled quotes in header names as they are, but undoes them in rows: read the header as a row.
    frame = pl.read_csv(path, infer_schema=False, has_header=False)
    names = ["" if name is None else str(name) for name in frame.row(0)]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: expected each column name once, received one twice; rename it")
    return frame[1:].rename(dict(zip(frame.columns, names)))


def _all_numbers(series: pl.Series) -> bool:
    return series.cast(pl.Float64, strict=False).null_count() == series.null_count() < len(series)


def _typed(frame: pl.DataFrame, task: str, path: Path, types: Mapping[str, Any]) -> pl.DataFrame:
    """The frame with `row` whole, probabilities and predicted numbers floating; a cell that is neither is named."""
    if ROW not in frame.columns:
        frame = frame.with_row_index(ROW)
    wanted: dict[str, Any] = {ROW: pl.Int64, **types}
    if task in ("classification", "regression"):
        wanted[PREDICTION] = pl.Float64 if task == "regression" else pl.String
    if task in ("localisation", "landmarks"):
        wanted = {name: pl.Float64 for name in frame.columns if _PLACES.fullmatch(name)} | wanted
    for name in frame.columns:
        kind = pl.Float64 if name.startswith(PROBABILITY) else wanted.get(name)
        if kind is None:
            continue
        cast = _spelled(frame[name]) if kind == pl.String else frame[name].cast(kind, strict=False)
        lost = cast.is_null() & frame[name].is_not_null()
        if lost.any():
            row = lost.arg_max() or 0
            raise DataError(f"{path}: expected numbers in '{name}', received {frame[name][row]!r} in data row "
                            f"{row + 1} ({int(lost.sum())} such); mend or remove them")
        frame = frame.with_columns(cast)
    return frame
