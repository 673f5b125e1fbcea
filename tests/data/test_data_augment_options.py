"""Options of augmentation: read, checked, stored, in one line each."""

import json

import pytest

from gradatim.data.augment_options import Augmentation, AugmentRequest
from gradatim.errors import GradatimError, SchemaError

KINDS = {"photo": "image", "scan": "image", "size": "number"}


def test_round_trip_and_ranges() -> None:
    options = Augmentation(flip=0.5, rotate=10.0, crop=0.8, time_mask=3)
    assert Augmentation.from_json(json.loads(json.dumps(options.to_json()))) == options
    for bad in ({"flip": 2}, {"flip": True}, {"shift": -1}, {"cutout": 1.5}, {"word_dropout": 2.0}, {"fill": 300},
                {"zoom": 1}, {"noise": float("nan")}, {"time_mask": 1.5}, []):
        with pytest.raises(SchemaError):
            Augmentation.from_json(bad)


def test_defaults_then_all_then_kind_then_column() -> None:
    texts = ["rotate=15,colour=0.2", "image:flip=0.5", "photo:rotate=5,flip-vertical=0.1", "mixup=0.2"]
    asked = AugmentRequest.parse(texts)
    default = Augmentation(shift=0.07, fill=9)
    photo, scan = asked.of("photo", "image", default), asked.of("scan", "image", default)
    assert (photo.rotate, scan.rotate, photo.flip, scan.flip_vertical, photo.flip_vertical) == (5, 15, 0.5, 0, 0.1)
    assert photo.shift == 0.07 and photo.brightness == photo.contrast == photo.saturation == 0.2
    assert photo.hue == pytest.approx(0.05) and asked.mixup == 0.2
    assert asked.of("size", "number", Augmentation()) == Augmentation()
    bare = AugmentRequest.parse(["none,noise=0.1"]).of("photo", "image", default)
    assert bare == Augmentation(noise=0.1, fill=9)
    assert AugmentRequest.parse(["time_mask=4"]).of("sound", "audio", Augmentation()).time_mask == 4
    asked.check(KINDS)


@pytest.mark.parametrize("text, words", [
    ("spin=3", "expected options among flip"), ("rotate=fast", "from 0 to 180, received 'fast'"),
    ("rotate=-1", "received '-1'"), ("crop=1.5", "from 0 to 1"), ("rotate", "received ''"), ("time_mask=1.5", "whole"),
    ("photo:mixup=1", "mixes whole rows"), ("rotate=nan", "received 'nan'"),
])
def test_one_line_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(GradatimError, match=words) as caught:
        AugmentRequest.parse([text])
    assert "\n" not in str(caught.value) and "--augment" in str(caught.value)


@pytest.mark.parametrize("text, words", [
    ("word_dropout=0.1", "expected an input of kind text"), ("painting:flip=1", "an input column or kind among"),
    ("size:flip=1", "expected an input of kind image"), ("cutmix=1", "expected pictures alone"),
])
def test_options_without_a_use_are_refused(text: str, words: str) -> None:
    with pytest.raises(GradatimError, match=words):
        AugmentRequest.parse([text]).check(KINDS)
