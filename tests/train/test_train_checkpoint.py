"""Checkpoints: what goes in comes out bit by bit; damage of any byte is found and the one before is used."""

import json

import pytest
import torch

from gradatim.errors import ArtifactError
from gradatim.train.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint


def tree(seed=0):
    source = torch.Generator().manual_seed(seed)
    shared = torch.randn(4, 3, generator=source)
    return {
        "step": {
            "network": {"a.weight": shared, "tied.weight": shared, "view": shared.T, "part": shared[1:3]},
            "picture": torch.randn(2, 3, 4, 4, generator=source).to(memory_format=torch.channels_last),
            "half": torch.randn(3, generator=source).bfloat16(),
            "count": torch.tensor(7),
            "none": torch.zeros(0, 3),
            "taken": 12,
        },
        "history": [{"loss": 0.1 + 0.2, "big": 1e300, "note": "ä\n", "empty": None, "flag": True}],
    }


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def test_round_trip_is_bit_equal(tmp_path):
    path = save_checkpoint(tmp_path, tree(), 5)
    assert equal(read_checkpoint(path), tree())


def test_newest_is_loaded_and_old_ones_are_dropped(tmp_path):
    assert load_checkpoint(tmp_path) is None and load_checkpoint(tmp_path / "absent") is None
    for number in (8, 9, 10, 11):
        save_checkpoint(tmp_path, tree(number), number)
    assert equal(load_checkpoint(tmp_path), tree(11))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"checkpoint-{n:09d}.{end}" for n in (10, 11) for end in ("json", "safetensors")]


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty"])
def test_damage_is_found_and_the_one_before_is_used(tmp_path, suffix, damage):
    save_checkpoint(tmp_path, tree(1), 1)
    path = save_checkpoint(tmp_path, tree(2), 2)
    victim = path.with_suffix(suffix)
    data = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    elif damage == "flip":
        place = len(data) - 30 if suffix == ".safetensors" else data.index(b'"taken"') + 10
        data[place] ^= 1
        victim.write_bytes(data)
    else:
        victim.write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    assert equal(load_checkpoint(tmp_path), tree(1))
    if path.exists():
        with pytest.raises(ArtifactError, match="delete it to use the one before"):
            read_checkpoint(path)


def test_unknown_format_is_said(tmp_path):
    path = save_checkpoint(tmp_path, tree(), 1)
    manifest = json.loads(path.read_text())
    manifest["format"] = 99
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="expected checkpoint format 1, found 99"):
        read_checkpoint(path)


def test_keys_must_be_names(tmp_path):
    with pytest.raises(TypeError, match="names as keys"):
        save_checkpoint(tmp_path, {"state": {3: torch.zeros(1)}}, 1)
