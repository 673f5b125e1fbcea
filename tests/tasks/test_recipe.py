"""The recipe `fast`: one cycle with Muon, smoothing, and answers averaged with those to mirrored pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import gradatim as gd
from gradatim.data.codecs import codec_for
from gradatim.data.readers import read_table
from gradatim.data.schema import Column
from gradatim.device import Placement
from gradatim.errors import GradatimError
from gradatim.models.address import build
from gradatim.tasks.classification import Classification
from gradatim.tasks.network import NetworkMember, blueprint_of
from gradatim.tasks.source import Source


def pictures(folder: Path, *, turned: bool = False) -> pl.DataFrame:
    """Forty pictures of noise, reddish or greenish, as they are or left to right."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for row in range(40):
        pixels = random.integers(0, 200, (12, 12, 3), dtype=np.uint8)
        pixels[:, :, row % 2] = np.minimum(pixels[:, :, row % 2].astype(int) + 50, 255)
        Image.fromarray(pixels[:, ::-1] if turned else pixels).save(folder / f"{row}.png")
    return pl.DataFrame({"picture": [f"{row}.png" for row in range(40)], "label": ["red", "green"] * 20})


def test_a_mirrored_member_answers_the_mean_of_both_sides_and_is_saved_so(tmp_path: Path) -> None:
    columns = (Column("picture", "image", "input"),)
    frames = [pictures(tmp_path / name, turned=name == "turned") for name in ("plain", "turned")]
    for name, frame in zip(("plain", "turned"), frames):
        frame.write_csv(tmp_path / name / "t.csv")
    plain, turned = (read_table(tmp_path / name / "t.csv") for name in ("plain", "turned"))
    task = Classification.fit(Column("label", "category", "target"), plain.cells("label"))
    codecs = {"picture": codec_for(columns[0]).fit(plain.cells("picture"), plain.folder)}
    blueprint = blueprint_of(columns, codecs, task.outputs, encoders={}, fusion="concatenation")
    torch.manual_seed(0)
    member = NetworkMember(codecs, blueprint, build(blueprint).eval(), Placement(), task, mirrored=True)
    once = replace(member, mirrored=False)
    expected = (once.answer(Source(plain)) + once.answer(Source(turned))) / 2
    found = member.answer(Source(plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - once.answer(Source(plain))).max() > 1e-6
    state, arrays = member.to_state()
    shapes = {name: tuple(tensor.shape) for name, tensor in arrays.items()}
    again = NetworkMember.from_state(state, shapes, arrays.__getitem__, task)
    np.testing.assert_array_equal(again.answer(Source(plain)), found)
    older = NetworkMember.from_state({k: v for k, v in state.items() if k != "mirrored"}, shapes, arrays.get, task)
    assert not older.mirrored


def test_the_plan_has_one_cycle_muon_and_smoothing(tmp_path: Path) -> None:
    pictures(tmp_path).write_csv(tmp_path / "t.csv")
    run = gd.fit(tmp_path / "t.csv", target="label", epochs=2, flip=True, recipe="fast", ledger="none")
    plan = run.artifact.recipe["plan"]
    assert (plan["schedule"], plan["optimizer"], plan["label_smoothing"]) == ("one-cycle", "muon", 0.1)
    with pytest.raises(GradatimError, match="--recipe: expected one of fast, received 'quick'"):
        gd.fit(tmp_path / "t.csv", target="label", recipe="quick")
