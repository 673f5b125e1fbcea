"""A run that was saved answers bit for bit as before; a run from a stranger is opened safely or refused in one line."""

import copy
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from gradatim import artifact as artifact_module
from gradatim.artifact import (
    MANIFEST,
    UPGRADES,
    WEIGHTS,
    Artifact,
    check_folder,
    claim_folder,
    load_artifact,
    read_uses,
    record_use,
    save_artifact,
)
from gradatim.data.codecs import codec_for
from gradatim.data.schema import Column, Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.device import choose
from gradatim.errors import ArtifactError, GradatimError
from gradatim.models.address import build
from gradatim.tasks.classification import Classification
from gradatim.tasks.constant import Constant
from gradatim.tasks.frozen import FrozenFeatures
from gradatim.tasks.heads import Head
from gradatim.tasks.members import Ensemble
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.regression import Regression
from gradatim.tasks.source import Source
from gradatim.tasks.tables import Trees

ROWS = 48
SMALL_NET = {"address": "gradatim.models.vision.small_resnet.small_resnet", "arguments": {"width": 4, "stem_stride": 1}}
SMALL_EAR = {"address": "gradatim.models.audio.log_mel_net.log_mel_net", "arguments": {"width": 4}}
SPLIT = Split(np.arange(40), np.arange(40, 44), np.arange(44, 48)).to_json()
KINDS = {"size": "number", "colour": "category", "text": "text", "picture": "image", "voice": "audio"}


def column(name: str, kind: str, role: str = "input") -> Column:
    options = {"hertz": 4000, "mels": 8} if kind == "audio" else {}
    return Column(name, kind, role, (), options)


