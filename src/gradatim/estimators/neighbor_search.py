"""One search for nearest rows, by the algorithm that pays: chosen by counting, not by guessing.

A tree is worth it while a query looks at few rows. That is measured on a sample: trees are grown, some of the rows are
looked up, and the distances computed are counted. The count does not depend on the machine's load, so the same rows
always choose the same algorithm.
"""

from typing import Any

import numpy as np
import scipy.sparse

from gradatim.estimators.distances import EUCLIDEAN, HAMMING, blank_best, search_all
from gradatim.estimators.row_threads import in_parts
from gradatim.estimators.search_trees import BALL, BOX, SearchTree, grow

ALGORITHMS = ("auto", "brute", "products", "kd_tree", "ball_tree")
# Rows on which trees are tried, and rows that are looked up there.
SAMPLE_ROWS, SAMPLE_QUERIES = 8192, 64
# With many columns the sample has fewer rows, but 512, so that the trial stays cheap beside the search.
SAMPLE_NUMBERS = 400_000
# From so many numbers on products pay off their preparation.
LEAST_NUMBERS = 200_000
# A distance in a tree costs so many times one by products or one in a plain loop (measured at 4 to 32 columns).
TREE_COST_OVER_PRODUCTS, TREE_COST_OVER_LOOP = 20.0, 4.0
SPARSE_BLOCK_NUMBERS = 4_000_000


class NeighborSearch:
    """Rows X (n, d), dense or CSR, with the search that suits them.

    algorithm: the one used: "brute", "products", "kd_tree", "ball_tree"; reason: why, with the measurement.
    """

    def __init__(self, X: Any, metric: int, p: float, algorithm: str, leaf_size: int) -> None:
        self.X, self.metric, self.p = X, metric, p
        self.tree: SearchTree | None = None
        self.products: Any = None
        self.algorithm, self.reason = algorithm, "asked for"
        if scipy.sparse.issparse(X):
            if algorithm not in ("auto", "brute"):
                raise ValueError(f"algorithm: expected 'auto' or 'brute' for sparse rows, received {algorithm!r}")
            self.algorithm, self.reason = "brute", "the rows are sparse: all of them, by sparse products"
        elif algorithm == "auto":
            self._choose(leaf_size)
        if self.algorithm == "products" and metric != EUCLIDEAN:
            raise ValueError("algorithm: expected a Euclidean metric for 'products'; use 'auto'")
        if self.algorithm in ("kd_tree", "ball_tree") and self.tree is None:
            self.tree = self._grow(X, self.algorithm, leaf_size)

    def _grow(self, X: np.ndarray, algorithm: str, leaf_size: int) -> SearchTree:
        return grow(X, BOX if algorithm == "kd_tree" else BALL, self.metric, self.p, leaf_size)

    def _choose(self, leaf_size: int) -> None:
        rows = len(self.X)
        plain = "products" if self.metric == EUCLIDEAN and self.X.size >= LEAST_NUMBERS else "brute"
        if self.metric == HAMMING:
            self.algorithm, self.reason = plain, "Hamming's distance has no useful boxes: all rows, one by one"
            return
        if rows < 4 * leaf_size:
            self.algorithm, self.reason = "brute", f"{rows} rows are fewer than four leaves: all rows, one by one"
            return
        count = min(rows, SAMPLE_ROWS, max(512, SAMPLE_NUMBERS // self.X.shape[1]))
        chosen = np.linspace(0, rows - 1, count).astype(np.int64)
        sample = np.ascontiguousarray(self.X[chosen])
        queries = np.ascontiguousarray(sample[:: max(1, len(sample) // SAMPLE_QUERIES)])
        shares = {}
        for algorithm in ("kd_tree", "ball_tree"):
            looked = self._grow(sample, algorithm, leaf_size).search(queries, 6)[2]
            shares[algorithm] = looked / (len(queries) * len(sample))
        best = min(shares, key=lambda name: (shares[name], name != "kd_tree"))
        cost = TREE_COST_OVER_PRODUCTS if plain == "products" else TREE_COST_OVER_LOOP
        # With more rows than the sample a query looks at a smaller share: by the square root at the least where the
        # tree helps at all.
        share = shares[best] * np.sqrt(len(sample) / rows) if shares[best] < 0.5 else shares[best]
        self.algorithm = best if share * cost < 1 else plain
        self.reason = (
            f"on {len(sample)} rows a query looked at {shares['kd_tree']:.1%} of them in a k-d tree and"
            f" {shares['ball_tree']:.1%} in a ball tree; a tree pays below {1 / cost:.0%} of {rows} rows"
        )

    def nearest(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Reduced distances and rows (q, k), nearest first, of equal ones the earlier row first; k ≤ n."""
        if scipy.sparse.issparse(self.X) or scipy.sparse.issparse(queries):
            if scipy.sparse.issparse(self.X):
                return self._nearest_sparse(scipy.sparse.csr_matrix(queries), k)
            queries = queries.toarray()
        queries = np.ascontiguousarray(queries)
        if self.tree is not None:
            return self.tree.search(queries, k)[:2]
        if self.algorithm == "products" and len(queries) > 1:
            if self.products is None:
                from gradatim.estimators.product_search import ProductSearch  # imports torch

                self.products = ProductSearch(self.X)
            return self.products.search(queries, k)
        return search_all(self.X, queries, k, self.metric, self.p)

    def _nearest_sparse(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        """‖q‖² + ‖x‖² − 2q·x in float64, a block of queries at a time."""
        X, queries = self.X.astype(np.float64), queries.astype(np.float64)
        lengths = np.asarray(X.multiply(X).sum(axis=1)).ravel()
        mine = np.asarray(queries.multiply(queries).sum(axis=1)).ravel()
        distances, rows = blank_best(queries.shape[0], k)
        block = max(1, SPARSE_BLOCK_NUMBERS // X.shape[0])

        def part(_: int, low: int, high: int) -> None:
            for first in range(low, high, block):
                last = min(first + block, high)
                table = (queries[first:last] @ X.T).toarray()
                table *= -2
                table += lengths
                table += mine[first:last, None]
                # Equal rows must be at distance zero: what is left of rounding there is taken for zero.
                table[table < 1e-14 * (lengths + mine[first:last, None])] = 0
                order = np.argsort(table, axis=1, kind="stable")[:, :k]
                rows[first:last] = order
                distances[first:last] = np.take_along_axis(table, order, axis=1)

        in_parts(queries.shape[0], float(queries.nnz) * 10 + queries.shape[0] * X.shape[0], part)
        return distances, rows
