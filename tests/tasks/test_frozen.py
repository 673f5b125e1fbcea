"""Features of a frozen network: kept on disk by content, computed anew where the file is damaged."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gradatim.models.address import build
from gradatim.tasks import frozen

DESCRIBE = {"channels": 3, "size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
ENCODER = {"address": "gradatim.models.vision.small_resnet.small_resnet", "arguments": {}}


@pytest.fixture
def features(tmp_path, monkeypatch):
    monkeypatch.setenv(frozen.FOLDER_VARIABLE, str(tmp_path / "features"))
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    network = build({"address": ENCODER["address"], "arguments": {"num_classes": 0, "in_channels": 3}})
    save_file(network.state_dict(), path)
    found = frozen.FrozenFeatures("image", DESCRIBE, ENCODER)
    found.load(str(path))
    return found


def pictures(seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_features_are_computed_once_for_the_same_pictures(features, monkeypatch):
    first = features.raw(pictures())
    monkeypatch.setattr(features, "_computed", lambda field: pytest.fail("computed again"))
    assert np.array_equal(features.raw(pictures()), first)


def test_other_pictures_weights_or_sizes_have_other_features(features):
    first = features.raw(pictures())
    assert not np.array_equal(features.raw(pictures(1)), first)
    keys = {features.cache_key}
    with torch.no_grad():
        next(features.network.network.parameters()).add_(1.0)
    other = frozen.FrozenFeatures("image", {**DESCRIBE, "mean": [0.4, 0.5, 0.5]}, ENCODER)
    assert other.cache_key == "" and other.cache_key not in keys


def test_a_damaged_file_is_computed_anew(features):
    first = features.raw(pictures())
    (path,) = frozen.features_folder().glob("*.npy")
    for damage in (b"", b"nonsense", path.read_bytes()[:-7]):
        path.write_bytes(damage)
        assert np.array_equal(features.raw(pictures()), first)


def test_the_folder_stays_within_its_bound(features, monkeypatch):
    monkeypatch.setattr(frozen, "MOST_BYTES", 3000)
    for seed in range(4):
        features.raw(pictures(seed))
    assert sum(file.stat().st_size for file in frozen.features_folder().glob("*.npy")) <= 3000


def test_a_folder_that_cannot_be_written_costs_no_answer(features, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(frozen.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert features.raw(pictures()).shape == (5, features.network.num_features)
