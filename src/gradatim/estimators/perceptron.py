"""The perceptron: add each mistaken row to the weights, until there is no mistake.

    where  yᵢ(w·xᵢ + b) ≤ 0:   w ← w + η yᵢxᵢ,   b ← b + η yᵢ                    (Rosenblatt, 1958)

Convergence (Novikoff, 1962): if a unit vector w* with an intercept b* keeps every row at a distance of at least ρ from
the boundary, yᵢ(w*·xᵢ + b*) ≥ ρ, and no row is longer than r, then there are at most ((b*)² + 1)(r² + 1)/ρ² updates:
with the constant column (w*, b*) has the squared length b*² + 1 and a row at most r² + 1. The margin comes from a
support vector machine with a hard margin; any separating hyperplane would do.
With a kernel the weights are Σ aᵢyᵢφ(xᵢ), aᵢ the number of updates by row i (Aizerman, Braverman and Rozonoer, 1964);
r² is then the largest K(x, x). Averaged: the mean of the weights after each row seen, which does not hang on the last
row (Freund and Schapire, Large margin classification using the perceptron algorithm, 1999).
What to notice: on rows that no hyperplane separates it never ends. XOR is such a set; with the product x₁x₂ as a third
feature, or a kernel that has it, it is not.
"""

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from gradatim.estimators import svm_rows
from gradatim.estimators.perceptron_updates import Learned, learn
from gradatim.estimators.separability import Verdict, examine
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count, expect_strings
from gradatim.estimators.watching import Watch


