"""Random numbers of rows: against SplitMix64 written as a loop, uniform, independent of who else is there."""

import numpy as np
import pytest
import torch
from scipy import stats

from gradatim.data.augment_random import RowRandom, mixed, mixed_there


def splitmix(state: int) -> int:
    """One step of SplitMix64 in plain whole numbers (Steele et al. 2014, figure 16, Stafford's variant 13)."""
    word = (state + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def test_equals_the_published_sequence() -> None:
    # the first numbers from seed 1234567, as published with the reference implementation in C
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
                16408922859458223821]
    states = [(1234567 + place * 0x9E3779B97F4A7C15) % 2**64 for place in range(5)]
    assert [splitmix(state) for state in states] == expected
    words = np.array([(state + 0x9E3779B97F4A7C15) % 2**64 for state in states], dtype=np.uint64)
    assert mixed(words.copy()).tolist() == expected
    assert mixed_there(torch.from_numpy(words.view(np.int64))).numpy().view(np.uint64).tolist() == expected


def test_a_row_has_its_numbers_in_any_company() -> None:
    rows = np.array([5, 0, 10**12, 3])
    whole = RowRandom(rows, 1, "photo")
    for place, row in enumerate(rows):
        alone = RowRandom(np.array([row]), 1, "photo")
        for draw in ("uniform", "normal"):
            assert np.array_equal(getattr(alone, draw)("a", 3)[0], getattr(whole, draw)("a", 3)[place])
        assert np.array_equal(whole.uniform("a", 3)[place], whole.uniform("a", 7)[place, :3])
        assert torch.equal(alone.levels("b", 9)[0], whole.levels("b", 9)[place])
        assert torch.equal(whole.levels("b", 5)[place], whole.levels("b", 9)[place, :5])
        assert torch.equal(alone.noise("c", (2, 3))[0], whole.noise("c", (2, 3))[place])


@pytest.mark.parametrize("change", [{"key": (2, "photo")}, {"key": (1, "scan")}, {"purpose": "b"}, {"row": 6}])
def test_other_keys_give_other_numbers(change: dict) -> None:  # type: ignore[type-arg]
    first = RowRandom(np.array([5]), 1, "photo").uniform("a", 4)
    other = RowRandom(np.array([change.get("row", 5)]), *change.get("key", (1, "photo")))
    assert not np.isclose(first, other.uniform(change.get("purpose", "a"), 4)).any()


def test_uniform_normal_and_levels_are_distributed_so() -> None:
    random = RowRandom(np.arange(20_000), 0, "test")
    along = RowRandom(np.array([9]), 0).uniform("u", 20_000)[0]
    for sample in (random.uniform("u")[:, 0], random.uniform("u", 3)[:, 2], along):
        assert stats.kstest(sample, "uniform").pvalue > 1e-3
    assert stats.kstest(random.normal("n")[:, 0], "norm").pvalue > 1e-3
    assert stats.kstest(random.noise("m", (4,)).numpy().ravel()[:30_000], "norm").pvalue > 1e-3
    levels = random.levels("l", 4).numpy()
    assert levels.min() >= 0 and levels.max() <= 65535
    assert stats.chisquare(np.bincount(levels.ravel() >> 8, minlength=256)).pvalue > 1e-3
    assert abs(random.chance("c", 0.3).mean() - 0.3) < 0.02
    spread = random.spread("s", 2.0)
    assert -2 <= spread.min() < -1.9 and 1.9 < spread.max() <= 2


def test_neighbouring_rows_and_draws_are_uncorrelated() -> None:
    numbers = RowRandom(np.arange(4000), 0, "test").uniform("u", 8)
    found = np.corrcoef(np.concatenate([numbers[:-1].T, numbers[1:].T]))
    assert np.abs(found - np.eye(16)).max() < 0.07  # 4.4 standard errors


def test_the_device_way_gives_the_same_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    random = RowRandom(np.arange(6), 3, "photo")
    there = random.levels("x", 11, "meta")
    assert there.shape == (6, 11) and there.device.type == "meta"
    starts = torch.from_numpy(random._starts("x").view(np.int64))
    words = mixed_there(starts[:, None] + torch.arange(1, 4) * (0x9E3779B97F4A7C15 - 2**64))
    parts = torch.stack([(words >> (16 * part)) & 0xFFFF for part in range(4)], dim=-1).flatten(1)[:, :11]
    assert torch.equal(parts, random.levels("x", 11))
