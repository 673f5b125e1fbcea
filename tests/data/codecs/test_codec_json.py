"""Codecs as files: the table of codecs, options from a schema, and JSON from strangers."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.codecs import CODECS, codec_for, codec_from_json
from gradatim.data.schema import Column
from gradatim.errors import ArtifactError, GradatimError, SchemaError

CELLS = {
    "number": [1.0, 2.0, 5.0], "category": ["a", "b", "a", "b"], "text": ["the cat", "the dog", "cat dog"],
    "image": [np.zeros((8, 8), np.uint8)], "audio": [(np.ones(4000, np.float32), 16_000)],
    "boxes": ["12 30 80 99 cat", "1 2 3 4 dog", "[]"], "points": ["[[12, 30], [80, 99]]", "1 2 3 4"],
    "series": [[1.0, 2.0, 3.0, 5.0], [4.0, 1.0]], "tags": [["B-PER", "O"], "B-LOC I-LOC O"],
}
FITTED = {kind: codec_for(Column("x", kind, "input")).fit(CELLS[kind]).to_json() for kind in CODECS}


@pytest.mark.parametrize("kind", CODECS)
def test_every_kind_is_found_and_says_its_kind(kind):
    codec = codec_from_json(FITTED[kind])
    assert codec.kind == kind and codec.to_json() == FITTED[kind]
    value, _ = codec.encode(CELLS[kind][0])
    field = codec.stack([value, None])
    tensors = field if isinstance(field, dict) else {"": field}
    for name, tensor in tensors.items():
        blank = -1 if name == "tags" else 0  # a tag of no token is none of the classes
        assert len(tensor) == 2 and (tensor[1] == blank).all()
    assert len(next(iter(codec.trim(field).values())) if isinstance(field, dict) else codec.trim(field)) == 2


@pytest.mark.parametrize("options, words", [
    ({"sizes": 3}, "expected options among size, channels, fit"), ({"size": "big"}, "expected a whole number"),
    ({"size": 10**9}, "from 1 to 1024"), ({"channels": 2}, "expected 1 or 3"), ({"fit": "crop"}, "pad, stretch"),
    ({"size": True}, "expected a whole number"),
])
def test_wrong_options_are_named(options, words):
    with pytest.raises(SchemaError, match=words) as caught:
        codec_for(Column("photo", "image", "input", options=options))
    assert "column 'photo'" in str(caught.value)


def test_numbers_and_categories_are_told_that_they_are_targets():
    assert codec_for(Column("y", "category", "target"), target=True).target
    assert codec_for(Column("y", "text", "target"), target=True).kind == "text"
    with pytest.raises(SchemaError, match="expected a kind among"):
        codec_for(Column("y", "mask", "target"))


@pytest.mark.parametrize("value", [
    None, [], 3, {}, {"kind": 3}, {"kind": "os.system"}, {"kind": "image"}, {"kind": "image", "options": {}},
    {"kind": "image", "options": [], "fitted": {}}, {"kind": "image", "options": {"evil": 1}, "fitted": {}},
    {"kind": "gradatim.data.codecs.image.ImageCodec", "options": {}, "fitted": {}},
])
def test_what_is_no_codec_is_refused(value):
    with pytest.raises(ArtifactError):
        codec_from_json(value)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.just(10**400), st.just([["a"] * 3]),
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(CODECS)), st.sampled_from(["options", "fitted"]), st.data(), JUNK)
def test_a_damaged_entry_is_refused_or_harmless(kind, part, data, junk):
    value = copy.deepcopy(FITTED[kind])
    value[part][data.draw(st.sampled_from(sorted(value[part])))] = junk
    try:
        codec = codec_from_json(value)
    except ArtifactError:
        return
    try:
        encoded = codec.stack([codec.encode(CELLS[kind][0])[0]])
    except GradatimError:
        return
    for tensor in encoded.values() if isinstance(encoded, dict) else [encoded]:
        assert math.isfinite(float(tensor.double().sum()))
