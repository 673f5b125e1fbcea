"""Series changed at random: by row alone, inside the row, and only as much as was asked."""

import numpy as np
import pytest
import torch

from gradatim.data.augment import Augmentation, augment
from gradatim.data.augment_options import AugmentRequest
from gradatim.data.batch import Batch
from gradatim.errors import GradatimError

EVERYTHING = Augmentation(crop=0.6, warp=0.5, shift=0.2, scale=0.3, jitter=0.1)


def batch_of(rows: list[int], kind: str) -> Batch:
    every = np.random.default_rng(0)
    steps, width = 40, 3 if kind == "series" else 24
    name = "values" if kind == "series" else "log_mel"
    whole = torch.from_numpy(np.abs(every.normal(size=(12, width, steps))).astype(np.float32))
    lengths = torch.tensor([40, 17, 1, 0, 30, 40, 5, 40, 22, 40, 9, 33])
    whole = whole * (torch.arange(steps) < lengths[:, None])[:, None]
    field = {name: whole[rows], "lengths": lengths[rows]}
    return Batch(np.array(rows), {"c": field}, present={"c": lengths[rows] > 0})


def changed(batch: Batch, kind: str, options: Augmentation, epoch: int = 0, seed: int = 0) -> torch.Tensor:
    field = augment(batch, {"c": options}, {"c": kind}, seed=seed, epoch=epoch).inputs["c"]
    assert isinstance(field, dict)
    return field["values" if kind == "series" else "log_mel"]


def test_a_row_is_changed_alike_alone_and_among_others() -> None:
    kind, options = "series", EVERYTHING
    together = changed(batch_of(list(range(12)), kind), kind, options)
    for row in (0, 1, 4, 11):
        assert torch.equal(together[row], changed(batch_of([row], kind), kind, options)[0])
    assert torch.equal(together, changed(batch_of(list(range(12)), kind), kind, options))
    assert not torch.equal(together, changed(batch_of(list(range(12)), kind), kind, options, epoch=1))


def test_padding_stays_zero_and_numbers_finite() -> None:
    kind, options = "series", EVERYTHING
    batch = batch_of(list(range(12)), kind)
    found = changed(batch, kind, options)
    lengths = batch.inputs["c"]["lengths"]  # type: ignore[index, call-overload]
    outside = torch.arange(40) >= lengths[:, None]
    assert torch.isfinite(found).all() and not found[outside[:, None].expand_as(found)].any()


def test_reading_elsewhere_stays_within_the_values_of_the_row() -> None:
    batch = batch_of([0, 1, 4], "series")
    before = batch.inputs["c"]["values"]  # type: ignore[index, call-overload]
    after = changed(batch, "series", Augmentation(crop=0.5, warp=0.9, shift=0.3))
    for row, length in enumerate((40, 17, 30)):
        inside, source = after[row, :, :length], before[row, :, :length]
        assert (inside.amax(1) <= source.amax(1) + 1e-6).all() and (inside.amin(1) >= source.amin(1) - 1e-6).all()


def test_a_straight_line_stays_one_under_crop_and_never_turns_back_under_warp() -> None:
    line = torch.arange(40.0)[None, None].repeat(6, 1, 1)
    batch = Batch(np.arange(6), {"c": {"values": line, "lengths": torch.full((6,), 40)}})
    steps = changed(batch, "series", Augmentation(crop=0.5)).diff(dim=2)
    torch.testing.assert_close(steps, steps[:, :, :1].expand_as(steps), atol=1e-4, rtol=0)
    assert (steps >= 0.5 - 1e-4).all() and (steps <= 1 + 1e-4).all()
    warped = changed(batch, "series", Augmentation(warp=0.9))
    assert (warped.diff(dim=2) >= 0).all()
    torch.testing.assert_close(warped[:, :, [0, -1]], line[:, :, [0, -1]], atol=1e-4, rtol=0)


def test_height_and_noise_are_as_large_as_asked() -> None:
    ones = torch.ones(400, 1, 50)
    batch = Batch(np.arange(400), {"c": {"values": ones, "lengths": torch.full((400,), 50)}})
    factors = changed(batch, "series", Augmentation(scale=0.5))[:, 0, 0]
    assert 1 / 1.5 - 1e-5 <= factors.min() < 0.75 and 1.3 < factors.max() <= 1.5 + 1e-5
    noise = changed(batch, "series", Augmentation(jitter=0.2)) - 1
    assert noise.std() == pytest.approx(0.2, rel=0.02) and abs(noise.mean()) < 0.01


def test_options_reach_the_kinds_that_they_are_for() -> None:
    asked = AugmentRequest.parse(["shift=0.1", "series:warp=0.2", "gain=3"])
    series, sound = (asked.of("c", kind, Augmentation()) for kind in ("series", "audio"))
    assert (series.shift, series.warp, series.gain) == (0.1, 0.2, 0.0)
    assert (sound.shift, sound.warp, sound.gain) == (0.1, 0.0, 3.0)
    asked.check({"a": "series", "b": "audio"})
    with pytest.raises(GradatimError, match="gain: expected an input of kind audio"):
        asked.check({"a": "series"})
