"""Saved runs of every kind that somebody changed: each answers or is refused in one line, soon and in little memory."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import gradatim as gd
from gradatim.errors import ArtifactError, GradatimError
from gradatim.tasks.members import MEMBERS
from saved_runs import BUILDERS
from tampering import MANIFEST, WEIGHTS, ask, outcomes, put, write_run

SEEDS = 20  # changes to each kind; a longer fuzz is a matter of this number


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Each kind of run that a test asked for, made once: its folder and the table to ask it."""
    return {}


def run_of(name: str, saved: dict[str, tuple[Path, Path]], factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if name not in saved:
        folder = factory.mktemp("saved")
        saved[name] = folder / "run", BUILDERS[name](folder)
    return saved[name]


def changed(run: Path, work: Path, path: tuple[Any, ...], value: Any) -> Path:
    """A copy of the run with one value of its manifest replaced."""
    work.mkdir()
    (work / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes())
    manifest = json.loads((run / MANIFEST).read_text())
    put(manifest, path, value)
    write_run(work, manifest, None)
    return work


CASES: dict[str, tuple[str, tuple[Any, ...], Any, str]] = {
    "request a text": ("translation, copier", ("recipe", "request"), "x", "recipe.request"),
    "request missing": ("translation, copier", ("recipe", "request"), None, "recipe.request"),
    "options a number": ("translation, copier", ("recipe", "request", "options"), 10**30, "recipe.request.options"),
    "gather a list": ("translation, copier", ("recipe", "request", "gather"), ["x"], "recipe.request.gather"),
    "split without parts": ("translation, copier", ("split",), {"format": 1}, "train, development and test"),
    "rows of a split as texts": ("translation, copier", ("split", "train"), ["a"], "row numbers"),
    "reader without a name": ("forecast, theta", ("task", "reader", "id"), "", "expected a column ''"),
    "reader of another time": ("forecast, theta", ("task", "reader", "time"), "x", "missing x"),
    "source of nobody": ("translation, copier", ("task", "source"), "x", "expected a column 'x'"),
    "spelling of nobody": ("table, classes", ("schema", "columns", 1, "options", "spelling"), {"a": 1}, "spelling"),
    "a million layers": (
        "translation, attention", ("members", 0, "blueprint", "arguments", "layers"), 10**6, "blueprint of over",
    ),
    "more layers than numbers": (
        "tagging, recurrent", ("members", 0, "blueprint", "arguments", "layers"), 10**12, "whole numbers up to",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_changed_manifest_is_refused_soon(
    name: str, saved: dict[str, tuple[Path, Path]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind, path, value, told = CASES[name]
    run, table = run_of(kind, saved, tmp_path_factory)
    work = changed(run, tmp_path / "work", path, value)
    began = time.process_time()
    with pytest.raises(GradatimError, match=told) as caught:
        opened = gd.load(work)
        opened.predict(table)
        opened.evaluate(table)
    assert time.process_time() - began < 5 and "\n" not in str(caught.value)


ARRAYS: dict[str, tuple[str, str, Any, str]] = {
    "a lexicon out of its table": ("translation, attention", "0/network.lexicon_ids", lambda a: a + 10**6, "from 0 to"),
    "a lexicon below its table": ("translation, attention", "0/network.lexicon_ids", lambda a: a - 1, "from 0 to"),
    "a lexicon of fractions": (
        "translation, attention", "0/network.lexicon_ids", lambda a: a.astype(np.float32), "expected torch.int64",
    ),
    "words as halves": ("translation, word-by-word", "0/codes", lambda a: a.astype(np.float16), "whole numbers"),
    "texts as numbers": ("translation, pair-memory", "0/sources.bytes", lambda a: a.astype(np.int32), "bytes"),
    "rows that end too late": (
        "neighbours, sparse", "0/estimator/samples_/indptr", lambda a: a + (a > 0) * 10**6, "fit",
    ),
    "rows that end before they begin": ("neighbours, sparse", "0/estimator/samples_/indptr", lambda a: a[::-1], "fit"),
    "rows that start late": ("neighbours, sparse", "0/estimator/samples_/indptr", lambda a: np.maximum(a, 1), "fit"),
    "one row less": ("neighbours, sparse", "0/estimator/samples_/indptr", lambda a: a[:-1], "fit"),
    "columns out of the matrix": ("neighbours, sparse", "0/estimator/samples_/indices", lambda a: a + 10**6, "fit"),
    "columns below the matrix": ("neighbours, sparse", "0/estimator/samples_/indices", lambda a: a - 10**6, "fit"),
    "more columns than entries": (
        "neighbours, sparse", "0/estimator/samples_/indices", lambda a: np.concatenate([a, a]), "fit",
    ),
    "entries that are none": ("neighbours, sparse", "0/estimator/samples_/data", lambda a: a * np.nan, "fit"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_changed_arrays_are_refused(
    name: str, saved: dict[str, tuple[Path, Path]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind, tensor, change, told = ARRAYS[name]
    run, _ = run_of(kind, saved, tmp_path_factory)
    arrays = load_file(run / WEIGHTS)
    arrays[tensor] = change(arrays[tensor])
    write_run(tmp_path, json.loads((run / MANIFEST).read_text()), arrays)
    with pytest.raises(ArtifactError, match=told) as caught:
        gd.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_whatever_is_changed_only_our_errors_come_out(
    name: str, saved: dict[str, tuple[Path, Path]], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """JSON and tensors in turn: replaced, deleted, huge, negative, of another type or shape, not a number."""
    run, table = run_of(name, saved, tmp_path_factory)
    assert ask(run, table) == "answered", "the run that nobody changed"
    found = outcomes(run, table, tmp_path / "work", list(range(SEEDS)))
    faults = [f"{one.change}: {one.what}" for one in found if one.what not in ("answered", "refused")]
    assert not faults, "\n".join(faults)
    assert len(found) == SEEDS and sum(one.what == "refused" for one in found) >= SEEDS // 8


@pytest.mark.slow
def test_every_kind_of_member_is_among_the_saved_runs(
    saved: dict[str, tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds = set()
    for name in BUILDERS:
        manifest = json.loads((run_of(name, saved, tmp_path_factory)[0] / MANIFEST).read_text())
        kinds |= {member["member"] for member in manifest["members"]}
    assert kinds == set(MEMBERS)
