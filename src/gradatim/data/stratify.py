"""Dividing units (rows, or groups of rows that stay together) so that every part has its share of every stratum."""

from collections.abc import Sequence

import numpy as np

QUANTILES = 10


def strata_of(targets: Sequence[object], *, numeric: bool) -> np.ndarray:
    """int64 (N,), 0 … S−1: the class of each row, or its quantile (ten; fewer under 50 rows) when it is a number."""
    if numeric:
        values = np.asarray(targets, dtype=np.float64)
        bins = int(np.clip(len(values) // 5, 1, QUANTILES))
        # Ties in value share a bin, so the bin depends on the value alone.
        rank = np.searchsorted(np.sort(values), values, side="left")
        return np.unique(rank * bins // max(1, len(values)), return_inverse=True)[1]
    known: dict[object, int] = {}
    return np.array([known.setdefault(target, len(known)) for target in targets], dtype=np.int64)


def allocate(strata: np.ndarray, units: np.ndarray, shares: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Part (0 train, 1 development, 2 test) of each row, int64 (N,).

    Units of several rows are placed first, the largest first, each where it brings the counts of its strata nearest
    to their shares. Single rows then fill what is left by systematic sampling within each stratum: counts are within
    one of exact in every stratum and overall. Every stratum keeps a row in train; one that should have at least half
    a row in a part, and has three units, gets one there.
    """
    counts = np.zeros((3, int(strata.max(initial=-1)) + 1))
    totals = np.bincount(strata, minlength=counts.shape[1]).astype(np.float64)
    part = np.full(len(strata), -1)
    _place_groups(part, counts, totals, strata, units, shares, random)
    singles = np.flatnonzero(part < 0)
    if len(singles):
        singles = singles[random.permutation(len(singles))]
        singles = singles[np.argsort(random.permutation(counts.shape[1])[strata[singles]], kind="stable")]
        left = np.maximum(np.outer(shares, totals) - counts, 0)
        left[:, totals == 1] = 0  # a class with one example trains
        free = np.maximum(np.bincount(strata[singles], minlength=counts.shape[1]), 1)
        of = strata[singles]
        held = _systematic(np.minimum((left[1] + left[2]) / free, 1)[of], random)
        part[singles] = 0
        chosen = singles[held]
        half = (left[2] / np.maximum(left[1] + left[2], 1e-12))[strata[chosen]]
        part[chosen] = 1 + _systematic(half, random)
    _keep_every_stratum(part, strata, units, shares, random)
    return part


def spread(strata: np.ndarray, units: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Fold 0 … count−1 of each row, int64 (N,): strata spread evenly, units whole, folds of nearly equal size."""
    shares = np.full(count, 1 / count)
    counts = np.zeros((count, int(strata.max(initial=-1)) + 1))
    totals = np.bincount(strata, minlength=counts.shape[1]).astype(np.float64)
    fold = np.full(len(strata), -1)
    _place_groups(fold, counts, totals, strata, units, shares, random, trains_first=False)
    sizes = counts.sum(axis=1)
    free = np.flatnonzero(fold < 0)
    free = free[random.permutation(len(free))]
    free = free[np.argsort(strata[free], kind="stable")]
    for rows in np.split(free, np.flatnonzero(np.diff(strata[free])) + 1) if len(free) else ():
        stratum = strata[rows[0]]
        # Each fold offers places at its present level and above; the lowest are taken, the emptier fold first.
        level = (counts[:, stratum][:, None] + np.arange(len(rows))[None, :]).ravel()
        crowd = np.repeat(sizes, len(rows))
        taken = np.lexsort((crowd, level))[: len(rows)] // len(rows)
        fold[rows] = taken
        added = np.bincount(taken, minlength=count)
        counts[:, stratum] += added
        sizes += added
    return fold


def _place_groups(
    part: np.ndarray,
    counts: np.ndarray,
    totals: np.ndarray,
    strata: np.ndarray,
    units: np.ndarray,
    shares: np.ndarray,
    random: np.random.Generator,
    *,
    trains_first: bool = True,
) -> None:
    """Place the units of several rows, filling `part` and `counts` (parts, strata).

    trains_first: part 0 is the one that trains, and takes a unit that holds the whole of a stratum. Folds have no such
    part: equal costs go to the emptier one.
    """
    order = np.argsort(units, kind="stable")
    bounds = np.flatnonzero(np.diff(units[order])) + 1
    groups = [group for group in np.split(order, bounds) if len(group) > 1]
    groups = [groups[index] for index in random.permutation(len(groups))]
    target = np.outer(shares, totals)
    open_parts = np.flatnonzero(shares > 0)
    for group in sorted(groups, key=len, reverse=True):
        present, number = np.unique(strata[group], return_counts=True)
        if trains_first and (number == totals[present]).any():
            best = 0  # it holds the whole of a stratum, which must train
        else:
            # Growth of Σ (count − target)² / target when the group joins a part: the relative gap closes fastest.
            gap = 2 * number * (counts[:, present] - target[:, present]) + number**2
            cost = (gap[open_parts] / target[np.ix_(open_parts, present)]).sum(axis=1)
            crowd = np.zeros(len(open_parts)) if trains_first else counts[open_parts].sum(axis=1)
            best = int(open_parts[np.lexsort((crowd, cost))[0]])
        part[group] = best
        counts[best, present] += number


def _systematic(chance: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """bool (N,): row i is drawn with its chance, and every run of rows gets its expected number within one."""
    return np.diff(np.floor(np.cumsum(chance) + random.random()), prepend=0.0) > 0


def _keep_every_stratum(
    part: np.ndarray, strata: np.ndarray, units: np.ndarray, shares: np.ndarray, random: np.random.Generator
) -> None:
    """Move single units so that every stratum trains, and the large enough ones are in each part."""
    size = int(strata.max(initial=-1)) + 1
    unit_size = np.bincount(units)[units]
    totals = np.bincount(strata, minlength=size)
    for target in (2, 1, 0):
        wanted = (totals >= 3) & (shares[target] * totals >= 0.5) if target else totals > 0
        wanted &= shares[target] > 0
        for stratum in np.flatnonzero(wanted & (np.bincount(strata[part == target], minlength=size) == 0)):
            rows = np.flatnonzero(strata == stratum)
            rows = rows[np.lexsort((random.permutation(len(rows)), unit_size[rows]))]
            for row in rows:
                source = part[row]
                others = np.unique(units[rows][part[rows] == source])
                if target == 0 or (len(others) > 1 and (unit_size[row] == 1)):
                    part[units == units[row]] = target
                    break
