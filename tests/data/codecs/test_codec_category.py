"""Categories: order, types, rare and unseen spellings."""

import datetime

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.category import CategoryCodec
from gradatim.errors import CellError, SchemaError
from gradatim.files import to_json_bytes


def reread(codec):
    return codec_from_json(msgspec.json.decode(to_json_bytes(codec.to_json())))


def test_text_classes_equal_label_encoder():
    labels = ["dog", "cat", "Dog", "ant", "cat"]
    codec = CategoryCodec(target=True).fit(labels)
    encoder = LabelEncoder().fit(labels)
    assert list(codec.classes) == encoder.classes_.tolist()
    assert [codec.encode(label)[0] for label in labels] == encoder.transform(labels).tolist()


@pytest.mark.parametrize("labels", [["b", "a"], [2, 10, 1], [True, False], [0.5, 2.0], ["10", "9", "1.5"],
                                    [1, "1"], ["x", 3], [np.int64(4), np.int64(3)], [-1, 0, 1], ["", " "]])
def test_types_come_back_through_json(labels):
    codec = CategoryCodec(target=True).fit(labels)
    again = reread(codec)
    assert again.classes == codec.classes
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    for label in plain:
        back = again.decode(again.encode(label)[0])
        assert back == label and type(back) is type(label)


def test_numbers_are_in_numeric_order():
    assert CategoryCodec(target=True).fit(["10", "9", "-1"]).classes == ("-1", "9", "10")
    assert CategoryCodec(target=True).fit(["10", "9", "x"]).classes == ("10", "9", "x")


def test_a_class_is_found_whatever_the_reader_made_of_it():
    assert CategoryCodec(target=True).fit([0, 1, 2]).encode("1")[0] == 1
    assert CategoryCodec(target=True).fit(["0", "1"]).encode(1.0)[0] == 1
    assert CategoryCodec(target=True).fit([True, False]).encode("True")[0] == 1


def test_unseen_label_is_an_error_for_targets_and_zero_for_inputs():
    with pytest.raises(CellError, match="expected a label among 'a', 'b'; received 'c'") as caught:
        CategoryCodec(target=True).fit(["a", "b"]).encode("c")
    assert caught.value.code == "label-unknown"
    assert CategoryCodec().fit(["a", "a", "b", "b"]).encode("c") == (0, None)


def test_rare_spellings_are_grouped_with_the_unknown():
    codec = CategoryCodec().fit(["a"] * 5 + ["b"] * 2 + ["c"])
    assert codec.classes == ("a", "b") and codec.encode("c")[0] == 0
    assert codec.describe() == {"cardinality": 3}
    assert CategoryCodec(max_categories=1).fit(["a"] * 5 + ["b"] * 2).classes == ("a",)
    assert CategoryCodec().fit(["a", "b"]).classes == ("a", "b")  # all are rare: keep them
    assert CategoryCodec(target=True).fit(["a"] * 5 + ["c"]).classes == ("a", "c")


def test_missing_and_field():
    codec = CategoryCodec().fit(["a", "a", None, float("nan")])
    assert codec.encode(None) == codec.encode(float("nan")) == (None, None)
    assert torch.equal(codec.stack([1, None, 0]), torch.tensor([1, 0, 0]))
    assert codec.stack([]).dtype == torch.int64
    assert CategoryCodec().fit([None]).encode("a") == (0, None), "unknown"
    with pytest.raises(SchemaError):
        CategoryCodec(target=True).fit([None])


def test_decode_of_arrays_and_scores():
    codec = CategoryCodec(target=True).fit(["a", "b", "c"])
    assert codec.decode(torch.tensor([2, 0])) == ["c", "a"]
    assert codec.decode(torch.tensor([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1]])) == ["b", "a"]
    assert codec.decode(np.array([0.0, 0.0, 1.0])) == "c"
    assert CategoryCodec().fit(["a", "a"]).decode(0) is None


def test_dates_are_kept_as_text():
    codec = CategoryCodec(target=True).fit([datetime.date(2024, 1, 2)])
    assert codec.classes == ("2024-01-02",) and codec.encode(datetime.date(2024, 1, 2))[0] == 0


@settings(deadline=None, max_examples=80)
@given(st.lists(
    st.one_of(st.text(max_size=20), st.integers(-2**53, 2**53), st.booleans(),
              st.floats(allow_nan=False, allow_infinity=False)),
    min_size=1, max_size=20,
))
def test_round_trip_of_anything(labels):
    codec = reread(CategoryCodec(target=True).fit(labels))
    for label in labels:
        back = codec.decode(codec.encode(label)[0])
        assert back == label and isinstance(label, bool) == isinstance(back, bool)
