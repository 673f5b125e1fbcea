"""What the support vector machines ask of their input and settings, and what they leave behind.

What to notice: rows of weight zero count as absent in everything, also in γ = "scale", whose variance is weighted, so
that a weight of two is a repeated row.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators import gram
from gradatim.estimators.gram import Matrix
from gradatim.estimators.kernel_dual import Solution
from gradatim.estimators.kernels import Kernel, make_kernel
from gradatim.estimators.linear_newton import NARROW, WIDEST
from gradatim.estimators.svm_machines import Expansion, Settings
from gradatim.estimators.validation import damaged, expect_array, expect_count

FORMATS = [np.float64, np.float32]


@dataclass(frozen=True, slots=True)
class Given:
    """Validated rows: X (n, d), y (n,) targets or class numbers, weights (n,) > 0, place (n,) in what was given.

    classes: labels of the class numbers, empty in regression.
    """

    X: Matrix
    y: np.ndarray
    weights: np.ndarray
    place: np.ndarray
    classes: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """y as the user wrote it."""
        return self.classes[self.y] if len(self.classes) else self.y


def read(estimator: Any, X: Any, y: Any, sample_weight: Any, *, classify: bool) -> Given:
    """Validate, leave out rows of weight zero, number the classes."""
    options: dict[str, Any] = {"accept_sparse": "csr", "accept_large_sparse": False, "dtype": FORMATS, "order": "C"}
    X, y = validate_data(estimator, X, y, y_numeric=not classify, **options)
    if getattr(estimator, "kernel", None) == "precomputed" and X.shape[0] != X.shape[1]:
        raise ValueError(f"Precomputed matrix must be a square matrix; X is {X.shape[0]} by {X.shape[1]}")
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    place = np.flatnonzero(weights > 0)
    classes = np.empty(0)
    if classify:
        check_classification_targets(y)
        classes, y = np.unique(y[place], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"expected rows of at least two classes, received {len(classes)} class")
        multiple = compute_class_weight(estimator.class_weight, classes=classes, y=classes[y])
        if estimator.class_weight == "balanced":
            counts = np.bincount(y, weights[place], len(classes))
            multiple = counts.sum() / (len(classes) * counts)
        estimator.classes_, estimator.class_weight_ = classes, np.asarray(multiple, dtype=np.float64)
    else:
        y = np.asarray(y, dtype=np.float64)[place]
    if len(place) < len(weights):
        X = X[place] if getattr(estimator, "kernel", None) != "precomputed" else X[np.ix_(place, place)]
    return Given(X, y, weights[place], place, classes)


def reach(estimator: Any, given: Given) -> np.ndarray:
    """The bound C of every row, with its weights; C may be infinite."""
    C = _number(estimator, "C")
    if not C > 0:
        raise ValueError(f"C: expected a number > 0 (numpy.inf: hard margin), received {estimator.C!r}")
    bound = C * given.weights
    if len(given.classes):
        if not np.all(estimator.class_weight_ > 0):
            raise ValueError(f"class_weight: expected weights > 0, received {estimator.class_weight!r}")
        bound = bound * estimator.class_weight_[given.y]
    return bound


def _number(estimator: Any, name: str) -> float:
    value = getattr(estimator, name)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or np.isnan(value):
        raise ValueError(f"{name}: expected a number, received {value!r}")
    return float(value)


def settings(estimator: Any) -> Settings:
    """How the machines are solved; ValueError names the setting that is out of range."""
    tolerance, budget, steps = (_number(estimator, name) for name in ("tol", "cache_size", "max_iter"))
    if not tolerance > 0 or not budget > 0 or steps < -1:
        raise ValueError(
            "expected tol > 0, cache_size > 0 (MiB) and max_iter ≥ −1 (no limit), received"
            f" tol={estimator.tol!r}, cache_size={estimator.cache_size!r}, max_iter={estimator.max_iter!r}"
        )
    return Settings(tolerance, budget, int(steps), bool(estimator.shrinking))


def linear_settings(estimator: Any, given: Given) -> tuple[np.ndarray, float, str]:
    """(C of every row, value of the intercept's column, solver) of a LinearSVC."""
    if estimator.loss not in ("hinge", "squared_hinge") or estimator.solver not in ("auto", "dual", "newton", "sgd"):
        raise ValueError(
            "loss, solver: expected 'hinge' or 'squared_hinge', and 'auto', 'dual', 'newton' or 'sgd', received"
            f" {estimator.loss!r}, {estimator.solver!r}"
        )
    if not _number(estimator, "tol") > 0 or not _number(estimator, "max_iter") >= 1:
        raise ValueError(
            f"expected tol > 0 and max_iter ≥ 1, received tol={estimator.tol!r}, max_iter={estimator.max_iter!r}"
        )
    if estimator.fit_intercept and not _number(estimator, "intercept_scaling") > 0:
        raise ValueError(f"intercept_scaling: expected a number > 0, received {estimator.intercept_scaling!r}")
    bound = reach(estimator, given)
    if not np.isfinite(bound).all():
        raise ValueError("C: expected a finite number, received infinity; SVC(kernel='linear') has the hard margin")
    solver = estimator.solver
    if solver == "newton" and estimator.loss == "hinge":
        raise ValueError("solver='newton': expected loss='squared_hinge', received 'hinge'; use solver='dual'")
    if solver == "auto":
        solver = "newton" if estimator.loss == "squared_hinge" and _newton_pays(given.X, bound) else "dual"
    return bound, float(estimator.intercept_scaling) if estimator.fit_intercept else 0.0, solver


def _newton_pays(X: Matrix, bound: np.ndarray) -> bool:
    """Whether Newton's method is the faster one: fewer columns than rows, and few, or prices that bind coordinates.

    Descent by coordinates took 40 to 100 passes where the mean of C‖x‖² was under 3, and thousands where it was 100.
    """
    if not X.shape[1] < X.shape[0] or X.shape[1] > WIDEST:
        return False
    squares = X.multiply(X).sum(1) if scipy.sparse.issparse(X) else np.einsum("nd,nd->n", X, X)
    return X.shape[1] <= NARROW or float(bound @ np.asarray(squares).ravel()) > 3 * len(bound)


def kernel_of(estimator: Any) -> Kernel:
    """The kernel of a fitted estimator; γ as it was chosen."""
    if estimator.kernel == "precomputed":
        return Kernel("precomputed")
    return make_kernel(
        estimator.kernel, gamma=estimator.gamma_, degree=estimator.degree, coef0=estimator.coef0
    )


def choose_gamma(gamma: Any, X: Matrix, weights: np.ndarray) -> float:
    """γ as a number: "auto" is 1/d, "scale" 1/(d · variance of all numbers of X)."""
    if isinstance(gamma, str):
        if gamma == "auto":
            return 1 / X.shape[1]
        if gamma != "scale":
            raise ValueError(f"gamma: expected a number ≥ 0, 'scale' or 'auto', received {gamma!r}")
        variance = _variance(X, weights)
        return 1 / (X.shape[1] * variance) if variance > 0 else 1.0
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float, np.integer, np.floating)) or not gamma >= 0:
        raise ValueError(f"gamma: expected a number ≥ 0, 'scale' or 'auto', received {gamma!r}")
    return float(gamma)