INPUTS = tuple(column(name, kind) for name, kind in KINDS.items())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Rows with a number, a category, a text, a picture and a sound; here and there a cell is missing."""
    folder = tmp_path_factory.mktemp("cells")
    noise = np.random.default_rng(0)
    cells: dict[str, list[Any]] = {name: [] for name in [*KINDS, "label", "amount"]}
    for row in range(ROWS):
        bright = row % 2
        pixels = noise.integers(bright * 90, 160 + bright * 90, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", 0.3 * np.sin(np.arange(800) * (0.2 + bright)), 4000)
        cells["size"].append(str(round(float(noise.normal(bright)), 3)))
        cells["colour"].append("red" if noise.random() < 0.3 + 0.4 * bright else "blue")
        cells["text"].append(["a quiet day", "a loud night"][bright] + f" {row % 5}")
        cells["picture"].append(f"{row}.png")
        cells["voice"].append(f"{row}.wav")
        cells["label"].append(["no", "yes"][bright])
        cells["amount"].append(str(row * 1.5 + bright))
    for place, name in enumerate(KINDS):
        cells[name][place * 7 + 3] = None
    return Table(pl.DataFrame(cells), folder)


def members_of(table: Table, task: Any, target: str) -> dict[str, Any]:
    """One member of each kind, the heads with each kind of block."""
    source, rows = Source(table), np.arange(ROWS)
    labels = task.labels(table.cells(target))
    codecs = {c.name: codec_for(c).fit(table.cells(c.name), table.folder) for c in INPUTS}
    found: dict[str, Any] = {"constant": Constant(task.constant(labels))}
    for wanted in INPUTS:
        found[f"head on {wanted.kind}"] = Head.fit(source, [wanted], codecs, rows, labels, task)
    frozen = FrozenFeatures("image", codecs["picture"].describe(), SMALL_NET)
    found["head on frozen features"] = Head.fit(source, [INPUTS[3]], codecs, rows, labels, task, {"picture": frozen})
    found["head on all"] = Head.fit(source, INPUTS, codecs, rows, labels, task)
    found["trees"] = Trees.fit(source, INPUTS[:2], rows, labels, task, seed=0)
    for fusion in ("concatenation", "attention"):
        torch.manual_seed(0)
        encoders = {"image": SMALL_NET, "audio": SMALL_EAR}
        blueprint = blueprint_of(INPUTS, codecs, task.outputs, encoders=encoders, fusion=fusion)
        network = build(blueprint)
        for module in network.modules():  # as after training: nothing at its initial value
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
        found[f"network, {fusion}"] = NetworkMember(codecs, blueprint, network.eval(), choose(), task)
    return found


@pytest.fixture(scope="module")
def task(table: Table) -> Classification:
    return Classification.fit(column("label", "category", "target"), table.cells("label"))


@pytest.fixture(scope="module")
def members(table: Table, task: Classification) -> dict[str, Any]:
    return members_of(table, task, "label")


def artifact_of(task: Any, *members: Any) -> Artifact:
    shares = tuple(1 / len(members) for _ in members)
    schema = Schema((*INPUTS, column(task.target, "category", "target")))
    return Artifact(schema, task, Ensemble(members, shares, task, 1.25), {"seed": 3}, SPLIT, {"plan": {}})


MEMBERS = ["constant", *(f"head on {kind}" for kind in KINDS.values()), "head on frozen features", "head on all",
           "trees", "network, concatenation", "network, attention"]


@pytest.mark.parametrize("name", MEMBERS)
def test_a_loaded_member_answers_bit_for_bit(
    name: str, members: dict[str, Any], table: Table, task: Classification, tmp_path: Path
) -> None:
    save_artifact(tmp_path / "run", artifact_of(task, members[name]))
    before = torch.random.get_rng_state()
    loaded = load_artifact(tmp_path / "run")
    assert torch.equal(before, torch.random.get_rng_state()), "loading must not disturb random numbers"
    expected = artifact_of(task, members[name]).ensemble.answer(Source(table))
    answer = loaded.ensemble.answer(Source(table))
    assert expected.shape == (ROWS, 2) and np.array_equal(answer, expected)
    save_artifact(tmp_path / "again", loaded)
    for file in (WEIGHTS, MANIFEST):
        assert (tmp_path / "again" / file).read_bytes() == (tmp_path / "run" / file).read_bytes()


def test_regression_members_answer_bit_for_bit(table: Table, tmp_path: Path) -> None:
    task = Regression.fit(column("amount", "number", "target"), table.cells("amount"))
    found = members_of(table, task, "amount")
    chosen = [found[name] for name in ("constant", "head on number", "head on text", "trees", "network, concatenation")]
    saved = artifact_of(task, *chosen)
    save_artifact(tmp_path, saved)
    loaded = load_artifact(tmp_path)
    assert np.array_equal(loaded.ensemble.answer(Source(table)), saved.ensemble.answer(Source(table)))
    assert (loaded.provenance, loaded.split, loaded.recipe) == (saved.provenance, saved.split, saved.recipe)
    assert loaded.schema == saved.schema


@pytest.fixture
def run(members: dict[str, Any], task: Classification, tmp_path: Path) -> Path:
    """A saved run of a constant, a head, trees and a network."""
    chosen = [members[name] for name in ("constant", "head on all", "trees", "network, concatenation")]
    save_artifact(tmp_path / "run", artifact_of(task, *chosen))
    return tmp_path / "run"


def refused(folder: Path) -> str:
    """The one line with which a run is refused, soon."""
    began = time.perf_counter()
    with pytest.raises(ArtifactError) as caught:
        load_artifact(folder)
    assert time.perf_counter() - began < 20
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 700, text
    return text


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as an attacker would: what it says of the weights stays true."""
    manifest = json.loads((folder / MANIFEST).read_text())
    changed = change(manifest)
    manifest = changed if isinstance(changed, list) else manifest
    weights = (folder / WEIGHTS).read_bytes()
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        manifest["files"][WEIGHTS] = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rewrite_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
    rewrite(folder, lambda manifest: None)


def member(manifest: dict[str, Any], number: int) -> dict[str, Any]:
    return manifest["members"][number]


