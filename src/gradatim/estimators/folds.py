"""Parts of the training rows that estimators hold out to choose a penalty."""

import numpy as np


def stratified_folds(labels: np.ndarray, count: int, *, seed: int = 0, groups: np.ndarray | None = None) -> np.ndarray:
    """Fold number (n,) of every row; −1 marks rows that are never held out.

    Without groups the members of a class are shuffled and dealt out in turn, a class with one member stays
    in training. With groups whole groups are dealt, largest first, each to the fold that has the fewest of
    its classes.

    >>> stratified_folds(np.array([0, 0, 1, 1, 2]), 2).tolist()[4]
    -1
    """
    random = np.random.default_rng(seed)
    folds = np.full(len(labels), -1)
    if groups is not None:
        return _grouped_folds(labels, count, groups, random)
    offset = 0
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            # Dealing goes on where the last class stopped, so that the folds stay equally large.
            folds[members] = (offset + np.arange(len(members))) % count
            offset += len(members)
    return folds


def _grouped_folds(labels: np.ndarray, count: int, groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    _, groups = np.unique(groups, return_inverse=True)
    table = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(table, (groups, labels), 1)
    share = table / table.sum(0)
    order = random.permutation(len(table))
    order = order[np.argsort(-share[order].max(1), kind="stable")]
    filled, place = np.zeros((count, table.shape[1])), np.empty(len(table), dtype=np.int64)
    for group in order:
        present = table[group] > 0
        place[group] = np.lexsort((filled.sum(1), filled[:, present].sum(1)))[0]
        filled[place[group]] += share[group]
    return place[groups]
