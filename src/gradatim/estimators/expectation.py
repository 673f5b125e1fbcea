"""One pass of EM over the rows: each row's share in each Gaussian, and the moments of the shares, never stored.

The log density of a Gaussian is a quadratic function of the row. With the features φ(z) = [1, z, zᵢzⱼ] of a block of
rows all log densities are one matrix product W·φ, and all the sums that the next step needs, Σ r, Σ r·z and Σ r·zzᵀ,
are another, r·φᵀ. Where a Gaussian is so narrow that the terms of W·φ would cancel, or the columns are many, the same
is computed from differences to the mean and a Cholesky factor instead.
What to notice: rows are first moved and whitened by the covariance of all rows, so that no column dwarfs another.
Source: Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm (1977).
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import scipy.linalg
import scipy.special
from scipy.linalg.blas import dsyrk, dtrmm

from gradatim.estimators.row_threads import in_parts

# Above this many columns the Cholesky form is faster than d(d+1)/2 features (measured at 16, 32, 64, 128).
MOST_COLUMNS = 44
# Largest rounding error of a log density that the quadratic form may cause, in nats.
LARGEST_ERROR = 1e-8
# Numbers of a block of rows: half a megabyte stays in the second-level cache.
BLOCK_NUMBERS = 65_536
# OpenBLAS multiplies without packing, 1.6 times as fast here, up to so many multiplications in one product.
UNPACKED = 1_000_000
LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True)
class WhiteRows:
    """Rows z = (x − shift) @ map, float64, made block by block; weights (n,) sum to the number of rows.

    reach: largest ‖z‖²; log_volume: log |det map|, to be added to the log density of z.
    """

    X: np.ndarray
    weights: np.ndarray
    shift: np.ndarray
    map: np.ndarray
    inverse: np.ndarray
    reach: float

    @classmethod
    def of(cls, X: np.ndarray, weights: np.ndarray, kind: str, reg_covar: float) -> "WhiteRows":
        """Whiten by what the kind of covariance can undo: all of it, the columns' scales, or one scale."""
        weights = weights * (len(weights) / weights.sum())
        shift = (weights @ X.astype(np.float64, copy=False)) / len(X)
        columns = X.shape[1]
        covariance = np.zeros((columns, columns))
        for low in range(0, len(X), 4096):
            block = (X[low : low + 4096] - shift) * np.sqrt(weights[low : low + 4096, None] / len(X))
            covariance += block.T @ block
        variances = np.diag(covariance) + reg_covar
        if kind == "spherical":
            variances = np.full(columns, variances.mean())
        variances = np.where(variances > 0, variances, 1.0)
        lower = np.diag(np.sqrt(variances))
        if kind in ("full", "tied"):
            ridge = covariance + np.diag(np.full(columns, reg_covar) + 1e-10 * variances)
            with contextlib.suppress(scipy.linalg.LinAlgError):  # then the scales of the columns must do
                lower = scipy.linalg.cholesky(ridge, lower=True)
        white = scipy.linalg.solve_triangular(lower, np.eye(columns), lower=True).T
        parts = in_parts(
            len(X), X.size, lambda _, low, high: max(
                float((((X[row : min(row + 1024, high)] - shift) @ white) ** 2).sum(axis=1).max())
                for row in range(low, high, 1024)
            ),
        )  # fmt: skip
        return cls(X, weights, shift, white, lower.T, max(parts))

    @property
    def log_volume(self) -> float:
        """log |det map|."""
        return float(np.log(np.abs(np.diag(self.map))).sum())

    def block(self, low: int, high: int) -> np.ndarray:
        """Rows z (d, rows), one column a row."""
        return np.ascontiguousarray(((self.X[low:high] - self.shift) @ self.map).T)

    def second_moment(self) -> np.ndarray:
        """Σ w z zᵀ (d, d)."""
        def part(_: int, low: int, high: int) -> np.ndarray:
            total = np.zeros((self.X.shape[1],) * 2)
            for row in range(low, high, 1024):
                z = self.block(row, min(row + 1024, high))
                total += (z * self.weights[row : row + z.shape[1]]) @ z.T
            return total

        return np.sum(in_parts(len(self.X), self.X.size * self.X.shape[1], part), axis=0)


@dataclass(frozen=True, slots=True)
class Moments:
    """What a pass leaves: masses (k,), means (k, d), covariances around those means, all of z; mean log-likelihood.

    covariances: (k, d, d) for full, (d, d) for tied, (k, d) for diag, (k,) for spherical; nothing is added to them.
    """

    masses: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Gaussians:
    """The mixture in the coordinates z: weights (k,), means (k, d) and covariances as in `Moments`."""

    kind: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