def network_arguments(manifest: dict[str, Any]) -> dict[str, Any]:
    return member(manifest, 3)["blueprint"]["arguments"]


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "foreign estimator": (lambda m: member(m, 1)["estimator"].update(address="os.system"), "os.system"),
    "private estimator": (
        lambda m: member(m, 1)["estimator"].update(address="gradatim.estimators.trees._BoostedTrees"), "_BoostedTrees",
    ),
    "re-exported estimator": (
        lambda m: member(m, 1)["estimator"].update(address="gradatim.estimators.trees.BaseEstimator"), "BaseEstimator",
    ),
    "foreign network": (lambda m: member(m, 3)["blueprint"].update(address="os.system"), "os.system"),
    "private network": (
        lambda m: member(m, 3)["blueprint"].update(address="gradatim.models.address._builders"), "_builders",
    ),
    "no builder": (lambda m: member(m, 3)["blueprint"].update(address="gradatim.files.sha256_of"), "sha256_of"),
    "network without a column's encoder": (lambda m: network_arguments(m)["inputs"].pop("voice"), "artifact.json"),
    "foreign encoder": (
        lambda m: network_arguments(m)["inputs"]["picture"].update(encoder={"address": "os.system", "arguments": {}}),
        "os.system",
    ),
    "callable as argument": (
        lambda m: member(m, 1)["estimator"]["arguments"].update(C={"$callable": "os.system"}), "artifact.json",
    ),
    "pickle as argument": (
        lambda m: member(m, 1)["estimator"]["arguments"].update(C={"$pickle": "gASVGwAAAAAAAACMBXBv"}), "artifact.json",
    ),
    "private attribute": (lambda m: member(m, 2)["estimator"]["attributes"].update(__class__="x"), "__class__"),
    "method as attribute": (lambda m: member(m, 2)["estimator"]["attributes"].update(predict_=1, fit=1), "fit"),
    "unknown member": (lambda m: member(m, 0).update(member="subprocess"), "subprocess"),
    "unknown codec": (lambda m: member(m, 3)["codecs"][0]["codec"].update(kind="pickle"), "pickle"),
    "other codec": (lambda m: member(m, 3)["codecs"].__setitem__(0, member(m, 3)["codecs"][1]), "artifact.json"),
    "more categories than the table holds": (
        lambda m: next(c for c in member(m, 3)["codecs"] if c["column"] == "colour")["codec"]["fitted"].update(
            classes=[f"c{number}" for number in range(99)]
        ),
        "codecs",
    ),
    "unknown task": (lambda m: m["task"].update(task="os"), "os"),
    "one class": (lambda m: m["task"]["codec"]["fitted"].update(classes=["yes"]), "artifact.json"),
    "three classes": (lambda m: m["task"]["codec"]["fitted"].update(classes=["a", "b", "c"]), "artifact.json"),
    "other target": (lambda m: m["task"].update(target="size"), "target"),
    "unknown metric": (lambda m: m["task"].update(metric="os"), "metric"),
    "no members": (lambda m: m.update(members=[]), "members"),
    "members as object": (lambda m: m.update(members={"0": {}}), "members"),
    "fewer weights than members": (lambda m: m.update(member_weights=[1.0]), "weight"),
    "weights that are not numbers": (lambda m: m.update(member_weights=["nan"] * 4), "weight"),
    "weights below zero": (lambda m: m.update(member_weights=[-1, 1, 1, 1]), "weight"),
    "weights all zero": (lambda m: m.update(member_weights=[0, 0, 0, 0]), "weight"),
    "temperature not a number": (lambda m: m.update(temperature="nan"), "temperature"),
    "too many temperatures": (lambda m: m.update(member_temperatures=[1.0] * 9), "temperature for each member"),
    "temperature of a member": (lambda m: m.update(member_temperatures=[-1.0] * len(m["members"])), "temperature"),
    "share of chance": (lambda m: m.update(uniform_share=1.5), "uniform share"),
    "temperature zero": (lambda m: m.update(temperature=0), "temperature"),
    "future format": (lambda m: m.update(format=99), "99"),
    "no format": (lambda m: m.pop("format"), "None"),
    "true as format": (lambda m: m.update(format=True), "True"),
    "format of nobody": (lambda m: m.update(format=-3), "-3"),
    "other kind": (lambda m: m.update(kind="notebook"), "manifest"),
    "a list": (lambda m: [m], "manifest"),
    "no hashes": (lambda m: m.pop("files"), "hash"),
    "hashes of a path outside": (lambda m: m["files"].update({"../secret": {"bytes": 1, "sha256": ""}}), "outside"),
    "hashes of an absolute path": (lambda m: m["files"].update({"/etc/passwd": {"bytes": 1, "sha256": ""}}), "outside"),
    "hashes that are a number": (lambda m: m["files"].update({"history.csv": 5}), "history.csv"),
    "schema without columns": (lambda m: m.update(schema={}), "columns"),
    "column gone from the schema": (lambda m: m["schema"]["columns"].pop(0), "size"),
    "provenance as text": (lambda m: m.update(provenance="here"), "provenance"),
    "device of nobody": (lambda m: member(m, 3)["placement"].update(device="quantum"), "quantum"),
    "deep nesting": (
        lambda m: member(m, 1)["estimator"]["arguments"].update(C=json.loads("[" * 400 + "]" * 400)), "deep",
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_hostile_manifests_are_refused(name: str, run: Path) -> None:
    change, word = MANIFESTS[name]
    rewrite(run, change)
    assert word in refused(run)


HUGE = [10**6, 10**12, 10**30, -1]


@pytest.mark.parametrize("number", HUGE)
def test_a_blueprint_that_asks_for_the_world_is_refused_at_once(number: int, run: Path) -> None:
    """Every whole number in the blueprint in turn; memory and time stay small."""
    manifest = json.loads((run / MANIFEST).read_text())
    places = [path for path, value in paths_of(manifest["members"][3]["blueprint"]) if type(value) is int]
    assert len(places) > 5
    encoder = ("arguments", "inputs", "picture", "encoder", "arguments")
    for path in [*places, ("arguments", "width"), (*encoder, "depth"), (*encoder, "in_channels")]:
        hostile = copy.deepcopy(manifest)
        put(hostile["members"][3]["blueprint"], path, number)
        (run / MANIFEST).write_text(json.dumps(hostile))
        refused(run)


def test_frozen_networks_are_held_against_the_file_too(
    members: dict[str, Any], task: Classification, tmp_path: Path
) -> None:
    save_artifact(tmp_path, artifact_of(task, members["head on frozen features"]))
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    for name in ("width", "depth"):
        hostile = copy.deepcopy(manifest)
        hostile["members"][0]["blocks"][0]["extractor"]["frozen"]["encoder"]["arguments"][name] = 10**10
        (tmp_path / MANIFEST).write_text(json.dumps(hostile))
        refused(tmp_path)


def header_of(folder: Path) -> tuple[dict[str, Any], bytes]:
    content = (folder / WEIGHTS).read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(folder: Path, header: bytes, data: bytes, length: int | None = None) -> None:
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    rewrite(folder, lambda manifest: None)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**63, 2**64 - 1])
def test_a_false_header_length_is_refused(length: int, run: Path) -> None:
    header, data = header_of(run)
    with_header(run, json.dumps(header).encode(), data, length)
    assert WEIGHTS in refused(run)


