"""Principal components and whitening.

The first axis is the direction of unit length v₁ that maximises the variance vᵀCv of the data, the next ones the same
among those orthogonal to it (Pearson, 1901; Hotelling, 1933): the eigenvectors of the covariance C. The same axes
minimise Σ ‖xᵢ − x̂ᵢ‖², the squared distance to the projection on k of them. Whitening divides by the standard deviation
along each axis, so that the covariance becomes the identity; ZCA then turns back, and stays as close to the data as a
whitening can.
What to notice: for the axes only the smaller of AᵀA and AAᵀ matters, and all but the largest shapes are solved
exactly at the price of one such product.
"""

from typing import Any, Self

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from gradatim.estimators import gram, principal_axes
from gradatim.estimators.principal_axes import Axes
from gradatim.estimators.validation import damaged, expect_array, expect_count

SOLVERS = ("auto", "full", "covariance_eigh", "randomized")
# Above this size of the smaller matrix (512 MB in float64) the axes are found by block Lanczos.
LARGEST_COVARIANCE = 8192
# Readings of the data by block Lanczos: on spectra like those of pictures all but 1e-5 of the variance is held.
PASSES = 4


class PCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Principal component analysis: the directions of largest variance, and the data in their coordinates.

    Objective: maximise tr(VᵀCV) over V (d, k) with orthonormal columns, C the covariance of X (divided by n − 1).
    n_components: None for min(n, d); a whole number k; a part of the variance in (0, 1): the fewest axes that hold
    more than it; "mle": Minka's choice. whiten: divide by the standard deviation along each axis, so that the
    transformed training data have the identity as covariance. svd_solver: "covariance_eigh" (eigenvectors of the
    smaller of AᵀA, AAᵀ), "full" (singular values of A), "randomized" (block Lanczos from a random start,
    iterated_power readings of the data), or "auto": the covariance where it is the cheaper or nearly so. The largest
    entry of each component is positive.
    X (n, d), float32 or float64, dense or CSR ("full" takes dense input alone). NaN is refused.
    Fitted: components_ (k, d), explained_variance_, explained_variance_ratio_, singular_values_ (k,), mean_ (d,),
    noise_variance_ (mean variance of the axes left out: Tipping and Bishop, 1999), n_components_, n_samples_.
    Source: Hotelling (1933); Jolliffe, Principal Component Analysis (2002), 1.1; block Lanczos: Musco and Musco (2015).

    >>> import numpy as np
    >>> model = PCA(1).fit(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    >>> model.components_.round(4), model.explained_variance_
    (array([[0.7071, 0.7071]]), array([2.]))
    """

    def __init__(
        self,
        n_components: int | float | str | None = None,
        *,
        whiten: bool = False,
        svd_solver: str = "auto",
        iterated_power: int | str = "auto",
        n_oversamples: int = 10,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.svd_solver = svd_solver
        self.iterated_power = iterated_power
        self.n_oversamples = n_oversamples
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = self.svd_solver != "full"
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the axes of X; y is ignored."""
        if self.svd_solver not in SOLVERS:
            raise ValueError(f"svd_solver: expected one of {', '.join(SOLVERS)}, received {self.svd_solver!r}")
        sparse = False if self.svd_solver == "full" else "csr"
        X = validate_data(self, X, dtype=[np.float64, np.float32], accept_sparse=sparse, ensure_min_samples=2)
        count = self._count_asked(X.shape)
        means = gram.column_means(X, np.ones(X.shape[0]))
        axes = self._axes(X, means, count if isinstance(count, int) else None)
        rows, least = X.shape[0], min(X.shape)
        ratios = axes.variances / axes.total if axes.total > 0 else np.zeros_like(axes.variances)
        if count == "mle":
            count = principal_axes.most_likely_count(axes.variances, rows)
        elif isinstance(count, float):
            count = min(int(np.searchsorted(np.cumsum(ratios), count, side="right")) + 1, least)
        assert isinstance(count, int)
        left = max(axes.total - float(axes.variances[:count].sum()), 0.0)
        self.mean_ = means.astype(X.dtype)
        self.components_ = np.ascontiguousarray(
            principal_axes.fix_signs(axes.components[:count]), dtype=X.dtype
        )
        self.explained_variance_ = axes.variances[:count].astype(X.dtype)
        self.explained_variance_ratio_ = ratios[:count].astype(X.dtype)
        self.singular_values_ = np.sqrt(axes.variances[:count] * (rows - 1)).astype(X.dtype)
        self.noise_variance_ = left / (least - count) if count < least else 0.0
        self.n_components_, self.n_samples_ = count, rows
        return self

    def _count_asked(self, shape: tuple[int, int]) -> int | float | str:
        asked, least = self.n_components, min(shape)
        if asked is None:
            return least
        if isinstance(asked, str):
            if asked == "mle" and shape[0] >= shape[1] and self.svd_solver != "randomized":
                return asked
            raise ValueError(
                f"n_components: expected a number, None or 'mle' (with n ≥ d and an exact solver), received {asked!r}"
            )
        whole = isinstance(asked, (int, np.integer)) and not isinstance(asked, bool)
        if whole and 0 <= asked <= least and (asked or self.svd_solver != "randomized"):
            return int(asked)
        if not whole and isinstance(asked, (float, np.floating)) and 0 < asked < 1 and self.svd_solver != "randomized":
            return float(asked)
        raise ValueError(
            f"n_components: expected a whole number of at most min(n_samples, n_features) = {least}, or a part of the "
            f"variance in (0, 1) with an exact solver, received {asked!r}"
        )

    def _axes(self, X: Any, means: np.ndarray, count: int | None) -> Axes:
        if self.svd_solver == "full":
            return principal_axes.from_singular_values(X, means, count)
        rows, columns = X.shape
        least = min(X.shape)
        passes = PASSES if self.iterated_power == "auto" else self.iterated_power
        if not isinstance(passes, (int, np.integer)) or isinstance(passes, bool) or passes < 1:
            raise ValueError(f"iterated_power: expected a whole number ≥ 1 or 'auto', received {self.iterated_power!r}")
        if not isinstance(self.n_oversamples, (int, np.integer)) or self.n_oversamples < 0:
            raise ValueError(f"n_oversamples: expected a whole number ≥ 0, received {self.n_oversamples!r}")
        solver = self.svd_solver
        if solver == "auto":
            solver = "covariance_eigh"
            if count and (least > LARGEST_COVARIANCE or _lanczos_pays(rows, columns, count + self.n_oversamples)):
                solver = "randomized"
        if solver == "randomized":
            assert count is not None
            return principal_axes.from_lanczos(
                X, means, count, oversamples=int(self.n_oversamples), passes=int(passes),
                random_state=check_random_state(self.random_state),
            )
        return principal_axes.from_covariance(X, means, count, exact=bool(self.whiten))

    def transform(self, X: Any) -> np.ndarray:
        """The coordinates (n, k) of rows along the axes, divided by their standard deviations with whiten."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], accept_sparse="csr", reset=False)
        weights = self.components_.T
        if self.whiten:
            weights = weights / self._scale()
        return _project(X, self.mean_, weights)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """The points (n, d) that have these coordinates (n, k), in the span of the axes."""
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        scaled = self.components_ * self._scale()[:, None] if self.whiten else self.components_
        return np.asarray(X @ scaled + self.mean_)

    def _scale(self) -> np.ndarray:
        """Standard deviations along the axes, none of them zero."""
        scale = np.sqrt(self.explained_variance_)
        return np.maximum(scale, np.finfo(scale.dtype).eps)

    def get_covariance(self) -> np.ndarray:
        """The covariance (d, d) of the model: the variances along the axes, the noise variance elsewhere."""
        check_is_fitted(self)
        above = np.maximum(self.explained_variance_ - self.noise_variance_, 0)
        covariance = (self.components_.T * above) @ self.components_
        covariance.flat[:: len(covariance) + 1] += self.noise_variance_
        return covariance

    def get_precision(self) -> np.ndarray:
        """The inverse (d, d) of `get_covariance`, through the axes and not through an inversion."""
        check_is_fitted(self)
        inside = 1 / np.maximum(self.explained_variance_, self.noise_variance_)
        if self.n_components_ == self.n_features_in_:
            return np.asarray((self.components_.T * inside) @ self.components_)
        outside = 1 / self._noise()
        precision = (self.components_.T * (inside - outside)) @ self.components_
        precision.flat[:: len(precision) + 1] += outside
        return precision

    def _noise(self) -> float:
        if not self.noise_variance_ > 0:
            raise ValueError(
                "PCA: expected some variance outside the components, found none; its density needs fewer components"
            )
        return float(self.noise_variance_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-likelihood (n,) of rows under the Gaussian of the model (Tipping and Bishop, 1999, equation 11)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        variances = np.maximum(self.explained_variance_.astype(np.float64), self.noise_variance_)
        coordinates = _project(X, self.mean_, self.components_.T).astype(np.float64)
        likelihood = coordinates**2 @ (1 / variances) + np.log(variances).sum() + X.shape[1] * np.log(2 * np.pi)
        outside = X.shape[1] - self.n_components_
        if outside:
            centred = X - self.mean_
            rest = np.einsum("nd,nd->n", centred, centred, dtype=np.float64) - (coordinates**2).sum(axis=1)
            likelihood += rest / self._noise() + outside * np.log(self._noise())
        return np.asarray(-0.5 * likelihood)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of rows; y is ignored."""
        return float(self.score_samples(X).mean())

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns, count = expect_count(self, "n_features_in_", least=1), expect_count(self, "n_components_")
        expect_count(self, "n_samples_", least=2)
        expect_array(self, "components_", (count, columns))
        expect_array(self, "mean_", (columns,))
        for name in ("explained_variance_", "explained_variance_ratio_", "singular_values_"):
            if (expect_array(self, name, (count,)) < 0).any():
                raise damaged(self, f"{name} ≥ 0", "a negative number")
        noise = self.noise_variance_
        if isinstance(noise, bool) or not isinstance(noise, (int, float)) or not 0 <= noise < np.inf:
            raise damaged(self, "a number noise_variance_ ≥ 0", repr(noise)[:80])


class Whitening(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn and scale the data so that their covariance is the identity.

    Objective: a matrix W with W C Wᵀ = I; with C = VΛVᵀ it is R·Λ^(−½)Vᵀ for some turn R. kind: "pca" takes R = I, one
    output an axis; "zca" takes R = V, the whitening that changes the data least, Σ ‖Wxᵢ − xᵢ‖² (Bell and Sejnowski,
    1997), so that pictures still look like pictures; "cholesky" takes W lower triangular: each output uses only the
    columns up to its own. epsilon ≥ 0 is added to the variances, which keeps axes of mere noise from being blown up;
    at 0 axes without variance are left out.
    X (n, d) dense, float32 or float64. Fitted: whitening_ (k, d), colouring_ (d, k) its inverse on the data's span,
    mean_ (d,), variances_ (r,) along the r axes kept.
    Source: Kessy, Lewin and Strimmer, Optimal whitening and decorrelation (2018), table 1.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).normal(size=(50, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]])
    >>> np.cov(Whitening().fit_transform(rows).T).round(8) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """

    def __init__(self, kind: str = "zca", *, epsilon: float = 0.0) -> None:
        self.kind = kind
        self.epsilon = epsilon

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the whitening matrix; y is ignored."""
        if self.kind not in ("zca", "pca", "cholesky"):
            raise ValueError(f"kind: expected zca, pca or cholesky, received {self.kind!r}")
        if isinstance(self.epsilon, (bool, str)) or not np.isfinite(self.epsilon) or self.epsilon < 0:
            raise ValueError(f"epsilon: expected a number ≥ 0, received {self.epsilon!r}")
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        means = gram.column_means(X, np.ones(len(X)))
        axes = principal_axes.from_covariance(X, means, None, exact=True)
        floor = axes.variances.max(initial=0.0) * max(X.shape) * np.finfo(np.float64).eps
        kept = axes.variances > floor
        components, variances = principal_axes.fix_signs(axes.components[kept]), axes.variances[kept]
        scale = np.sqrt(variances + self.epsilon)[:, None]
        whitening, colouring = components / scale, (components * scale).T
        if self.kind == "zca":
            whitening, colouring = components.T @ whitening, colouring @ components
        elif self.kind == "cholesky":
            if len(variances) < X.shape[1]:
                raise ValueError(
                    f"kind='cholesky': expected data of rank {X.shape[1]}, received rank {len(variances)}; take 'zca'"
                )
            # C = LLᵀ gives L⁻¹ C L⁻ᵀ = I.
            colouring = np.linalg.cholesky((components.T * scale.T**2) @ components)
            whitening = scipy.linalg.solve_triangular(colouring, np.eye(X.shape[1]), lower=True)
        self.mean_ = means.astype(X.dtype)
        self.whitening_ = np.ascontiguousarray(whitening, dtype=X.dtype)
        self.colouring_ = np.ascontiguousarray(colouring, dtype=X.dtype)
        self.variances_ = variances.astype(X.dtype)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The whitened rows (n, k): k = d, or with kind "pca" the number of axes."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return _project(X, self.mean_, self.whitening_.T)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """The rows (n, d) whose whitened form is X (n, k)."""
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        return np.asarray(X @ self.colouring_.T + self.mean_)

    @property
    def _n_features_out(self) -> int:
        return len(self.whitening_)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns = expect_count(self, "n_features_in_", least=1)
        count = len(expect_array(self, "whitening_", (None, columns)))
        expect_array(self, "colouring_", (columns, count))
        expect_array(self, "mean_", (columns,))
        expect_array(self, "variances_", (None,))


def _lanczos_pays(rows: int, columns: int, width: int) -> bool:
    """Whether block Lanczos costs less than a third of the covariance, counted in products; below that, exactness wins.

    A symmetric product of the smaller side m takes n·d·m multiplications and additions, its eigenvectors about 9m³; a
    reading takes 4·n·d·width, the last corner 2·n·d·width.
    """
    least = min(rows, columns)
    covariance = rows * columns * least + 9 * least**3
    return 3 * (4 * PASSES + 2) * rows * columns * width < covariance


def _project(X: Any, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(X − mean) @ weights, (n, k) in the precision of X and the weights; dense rows are centred block by block."""
    dtype = np.result_type(X.dtype, weights.dtype)
    if scipy.sparse.issparse(X):
        return np.asarray(X @ weights - means @ weights, dtype=dtype)
    out = np.empty((X.shape[0], weights.shape[1]), dtype=dtype)
    for start in range(0, X.shape[0], gram.BLOCK):
        np.matmul(X[start : start + gram.BLOCK] - means, weights, out=out[start : start + gram.BLOCK])
    return out
