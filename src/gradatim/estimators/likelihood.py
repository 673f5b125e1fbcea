"""The penalised likelihood of a linear classifier: value, gradient and a curvature estimate in one pass.

Minimised is  Σ wᵢ ℓ(yᵢ, xᵢᵀW + b) / Σ wᵢ + λ/2 ‖W‖²  with ℓ the cross entropy of a sigmoid (two classes,
one column) or of a softmax (one column a class). Its Hessian is near to Cov ⊗ diag(f) + λI with fₖ the mean
of pₖ(1 − pₖ): in the eigenvectors of the covariance that is diagonal, and dividing by it is the
preconditioner. Where the eigenvectors would cost too much (sparse or very wide inputs) the variances of the
columns stand in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
import torch

from gradatim import device
from gradatim.estimators import gram
from gradatim.estimators.gram import Matrix

# Eigenvectors of a d × d covariance are worth their cost up to this width; wider inputs with few rows are
# rotated.
WIDEST = 2500


@dataclass(frozen=True, slots=True)
class Design:
    """Inputs made ready: `matrix` (n, m) with column `means`, and the eigenvalues `variances` (m,) of its
    covariance with eigenvectors `vectors` (m, m), None for the unit vectors. `map_back` (d, m) turns
    coefficients for `matrix` into coefficients for the original columns, None where they are the same;
    `origin` (d,) are the means of those.
    """

    matrix: Matrix
    means: np.ndarray
    origin: np.ndarray
    variances: np.ndarray
    vectors: np.ndarray | None
    map_back: np.ndarray | None

    def rows(self, chosen: np.ndarray) -> "Design":
        """The same design with some of the rows; means and covariance stay, they only steer the search."""
        return replace(self, matrix=self.matrix[chosen])


def prepare(X: Matrix, weights: np.ndarray, centre: bool, *, rotate: bool = True) -> Design:
    """Centre, and find the axes in which the likelihood bends alike in all directions.

    rotate: whether fewer rows than columns may be replaced by their coordinates in the span of the rows.
    """
    rows, columns = X.shape
    total = weights.sum()
    means = gram.column_means(X, weights) if centre else np.zeros(columns)
    if scipy.sparse.issparse(X):
        squares = np.asarray(X.multiply(X).T @ weights).ravel() / total
        return Design(X, means, means, np.maximum(squares - means**2, 0), None, None)
    if columns <= min(rows, WIDEST):
        covariance = gram.gram(X, means, weights, exact=False) / total
        values, vectors = np.linalg.eigh(covariance)
        return Design(X, means, means, np.maximum(values, 0), vectors, None)
    if rotate and rows <= WIDEST:
        return _rotate(X, means, weights)
    squares = np.zeros(columns)
    for start in range(0, rows, gram.BLOCK):
        block = X[start : start + gram.BLOCK]
        squares += np.einsum("n,nd,nd->d", weights[start : start + gram.BLOCK].astype(X.dtype), block, block)
    return Design(X, means, means, np.maximum(squares / total - means**2, 0), None, None)


def untouched(X: Matrix) -> Design:
    """The columns as they are: for a descent that is to be that of the textbook."""
    zeros = np.zeros(X.shape[1])
    return Design(X, zeros, zeros, np.ones(X.shape[1]), None, None)


def _rotate(X: np.ndarray, means: np.ndarray, weights: np.ndarray) -> Design:
    """Fewer rows than columns: the penalty keeps W in the span of the rows, so n coordinates say
    everything.
    """
    values, vectors = np.linalg.eigh(gram.kernel(X, means, np.ones(len(X))))
    kept = values > values.max(initial=0.0) * np.finfo(X.dtype).eps * len(X)
    roots = np.sqrt(values[kept])
    coordinates = vectors[:, kept] * roots
    variances = weights @ coordinates**2 / weights.sum()
    map_back = gram.centred_transpose_product(X, means, vectors[:, kept] / roots)
    matrix = np.ascontiguousarray(coordinates, dtype=X.dtype)
    return Design(matrix, np.zeros(len(roots)), means, variances, None, map_back)


@dataclass(slots=True)
class Likelihood:
    """The objective over parameters (m + 1, k): coefficients of the centred inputs and, last, their
    intercept.

    labels (n,) are class numbers; outputs k is 1 for two classes; weights sum to one; penalty is λ; remember: keep the
    probabilities (k, n) of the last evaluation, which products with the Hessian need.
    """

    design: Design
    labels: np.ndarray
    weights: np.ndarray
    penalty: float
    outputs: int
    intercept: bool
    curvature: np.ndarray | None = None
    remember: bool = False
    probability: np.ndarray | None = None

    def evaluate(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient (m + 1, k); remembers Σ wᵢ pₖ(1 − pₖ) for `precondition`."""
        matrix, means = self.design.matrix, self.design.means
        coefficients = parameters[:-1]
        offset = parameters[-1] - means @ coefficients
        cast = np.ascontiguousarray(coefficients, dtype=matrix.dtype)
        value, curvature = 0.0, np.zeros(self.outputs)
        gradient, pulled = np.zeros_like(coefficients), np.zeros(self.outputs)
        if self.remember:
            self.probability = np.empty((self.outputs, len(self.labels)), matrix.dtype)
        for start, stop, part in self._blocks():
            scores = scores_of(part, cast)
            scores += offset.astype(scores.dtype)[:, None]
            loss, residual, bend = self._losses(scores, start, stop)
            value, curvature = value + loss, curvature + bend
            gradient += product(residual, part).T
            pulled += residual.sum(1, dtype=np.float64)
        gradient -= np.outer(means, pulled)
        gradient += self.penalty * coefficients
        # Between the curvature here and that of the start (p = 1/k everywhere): the present one alone falls
        # as the
        # fit gets better and gives steps that overshoot along the rows that are still uncertain.
        self.curvature = np.sqrt(np.maximum(curvature, 1e-8) / max(4, self.outputs))
        value += self.penalty / 2 * float((coefficients * coefficients).sum())
        return value, np.vstack([gradient, pulled if self.intercept else np.zeros(self.outputs)])

    def _blocks(self) -> Iterator[tuple[int, int, Matrix]]:
        """First row, end and rows of every block."""
        matrix, rows = self.design.matrix, len(self.labels)
        block = rows if scipy.sparse.issparse(matrix) else gram.BLOCK
        for start in range(0, rows, block):
            yield start, min(start + block, rows), matrix[start : start + block] if block < rows else matrix

    def hessian_product(self, direction: np.ndarray) -> np.ndarray:
        """The Hessian at the last evaluation times a direction (m + 1, k)."""
        assert self.probability is not None
        means, cast = self.design.means, np.ascontiguousarray(direction[:-1], dtype=self.design.matrix.dtype)
        offset = (direction[-1] - means @ direction[:-1]).astype(cast.dtype)
        image, pulled = np.zeros((direction.shape[0] - 1, self.outputs)), np.zeros(self.outputs)
        for start, stop, part in self._blocks():
            change, probability = scores_of(part, cast) + offset[:, None], self.probability[:, start:stop]
            change *= probability
            if self.outputs == 1:
                change *= 1 - probability
            else:
                change -= probability * change.sum(0)
            change *= self.weights[start:stop].astype(cast.dtype)
            image += product(change, part).T
            pulled += change.sum(1, dtype=np.float64)
        image += self.penalty * direction[:-1] - np.outer(means, pulled)
        return np.vstack([image, pulled if self.intercept else np.zeros(self.outputs)])

    def hessian(self) -> np.ndarray:
        """The Hessian at the last evaluation, (m + 1, k, m + 1, k): for few parameters."""
        assert self.probability is not None
        size, count = self.design.matrix.shape[1] + 1, self.outputs
        out = np.zeros((size, count, size, count))
        for start, stop, part in self._blocks():
            dense = part.toarray() if scipy.sparse.issparse(part) else part
            rows = np.hstack([dense - self.design.means, np.ones((stop - start, 1))]).astype(np.float64)
            probability, weights = self.probability[:, start:stop].astype(np.float64), self.weights[start:stop]
            for a in range(count):
                for b in range(a + 1):
                    bend = weights * probability[a] * ((a == b) - probability[b])
                    left = rows * np.sqrt(bend)[:, None] if a == b else rows * bend[:, None]
                    block = left.T @ (left if a == b else rows)
                    out[:, a, :, b] += block
                    if a != b:
                        out[:, b, :, a] += block
        places = np.arange(size - 1)
        for a in range(count):
            out[places, a, places, a] += self.penalty
        return out

    def _losses(self, scores: np.ndarray, start: int, stop: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Weighted loss, weighted p − y (the gradient by scores) and weighted p(1 − p) of some rows."""
        labels, weights = self.labels[start:stop], self.weights[start:stop].astype(scores.dtype)
        loss, probability = losses(scores, labels)
        bend = (probability * (1 - probability)) @ weights
        if self.probability is not None:
            self.probability[:, start:stop] = probability
        if self.outputs == 1:
            probability[0] -= labels
        else:
            probability[labels, np.arange(len(labels))] -= 1
        probability *= weights
        return float(loss @ self.weights[start:stop]), probability, bend.astype(np.float64)

    def precondition(self, gradient: np.ndarray) -> np.ndarray:
        """Divide by the Kronecker estimate of the Hessian at the last evaluated parameters."""
        assert self.curvature is not None
        vectors = self.design.vectors
        inner = gradient[:-1] if vectors is None else vectors.T @ gradient[:-1]
        bends = self.design.variances[:, None] * self.curvature + self.penalty
        # Without a penalty nothing holds the directions in which the rows do not vary but by rounding: stay there.
        least = 0.0 if self.penalty else float(bends.max(initial=0.0)) * np.finfo(self.design.matrix.dtype).eps
        inner = np.divide(inner, bends, out=np.zeros_like(inner), where=bends > least)
        return np.vstack([inner if vectors is None else vectors @ inner, gradient[-1:] / self.curvature])


def losses(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross entropy in nats (n,) and probabilities, shaped as scores; overwrites scores.

    scores (1, n): log odds of class 1 against class 0; scores (k, n): a row a class, shift-invariant. Rows
    lie along the last axis because sums over a few classes are several times faster down than across.
    """
    if len(scores) == 1:
        signs = np.where(labels == 1, -1, 1).astype(scores.dtype)
        return np.logaddexp(0, signs * scores[0]), sigmoid(scores)
    scores -= scores.max(0)
    picked = scores[labels, np.arange(len(labels))]
    np.exp(scores, out=scores)
    total = scores.sum(0)
    scores /= total
    return np.log(total) - picked, scores


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−z), without overflow on either side.

    >>> sigmoid(np.array([0.0, -1000.0, 1000.0])).tolist()
    [0.5, 0.0, 1.0]
    """
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, decay) / (1 + decay)


def scores_of(matrix: Matrix, coefficients: np.ndarray) -> np.ndarray:
    """(matrix @ coefficients)ᵀ, (k, n) in memory order; float32 goes to torch, whose thin products are
    faster here.
    """
    if _for_torch(matrix):
        thin = torch.mm(torch.from_numpy(matrix), torch.from_numpy(coefficients))
        return thin.T.contiguous().numpy()
    return np.ascontiguousarray(np.asarray(matrix @ coefficients).T)


def product(residual: np.ndarray, matrix: Matrix) -> np.ndarray:
    """residual (k, n) @ matrix (n, m)."""
    if _for_torch(matrix):
        return torch.mm(torch.from_numpy(residual), torch.from_numpy(matrix)).numpy()
    if scipy.sparse.issparse(matrix):
        return np.asarray(matrix.T @ np.ascontiguousarray(residual.T)).T
    return residual @ matrix


def _for_torch(matrix: Matrix) -> bool:
    thin = not scipy.sparse.issparse(matrix) and matrix.dtype == np.float32 and matrix.size > 100_000
    return bool(thin and matrix.flags.writeable and matrix.flags.c_contiguous)


@contextmanager
def fast_products(matrix: Matrix) -> Iterator[None]:
    """Within, float32 products use the machine's fastest exact library; the process's setting is put back
    after.
    """
    if scipy.sparse.issparse(matrix) or matrix.dtype != np.float32 or matrix.size < 10_000_000:
        yield
        return
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    try:
        device.pull_levers(device.Placement(threads=torch.get_num_threads()), memory=False)
        yield
    finally:
        setting.fp32_precision = before