Shares = Callable[[int, int], np.ndarray]


def expect(rows: WhiteRows, mixture: Gaussians, total: np.ndarray | None = None) -> Moments:
    """One E-step and the moments for the M-step. total: `rows.second_moment()`, needed for tied covariances."""
    factors = precision_factors(mixture.covariances, mixture.kind)
    columns = rows.X.shape[1]
    narrowest = float(np.max(_traces(factors, mixture.kind)))
    safe = narrowest * max(rows.reach, 1.0) * np.finfo(np.float64).eps <= LARGEST_ERROR
    if safe and (mixture.kind != "full" or columns <= MOST_COLUMNS):
        return _quadratic_pass(rows, mixture, factors, total)
    return _direct_pass(rows, mixture, factors)


def moments_of(rows: WhiteRows, shares: Shares, clusters: int, kind: str) -> Moments:
    """Moments of given shares: function(low, high) → (k, rows) of the rows from low to high."""
    masses, firsts = _weighted_sums(rows, shares, clusters)
    means = firsts / masses[:, None]
    # Around the means, as the direct pass does: covariances of a few rows must not come out of a cancellation.
    scatter = _scatter(rows, shares, means, kind)
    return Moments(masses, means, _covariances(kind, masses, _mirror(scatter)), -np.inf)


def precision_factors(covariances: np.ndarray, kind: str) -> np.ndarray:
    """U with precision U Uᵀ: (k, d, d) or (d, d) upper triangular, or square roots of precisions (k, d), (k,).

    ValueError where a covariance is not positive definite.
    """
    message = (
        "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance"
        " caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or"
        " scale the input data."
    )
    if kind in ("diag", "spherical"):
        if not (covariances > 0).all():
            raise ValueError(message)
        return 1 / np.sqrt(covariances)
    matrices = covariances if kind == "full" else covariances[None]
    out = np.empty_like(matrices)
    for place, matrix in enumerate(matrices):
        try:
            lower = scipy.linalg.cholesky(matrix, lower=True)
        except (scipy.linalg.LinAlgError, ValueError):
            raise ValueError(message) from None
        out[place] = scipy.linalg.solve_triangular(lower, np.eye(len(matrix), dtype=matrix.dtype), lower=True).T
    return out if kind == "full" else out[0]


def _traces(factors: np.ndarray, kind: str) -> np.ndarray:
    if kind == "spherical":
        return factors**2
    return (factors**2).reshape(len(factors) if kind != "tied" else 1, -1).sum(axis=1)


def log_determinants(factors: np.ndarray, kind: str, columns: int) -> Any:
    """log |det U| of each component (k,), or one number for tied."""
    if kind == "full":
        return np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    if kind == "tied":
        return np.log(np.diag(factors)).sum()
    return np.log(factors).sum(axis=1) if kind == "diag" else columns * np.log(factors)


def _constants(mixture: Gaussians, factors: np.ndarray) -> np.ndarray:
    columns = mixture.means.shape[1]
    logs = np.log(np.maximum(mixture.weights, np.finfo(np.float64).tiny))
    return logs + log_determinants(factors, mixture.kind, columns) - 0.5 * columns * LOG_TWO_PI


def _feature_count(kind: str, columns: int) -> int:
    return {"full": 1 + columns + columns * (columns + 1) // 2, "diag": 1 + 2 * columns, "spherical": 2 + columns}.get(
        kind, 1 + columns
    )


@numba.njit(cache=True, nogil=True)
def _products(z, out):  # type: ignore[no-untyped-def]
    """All zᵢzⱼ with i ≤ j of the columns of z (d, rows), row by row of the upper triangle."""
    place = 0
    for i in range(z.shape[0]):
        for j in range(i, z.shape[0]):
            for row in range(z.shape[1]):
                out[place, row] = z[i, row] * z[j, row]
            place += 1


def _fill(kind: str, z: np.ndarray, out: np.ndarray) -> None:
    """Features (P, rows) of rows z (d, rows)."""
    columns = len(z)
    out[0], out[1 : 1 + columns] = 1, z
    if kind == "full":
        _products(z, out[1 + columns :])
    elif kind == "diag":
        np.multiply(z, z, out=out[1 + columns :])
    elif kind == "spherical":
        np.einsum("ij,ij->j", z, z, out=out[1 + columns])


