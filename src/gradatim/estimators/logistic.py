"""Logistic regression: two classes by a sigmoid, more by a softmax, with a squared penalty.

Minimise  C Σ sᵢ ℓ(yᵢ, xᵢᵀW + b) + ½‖W‖²,  ℓ the cross entropy: maximum likelihood, or with the penalty the
most probable W under a Gaussian prior. The search is L-BFGS preconditioned by the covariance of the inputs,
see `likelihood`.
What to notice: the loss bends most along the directions in which the inputs vary most; measured in those
directions divided by how much it bends, the problem is nearly round, and a few dozen passes over the data
suffice.
"""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.folds import stratified_folds
from gradatim.estimators.lbfgs import Minimum, minimise
from gradatim.estimators.likelihood import (
    Design,
    Likelihood,
    fast_products,
    losses,
    prepare,
    scores_of,
    sigmoid,
)
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count

# While C is chosen the loss need only be known better than it differs between neighbouring values.
PATH_TOLERANCE = 1e-5
# The walk over C ends when this many values in a row were worse than the best one.
PATIENCE = 2


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """Linear classifier with an L2 penalty, by maximum likelihood.

    C: inverse strength of the penalty > 0, or "auto": the value of `Cs` (default: half-decades from a
    hundredth to ten thousand times the inverse mean squared length of the centred rows) with the least
    cross-validated log loss. class_weight: None, "balanced" or {class: weight}; tol: stop when the mean
    loss is estimated to lie within tol nats of its optimum; warm_start: start from the last coefficients;
    folds: parts of the cross-validation, None: 5 under 5,000 rows, 3 under 20,000, above that one held-out
    fifth.
    X (n, d) dense or CSR, float32 or float64; y (n,) of two or more classes.
    Fitted: classes_, coef_ (1 or classes, d), intercept_, n_iter_ (1,), C_, and with "auto" Cs_ and scores_
    (mean log loss in nats on held-out rows for each of Cs_; the search stops two values after the best).
    Source: Böhning, Multinomial logistic regression algorithm (1992), for the Kronecker bound on the
    Hessian.

    >>> import numpy as np
    >>> model = LogisticRegression().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), ["a", "a", "b", "b"])
    >>> model.predict(np.array([[0.2], [2.9]])).tolist()
    ['a', 'b']
    """

    def __init__(
        self,
        C: float | str = 1.0,
        *,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-6,
        max_iter: int = 500,
        warm_start: bool = False,
        Cs: ArrayLike | None = None,
        folds: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.Cs = Cs
        self.folds = folds
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Find the coefficients.

        sample_weight (n,) ≥ 0; groups (n,): rows of a group stay together when C="auto" holds rows out.
        """
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        # Rows of weight zero count as absent: also a class that only they have.
        classes, labels = np.unique(y[weights > 0], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"expected rows of at least two classes, received {len(classes)} class")
        if not weights.all():
            X, y = X[weights > 0], y[weights > 0]
            groups = None if groups is None else np.asarray(groups)[weights > 0]
            weights = weights[weights > 0]
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        warm = self._warm_coefficients(classes)
        self.classes_ = classes
        with fast_products(X):
            design = prepare(X, weights, bool(self.fit_intercept))
            start = self._start(design, warm)
            if isinstance(self.C, str) and self.C == "auto":
                self.C_ = self._choose(design, labels, weights, groups)
            elif isinstance(self.C, str) or not (np.isfinite(self.C) and self.C > 0):
                raise ValueError(f"C: expected a number > 0 or 'auto', received {self.C!r}")
            else:
                self.C_ = float(self.C)
            found = self._minimise(design, labels, weights, self.C_, start)
        self._keep(found, design, X.dtype)
        return self

    def _warm_coefficients(self, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        same = np.array_equal(classes, self.classes_) and self.coef_.shape[1] == self.n_features_in_
        return (self.coef_, self.intercept_) if same else None

    def _start(self, design: Design, warm: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
        """Parameters to start from: zeros, or the last fit's in the coordinates of this design."""
        outputs = len(self.classes_) if len(self.classes_) > 2 else 1
        start = np.zeros((design.matrix.shape[1] + 1, outputs))
        if warm is not None:
            coefficients = warm[0].T.astype(np.float64)
            start[-1] = warm[1] + design.origin @ coefficients
            back = design.map_back
            # The columns of map_back are orthogonal, so its least-squares inverse is its scaled transpose.
            start[:-1] = coefficients if back is None else (back.T @ coefficients) / (back * back).sum(0)[:, None]
        return start

    def _minimise(
        self,
        design: Design,
        labels: np.ndarray,
        weights: np.ndarray,
        C: float,
        start: np.ndarray,
        tol: float | None = None,
    ) -> Minimum:
        total = weights.sum()
        objective = Likelihood(
            design, labels, weights / total, 1 / (C * total), start.shape[1], bool(self.fit_intercept)
        )
        return minimise(
            objective.evaluate,
            start,
            objective.precondition,
            tol=self.tol if tol is None else tol,
            max_iter=self.max_iter,
            resolution=float(np.finfo(design.matrix.dtype).eps) / 4,
        )

    def _choose(self, design: Design, labels: np.ndarray, weights: np.ndarray, groups: np.ndarray | None) -> float:
        """The C with the least held-out log loss, walking from strong to weak penalties with warm starts."""
        scale = 1 / max(float(design.variances.sum()), 1e-12)
        grid = scale * np.logspace(-2, 4, 13) if self.Cs is None else np.sort(np.asarray(self.Cs, dtype=float))
        held = self._held_out(labels, groups)
        if not held:
            return float(grid[len(grid) // 3])
        rest = [np.setdiff1d(np.arange(len(labels)), rows) for rows in held]
        trains, tests = [design.rows(rows) for rows in rest], [design.rows(rows) for rows in held]
        starts = [self._start(design, None) for _ in held]
        scores: list[float] = []
        for C in grid:
            total = 0.0
            for place, (inside, outside) in enumerate(zip(rest, held)):
                found = self._minimise(
                    trains[place], labels[inside], weights[inside], C, starts[place], tol=PATH_TOLERANCE
                )
                starts[place] = found.parameters
                loss = _loss(tests[place], found.parameters, labels[outside])
                total += float(weights[outside] @ loss)
            scores.append(total / sum(weights[rows].sum() for rows in held))
            if len(scores) - int(np.argmin(scores)) > PATIENCE:
                break
        self.Cs_, self.scores_ = grid[: len(scores)], np.array(scores)
        return float(grid[int(np.argmin(scores))])

    def _held_out(self, labels: np.ndarray, groups: np.ndarray | None) -> list[np.ndarray]:
        """Row numbers of every part that is held out."""
        rows = len(labels)
        if self.folds is None:
            count, used = (5, 5) if rows < 5000 else (3, 3) if rows < 20_000 else (5, 1)
        else:
            count = used = self.folds
        places = stratified_folds(
            labels, count, seed=self.random_state or 0, groups=None if groups is None else np.asarray(groups)
        )
        parts = [np.flatnonzero(places == fold) for fold in range(used)]
        return [part for part in parts if 0 < len(part) < rows]

    def _keep(self, found: Minimum, design: Design, dtype: Any) -> None:
        """Coefficients and intercept for the columns, and in the number format, of the input."""
        coefficients = found.parameters[:-1]
        if design.map_back is not None:
            coefficients = design.map_back @ coefficients
        intercept = found.parameters[-1] - design.origin @ coefficients
        if len(intercept) > 1 and self.fit_intercept:
            intercept = intercept - intercept.mean()  # a softmax does not see a shift of all scores
        self.coef_ = np.ascontiguousarray(coefficients.T, dtype=dtype)
        self.intercept_ = intercept.astype(dtype)
        self.n_iter_ = np.array([found.iterations], dtype=np.int32)
        if not found.converged and found.iterations >= self.max_iter:
            warnings.warn(
                f"LogisticRegression stopped after max_iter={self.max_iter} iterations before reaching tol={self.tol};"
                " raise max_iter, or standardise the columns",
                ConvergenceWarning,
                stacklevel=3,
            )

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores (n, classes) before the softmax; with two classes the log odds (n,) of the second."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = np.asarray(X @ self.coef_.T) + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class (n,)."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability (n, classes) of every class, in the order of classes_."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([sigmoid(-scores), sigmoid(scores)], axis=1)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of the probability (n, classes), exact where the probability underflows."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return -np.stack([np.logaddexp(0, scores), np.logaddexp(0, -scores)], axis=1)
        scores = scores - scores.max(1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(1, keepdims=True))

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns, classes = expect_count(self, "n_features_in_", least=1), expect_classes(self)
        if len(classes) < 2:
            raise damaged(self, "at least two classes_", str(len(classes)))
        outputs = len(classes) if len(classes) > 2 else 1
        expect_array(self, "coef_", (outputs, columns))
        expect_array(self, "intercept_", (outputs,))


def _loss(design: Design, parameters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross entropy (n,) in nats of the rows of a design."""
    coefficients = np.ascontiguousarray(parameters[:-1], dtype=design.matrix.dtype)
    offset = parameters[-1] - design.means @ parameters[:-1]
    return losses(scores_of(design.matrix, coefficients) + offset[:, None], labels)[0]