def _variance(X: Matrix, weights: np.ndarray) -> float:
    """Weighted variance of all numbers of X together."""
    total = weights.sum() * X.shape[1]
    mean = float(gram.column_means(X, weights).sum() / X.shape[1])
    if scipy.sparse.issparse(X):
        return float(np.asarray(X.astype(np.float64).multiply(X).T @ weights).sum() / total) - mean**2
    out = 0.0
    for start in range(0, X.shape[0], gram.BLOCK):
        block = X[start : start + gram.BLOCK] - X.dtype.type(mean)
        out += float(weights[start : start + gram.BLOCK] @ np.einsum("nd,nd->n", block, block))
    return out / total


def expansion(estimator: Any, *, many: bool = False) -> Expansion:
    """What a fitted estimator predicts by; many: one-vs-one of more than two classes."""
    return Expansion(
        kernel_of(estimator),
        estimator.support_vectors_,
        estimator.dual_coef_,
        estimator.intercept_,
        estimator.n_support_ if many else None,
        estimator.support_,
    )


def decisions(estimator: Any, X: Any, *, many: bool = False) -> np.ndarray:
    """Values (n, machines) of a fitted estimator for rows as a user gives them."""
    check_is_fitted(estimator)
    X = validate_data(
        estimator, X, accept_sparse="csr", dtype=FORMATS, accept_large_sparse=False, order="C", reset=False
    )
    if scipy.sparse.issparse(X) and not scipy.sparse.issparse(estimator.support_vectors_) and X.shape[0]:
        if estimator.kernel in ("callable", "precomputed") or callable(estimator.kernel):
            X = X.toarray()
    elif scipy.sparse.issparse(estimator.support_vectors_) and not scipy.sparse.issparse(X):
        X = scipy.sparse.csr_matrix(X)
    return expansion(estimator, many=many).values(X)


