"""A sum of decision trees as arrays: read from lightgbm's text, checked, walked by our own code.

lightgbm's text of a model crashes or hangs the process when it is damaged, so it is read once, right after
fitting, and never stored. The arrays hold the nodes of all trees in a row: a child ≥ 0 is a node of the
same tree, a child < 0 is leaf −1 − child. A node of a number sends x ≤ threshold left; a node of categories
sends those in its set left.
Source: Ke et al., LightGBM (2017); the rules for missing values are those of its `Tree::NumericalDecision`
and `Tree::CategoricalDecision`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np

from gradatim.errors import ArtifactError

# How a missing value is recognised: 0 never, 1 as zero, 2 as not-a-number.
MISSING_ZERO, MISSING_NAN = 1, 2
# Its threshold for a zero.
ZERO = 1e-35


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees in the order in which they are added: tree t adds to output t modulo outputs.

    feature, threshold, left, right, default_left, missing, categorical: one entry a node; a categorical
    node's threshold is the number of its set, whose members are the bits of words[starts[set] : starts[set
    + 1]]. value: one entry a leaf; tree t has nodes node_starts[t] : node_starts[t + 1], leaves likewise.
    Shrinkage is in the values.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    default_left: np.ndarray
    missing: np.ndarray
    categorical: np.ndarray
    words: np.ndarray
    word_starts: np.ndarray
    value: np.ndarray
    node_starts: np.ndarray
    leaf_starts: np.ndarray
    outputs: int

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Sums of leaf values (n, outputs) float64 of rows X (n, d)."""
        X = np.ascontiguousarray(X, dtype=np.float64)
        out = np.zeros((len(X), self.outputs))
        threads = os.cpu_count() or 1
        work = len(X) * max(1, len(self.node_starts) - 1)
        # Threads of our own, not numba's: those of its default pool may not be entered from two threads at once.
        parts = threads if work > 200_000 else 1
        bounds = np.linspace(0, len(X), parts + 1).astype(np.int64)
        ranges = [(int(low), int(high)) for low, high in pairwise(bounds) if high > low]

        def walk(bound: tuple[int, int]) -> None:
            low, high = bound
            _walk(
                X[low:high], out[low:high], self.feature, self.threshold, self.left, self.right,
                self.default_left, self.missing, self.categorical, self.words, self.word_starts,
                self.value, self.node_starts, self.leaf_starts,
            )  # fmt: skip

        if len(ranges) <= 1:
            for bound in ranges:
                walk(bound)
        else:
            with ThreadPoolExecutor(len(ranges)) as pool:
                list(pool.map(walk, ranges))
        return out


