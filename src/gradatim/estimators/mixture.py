"""Mixtures of Gaussians, fitted by expectation and maximisation.

Maximise  Σᵢ wᵢ log Σ_c π_c N(xᵢ; μ_c, Σ_c).  The E-step gives every row to the components in shares
rᵢc ∝ π_c N(xᵢ; μ_c, Σ_c); the M-step takes the weights, means and covariances of the shared rows. Neither can lower the
likelihood. See `expectation` for how both are done in one pass.
What to notice: k-means is the limit of equal, vanishing, spherical covariances, where every share is 0 or 1. A low
density under the mixture marks a row unlike the others: `score_samples` finds anomalies.
Source: Dempster, Laird and Rubin (1977); Bishop, Pattern Recognition and Machine Learning (2006), section 9.2.
"""

import warnings
from typing import Any, Self

import numpy as np
import scipy.special
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators import seeding
from gradatim.estimators.cluster import KMeans
from gradatim.estimators.expectation import (
    Gaussians,
    Moments,
    Shares,
    WhiteRows,
    expect,
    log_densities,
    moments_of,
    precision_factors,
)
from gradatim.estimators.lloyd import Frame
from gradatim.estimators.row_threads import in_parts, one_product_thread
from gradatim.estimators.validation import damaged, expect_array, expect_count
from gradatim.estimators.watching import Watch

KINDS = ("full", "tied", "diag", "spherical")
STARTS = ("kmeans", "k-means++", "random", "random_from_data")
BLOCK = 1024