def _quadratic_weights(mixture: Gaussians, factors: np.ndarray) -> np.ndarray:
    """W (k, P) with W·φ(z) = log weight + log density, for tied without the term −½ zᵀPz that all share."""
    kind, means = mixture.kind, mixture.means
    clusters, columns = means.shape
    out = np.empty((clusters, _feature_count(kind, columns)))
    if kind in ("full", "tied"):
        upper = factors if kind == "full" else np.broadcast_to(factors, (clusters, columns, columns))
        precisions = upper @ upper.transpose(0, 2, 1)
        pulled = np.einsum("kij,kj->ki", precisions, means)
        if kind == "full":
            i, j = np.triu_indices(columns)
            out[:, 1 + columns :] = -0.5 * precisions[:, i, j] * np.where(i == j, 1.0, 2.0)
    else:
        precision = factors**2
        wide = precision if kind == "diag" else np.broadcast_to(precision[:, None], means.shape)
        pulled = wide * means
        out[:, 1 + columns :] = -0.5 * (precision if kind == "diag" else precision[:, None])
    out[:, 1 : 1 + columns] = pulled
    out[:, 0] = _constants(mixture, factors) - 0.5 * (pulled * means).sum(axis=1)
    return out


def _quadratic_pass(rows: WhiteRows, mixture: Gaussians, factors: np.ndarray, total: np.ndarray | None) -> Moments:
    kind = mixture.kind
    clusters, columns = mixture.means.shape
    matrix = _quadratic_weights(mixture, factors)
    count = matrix.shape[1]
    block = _block_rows(count, clusters)

    def part(_: int, low: int, high: int) -> tuple[np.ndarray, float]:
        sums, log_likelihood = np.zeros((count, clusters)), 0.0
        features = np.empty((count, block))
        for row in range(low, high, block):
            stop = min(row + block, high)
            phi = features[:, : stop - row] if stop - row == block else np.empty((count, stop - row))
            _fill(kind, rows.block(row, stop), phi)
            shares, logs = normalise(matrix @ phi, rows.weights[row:stop])
            log_likelihood += logs
            sums += phi @ np.ascontiguousarray(shares.T)
        return sums, log_likelihood

    parts = in_parts(len(rows.X), float(len(rows.X)) * count * clusters, part)
    sums = np.sum([sums for sums, _ in parts], axis=0).T
    log_likelihood = sum(logs for _, logs in parts) / len(rows.X)
    masses = sums[:, 0] + 10 * np.finfo(np.float64).eps
    means = sums[:, 1 : 1 + columns] / masses[:, None]
    if kind == "tied":
        assert total is not None
        log_likelihood -= 0.5 * float(np.sum((factors @ factors.T) * total)) / len(rows.X)
        covariances = (total - (means.T * masses) @ means) / masses.sum()
    elif kind == "full":
        i, j = np.triu_indices(columns)
        covariances = np.empty((clusters, columns, columns))
        covariances[:, i, j] = covariances[:, j, i] = sums[:, 1 + columns :] / masses[:, None]
        covariances -= means[:, :, None] * means[:, None, :]
    elif kind == "diag":
        covariances = np.maximum(sums[:, 1 + columns :] / masses[:, None] - means**2, 0)
    else:
        covariances = np.maximum(sums[:, -1] / masses - (means**2).sum(axis=1), 0) / columns
    return Moments(masses, means, covariances, log_likelihood + rows.log_volume)