def report(estimator: Any, solutions: list[Solution]) -> None:
    """Warn where a search ended before its tolerance; ValueError where no hard margin exists."""
    endings = [solution.ending for solution in solutions]
    if "unbounded" in endings:
        raise ValueError(
            "C=inf: expected classes that the kernel can separate, received classes that it cannot (or by less than"
            " a millionth of their size); use a finite C"
        )
    estimator.fit_status_ = int(any(ending in ("steps", "stalled") for ending in endings))
    name = type(estimator).__name__
    if "steps" in endings:
        warnings.warn(
            f"{name} stopped early (max_iter={estimator.max_iter}) before reaching tol={estimator.tol}; raise max_iter,"
            " or scale the columns with StandardScaler or MinMaxScaler",
            ConvergenceWarning,
            stacklevel=4,
        )
    elif "stalled" in endings:
        worst = max(solution.violation for solution in solutions)
        warnings.warn(
            f"{name} stopped where rounding allows no further step, with a violation of {worst:.2g}"
            f" (tol={estimator.tol}); scale the columns, or lower C",
            ConvergenceWarning,
            stacklevel=4,
        )


def check_expansion(estimator: Any, machines: int, lines: int, classes: int) -> None:
    """Raise ArtifactError unless support vectors, coefficients and intercepts fit together."""
    columns = expect_count(estimator, "n_features_in_", least=1)
    support = expect_array(estimator, "support_", (None,), "i")
    expect_array(estimator, "dual_coef_", (lines, len(support)))
    expect_array(estimator, "intercept_", (machines,))
    counts = expect_array(estimator, "n_support_", (classes,), "i")
    if int(counts.sum()) != len(support) or (len(counts) and counts.min() < 0):
        raise damaged(estimator, f"n_support_ that sums to {len(support)}", str(int(counts.sum())))
    vectors = estimator.support_vectors_
    wanted = (0, 0) if estimator.kernel == "precomputed" else (len(support), columns)
    if scipy.sparse.issparse(vectors):
        if vectors.shape != wanted or not np.isfinite(vectors.data).all():
            raise damaged(estimator, f"finite support_vectors_ of shape {wanted}", f"shape {vectors.shape}")
    else:
        expect_array(estimator, "support_vectors_", wanted)
    if estimator.kernel == "precomputed" and len(support) and not 0 <= support.min() <= support.max() < columns:
        raise damaged(estimator, "support_ within the columns", f"{support.min()} to {support.max()}")
    gamma = getattr(estimator, "gamma_", None)
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float)) or not np.isfinite(gamma) or gamma < 0:
        raise damaged(estimator, "a number gamma_ ≥ 0", repr(gamma)[:80])
    kernel_of(estimator)
