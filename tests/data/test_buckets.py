"""Batches of like length: every row once, the same for the same key, less padding than without."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.buckets import bucket_order, padded_share
from gradatim.data.loader import batch_order
from gradatim.errors import DataError

LENGTHS = np.random.default_rng(0).geometric(0.05, size=1000)


@settings(deadline=None)
@given(st.integers(0, 70), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_each_row_comes_once(count, size, pool, seed, epoch):
    rows = np.arange(count) + 3
    batches = bucket_order(rows, LENGTHS, size, seed=seed, epoch=epoch, pool=pool)
    assert sorted(row for batch in batches for row in batch.tolist()) == rows.tolist()
    assert all(0 < len(batch) <= size for batch in batches) and len(batches) == -(-count // size)
    again = bucket_order(rows, LENGTHS, size, seed=seed, epoch=epoch, pool=pool)
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_epochs_and_seeds_differ_and_padding_falls():
    rows = np.arange(1000)

    def order(**key):
        return [tuple(batch.tolist()) for batch in bucket_order(rows, LENGTHS, 32, **key)]

    assert order(seed=0, epoch=0) != order(seed=0, epoch=1) != order(seed=1, epoch=1)
    assert set(order(seed=0, epoch=0)) != set(order(seed=0, epoch=1))  # other rows meet, not only in another order
    plain = padded_share(batch_order(rows, 32, seed=0, epoch=0), LENGTHS)
    small = padded_share(bucket_order(rows, LENGTHS, 32, seed=0, epoch=0, pool=4), LENGTHS)
    large = padded_share(bucket_order(rows, LENGTHS, 32, seed=0, epoch=0), LENGTHS)
    assert large < small < plain and plain > 0.6 and large < 0.15


def test_sizes_are_checked():
    with pytest.raises(DataError, match="at least 1"):
        bucket_order(np.arange(3), LENGTHS, 0, seed=0, epoch=0)
    assert bucket_order(np.arange(0), LENGTHS, 4, seed=0, epoch=0) == [] and padded_share([], LENGTHS) == 0