def _block_rows(count: int, outputs: int) -> int:
    """Rows of a block whose product with (count, outputs) numbers runs fastest."""
    return int(np.clip(min(BLOCK_NUMBERS, UNPACKED // outputs) // count // 64 * 64, 64, 1024))


def normalise(logits: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Softmax over the first axis of (k, rows) times the rows' weights, in place, and Σ w·log Σ exp."""
    top = logits.max(axis=0)
    logits -= top
    np.exp(logits, out=logits)
    sums = logits.sum(axis=0)
    logits *= weights / sums
    return logits, float(weights @ (top + np.log(sums)))


def log_densities(X: np.ndarray, mixture: Gaussians, factors: np.ndarray) -> np.ndarray:
    """log weight + log density (k, rows) of rows (rows, d), from differences to the means."""
    out = np.empty((len(mixture.means), len(X)))
    for place, mean in enumerate(mixture.means):
        steps = X - mean
        if mixture.kind in ("full", "tied"):
            # stepsᵀ = Uᵀ stepsᵀ in place, with U's zeros left out; X is a block, never the user's array.
            upper = factors[place] if mixture.kind == "full" else factors
            steps = dtrmm(1.0, upper.T, steps.T, lower=1, overwrite_b=1).T
        else:
            steps *= factors[place]
        np.einsum("ij,ij->i", steps, steps, out=out[place])
    out *= -0.5
    out += np.broadcast_to(_constants(mixture, factors), (len(out),))[:, None]
    return out


def _direct_pass(rows: WhiteRows, mixture: Gaussians, factors: np.ndarray) -> Moments:
    """The same from differences to the means, with covariances summed around the means of the step before."""
    kind, old = mixture.kind, mixture.means
    clusters, columns = old.shape
    block = _block_rows(columns, columns)

    def part(_: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray, Any, float]:
        masses, firsts, scatter, log_likelihood = np.zeros(clusters), np.zeros((clusters, columns)), None, 0.0
        for row in range(low, high, block):
            stop = min(row + block, high)
            z = (rows.X[row:stop] - rows.shift) @ rows.map
            shares, logs = normalise(log_densities(z, mixture, factors), rows.weights[row:stop])
            log_likelihood += logs
            masses += shares.sum(axis=1)
            firsts += shares @ z - shares.sum(axis=1)[:, None] * old
            scatter = _add_scatter(scatter, z, shares, old, kind)
        return masses, firsts, scatter, log_likelihood

    parts = in_parts(len(rows.X), float(len(rows.X)) * columns * columns * clusters, part)
    masses = np.sum([part[0] for part in parts], axis=0) + 10 * np.finfo(np.float64).eps
    motion = np.sum([part[1] for part in parts], axis=0) / masses[:, None]
    scatter = _mirror(np.sum([part[2] for part in parts], axis=0))
    if kind in ("full", "tied"):
        scatter -= masses[:, None, None] * motion[:, :, None] * motion[:, None, :]
    else:
        scatter = np.maximum(scatter - masses[:, None] * motion**2, 0)
    log_likelihood = sum(part[3] for part in parts) / len(rows.X) + rows.log_volume
    return Moments(masses, old + motion, _covariances(kind, masses, scatter), log_likelihood)


def _add_scatter(scatter: Any, z: np.ndarray, shares: np.ndarray, means: np.ndarray, kind: str) -> np.ndarray:
    """scatter + Σ r (z − mean)(z − mean)ᵀ: lower triangles of (k, d, d), or the diagonals (k, d)."""
    clusters, columns = means.shape
    matrices = kind in ("full", "tied")
    if scatter is None:
        scatter = np.zeros((clusters, columns, columns) if matrices else (clusters, columns))
    for place, mean in enumerate(means):
        steps = z - mean
        if matrices:
            steps *= np.sqrt(shares[place])[:, None]
            # Adds to the lower triangle of scatter[place], which its transpose holds as the upper one.
            dsyrk(1.0, steps.T, beta=1.0, c=scatter[place].T, overwrite_c=1)
        else:
            scatter[place] += shares[place] @ (steps * steps)
    return scatter


def _mirror(scatter: np.ndarray) -> np.ndarray:
    """Whole matrices from lower triangles; diagonals stay as they are."""
    return scatter + np.tril(scatter, -1).swapaxes(1, 2) if scatter.ndim == 3 else scatter


def _covariances(kind: str, masses: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    if kind == "full":
        return scatter / masses[:, None, None]
    if kind == "tied":
        return scatter.sum(axis=0) / masses.sum()
    return scatter / masses[:, None] if kind == "diag" else scatter.mean(axis=1) / masses


def _weighted_sums(rows: WhiteRows, shares: Shares, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    masses, firsts = np.full(clusters, 10 * np.finfo(np.float64).eps), np.zeros((clusters, rows.X.shape[1]))
    for row in range(0, len(rows.X), 1024):
        z = rows.block(row, min(row + 1024, len(rows.X)))
        given = shares(row, row + z.shape[1]) * rows.weights[row : row + z.shape[1]]
        masses += given.sum(axis=1)
        firsts += given @ z.T
    return masses, firsts


def _scatter(rows: WhiteRows, shares: Shares, means: np.ndarray, kind: str) -> np.ndarray:
    scatter: Any = None
    for row in range(0, len(rows.X), 1024):
        z = rows.block(row, min(row + 1024, len(rows.X)))
        given = shares(row, row + z.shape[1]) * rows.weights[row : row + z.shape[1]]
        scatter = _add_scatter(scatter, np.ascontiguousarray(z.T), given, means, kind)
    return scatter