@numba.njit(cache=True, nogil=True)
def _walk(
    X: np.ndarray, out: np.ndarray, feature: np.ndarray, threshold: np.ndarray, left: np.ndarray,
    right: np.ndarray, default_left: np.ndarray, missing: np.ndarray, categorical: np.ndarray,
    words: np.ndarray, word_starts: np.ndarray, value: np.ndarray, node_starts: np.ndarray,
    leaf_starts: np.ndarray,
) -> None:  # fmt: skip
    outputs = out.shape[1]
    for tree in range(len(node_starts) - 1):
        first, leaves, output = node_starts[tree], leaf_starts[tree], tree % outputs
        if node_starts[tree + 1] == first:
            for row in range(len(X)):
                out[row, output] += value[leaves]
            continue
        for row in range(len(X)):
            node = np.int64(0)
            while node >= 0:
                at = first + node
                x = X[row, feature[at]]
                if categorical[at]:
                    # Not-a-number, negative and too large for a 32-bit code: in no set.
                    inside = False
                    if x > -1.0 and x < 2147483648.0:
                        code = np.int64(x)
                        start = word_starts[np.int64(threshold[at])]
                        stop = word_starts[np.int64(threshold[at]) + 1]
                        if code // 32 < stop - start:
                            inside = (words[start + code // 32] >> np.uint32(code % 32)) & np.uint32(1) == 1
                else:
                    if np.isnan(x) and missing[at] != MISSING_NAN:
                        x = 0.0
                    if (missing[at] == MISSING_ZERO and abs(x) <= ZERO) or (missing[at] == MISSING_NAN and np.isnan(x)):
                        inside = default_left[at]
                    else:
                        inside = x <= threshold[at]
                node = np.int64(left[at]) if inside else np.int64(right[at])
            out[row, output] += value[leaves - 1 - node]


def read_lightgbm(text: str) -> Forest:
    """The arrays of a model that lightgbm has just written with `model_to_string`."""
    head, *trees = text.split("\nTree=")
    outputs = int(_fields(head)["num_tree_per_iteration"])
    parts: dict[str, list[np.ndarray]] = {}
    node_starts, leaf_starts, sets, words = [0], [0], 0, 0
    for tree in trees:
        fields = _fields(tree.split("\n\n")[0])
        kinds = _array(fields, "decision_type", np.int64)
        categorical = (kinds & 1).astype(bool)
        threshold = _array(fields, "threshold", np.float64)
        threshold[categorical] += sets
        starts = _array(fields, "cat_boundaries", np.int64) if categorical.any() else np.zeros(1, np.int64)
        columns = {
            "feature": _array(fields, "split_feature", np.int32),
            "threshold": threshold,
            "left": _array(fields, "left_child", np.int32),
            "right": _array(fields, "right_child", np.int32),
            "default_left": (kinds & 2).astype(bool),
            "missing": ((kinds >> 2) & 3).astype(np.int8),
            "categorical": categorical,
            "word_starts": starts[1:] + words,
            "words": _array(fields, "cat_threshold", np.uint32) if categorical.any() else np.zeros(0, np.uint32),
            "value": _array(fields, "leaf_value", np.float64),
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
        sets, words = sets + len(starts) - 1, words + len(columns["words"])
        node_starts.append(node_starts[-1] + len(kinds))
        leaf_starts.append(leaf_starts[-1] + len(columns["value"]))
    joined = {name: np.concatenate(columns) for name, columns in parts.items()}
    joined["word_starts"] = np.concatenate([[0], joined["word_starts"]]).astype(np.int64)
    return Forest(**joined, node_starts=np.array(node_starts), leaf_starts=np.array(leaf_starts), outputs=outputs)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _array(fields: dict[str, str], name: str, dtype: type) -> np.ndarray:
    return np.array(fields.get(name, "").split(), dtype=dtype)


def check_forest(forest: Forest, columns: int) -> None:
    """Raise ArtifactError unless walking the forest over rows of this many columns must end, in bounds.

    Every child comes after its parent and has one parent, which no circle can satisfy.
    """
    nodes, trees = len(forest.feature), len(forest.node_starts) - 1
    _expect(forest.outputs >= 1 and trees >= forest.outputs and trees % forest.outputs == 0, "whole rounds of trees")
    for starts, end, least in (
        (forest.node_starts, nodes, 0),
        (forest.leaf_starts, len(forest.value), 1),
        (forest.word_starts, len(forest.words), 0),
    ):
        _expect(len(starts) > 0 and starts[0] == 0 and starts[-1] == end, "starts from zero to the end")
        _expect(bool((np.diff(starts) >= least).all()), "starts that rise")
    inner, leaves = np.diff(forest.node_starts), np.diff(forest.leaf_starts)
    _expect(len(leaves) == trees and bool((leaves == inner + 1).all()), "one leaf more than nodes in every tree")
    lengths = {len(getattr(forest, name)) for name in ("threshold", "left", "right", "default_left", "missing")}
    _expect(lengths == {nodes} and len(forest.categorical) == nodes, "columns of one length")
    _expect(bool(((forest.feature >= 0) & (forest.feature < columns)).all()), f"features under {columns}")
    _expect(bool(((forest.missing >= 0) & (forest.missing <= MISSING_NAN)).all()), "known kinds of missing values")
    _expect(not np.isnan(forest.threshold).any(), "thresholds that are numbers")
    sets = forest.threshold[forest.categorical]
    _expect(bool(((sets >= 0) & (sets < len(forest.word_starts) - 1) & (sets % 1 == 0)).all()), "sets that exist")
    _expect(bool(np.isfinite(forest.value).all()), "finite leaf values")
    _check_children(forest, inner, leaves)


def _check_children(forest: Forest, inner: np.ndarray, leaves: np.ndarray) -> None:
    tree = np.repeat(np.arange(len(inner)), inner)
    place = np.arange(len(tree)) - forest.node_starts[tree]
    tree, place = np.tile(tree, 2), np.tile(place, 2)
    child = np.concatenate([forest.left, forest.right]).astype(np.int64)
    is_node = child >= 0
    _expect(bool((child[is_node] > place[is_node]).all()), "children after their parents")
    _expect(bool((child[is_node] < inner[tree[is_node]]).all()), "children inside their tree")
    leaf = -1 - child[~is_node]
    _expect(bool((leaf < leaves[tree[~is_node]]).all()), "leaves inside their tree")
    named = child[is_node] + forest.node_starts[tree[is_node]]
    _expect(len(np.unique(named)) == len(named), "one parent for every node")
    named = leaf + forest.leaf_starts[tree[~is_node]]
    _expect(len(np.unique(named)) == len(named) == len(forest.value) - int((inner == 0).sum()), "one parent a leaf")


def _expect(fits: bool, what: str) -> None:
    if not fits:
        raise ArtifactError(f"trees: expected {what}, received others; the file is damaged, fit again")
