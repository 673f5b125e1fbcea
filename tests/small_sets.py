"""Small tables of overlapping classes with many fresh rows: what a saved run's probabilities are judged on."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import gradatim as gd
from gradatim.data.readers import read_table

TITANIC = Path(__file__).resolve().parents[1] / "scripts" / "titanic.py"
TARGET = "kind"


@dataclass(frozen=True)
class SmallSet:
    """How to draw `rows` training rows and the fresh ones: `draw(rows, random)` → two frames with the target."""

    rows: int
    draw: Callable[[int, np.random.Generator], tuple[pl.DataFrame, pl.DataFrame]]


def _gaussians(
    gap: float, columns: int, classes: int = 2, spoiled: float = 0.0
) -> Callable[..., tuple[pl.DataFrame, ...]]:
    """Unit Gaussians whose means lie `gap` apart along axes; a share of the labels is drawn anew."""

    def draw(rows: int, random: np.random.Generator) -> tuple[pl.DataFrame, ...]:
        frames = []
        for count in (rows, 4000):
            labels = np.arange(count) % classes
            values = random.normal(size=(count, columns))
            for number in range(1, classes):
                values[labels == number, (number - 1) % columns] += gap
            labels = np.where(random.random(count) < spoiled, random.integers(0, classes, count), labels)
            cells = {f"x{place}": values[:, place] for place in range(columns)}
            frames.append(pl.DataFrame(cells | {TARGET: [f"c{label}" for label in labels]}))
        return tuple(frames)

    return draw


def _measured(load: Callable[..., Any], columns: int | None = None) -> Callable[..., tuple[pl.DataFrame, ...]]:
    """Rows of a data set of scikit-learn; the rest are the fresh ones."""

    def draw(rows: int, random: np.random.Generator) -> tuple[pl.DataFrame, ...]:
        values, labels = load(return_X_y=True)
        frame = pl.DataFrame({f"x{place}": values[:, place] for place in range(columns or values.shape[1])}
                             | {TARGET: [f"c{label}" for label in labels]})
        return _parted(frame, rows, random)

    return draw


@cache
def _passengers() -> pl.DataFrame:
    """The table that the script takes from the scikit-learn wheel."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(TITANIC), f"{folder}/titanic"], check=True, capture_output=True)
        return pl.read_csv(f"{folder}/titanic/titanic.csv", infer_schema_length=None)


def _titanic(rows: int, random: np.random.Generator) -> tuple[pl.DataFrame, ...]:
    names = ["pclass", "sex", "age", "sibsp", "parch", "fare"]
    frame = _passengers().select(
        *names, pl.when(pl.col("survived") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")).alias(TARGET))
    return _parted(frame, rows, random)


def _parted(frame: pl.DataFrame, rows: int, random: np.random.Generator) -> tuple[pl.DataFrame, ...]:
    order = random.permutation(len(frame))
    return frame[order[:rows]], frame[order[rows:]]


SETS = {
    "gaussians-40": SmallSet(40, _gaussians(2.0, 2)),
    "gaussians-100": SmallSet(100, _gaussians(4.0, 2)),
    "gaussians-400": SmallSet(400, _gaussians(1.5, 5)),
    "spoiled-150": SmallSet(150, _gaussians(5.0, 3, spoiled=0.1)),
    "three-classes-90": SmallSet(90, _gaussians(3.0, 4, classes=3)),
    "iris-60": SmallSet(60, _measured(load_iris, 2)),
    "wine-70": SmallSet(70, _measured(load_wine)),
    "breast-cancer-100": SmallSet(100, _measured(load_breast_cancer)),
    "titanic-80": SmallSet(80, _titanic),
    "titanic-300": SmallSet(300, _titanic),
}


def log_loss(probabilities: np.ndarray, truth: list[str], classes: list[str]) -> float:
    """The mean of −log p of the true class, p at least 1e-15."""
    picked = probabilities[np.arange(len(truth)), [classes.index(label) for label in truth]]
    return float(-np.log(np.clip(picked, 1e-15, 1)).mean())


def logistic_loss(train: pl.DataFrame, fresh: pl.DataFrame) -> float:
    """Log loss on fresh rows of scikit-learn's logistic regression, C = 1, on standardised columns."""
    texts = [name for name in train.columns if train.schema[name] == pl.String and name != TARGET]
    numbers = [name for name in train.columns if name not in (*texts, TARGET)]
    means = {name: train[name].mean() for name in numbers}
    one, other = (frame.with_columns(pl.col(n).fill_null(mean) for n, mean in means.items()).to_pandas()
                  for frame in (train, fresh))
    columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(one, one[TARGET])
    return log_loss(model.predict_proba(other), fresh[TARGET].to_list(), list(model.classes_))


def saved_answer(train: pl.DataFrame, fresh: pl.DataFrame, folder: Path, **options: Any) -> tuple[float, float, str]:
    """Log loss on fresh rows of a saved and loaded run, the least probability that it gives, and what was chosen."""
    run = gd.fit(train, target=TARGET, output=folder, **options)
    answer = gd.load(folder).answer(read_table(fresh))
    name = run.facts["answer"]["name"]
    classes = [str(name) for name in run.task.classes]
    return log_loss(answer, fresh[TARGET].to_list(), classes), float(answer.min()), name