class GaussianMixture(DensityMixin, CallbackSupportMixin, BaseEstimator):
    """Density of rows as a weighted sum of Gaussians.

    n_components ≥ 1. covariance_type: "full" (a matrix each), "tied" (one matrix for all), "diag", "spherical".
    tol: stop when the mean log-likelihood of a row rises by less, in nats. reg_covar: added to the diagonal of
    covariances. n_init: starts of which the likeliest is kept. init_params: "kmeans", "k-means++", "random" (shares),
    "random_from_data" (means); weights_init (k,), means_init (k, d), precisions_init (inverse covariances, shaped as
    the type has them) replace what it finds. warm_start: go on from the last fit.
    X (n, d) dense, float32 or float64; products are float64 in either case.
    Fitted: weights_ (k,), means_ (k, d), covariances_, precisions_, precisions_cholesky_ as scikit-learn shapes them,
    lower_bound_ (mean log-likelihood at the last E-step), lower_bounds_ (one a step), converged_, n_iter_.
    Callbacks see fit → start → iteration, each with these attributes.
    Source: Dempster, Laird and Rubin (1977); BIC: Schwarz (1978); AIC: Akaike (1974).

    >>> rows = np.array([[0.0], [0.2], [0.4], [9.0], [9.2], [9.4]])
    >>> model = GaussianMixture(2, random_state=0).fit(rows)
    >>> sorted(model.means_.ravel().round(2).tolist()), model.weights_.round(2).tolist()
    ([0.2, 9.2], [0.5, 0.5])
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start

    def _check(self, rows: int, columns: int) -> None:
        for name in ("n_components", "n_init", "max_iter"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < (name != "max_iter"):
                raise ValueError(f"{name}: expected a whole number ≥ 1, received {value!r}")
        for name in ("tol", "reg_covar"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a number ≥ 0, received {getattr(self, name)!r}")
        if self.covariance_type not in KINDS:
            raise ValueError(f"covariance_type: expected {', '.join(KINDS)}, received {self.covariance_type!r}")
        if self.init_params not in STARTS:
            raise ValueError(f"init_params: expected {', '.join(STARTS)}, received {self.init_params!r}")
        if rows < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {rows}"
            )

    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Find the mixture; sample_weight (n,) ≥ 0 or one number."""
        self._search(X, sample_weight)
        return self

    @with_callbacks
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and the likeliest component (n,) of each of the same rows."""
        return self.predict(self._search(X, sample_weight))

    def _search(self, X: Any, sample_weight: Any) -> np.ndarray:
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        self._check(*X.shape)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.sum() > 0:
            raise ValueError("sample_weight: expected at least one positive weight, received zeros only")
        random = check_random_state(self.random_state)
        with one_product_thread():
            return self._fit_rows(X, weights, sample_weight, random)

    def _fit_rows(self, X: np.ndarray, weights: np.ndarray, sample_weight: Any, random: Any) -> np.ndarray:
        rows = WhiteRows.of(X, weights, self.covariance_type, float(self.reg_covar))
        warm = self.warm_start and hasattr(self, "means_") and self.means_.shape == (self.n_components, X.shape[1])
        starts = 1 if warm else int(self.n_init)
        watch = Watch(self, X, sample_weight=sample_weight, most=starts)
        best: _Run | None = None
        for _ in range(starts):
            run = _Run(self, rows, self._warm(rows) if warm else self._start(rows, random))
            run.climb(watch.part("start", most=int(self.max_iter)))
            if best is None or run.bound > best.bound:
                best = run
        assert best is not None
        attributes = best.attributes()
        for name, value in attributes.items():
            setattr(self, name, value)
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                f"Best performing initialization did not converge. Try different init parameters, or increase"
                f" max_iter={self.max_iter}, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=5,
            )
        watch.end(lambda: attributes)
        return X

    def _start(self, rows: WhiteRows, random: np.random.RandomState) -> Gaussians:
        """The mixture of the first shares, with the parts that were given."""
        given = _Given(self, rows)
        if given.complete:
            return given.replace(None)
        shares = self._first_shares(rows, random)
        moments = moments_of(rows, shares, self.n_components, self.covariance_type)
        return given.replace(_maximise(moments, rows, self.covariance_type, float(self.reg_covar)))

    def _first_shares(self, rows: WhiteRows, random: np.random.RandomState) -> Shares:
        count, clusters = len(rows.X), int(self.n_components)
        if self.init_params == "random":
            table = random.random_sample((count, clusters))
            table /= table.sum(axis=1, keepdims=True)
            return lambda low, high: table[low:high].T
        labels = np.full(count, -1)
        if self.init_params == "kmeans":
            seed = int(random.randint(np.iinfo(np.int32).max))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than components
                labels = KMeans(clusters, random_state=seed).fit(rows.X, sample_weight=rows.weights).labels_
        elif self.init_params == "random_from_data":
            labels[random.choice(count, clusters, replace=False)] = np.arange(clusters)
        else:
            labels[seeding.plus_plus(rows.X, Frame.of(rows.X), clusters, rows.weights, random)] = np.arange(clusters)
        return lambda low, high: (labels[low:high] == np.arange(clusters)[:, None]).astype(np.float64)

    def _warm(self, rows: WhiteRows) -> Gaussians:
        means = (self.means_ - rows.shift) @ rows.map
        covariances = _into(self.covariances_.astype(np.float64), rows.map, self.covariance_type)
        return Gaussians(self.covariance_type, self.weights_.astype(np.float64), means, covariances)

    def _mixture(self) -> Gaussians:
        return Gaussians(self.covariance_type, self.weights_, self.means_, self.covariances_)

    def _log_densities(self, X: Any) -> np.ndarray:
        """log weight + log density (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        out = np.empty((len(X), len(self.means_)), dtype=np.float64)
        mixture, factors = self._mixture(), self.precisions_cholesky_

        def part(_: int, low: int, high: int) -> None:
            for row in range(low, high, BLOCK):
                stop = min(row + BLOCK, high)
                out[row:stop] = log_densities(X[row:stop].astype(np.float64), mixture, factors).T

        in_parts(len(X), float(X.size) * X.shape[1] * len(self.means_), part)
        return out

    def score_samples(self, X: Any) -> np.ndarray:
        """Log density (n,) of every row, in nats; the lowest are the likeliest anomalies."""
        return scipy.special.logsumexp(self._log_densities(X), axis=1)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log density of the rows, in nats."""
        return float(self.score_samples(X).mean())

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest component (n,) of every row."""
        return self._log_densities(X).argmax(axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Share (n, k) of every component in every row."""
        return scipy.special.softmax(self._log_densities(X), axis=1)

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows (n_samples, d) and their components (n_samples,), component after component."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
            )
        random = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        counts = random.multinomial(n_samples, weights / weights.sum())
        columns = self.means_.shape[1]
        drawn = []
        for place, count in enumerate(counts):
            noise = random.standard_normal((count, columns))
            factor = self.precisions_cholesky_ if self.covariance_type == "tied" else self.precisions_cholesky_[place]
            if self.covariance_type in ("full", "tied"):
                noise = np.linalg.solve(factor.astype(np.float64).T, noise.T).T if count else noise
            else:
                noise = noise / factor
            drawn.append(self.means_[place] + noise)
        return np.vstack(drawn), np.repeat(np.arange(len(counts)), counts)

    def _n_parameters(self) -> int:
        clusters, columns = self.means_.shape
        matrix = columns * (columns + 1) // 2
        of_covariances = {"full": clusters * matrix, "tied": matrix, "diag": clusters * columns, "spherical": clusters}
        return of_covariances[self.covariance_type] + clusters * columns + clusters - 1

    def bic(self, X: Any) -> float:
        """Bayesian information criterion of X: parameters·log n − 2·log-likelihood; lower is better."""
        return -2 * self.score(X) * len(X) + self._n_parameters() * float(np.log(len(X)))

    def aic(self, X: Any) -> float:
        """Akaike information criterion of X: 2·parameters − 2·log-likelihood; lower is better."""
        return -2 * self.score(X) * len(X) + 2 * self._n_parameters()

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns = expect_count(self, "n_features_in_", least=1)
        clusters = len(expect_array(self, "weights_", (None,)))
        expect_array(self, "means_", (clusters, columns))
        if self.covariance_type not in KINDS:
            raise damaged(self, f"covariance_type among {', '.join(KINDS)}", repr(self.covariance_type)[:80])
        shape = _shape(self.covariance_type, clusters, columns)
        for name in ("covariances_", "precisions_", "precisions_cholesky_"):
            expect_array(self, name, shape)
        try:
            precision_factors(self.covariances_, self.covariance_type)
        except ValueError:
            raise damaged(self, "positive definite covariances_", "others") from None


def _shape(kind: str, clusters: int, columns: int) -> tuple[int, ...]:
    return {
        "full": (clusters, columns, columns), "tied": (columns, columns), "diag": (clusters, columns),
        "spherical": (clusters,),
    }[kind]  # fmt: skip


def _into(covariances: np.ndarray, matrix: np.ndarray, kind: str) -> np.ndarray:
    """Covariances of x @ matrix from those of x."""
    if kind in ("full", "tied"):
        return matrix.T @ covariances @ matrix
    scales = np.diag(matrix) ** 2
    return covariances * (scales if kind == "diag" else scales[0])


def _maximise(moments: Moments, rows: WhiteRows, kind: str, reg_covar: float) -> Gaussians:
    """The M-step: weights, means, and covariances with reg_covar on the diagonal in the user's coordinates."""
    covariances = moments.covariances.copy()
    if kind in ("full", "tied"):
        covariances += reg_covar * (rows.map.T @ rows.map)
    else:
        scales = np.diag(rows.map) ** 2
        covariances += reg_covar * (scales if kind == "diag" else scales[0])
    return Gaussians(kind, moments.masses / moments.masses.sum(), moments.means, covariances)


class _Given:
    """The parts of the start that the user gave, in the coordinates of the white rows."""

    def __init__(self, model: GaussianMixture, rows: WhiteRows) -> None:
        clusters, columns, kind = int(model.n_components), rows.X.shape[1], model.covariance_type
        self.kind = kind
        self.weights: Any = None
        self.means: Any = None
        self.covariances: Any = None
        if model.weights_init is not None:
            self.weights = _expect(model.weights_init, "weights_init", (clusters,))
            if (self.weights < 0).any() or not np.isclose(self.weights.sum(), 1, atol=1e-6):
                raise ValueError("weights_init: expected numbers ≥ 0 with sum 1, received others")
        if model.means_init is not None:
            self.means = (_expect(model.means_init, "means_init", (clusters, columns)) - rows.shift) @ rows.map
        if model.precisions_init is not None:
            given = _expect(model.precisions_init, "precisions_init", _shape(kind, clusters, columns))
            if kind in ("full", "tied"):
                if not np.allclose(given, np.swapaxes(given, -1, -2)) or not (np.linalg.eigvalsh(given) > 0).all():
                    raise ValueError("precisions_init: expected symmetric, positive definite matrices")
                # (AᵀΣA)⁻¹ = A⁻¹ Σ⁻¹ A⁻ᵀ
                given = rows.inverse @ given @ rows.inverse.T
                self.covariances = np.linalg.inv(given)
                self.covariances = (self.covariances + np.swapaxes(self.covariances, -1, -2)) / 2
            elif not (given > 0).all():
                raise ValueError("precisions_init: expected numbers > 0, received others")
            else:
                self.covariances = _into(1 / given, rows.map, kind)

    @property
    def complete(self) -> bool:
        return self.weights is not None and self.means is not None and self.covariances is not None

    def replace(self, found: Gaussians | None) -> Gaussians:
        """The mixture found, with what was given in its place."""
        return Gaussians(
            self.kind,
            found.weights if self.weights is None and found else self.weights,
            found.means if self.means is None and found else self.means,
            found.covariances if self.covariances is None and found else self.covariances,
        )


def _expect(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = check_array(value, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, received {array.shape}")
    return array


class _Run:
    """EM from one start."""

    def __init__(self, model: GaussianMixture, rows: WhiteRows, start: Gaussians) -> None:
        self.model, self.rows, self.mixture = model, rows, start
        self.bound, self.bounds = -np.inf, []  # type: tuple[float, list[float]]
        self.converged = False

    def climb(self, part: Watch) -> None:
        """Steps until the likelihood rises by less than tol."""
        model, rows = self.model, self.rows
        kind = model.covariance_type
        total = rows.second_moment() if kind == "tied" else None
        for _ in range(int(model.max_iter)):
            moments = expect(rows, self.mixture, total)
            rise, self.bound = moments.log_likelihood - self.bound, moments.log_likelihood
            self.bounds.append(self.bound)
            self.mixture = _maximise(moments, rows, kind, float(model.reg_covar))
            stop = part.step(self.attributes)
            self.converged = abs(rise) < model.tol
            if self.converged or stop:
                break
        part.end(self.attributes)

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes if the climb ended now, in the user's coordinates."""
        rows, mixture, kind = self.rows, self.mixture, self.mixture.kind
        dtype = rows.X.dtype
        means = mixture.means @ rows.inverse + rows.shift
        covariances = _into(mixture.covariances, rows.inverse, kind)
        if kind in ("full", "tied"):
            covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
        factors = precision_factors(covariances, kind)
        precisions = factors @ np.swapaxes(factors, -1, -2) if kind in ("full", "tied") else factors**2
        return {
            "weights_": mixture.weights.astype(dtype),
            "means_": means.astype(dtype),
            "covariances_": covariances.astype(dtype),
            "precisions_": precisions.astype(dtype),
            "precisions_cholesky_": factors.astype(dtype),
            "lower_bound_": float(self.bound),
            "lower_bounds_": list(self.bounds),
            "converged_": bool(self.converged),
            "n_iter_": len(self.bounds),
        }
