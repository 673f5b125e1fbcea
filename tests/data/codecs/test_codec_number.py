"""Numbers: standardising against scikit-learn, round trips, huge values, spellings."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.number import CLIP, NumberCodec
from gradatim.errors import CellError, SchemaError
from gradatim.files import to_json_bytes


def reread(codec):
    import msgspec

    return codec_from_json(msgspec.json.decode(to_json_bytes(codec.to_json())))


def test_equals_standard_scaler():
    values = np.random.default_rng(0).normal(40.0, 7.0, 500)
    codec = NumberCodec().fit(values.tolist())
    expected = StandardScaler().fit_transform(values[:, None])[:, 0]
    encoded = codec.stack([codec.encode(value)[0] for value in values])
    assert encoded.dtype == torch.float32
    np.testing.assert_allclose(encoded.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_texts_are_read_as_numbers():
    codec = NumberCodec().fit(["1,5", "€ 2.50", "12%", "?", "", None, "no number"])
    assert codec.mean == pytest.approx((1.5 + 2.5 + 12) / 3)
    assert codec.encode("NULL") == (None, None)
    with pytest.raises(CellError) as caught:
        codec.encode("no number")
    assert caught.value.code == "number-unreadable"


def test_decimal_comma_is_an_option():
    comma = NumberCodec(decimal=",").fit(["1,234", "2,5"])
    assert comma.decode(comma.encode("1,234")[0]) == pytest.approx(1.234)


def test_constant_column_has_standard_deviation_one():
    codec = NumberCodec().fit([0.1] * 10)
    assert codec.std == 1.0
    assert codec.encode(0.1)[0] == pytest.approx(0.0, abs=1e-12)


def test_heavy_tail_goes_to_the_log_scale_and_still_tells_values_apart():
    values = [float(v) for v in range(1, 100)] + [1e30]
    codec = NumberCodec().fit(values)
    assert codec.log_unit is not None
    low, high = codec.encode(2.0)[0], codec.encode(90.0)[0]
    assert high - low > 0.05
    linear = NumberCodec(scale="linear").fit(values)
    assert linear.encode(90.0)[0] - linear.encode(2.0)[0] < 1e-9  # what the log scale is there for


def test_ordinary_columns_stay_linear():
    rng = np.random.default_rng(1)
    for values in (rng.normal(size=300), rng.uniform(size=300), rng.lognormal(size=300), rng.poisson(0.2, 300)):
        assert NumberCodec().fit(values.tolist()).log_unit is None


def test_inputs_are_cut_targets_are_not():
    column = [0.0, 1.0, 2.0]
    assert NumberCodec().fit(column).encode(1e9)[0] == CLIP
    target = NumberCodec(target=True).fit(column)
    assert target.decode(target.encode(1e9)[0]) == pytest.approx(1e9)
    assert NumberCodec(target=True).fit([1.0, 2.0, 3.0, 1e9]).log_unit is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=30), st.sampled_from(["linear", "signed-log"]))
def test_target_round_trip(values, scale):
    codec = reread(NumberCodec(target=True, scale=scale).fit(values))
    size = max(map(abs, values))
    for value in values:
        assert codec.decode(codec.encode(value)[0]) == pytest.approx(value, rel=1e-6, abs=1e-9 * size)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_any_floats_give_finite_tensors(values):
    codec = NumberCodec()
    try:
        codec.fit(values)
    except SchemaError:
        assert all(not math.isfinite(value) for value in values)
        return
    encoded = []
    for value in values:
        try:
            encoded.append(codec.encode(value)[0])
        except CellError:
            assert math.isinf(value)
    assert torch.isfinite(codec.stack([*encoded, None])).all()


def test_decode_takes_tensors_and_missing_is_the_mean():
    codec = NumberCodec().fit([1.0, 2.0, 3.0])
    np.testing.assert_allclose(codec.decode(torch.tensor([0.0, 1.0])), [2.0, 2.0 + math.sqrt(2 / 3)])
    assert codec.stack([None]).tolist() == [0.0]
    assert codec.encode(float("nan")) == (None, None)
    assert codec.encode(True)[0] == codec.encode(1)[0]


@pytest.mark.parametrize("cells", [[], [None], ["?"], ["abc"]])
def test_nothing_to_fit_on(cells):
    with pytest.raises(SchemaError, match="expected at least one readable number"):
        NumberCodec(target=True).fit(cells)
    assert abs(NumberCodec().fit(cells).encode(12)[0]) < 1e-90, "of an input: no number is far from 0"
