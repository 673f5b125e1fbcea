"""Logistic regression: two classes by a sigmoid, more by a softmax or one against the rest, with a penalty.

Minimise  C Σ sᵢ ℓ(yᵢ, xᵢᵀW + b) + (1 − ρ)/2 ‖W‖² + ρ‖W‖₁,  ℓ the cross entropy: the negative log-likelihood of the
labels and the negative logarithm of a prior on W, so that the minimum is the most probable W given the rows (maximum a
posteriori): ρ = 0 is a Gaussian prior of variance 1, ρ = 1 a Laplace prior, C = ∞ no prior, maximum likelihood. The
gradient by a row's scores is a − y, its probabilities less its one-hot label.
What to notice: the loss bends most along the directions in which the inputs vary most; measured in those
directions divided by how much it bends, the problem is nearly round, and a few dozen passes over the data
suffice. See `likelihood`.
"""

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.classifier_search import Diverged, Search, choose_penalty
from gradatim.estimators.lbfgs import Minimum
from gradatim.estimators.likelihood import Design, fast_products, prepare, sigmoid, untouched
from gradatim.estimators.linear import descent_rule, largest_curvature, report_ending
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count
from gradatim.estimators.watching import Watch

SOLVERS = ("lbfgs", "newton-cg", "gradient_ascent")
MULTI_CLASS = ("softmax", "one-vs-rest")


class LogisticRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Linear classifier by penalised maximum likelihood.

    Minimise C Σ sᵢ ℓ(yᵢ, xᵢᵀW + b) + (1 − l1_ratio)/2 ‖W‖² + l1_ratio ‖W‖₁, with ℓ the cross entropy in nats.
    C: inverse strength of the penalty > 0 (infinity: none), or "auto": the value of `Cs` (default: half-decades from a
    hundredth to ten thousand times the inverse mean squared length of the centred rows) with the least
    cross-validated log loss, with a log-normal prior around five times that that decides where rows are few (none
    where `Cs` are given). class_weight: None, "balanced" or {class: weight}; tol: stop when the mean
    loss is estimated to lie within tol nats of its optimum (gradient ascent: when it falls by at most tol of itself in
    an iteration); warm_start: start from the last coefficients; folds: parts of the cross-validation, None: 5 under
    5,000 rows, 3 under 20,000, above that one held-out fifth.
    l1_ratio in [0, 1]: above 0, coefficients become zero exactly, by `sparse_likelihood` whatever the solver.
    multi_class: "softmax" (one model of all classes) or "one-vs-rest" (each class against the others, probabilities
    scaled to sum to one). solver: "lbfgs" (preconditioned), "newton-cg" (preconditioned, for a tight tol) or
    "gradient_ascent" of the likelihood on the columns as they are, with learning_rate ("auto", "backtracking" or a
    number for the mean loss) and batch_size as in `linear.LinearRegression`.
    X (n, d) dense or CSR, float32 or float64; y (n,) of two or more classes.
    Fitted: classes_, coef_ (1 or classes, d), intercept_, n_iter_ (1,) or (classes,), C_, objective_ (minimised value
    divided by C Σ sᵢ: mean loss plus penalty; summed over classes for one-vs-rest), and with "auto" Cs_ and scores_
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
        l1_ratio: float = 0.0,
        solver: str = "lbfgs",
        multi_class: str = "softmax",
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-6,
        max_iter: int = 500,
        warm_start: bool = False,
        learning_rate: float | str = "auto",
        batch_size: int | None = None,
        Cs: ArrayLike | None = None,
        folds: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.l1_ratio = l1_ratio
        self.solver = solver
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.Cs = Cs
        self.folds = folds
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Find the coefficients.

        sample_weight (n,) ≥ 0; groups (n,): rows of a group stay together when C="auto" holds rows out.
        """
        self._check_arguments()
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        # Rows of weight zero count as absent: also a class that only they have.
        classes, labels = np.unique(y[weights > 0], return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"expected rows of at least two classes, received {len(classes)} class")
        warm = self._warm_coefficients(classes)
        self.classes_ = classes
        watch = Watch(self, X, y, sample_weight=sample_weight, most=None)
        if not weights.all():
            X, y = X[weights > 0], y[weights > 0]
            groups = None if groups is None else np.asarray(groups)[weights > 0]
            weights = weights[weights > 0]
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        with fast_products(X):
            if self.solver == "gradient_ascent" and not self.l1_ratio:
                design = untouched(X)
            else:
                design = prepare(X, weights, bool(self.fit_intercept), rotate=not self.l1_ratio)
            search = self._search(X, weights)
            found = self._found(search, design, labels, weights, groups, self._start(design, warm), watch)
        for name, value in self._attributes(np.hstack([one.parameters for one in found]), design, X.dtype).items():
            setattr(self, name, value)
        self._report(found)
        watch.end()
        return self

    def _check_arguments(self) -> None:
        """One line for each argument that does not fit."""
        if isinstance(self.C, str):
            if self.C != "auto":
                raise ValueError(f"C: expected a number > 0 or 'auto', received {self.C!r}")
        elif not self.C > 0:
            raise ValueError(f"C: expected a number > 0 or 'auto', received {self.C!r}")
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio: expected a number in [0, 1], received {self.l1_ratio!r}")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {', '.join(SOLVERS)}, received {self.solver!r}")
        if self.multi_class not in MULTI_CLASS:
            raise ValueError(f"multi_class: expected one of {', '.join(MULTI_CLASS)}, received {self.multi_class!r}")

    def _search(self, X: Any, weights: np.ndarray) -> Search:
        """How to look for the coefficients, as the arguments say."""
        several, rule = len(self.classes_) > 2, None
        apart = several and self.multi_class == "one-vs-rest"
        if self.solver == "gradient_ascent" and not self.l1_ratio:
            rule = descent_rule(self, X, weights, bool(self.fit_intercept), bend=0.5 if several and not apart else 0.25)
        return Search(
            self.solver,
            float(self.l1_ratio),
            len(self.classes_) if several else 1,
            apart,
            bool(self.fit_intercept),
            int(self.max_iter),
            rule,
            self.random_state or 0,
        )

    def _found(
        self,
        search: Search,
        design: Design,
        labels: np.ndarray,
        weights: np.ndarray,
        groups: Any,
        start: np.ndarray,
        watch: Watch,
    ) -> list[Minimum]:
        """The minima with the given or chosen C, each step published."""
        dtype = design.matrix.dtype

        def observe(parameters: np.ndarray, value: float, step: int) -> bool:
            return watch.step(
                lambda: (
                    self._attributes(parameters, design, dtype)
                    | {"objective_": value, "n_iter_": np.array([step], dtype=np.int32)}
                )
            )

        self.C_ = 1.0 if isinstance(self.C, str) else float(self.C)
        try:
            if isinstance(self.C, str):
                self.C_, self.Cs_, self.scores_ = choose_penalty(
                    search, design, labels, weights, groups, self.Cs, self.folds, self.random_state or 0
                )
            return search.minima(design, labels, weights, self.C_, start, self.tol, observe if watch.active else None)
        except Diverged as diverged:
            assert search.rule is not None
            bend = 0.5 if search.outputs > 1 and not search.apart else 0.25
            curvature = bend * largest_curvature(design.matrix, weights, search.intercept)
            report_ending(self, diverged.args[0], search.rule, curvature + 1 / (self.C_ * weights.sum()))
            raise

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

    def _attributes(self, parameters: np.ndarray, design: Design, dtype: Any) -> dict[str, Any]:
        """Coefficients and intercept for the columns, and in the number format, of the input."""
        coefficients = parameters[:-1]
        if design.map_back is not None:
            coefficients = design.map_back @ coefficients
        intercept = parameters[-1] - design.origin @ coefficients
        if len(intercept) > 1 and self.fit_intercept and self.multi_class == "softmax":
            intercept = intercept - intercept.mean()  # a softmax does not see a shift of all scores
        return {
            "coef_": np.ascontiguousarray(coefficients.T, dtype=dtype),
            "intercept_": intercept.astype(dtype),
        }

    def _report(self, found: list[Minimum]) -> None:
        """n_iter_, objective_, and a warning where the search did not get to its end."""
        self.n_iter_ = np.array([one.iterations for one in found], dtype=np.int32)
        self.objective_ = float(sum(one.value for one in found))
        if any(not one.converged and one.iterations >= self.max_iter for one in found):
            warnings.warn(
                f"LogisticRegression stopped after max_iter={self.max_iter} iterations before reaching tol={self.tol};"
                " raise max_iter, or standardise the columns",
                ConvergenceWarning,
                stacklevel=4,
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
        if self.multi_class == "one-vs-rest":
            each = np.maximum(sigmoid(scores), np.finfo(scores.dtype).tiny)
            return each / each.sum(1, keepdims=True)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of the probability (n, classes), exact where the probability underflows."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return -np.stack([np.logaddexp(0, scores), np.logaddexp(0, -scores)], axis=1)
        if self.multi_class == "one-vs-rest":
            scores = -np.logaddexp(0, -scores)  # of each class alone; then, as below, scaled to sum to one
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
