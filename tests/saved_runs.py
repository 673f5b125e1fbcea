"""One tiny saved run of each kind, with a table to ask it: for tests of what is opened, whoever wrote it.

`BUILDERS` names them; each takes an empty folder, writes `run/` and the table into it, and returns the table's path.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import soundfile
import torch
from PIL import Image, ImageDraw

import gradatim as gd
from gradatim.artifact import Artifact, save_artifact
from gradatim.data.codecs import codec_for
from gradatim.data.forecast_windows import of_pairs
from gradatim.data.readers import read_table
from gradatim.data.schema import Column, Schema
from gradatim.device import Placement
from gradatim.models.address import build
from gradatim.tasks.classification import Classification
from gradatim.tasks.constant import Constant
from gradatim.tasks.forecasting_members import LinearMember, TreesMember
from gradatim.tasks.forecasting_network import NETWORKS as FORECASTERS
from gradatim.tasks.forecasting_network import ForecastNetwork, arguments_of
from gradatim.tasks.heads import Head
from gradatim.tasks.language_members import NETWORKS as LANGUAGE_NETWORKS
from gradatim.tasks.language_members import LanguageNetwork, tokens_of
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.source import Source
from gradatim.tasks.tables import Trees
from gradatim.tasks.tagging_crf import fit_crf
from gradatim.tasks.tagging_network import ADDRESSES as TAGGERS
from gradatim.tasks.tagging_network import TaggerMember
from gradatim.tasks.tagging_words import Words
from gradatim.tasks.translation_members import Copier, PairMemory, WordByWord
from gradatim.tasks.translation_network import TranslatorMember
from gradatim.tasks.translation_network import blueprint_of as translator_blueprint
from gradatim.tasks.translation_tokens import PairTokens, known_words

ROWS = 40
ENCODERS = {"image": "small_resnet", "audio": "log_mel_net"}
ESTIMATORS = {
    "classification": ("neighbors.KNeighborsClassifier", "svm.SVC", "svm.LinearSVC", "logistic.LogisticRegression",
                       "discriminant.LinearDiscriminantAnalysis", "perceptron.Perceptron",
                       "ridge_classifier.RidgeClassifier", "trees.BoostedTreesClassifier"),
    "regression": ("neighbors.KNeighborsRegressor", "svm.SVR", "lasso.Lasso", "linear.LinearRegression",
                   "trees.BoostedTreesRegressor"),
}


def table_of_cells(rows: int = ROWS) -> pl.DataFrame:
    """Numbers, categories, texts and two targets; here and there a cell is missing."""
    random = np.random.default_rng(0)
    bright = np.arange(rows) % 2
    frame = pl.DataFrame({
        "size": (random.normal(size=rows) + bright).round(3),
        "colour": np.where(random.random(rows) < 0.3 + 0.4 * bright, "red", "blue"),
        "words": [["a quiet day", "a loud night"][b] + f" {row % 5}" for row, b in enumerate(bright)],
        "label": np.where(bright, "yes", "no"), "amount": (bright * 3 + random.normal(size=rows)).round(3),
    })
    gap = pl.int_range(pl.len())
    return frame.with_columns(pl.when(gap == 3).then(None).otherwise(pl.col("size")).alias("size"),
                              pl.when(gap == 7).then(None).otherwise(pl.col("colour")).alias("colour"))


def fitted(folder: Path, frame: pl.DataFrame, target: str | None, **options: Any) -> tuple[gd.Run, Path]:
    """A run of the frame, saved in `folder/run`, and the frame as a file."""
    path = folder / "table.csv"
    frame.write_csv(path)
    if target is not None:
        options["target"] = target
    return gd.fit(path, output=folder / "run", seed=0, **{"minutes": 0.2, **options}), path


def with_members(folder: Path, run: gd.Run, members: tuple[Any, ...]) -> None:
    """Save the run again with other members, each of the same weight."""
    shares = tuple(1 / len(members) for _ in members)
    task = run.artifact.task
    save_artifact(folder / "run", replace(run.artifact, ensemble=Ensemble(members, shares, task)))


def of_table(folder: Path, *, target: str = "label", fusion: str = "concatenation") -> Path:
    """Everything that answers rows of a table: constant, linear model, boosted trees, network."""
    frame = table_of_cells().drop("amount" if target == "label" else "label")
    run, path = fitted(folder, frame, target, epochs=1, ledger="none", fusion=fusion, kinds={"words": "text"})

    source, rows, task = Source(read_table(path)), np.arange(ROWS), run.artifact.task
    labels, columns = task.labels(source.table.cells(target)), run.artifact.schema.inputs
    members = (Constant(task.constant(labels)), Head.fit(source, columns, {}, rows, labels, task),
               Trees.fit(source, columns, rows, labels, task, seed=0), network_of(source, columns, task, fusion))
    with_members(folder, run, members)
    return path


def untrained(blueprint: dict[str, Any]) -> torch.nn.Module:
    """The network of a blueprint with weights that follow from a fixed seed."""
    torch.manual_seed(0)
    return build(blueprint).eval()


def network_of(source: Any, columns: Any, task: Any, fusion: str) -> Any:
    """An untrained network on the columns."""

    codecs = {c.name: codec_for(c).fit(source.table.cells(c.name), source.table.folder) for c in columns}
    blueprint = blueprint_of(columns, codecs, task.outputs, encoders=ENCODED, fusion=fusion)
    return NetworkMember(codecs, blueprint, untrained(blueprint), Placement("cpu"), task)


ENCODED = {"image": {"address": "gradatim.models.vision.small_resnet.small_resnet",
                     "arguments": {"width": 4, "stem_stride": 1}},
           "audio": {"address": "gradatim.models.audio.log_mel_net.log_mel_net", "arguments": {"width": 4}}}


def of_files(folder: Path) -> Path:
    """Pictures, sounds and series: a linear model on the features of each, and a network."""

    random, cells = np.random.default_rng(0), []
    for row in range(12):
        bright = row % 2
        Image.fromarray(random.integers(bright * 90, 160 + bright * 90, (12, 12, 3), dtype=np.uint8)).save(
            folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", 0.3 * np.sin(np.arange(800) * (0.2 + bright)), 4000)
        series = np.sin(np.arange(12) * (0.3 + bright)) + random.normal(size=12)
        cells.append({"picture": f"{row}.png", "voice": f"{row}.wav", "wave": json.dumps(series.round(2).tolist()),
                      "label": ["no", "yes"][bright]})
    path = folder / "table.csv"
    pl.DataFrame(cells).write_csv(path)
    source = Source(read_table(path))
    columns = (Column("picture", "image", "input"), Column("wave", "series", "input"),
               Column("voice", "audio", "input", (), {"hertz": 4000, "mels": 8}))
    target = Column("label", "category", "target")
    task = Classification.fit(target, source.table.cells("label"))
    labels, rows = task.labels(source.table.cells("label")), np.arange(12)
    codecs = {c.name: codec_for(c).fit(source.table.cells(c.name), source.table.folder) for c in columns}
    members = (Head.fit(source, columns, codecs, rows, labels, task),
               network_of(source, columns, task, "concatenation"))

    ensemble = Ensemble(members, (0.5, 0.5), task)
    save_artifact(folder / "run", Artifact(Schema((*columns, target)), task, ensemble))
    return path


def of_estimator(folder: Path, task: str, address: str) -> Path:
    """An estimator that the user chose."""
    target = "label" if task == "classification" else "amount"
    frame = table_of_cells().select("size", "colour", "words", target)
    return fitted(folder, frame, target, estimator=address, ledger="none", kinds={"words": "text"})[1]


def of_pictures(folder: Path, target: str) -> Path:
    """A box or two points in a picture."""
    random, rows = np.random.default_rng(0), []
    for row in range(24):
        picture = Image.fromarray(random.integers(70, 150, (24, 24, 3), dtype=np.uint8))
        left, top = (int(place) for place in random.integers(0, 14, 2))
        ImageDraw.Draw(picture).rectangle((left, top, left + 8, top + 8), fill="red")
        picture.save(folder / f"{row}.png")
        rows.append({"picture": f"{row}.png", "box": f"{left} {top} {left + 8} {top + 8} {['red', 'blue'][row % 2]}",
                     "corners": json.dumps([[left, top], [left + 8, top + 8]])})
    frame = pl.DataFrame(rows).select("picture", target)
    return fitted(folder, frame, target, epochs=1, ledger="none")[1]


def of_forecast(folder: Path, model: str) -> Path:
    """Two series and a column of known future."""
    steps = np.arange(60)
    frame = pl.concat([pl.DataFrame({
        "date": [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in steps], "shop": [shop] * 60,
        "holiday": np.where(steps % 7 == 0, "yes", "no"),
        "value": (10 + level + 3 * np.sin(steps * np.pi / 3.5) + np.random.default_rng(level).normal(size=60)).round(2),
    }) for level, shop in enumerate(("north", "south"))])
    run, path = fitted(folder, frame, "value", task="forecasting", time="date", id="shop",
                       options={"horizon": "3", "models": "theta", "known": "holiday", "context": "14"})
    task = run.artifact.task
    panel = task.panel(Source(read_table(path)))
    windows = of_pairs([(series, origin) for series in (0, 1) for origin in range(14, 56)])
    gatherer, ends = task.gatherer(panel), np.array([60, 60])
    if model == "ridge":
        with_members(folder, run, (LinearMember.fit(gatherer, windows, ends, task),))
    elif model == "trees":
        with_members(folder, run, (TreesMember.fit(gatherer, windows, ends, task),))
    elif model != "theta":
        blueprint = {"address": FORECASTERS[model], "arguments": dict(arguments_of(task))}
        with_members(folder, run, (ForecastNetwork(blueprint, untrained(blueprint), Placement("cpu"), task),))
    return path


def of_language(folder: Path, network: str) -> Path:
    """Short sentences; `network` none: n-grams."""
    texts = [f"the {one} {two} went home" for one in ("red", "blue", "old") for two in ("fox", "dog", "cow", "hen")]
    run, path = fitted(folder, pl.DataFrame({"text": texts * 3}), None, task="language-model",
                       options={"network": "none", "order": "3"})
    if network != "none":
        tokens = tokens_of(run.artifact.task)
        sizes: dict[str, Any] = {"vocabulary": len(tokens), "width": 16}
        sizes |= {"heads": 2, "depth": 1, "context": 32} if network == "transformer" else {"layers": 1}
        blueprint = {"address": LANGUAGE_NETWORKS[network], "arguments": sizes}
        with_members(folder, run, (LanguageNetwork("text", blueprint, untrained(blueprint), Placement("cpu"), tokens),))
    return path


def of_translation(folder: Path, member: str) -> Path:
    """Word for word, but for the adjective after its noun."""
    things = {"car": "auto", "tree": "baum", "fox": "fuchs", "house": "haus", "lamp": "lampe", "cow": "kuh"}
    kinds = {"red": "rot", "blue": "blau", "old": "alt", "new": "neu"}
    pairs = [(f"the {kind} {thing} {row}", f"das {ding} {art} {row}") for row in (10, 20, 30)
             for thing, ding in things.items() for kind, art in kinds.items()]
    frame = pl.DataFrame(pairs, schema=["english", "german"], orient="row")
    options = {"network": "none", "phrases": "yes" if member == "phrases" else "no"}
    run, path = fitted(folder, frame, "german", task="translation", options=options,
                       kinds={"english": "text", "german": "text"})
    sources, targets = frame["english"].to_list(), frame["german"].to_list()
    by_hand = {"copier": lambda: Copier("english", None), "pair-memory": lambda: PairMemory.fit(
        "english", sources, targets), "word-by-word": lambda: WordByWord.fit("english", sources, targets)}
    if member in by_hand:
        with_members(folder, run, (by_hand[member](),))
    elif member != "phrases":
        tokens = PairTokens.train(sources, targets, vocabulary=300)
        sizes: dict[str, Any] = {"width": 16}
        sizes |= {"lexicon": 4, "layers": 1} if member == "attention" else {"heads": 2, "readers": 1, "writers": 1}
        blueprint = translator_blueprint(member, tokens, sizes)
        with_members(folder, run, (TranslatorMember(
            "english", tokens, blueprint, untrained(blueprint), Placement("cpu"), 2, 0.6, True, known_words(sources),
            known_words(targets)),))
    return path


def of_tagging(folder: Path, model: str) -> Path:
    """Names and other words; model: crf (on features), recurrent, transformer, table."""
    names = ["Ada", "Bob", "Rome", "Oslo"]
    tokens = [["now", names[row % 4], "went", "to", names[row % 3], "."] for row in range(40)]
    tags = [["O", "NAME", "O", "O", "NAME", "O"]] * 40
    frame = pl.DataFrame({"tokens": [json.dumps(row) for row in tokens], "upos": [json.dumps(row) for row in tags]})
    run, path = fitted(folder, frame, "upos", task="tagging", options={"model": "none", "strength": "1"})
    classes = len(run.artifact.task.classes)
    numbers = [np.array([run.artifact.task.classes.index(tag) for tag in row]) for row in tags]
    if model == "crf":
        with_members(folder, run, (fit_crf(tokens, numbers, classes, column="tokens"),))
    elif model != "table":
        words = Words.fit(tokens)
        sizes = {"num_classes": classes, "vocabulary": len(words.vocabulary) + 2,
                 "characters": len(words.characters) + 2, "width": 16}
        blueprint = {"address": TAGGERS[model], "arguments": sizes}
        with_members(folder, run, (TaggerMember("tokens", words, blueprint, untrained(blueprint), Placement("cpu")),))
    return path


def of_sparse_rows(folder: Path) -> Path:
    """Neighbours by texts alone, whose rows are kept sparse."""
    return fitted(folder, table_of_cells().select("words", "label"), "label", ledger="none", kinds={"words": "text"},
                  estimator="neighbors.KNeighborsClassifier:n_neighbors=3")[1]


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "table, classes": of_table,
    "table, numbers": lambda folder: of_table(folder, target="amount", fusion="attention"),
    "pictures, sounds, series": of_files,
    **{address: lambda folder, task=task, address=address: of_estimator(folder, task, address)  # type: ignore[misc]
       for task, addresses in ESTIMATORS.items() for address in addresses},
    "neighbours, sparse": of_sparse_rows,
    "box": lambda folder: of_pictures(folder, "box"),
    "points": lambda folder: of_pictures(folder, "corners"),
    **{f"forecast, {model}": lambda folder, model=model: of_forecast(folder, model)  # type: ignore[misc]
       for model in ("theta", "ridge", "trees", "convolutional", "patches", "recurrent")},
    **{f"language, {network}": lambda folder, network=network: of_language(folder, network)  # type: ignore[misc]
       for network in ("none", "recurrent", "transformer")},
    **{f"translation, {member}": lambda folder, member=member: of_translation(folder, member)  # type: ignore[misc]
       for member in ("copier", "pair-memory", "word-by-word", "phrases", "attention", "transformer")},
    **{f"tagging, {model}": lambda folder, model=model: of_tagging(folder, model)  # type: ignore[misc]
       for model in ("crf", "table", "recurrent", "transformer")},
}
