"""Batches of rows of like length, so that little padding is computed on; the order is a function of seed and epoch.

Rows are shuffled, cut into pools of some batches, sorted by length within each pool, cut into batches, and the batches
of all pools are shuffled. A larger pool saves more padding; a smaller one mixes rows better. Which rows meet differs
from epoch to epoch.
"""

from collections.abc import Sequence

import numpy as np

from gradatim.errors import DataError
from gradatim.randomness import generator

POOL = 32  # batches that are sorted together


def bucket_order(
    rows: np.ndarray, lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, pool: int = POOL
) -> list[np.ndarray]:
    """The rows of an epoch in batches of like length: a pure function of its arguments.

    rows: numbers of the rows to take; lengths: of each row of the whole table; every row comes once, and there are as
    many batches as without buckets. The last batch of a pool may be short.

    >>> lengths = np.array([9, 1, 8, 2])
    >>> sorted(sorted(batch.tolist()) for batch in bucket_order(np.arange(4), lengths, 2, seed=0, epoch=0))
    [[0, 2], [1, 3]]
    """
    if batch_size < 1 or pool < 1:
        raise DataError(f"expected a batch size and a pool of at least 1, received {batch_size} and {pool}")
    rows = np.asarray(rows, dtype=np.int64)
    lengths = np.asarray(lengths)
    random = generator("buckets", seed, epoch)
    rows = rows[random.permutation(len(rows))]
    batches = []
    for start in range(0, len(rows), pool * batch_size):
        together = rows[start : start + pool * batch_size]
        together = together[np.argsort(lengths[together], kind="stable")]
        batches += [together[low : low + batch_size] for low in range(0, len(together), batch_size)]
    return [batches[place] for place in random.permutation(len(batches))]


def padded_share(batches: Sequence[np.ndarray], lengths: np.ndarray) -> float:
    """Which share of the tokens that batches compute on is padding.

    >>> padded_share([np.array([0, 1])], np.array([4, 2]))
    0.25
    """
    computed = sum(int(lengths[batch].max()) * len(batch) for batch in batches if len(batch))
    content = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - content / computed if computed else 0.0