@pytest.mark.parametrize(
    "header", [b"[]", b"5", b"{", b"{}", b'{"0/value": 5}', b'{"0/value": {"shape": "x"}}', b"[" * 99_999, b"\xff" * 9]
)
def test_a_strange_header_is_refused(header: bytes, run: Path) -> None:
    with_header(run, header, b"\0" * 64)
    refused(run)


def test_tensors_that_reach_beyond_the_file_are_refused(run: Path) -> None:
    header, data = header_of(run)
    for change in ({"shape": [10**12]}, {"data_offsets": [0, 10**12]}, {"shape": [-1]}, {"dtype": "OBJECT"}):
        changed = copy.deepcopy(header)
        changed["0/value"].update(change)
        with_header(run, json.dumps(changed).encode(), data)
        refused(run)


def test_weights_that_are_missing_cut_short_or_changed_are_refused(run: Path) -> None:
    content = (run / WEIGHTS).read_bytes()
    for damaged in (content[:-5], content[: len(content) // 2], b"", content[:-1] + b"\x7f", content + b"x"):
        (run / WEIGHTS).write_bytes(damaged)
        assert WEIGHTS in refused(run)
    (run / WEIGHTS).unlink()
    assert WEIGHTS in refused(run)
    outside = run.parent / "outside.safetensors"
    outside.write_bytes(content)
    (run / WEIGHTS).symlink_to(outside)
    assert "outside" in refused(run)


TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "constant not a number": lambda t: t["0/value"].fill_(float("nan")),
    "constant of another width": lambda t: t.update({"0/value": torch.ones(5, dtype=torch.float64)}),
    "head infinite": lambda t: t["1/estimator/coef_"].fill_(float("inf")),
    "head of another width": lambda t: t.update({"1/estimator/coef_": t["1/estimator/coef_"][:, :-1]}),
    "head of other classes": lambda t: t["1/estimator/classes_"].add_(7),
    "trees in a circle": lambda t: [v.fill_(0) for n, v in t.items() if n.startswith("2/") and "left" in n],
    "trees out of bounds": lambda t: [v.fill_(10**6) for n, v in t.items() if n.startswith("2/") and "feature" in n],
    "network not a number": lambda t: [v.fill_(float("nan")) for n, v in t.items() if n.endswith("head.weight")],
    "a tensor gone": lambda t: t.pop(next(n for n in t if n.startswith("3/"))),
    "a tensor too many": lambda t: t.update({"3/evil": torch.ones(1)}),
    "a tensor of nobody": lambda t: t.update({"9/evil": torch.ones(1)}),
    "a tensor of another shape": lambda t: t.update({n: v[:-1] for n, v in t.items() if n.endswith("head.weight")}),
}


@pytest.mark.parametrize("name", TENSORS)
def test_hostile_tensors_are_refused(name: str, run: Path) -> None:
    before = (run / WEIGHTS).read_bytes()
    rewrite_tensors(run, TENSORS[name])
    assert (run / WEIGHTS).read_bytes() != before, "this case changes nothing"
    refused(run)


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Every place in a JSON value and what stands there."""
    places = [(path, value)] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return places + [place for key, item in inner for place in paths_of(item, (*path, key))]


def put(value: Any, path: tuple[Any, ...], item: Any) -> None:
    for key in path[:-1]:
        value = value.setdefault(key, {}) if isinstance(value, dict) else value[key]
    value[path[-1]] = item


SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, -1, 2, 10**12, 10**30, 0.5, -1e308, 1e-320]), st.text(max_size=8),
    st.sampled_from(["nan", "os.system", "../x", "\x00", "gradatim.run.fit", "image", "classification"]),
    st.just({"$array": "coef_"}),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def fuzzed(members: dict[str, Any], task: Classification, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed")
    names = ("constant", "head on all", "trees", "network, attention")
    save_artifact(folder, artifact_of(task, *(members[name] for name in names)))
    (folder / "manifest").write_bytes((folder / MANIFEST).read_bytes())
    return folder


@settings(max_examples=250, deadline=None, derandomize=True)
@given(data=st.data())
def test_whatever_stands_in_the_manifest_only_our_errors_come_out(
    data: st.DataObject, fuzzed: Path, table: Table
) -> None:
    manifest = json.loads((fuzzed / "manifest").read_text())
    places = [path for path, _ in paths_of(manifest) if path[0] not in ("provenance", "split", "recipe")]
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places))
        try:
            put(manifest, path, data.draw(VALUES))
        except (TypeError, KeyError, IndexError, AttributeError):
            continue  # the second place was inside the first
    (fuzzed / MANIFEST).write_text(json.dumps(manifest))
    try:
        loaded = load_artifact(fuzzed)
    except GradatimError as error:
        assert "\n" not in str(error)
        return
    try:
        answer = loaded.ensemble.answer(Source(table.take(np.arange(6))))
    except GradatimError:
        return
    assert len(answer) == 6


@settings(max_examples=150, deadline=None, derandomize=True)
@given(place=st.integers(0, 4000), byte=st.integers(0, 255), cut=st.booleans())
def test_whatever_happens_to_the_bytes_only_our_errors_come_out(place: int, byte: int, cut: bool, fuzzed: Path) -> None:
    content = bytearray((fuzzed / "manifest").read_bytes())
    place = min(place * 7, len(content) - 1)
    content[place] = byte
    (fuzzed / MANIFEST).write_bytes(bytes(content[:place]) if cut else bytes(content))
    try:
        load_artifact(fuzzed)
    except GradatimError as error:
        assert "\n" not in str(error)


def test_older_formats_open_through_upgrades(run: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_artifact(run).ensemble.answer(Source(table))

    def older(manifest: dict[str, Any]) -> None:
        manifest["format"] = -1
        manifest["heat"] = manifest.pop("temperature")
        manifest["parts"] = manifest.pop("members")

    rewrite(run, older)
    refused(run)
    monkeypatch.setitem(UPGRADES, -1, lambda m: {**m, "temperature": m["heat"]})
    monkeypatch.setitem(UPGRADES, 0, lambda m: {**m, "members": m["parts"]})
    assert np.array_equal(load_artifact(run).ensemble.answer(Source(table)), expected)
    rewrite(run, lambda m: m.pop("heat"))  # an upgrade that meets a damaged manifest
    refused(run)


def test_uses_are_only_ever_added(tmp_path: Path) -> None:
    assert read_uses(tmp_path) == []
    assert record_use(tmp_path, {"source": "a.csv", "value": 0.5}) == 1
    first = (tmp_path / "uses.jsonl").read_bytes()
    assert record_use(tmp_path, {"source": "b.csv", "value": None}) == 2
    assert (tmp_path / "uses.jsonl").read_bytes().startswith(first)
    with open(tmp_path / "uses.jsonl", "a") as file:
        file.write('{"source": "torn')
    assert record_use(tmp_path, {"source": "c.csv"}) == 4
    assert [use["source"] for use in read_uses(tmp_path)] == ["a.csv", "b.csv", "a line that cannot be read", "c.csv"]


def test_uses_are_outside_the_hashes(run: Path) -> None:
    record_use(run, {"source": "a.csv"})
    load_artifact(run)


def test_a_folder_is_claimed_without_loss(tmp_path: Path, run: Path) -> None:
    assert claim_folder(tmp_path / "new" / "run").is_dir()
    assert claim_folder(tmp_path / "new" / "run").is_dir(), "an empty folder is free"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for force in (False, True):
        for place in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
            with pytest.raises(ArtifactError):
                claim_folder(place, force=force)
    with pytest.raises(ArtifactError, match="--force"):
        claim_folder(run)
    before = sorted(path.name for path in run.iterdir())
    check_folder(run, force=True)
    assert sorted(path.name for path in run.iterdir()) == before, "checking changes nothing"
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_replaced_run_takes_no_foreign_file_with_it(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "test.csv").write_text("mine")
    (run / "predictions").symlink_to(elsewhere)
    (run / "checkpoints" / "network-1").mkdir(parents=True)
    ours = ["checkpoints/decisions.json", "checkpoints/network-1/checkpoint-000000012.json", "history.csv",
            "checkpoints/network-1/.checkpoint-000000012.json.ab12.part", "report.html", f".{WEIGHTS}.x1y2.part"]
    foreign = ["thesis.txt", "checkpoints/network-1/notes.txt", "weights.safetensors.bak", ".artifact.json.swp"]
    for name in [*ours, *foreign]:
        (run / name).write_text("x")
    (run / "card.md").symlink_to(elsewhere / "test.csv")
    claim_folder(run, force=True)
    left = {str(path.relative_to(run)) for path in run.rglob("*") if not path.is_dir()}
    assert left == set(foreign)
    assert (elsewhere / "test.csv").read_text() == "mine" and (run / "predictions").is_symlink()


KILLED = """
import os, signal, sys
from pathlib import Path
import gradatim.artifact as module
from gradatim.files import write_json

def killed(path, value):
    if path.name == "artifact.json":
        os.kill(os.getpid(), signal.SIGKILL)
    write_json(path, value)

module.write_json = killed
loaded = module.load_artifact(sys.argv[1])
module.claim_folder(sys.argv[2], force=True)
write_json(Path(sys.argv[2]) / "request.json", {})
module.save_artifact(sys.argv[2], loaded)
"""


def test_a_kill_between_weights_and_manifest_leaves_a_run_known_as_unfinished(run: Path, tmp_path: Path) -> None:
    save_artifact(tmp_path / "target", load_artifact(run))
    command = [sys.executable, "-c", KILLED, str(run), str(tmp_path / "target")]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == -9, done.stderr
    assert (tmp_path / "target" / WEIGHTS).is_file()
    assert "--resume" in refused(tmp_path / "target")
    with pytest.raises(ArtifactError, match="--force"):
        claim_folder(tmp_path / "target")
    claim_folder(tmp_path / "target", force=True)
    assert not any((tmp_path / "target").iterdir())


def test_a_half_removed_run_does_not_load_and_is_known_as_ours(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop the removal after each file in turn."""
    for most in range(3):
        folder = tmp_path / f"copy-{most}"
        shutil.copytree(run, folder)
        count = 0
        unlink = Path.unlink

        def stopping(path: Path, missing_ok: bool = False, most: int = most, unlink: Any = unlink) -> None:
            nonlocal count
            count += 1
            if count > most:
                raise KeyboardInterrupt
            unlink(path, missing_ok=missing_ok)

        (folder / "request.json").write_text("{}")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", stopping)
            with pytest.raises(KeyboardInterrupt):
                claim_folder(folder, force=True)
        if most:
            refused(folder)
        check_folder(folder, force=True)


def test_a_package_must_be_named_before_its_networks_are_built(
    members: dict[str, Any], task: Classification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user_zoo.py").write_text(
        "from torch import nn\nfrom gradatim.models.vision.small_resnet import small_resnet\n"
        "def tiny(num_classes: int = 0, in_channels: int = 3) -> nn.Module:\n"
        "    return small_resnet(num_classes, in_channels, width=4, stem_stride=1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    known = members["network, concatenation"]
    save_artifact(tmp_path / "run", artifact_of(task, known))
    rewrite(tmp_path / "run", lambda m: m["members"][0]["blueprint"]["arguments"]["inputs"]["picture"].update(
        encoder={"address": "user_zoo.tiny", "arguments": {}}))
    assert "user_zoo" in refused(tmp_path / "run")
    assert "user_zoo" not in sys.modules, "what is refused is not even imported"
    loaded = load_artifact(tmp_path / "run", packages=("gradatim", "user_zoo"))
    assert len(loaded.ensemble.members) == 1


def test_files_are_readable_by_others_and_left_in_one_piece(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {MANIFEST, WEIGHTS}
    assert not any(name.endswith(".part") for name in os.listdir(run))
    assert artifact_module.FORMAT >= 1