class Perceptron(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Classifier that learns from its mistakes, one machine a class (one for two classes), with its convergence bound.

    kernel: "linear" for weights of the columns, else "poly", "rbf", "sigmoid" or a function of two sets of rows, with
    degree, gamma (number, "scale", "auto") and coef0; averaged: predict by the mean of all weights along the way;
    eta0: η > 0 (from zero weights it scales them and changes no decision); max_iter: passes over the rows; shuffle:
    another order in each pass, seeded by random_state; cache_size: MiB of kernel values held. bound: compute the bound
    on the number of updates and, after max_iter passes with mistakes, whether the rows can be separated at all: True,
    False or "auto" (up to 2,000 rows).
    X (n, d) dense or CSR, float32 or float64; y (n,) of two or more classes.
    Fitted: classes_; coef_ (1 or k, d) and intercept_, with a kernel support_, support_vectors_ and dual_coef_
    (1 or k, s); n_iter_ passes; for each machine n_updates_, update_bound_ (∞: not separable, NaN: not known), margin_
    (ρ, NaN), separable_ ("yes", "no" or "unknown") and evidence_ (how that is known).
    Callbacks see every update: the attributes so far, and row_, the row that was mistaken.
    Source: Rosenblatt (1958); Novikoff (1962).

    >>> X, xor = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [0, 1, 1, 0]
    >>> flat = Perceptron().fit(X, xor)
    >>> flat.separable_, flat.evidence_
    (['no'], ['the linear programme yᵢ(w·xᵢ + b) ≥ 1 has no solution'])
    >>> model = Perceptron().fit(np.column_stack([X, X[:, 0] * X[:, 1]]), xor)
    >>> model.separable_, bool(model.n_updates_[0] <= model.update_bound_[0])
    (['yes'], True)
    """

    def __init__(
        self,
        *,
        kernel: str | Callable[[Any, Any], ArrayLike] = "linear",
        degree: float = 3,
        gamma: float | str = "scale",
        coef0: float = 0.0,
        averaged: bool = False,
        eta0: float = 1.0,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        shuffle: bool = False,
        bound: bool | str = "auto",
        cache_size: float = 256,
        random_state: int | None = None,
    ) -> None:
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.averaged = averaged
        self.eta0 = eta0
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.bound = bound
        self.cache_size = cache_size
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any) -> Self:
        """Pass over the rows until a pass has no mistake, or max_iter times."""
        self._check_settings()
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=svm_rows.FORMATS, order="C", accept_large_sparse=False
        )
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected rows of at least two classes, received {len(self.classes_)} class")
        self.gamma_ = svm_rows.choose_gamma(self.gamma, X, np.ones(X.shape[0]))
        points = svm_rows.kernel_of(self).points(X)
        outputs = 1 if len(self.classes_) == 2 else len(self.classes_)
        watch = Watch(self, X, y, most=outputs)
        learned: list[Learned] = []
        verdicts: list[Verdict] = []
        for output in range(outputs):
            target = np.where(numbers == (output if outputs > 1 else 1), 1.0, -1.0)
            part = watch.part("machine")

            def observe(state: Learned, row: int, part: Watch = part) -> bool:
                return part.step(lambda: self._attributes(X, [*learned, state], outputs) | {"row_": row}, name="update")

            state = learn(
                points,
                target,
                primal=self.kernel == "linear",
                rate=float(self.eta0),
                intercept=bool(self.fit_intercept),
                passes=int(self.max_iter),
                random=np.random.default_rng(self.random_state) if self.shuffle else None,
                budget=float(self.cache_size),
                observe=observe if watch.active else None,
            )
            learned.append(state)
            wanted = self._wants_bound(len(target))
            verdicts.append(examine(points, target, state, wanted=wanted, intercept=bool(self.fit_intercept)))
            part.end()
        for name, value in self._attributes(X, learned, outputs).items():
            setattr(self, name, value)
        self.update_bound_ = np.array([verdict.bound for verdict in verdicts])
        self.margin_ = np.array([verdict.margin for verdict in verdicts])
        self.separable_ = [verdict.separable for verdict in verdicts]
        self.evidence_ = [verdict.evidence for verdict in verdicts]
        self._warn(learned, verdicts)
        watch.end()
        return self

    def _check_settings(self) -> None:
        if self.bound not in (True, False, "auto"):
            raise ValueError(f"bound: expected True, False or 'auto', received {self.bound!r}")
        if self.kernel == "precomputed":
            raise ValueError("kernel: expected a kernel of rows, received 'precomputed'; give a function instead")
        for name, least in (("eta0", 0.0), ("max_iter", 0.0), ("cache_size", 0.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value > least:
                raise ValueError(f"{name}: expected a number > 0, received {value!r}")

    def _wants_bound(self, rows: int) -> bool:
        return rows <= 2000 if self.bound == "auto" else bool(self.bound)

    def _warn(self, learned: list[Learned], verdicts: list[Verdict]) -> None:
        for state, verdict in zip(learned, verdicts):
            if state.mistakes and verdict.separable != "no" and not state.stopped:
                warnings.warn(
                    f"Perceptron made {state.mistakes} mistakes in pass {state.passes} of max_iter={self.max_iter}"
                    f" (separable: {verdict.separable}, {verdict.evidence}); raise max_iter",
                    ConvergenceWarning,
                    stacklevel=4,
                )
                return

    def _attributes(self, X: Any, learned: list[Learned], outputs: int) -> dict[str, Any]:
        """The fitted attributes; machines that did not begin have weights of zero."""
        states = [*learned, *[learned[0].blank()] * (outputs - len(learned))]
        dtype = X.dtype
        common = {
            "intercept_": np.array([state.offset(self.averaged) for state in states], dtype=dtype),
            "n_updates_": np.array([state.updates for state in states], dtype=np.int64),
            "n_iter_": max(state.passes for state in states),
        }
        table = np.array([state.coefficients(self.averaged) for state in states])
        if self.kernel == "linear":
            return common | {"coef_": table.astype(dtype)}
        support = np.flatnonzero(np.any(table != 0, axis=0))
        return common | {
            "support_": support.astype(np.int32),
            "support_vectors_": X[support],
            "dual_coef_": np.ascontiguousarray(table[:, support]),
        }

    def decision_function(self, X: Any) -> np.ndarray:
        """Values (n,) with two classes, positive for the second, else (n, k)."""
        check_is_fitted(self)
        if self.kernel == "linear":
            X = validate_data(self, X, accept_sparse="csr", dtype=svm_rows.FORMATS, reset=False)
            values = np.asarray(X @ self.coef_.T) + self.intercept_
        else:
            values = svm_rows.decisions(self, X)
        return values[:, 0] if values.shape[1] == 1 else values

    def predict(self, X: Any) -> np.ndarray:
        """The class (n,) of the largest value."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(np.intp) if values.ndim == 1 else values.argmax(1)]

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        columns, classes = expect_count(self, "n_features_in_", least=1), len(expect_classes(self))
        if classes < 2:
            raise damaged(self, "at least two classes_", str(classes))
        outputs = 1 if classes == 2 else classes
        expect_array(self, "intercept_", (outputs,))
        for name in ("separable_", "evidence_"):
            if len(expect_strings(self, name)) != outputs:
                raise damaged(self, f"{outputs} strings {name}", str(len(getattr(self, name))))
        expect_array(self, "update_bound_", (outputs,), finite=False)
        expect_array(self, "margin_", (outputs,), finite=False)
        expect_array(self, "n_updates_", (outputs,), "i")
        if self.kernel == "linear":
            expect_array(self, "coef_", (outputs, columns))
            return
        support = expect_array(self, "support_", (None,), "i")
        expect_array(self, "dual_coef_", (outputs, len(support)))
        if scipy.sparse.issparse(self.support_vectors_):
            if self.support_vectors_.shape != (len(support), columns):
                raise damaged(self, f"support_vectors_ of {len(support)} rows", str(self.support_vectors_.shape))
        else:
            expect_array(self, "support_vectors_", (len(support), columns))
