"""Mixup and cutmix: weights and windows are the row's own, the partner is in the batch, labels follow."""

import numpy as np
import pytest
import torch
from scipy import stats

from gradatim.data.augment_mixing import beta, mix, partners, paste_windows
from gradatim.data.augment_random import RowRandom
from gradatim.data.batch import Batch
from gradatim.errors import SchemaError

KINDS = {"photo": "image", "sound": "audio", "size": "number", "words": "text"}


def batch_of(rows: int = 16, names: tuple[str, ...] = ("photo", "sound", "size")) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "photo": torch.randint(0, 256, (rows, 3, 12, 10), generator=generator, dtype=torch.uint8),
        "sound": {"log_mel": torch.rand(rows, 4, 6, generator=generator), "lengths": torch.arange(rows) % 6 + 1},
        "size": torch.randn(rows, generator=generator),
        "words": {"ids": torch.ones(rows, 3, dtype=torch.int64), "lengths": torch.full((rows,), 3)},
    }
    present = {name: torch.ones(rows, dtype=torch.bool) for name in names}
    return Batch(np.arange(rows), {name: inputs[name] for name in names}, {"y": torch.arange(rows)}, present)  # type: ignore[misc]


def test_mixup_is_the_weighted_mean_of_a_row_and_its_pair() -> None:
    batch = batch_of()
    batch.present["size"][2] = False
    mixed = mix(batch, KINDS, mixup=0.4, cutmix=0, seed=0, epoch=1)
    again = mix(batch, KINDS, mixup=0.4, cutmix=0, seed=0, epoch=1)
    assert torch.equal(mixed.pair, again.pair) and torch.equal(mixed.weight, again.weight)
    assert sorted(mixed.pair.tolist()) == list(range(16)) and (mixed.pair != torch.arange(16)).all()
    photo, sound = batch.inputs["photo"], batch.inputs["sound"]
    for row, (pair, weight) in enumerate(zip(mixed.pair.tolist(), mixed.weight.tolist())):
        expected = weight * photo[row].double() + (1 - weight) * photo[pair].double()  # type: ignore[index]
        assert (mixed.batch.inputs["photo"][row].double() - expected).abs().max() <= 0.5001  # type: ignore[index]
        mel = sound["log_mel"]  # type: ignore[index]
        torch.testing.assert_close(mixed.batch.inputs["sound"]["log_mel"][row],  # type: ignore[index]
                                   weight * mel[row] + (1 - weight) * mel[pair])
        if (row == 2) != (pair == 2):
            assert weight == 1.0


def test_weights_are_those_of_beta_and_the_rows_own() -> None:
    random = RowRandom(np.arange(5000), 0, "mix")
    for strength in (0.2, 1.0, 3.0):
        assert stats.kstest(beta(random, "share", strength), stats.beta(strength, strength).cdf).pvalue > 1e-3
    assert (beta(random, "share", 0.0) == 1).all()
    whole, some = batch_of(16, ("photo",)), batch_of(16, ("photo",))
    some.rows, some.inputs = some.rows[4:9], {"photo": some.inputs["photo"][4:9]}  # type: ignore[index]
    some.present = {}
    one, other = (mix(each, KINDS, mixup=1.0, cutmix=0, seed=0, epoch=0) for each in (whole, some))
    assert torch.equal(one.weight[4:9], other.weight)


def test_partners_do_not_depend_on_the_order_of_the_batch() -> None:
    rows = np.array([8, 3, 11, 20, 5])
    order = np.array([4, 2, 0, 1, 3])
    first, second = partners(RowRandom(rows, 0)), partners(RowRandom(rows[order], 0))
    assert np.array_equal(rows[order][second], rows[first][order])


def test_cutmix_pastes_one_window_and_weighs_by_pixels() -> None:
    batch = batch_of(64, ("photo",))
    mixed = mix(batch, KINDS, mixup=0, cutmix=1.0, seed=0, epoch=0)
    before, after = batch.inputs["photo"], mixed.batch.inputs["photo"]
    assert after.dtype == torch.uint8  # type: ignore[union-attr]
    for row, (pair, weight) in enumerate(zip(mixed.pair.tolist(), mixed.weight.tolist())):
        from_pair = (after[row] == before[pair]).all(0)  # type: ignore[index]
        from_own = (after[row] == before[row]).all(0)  # type: ignore[index]
        assert (from_pair | from_own).all()
        assert abs(float(from_own.float().mean()) - weight) < 0.02
        taken = ~from_own
        if taken.any():
            lines, columns = taken.any(1).nonzero(), taken.any(0).nonzero()
            assert int(taken.sum()) >= 0.9 * len(lines) * len(columns)
    assert 0.25 < float(mixed.weight.mean()) < 0.75


def test_windows_have_one_minus_share_of_the_area_where_they_fit() -> None:
    pictures = torch.zeros(2000, 1, 40, 60, dtype=torch.uint8)
    share = np.full(2000, 0.75)
    every = np.ones(2000, dtype=bool)
    _, left = paste_windows(pictures, torch.arange(2000).roll(1), share, every, RowRandom(np.arange(2000)))
    assert left.min() == pytest.approx(0.75, abs=0.03) and np.median(left) < 0.85


def test_both_strengths_share_the_rows() -> None:
    batch = batch_of(200, ("photo",))
    mixed = mix(batch, KINDS, mixup=1.0, cutmix=1.0, seed=0, epoch=0)
    before, after = batch.inputs["photo"], mixed.batch.inputs["photo"]
    pasted = ((after == before) | (after == before[mixed.pair])).all((1, 2, 3))  # type: ignore[index, union-attr]
    assert 70 < int(pasted.sum()) < 130


def test_inputs_must_be_mixable() -> None:
    with pytest.raises(SchemaError, match="words cannot be mixed"):
        mix(batch_of(names=("photo", "words")), KINDS, mixup=0.2, cutmix=0, seed=0, epoch=0)
    with pytest.raises(SchemaError, match="cutmix: expected inputs of kind image; size"):
        mix(batch_of(names=("photo", "size")), KINDS, mixup=0, cutmix=0.2, seed=0, epoch=0)
