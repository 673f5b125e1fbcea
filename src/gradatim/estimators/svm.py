"""Support vector machines: the widest street between two classes, or a tube around a curve.

    SVC        min ½‖w‖² + Σ Cᵢξᵢ   with  yᵢ(w·φ(xᵢ) + b) ≥ 1 − ξᵢ, ξ ≥ 0      (Cortes and Vapnik, 1995)
    SVR        min ½‖w‖² + Σ Cᵢ(ξᵢ + ξᵢ*)  with  |yᵢ − w·φ(xᵢ) − b| ≤ ε + ξ     (Vapnik, 1995)
    LinearSVC  the first with φ(x) = x, by dual coordinate descent or a row at a time

At the optimum w = Σ αᵢyᵢφ(xᵢ) (not Σ αᵢxᵢ), with 0 ≤ αᵢ ≤ Cᵢ and Σ αᵢyᵢ = 0; a row outside the street has α = 0, one
on its edge 0 < α < C, one inside or on the wrong side α = C (Karush-Kuhn-Tucker). C = ∞ is the hard margin.
How it is found: `kernel_dual` (rows of K, a batch a product) over `smo` (two coefficients at a time).
What to notice: only rows with α > 0, the support vectors, speak in a prediction.
"""

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from gradatim.estimators import svm_machines, svm_rows
from gradatim.estimators.kernel_dual import Dual, Solution
from gradatim.estimators.linear_dual import LinearSolution
from gradatim.estimators.linear_newton import linear_search
from gradatim.estimators.svm_fitted import (
    classifier_attributes,
    classifier_observers,
    linear_attributes,
    regressor_attributes,
)
from gradatim.estimators.svm_probability import probabilities, probability_sigmoids
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count
from gradatim.estimators.watching import Watch

Function = Callable[[Any, Any], ArrayLike]


def _wants_probability(estimator: Any) -> bool:
    if not estimator.probability:
        raise AttributeError("predict_proba is not available when probability=False; make it SVC(probability=True)")
    return True


class SVC(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Classifier of the widest margin in the space of a kernel.

    C: price > 0 of a row inside the margin, numpy.inf for the hard margin (ValueError where there is none). kernel:
    "linear", "poly", "rbf", "sigmoid", "precomputed" or a function of two sets of rows; degree, gamma (number, "scale":
    1/(d · variance of X, weighted by sample_weight), "auto": 1/d) and coef0 are its numbers. strategy: "ovo" a machine
    a pair of classes, "ovr" a machine a class. tol: largest violation of the optimality conditions, m(α) − M(α).
    cache_size: MiB of kernel values held, in all threads together; nothing larger is built, whatever n is. shrinking:
    leave coefficients at rest out of the steps. probability: also fit sigmoids on values held out five-fold, seeded by
    random_state. class_weight: None, "balanced" or {class: weight}; max_iter: steps of each machine, −1: no limit;
    decision_function_shape: "ovr" (n, k) or "ovo" (n, pairs), with more than two classes under "ovo"; break_ties: equal
    votes are decided by the values.
    X (n, d) dense or CSR, float32 (rbf works in float32 then) or float64; y (n,) of two or more classes.
    Fitted: support_ (s,) rows by class, support_vectors_ (s, d) as X was, n_support_ (k,), dual_coef_ αᵢyᵢ (k − 1, s)
    as LIBSVM lays them out, (machines, s) under "ovr", intercept_ (machines,), classes_, class_weight_, gamma_; of each
    machine n_iter_, dual_objective_, duality_gap_ (primal less dual), violation_; fit_status_ 0 where all converged;
    with probability probA_, probB_.
    Callbacks see each machine's steps: the attributes above, and machine_ and alphas_ (n,), the signed αᵢyᵢ.
    Source: Boser, Guyon and Vapnik (1992), Cortes and Vapnik (1995); the steps: Fan, Chen and Lin (2005).

    >>> X, y = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]), ["a", "a", "b", "b"]
    >>> model = SVC(kernel="linear", C=np.inf).fit(X, y)
    >>> model.support_.tolist(), model.coef_.round(3).tolist(), round(float(model.intercept_[0]), 3)
    ([1, 2], [[1.0, 1.0]], -3.0)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        kernel: str | Function = "rbf",
        degree: float = 3,
        gamma: float | str = "scale",
        coef0: float = 0.0,
        strategy: str = "ovo",
        shrinking: bool = True,
        probability: bool = False,
        tol: float = 1e-3,
        cache_size: float = 1024,
        class_weight: Any = None,
        max_iter: int = -1,
        decision_function_shape: str = "ovr",
        break_ties: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.strategy = strategy
        self.shrinking = shrinking
        self.probability = probability
        self.tol = tol
        self.cache_size = cache_size
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.decision_function_shape = decision_function_shape
        self.break_ties = break_ties
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the support vectors; sample_weight (n,) ≥ 0 multiplies C row by row."""
        if self.strategy not in ("ovo", "ovr") or self.decision_function_shape not in ("ovo", "ovr"):
            raise ValueError(
                "strategy, decision_function_shape: expected 'ovo' or 'ovr', received"
                f" {self.strategy!r}, {self.decision_function_shape!r}"
            )
        how = svm_rows.settings(self)
        given = svm_rows.read(self, X, y, sample_weight, classify=True)
        bound = svm_rows.reach(self, given)
        self.gamma_ = svm_rows.choose_gamma(self.gamma, given.X, given.weights)
        points = svm_rows.kernel_of(self).points(given.X)
        machines = svm_machines.machines(given.y, len(given.classes), self.strategy == "ovr")
        problems = [(machine.rows, machine.dual(bound)) for machine in machines]
        watch = Watch(self, given.X, given.labels, sample_weight=sample_weight, most=len(machines))
        observers = classifier_observers(self, given, machines, bound, watch) if watch.active else None
        solutions = svm_machines.solve_all(points, problems, how, observers, max(1, len(points) // 100))
        svm_rows.report(self, solutions)
        for name, value in classifier_attributes(self, given, machines, solutions).items():
            setattr(self, name, value)
        self.probA_, self.probB_ = np.empty(0), np.empty(0)
        if self.probability:
            self.probA_, self.probB_ = probability_sigmoids(
                points, machines, bound, given.weights, how, self.random_state or 0
            )
        watch.end()
        return self

    @property
    def _many(self) -> bool:
        """Whether the attributes are those of one-vs-one with more than two classes."""
        return self.strategy == "ovo" and len(self.classes_) > 2

    def decision_function(self, X: Any) -> np.ndarray:
        """Values (n,) with two classes, positive for the second; else (n, k), or (n, pairs) by the shape asked for."""
        values = svm_rows.decisions(self, X, many=hasattr(self, "classes_") and self._many)
        if len(self.classes_) == 2:
            return values[:, 0]
        if self._many and self.decision_function_shape == "ovr":
            return svm_machines.one_a_class(values, len(self.classes_))
        return values

    def predict(self, X: Any) -> np.ndarray:
        """The class (n,) with most votes, or with two classes or one-vs-rest the largest value."""
        if self.break_ties and self.decision_function_shape == "ovo":
            raise ValueError("break_ties must be False when decision_function_shape is 'ovo'")
        values = svm_rows.decisions(self, X, many=hasattr(self, "classes_") and self._many)
        if len(self.classes_) == 2:
            return self.classes_[(values[:, 0] > 0).astype(np.intp)]
        if not self._many:
            return self.classes_[values.argmax(1)]
        if self.break_ties:
            return self.classes_[svm_machines.one_a_class(values, len(self.classes_)).argmax(1)]
        return self.classes_[svm_machines.votes(values, len(self.classes_))]

    @available_if(_wants_probability)
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability (n, classes) of every class; it may disagree with `predict`, which goes by votes."""
        values = svm_rows.decisions(self, X, many=hasattr(self, "classes_") and self._many)
        if len(self.classes_) == 2:
            values = -values
        return probabilities(values, self.probA_, self.probB_, len(self.classes_), pairs=self.strategy == "ovo")

    @available_if(_wants_probability)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba` (n, classes)."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @property
    def coef_(self) -> np.ndarray:
        """Weights (machines, d) of the columns, with the linear kernel only."""
        if self.kernel != "linear":
            raise AttributeError("coef_ is only available when using a linear kernel")
        check_is_fitted(self)
        return svm_machines.weights(self.dual_coef_, self.support_vectors_, self.n_support_ if self._many else None)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        classes = len(expect_classes(self))
        if classes < 2:
            raise damaged(self, "at least two classes_", str(classes))
        pairs = classes * (classes - 1) // 2
        machines = pairs if self.strategy == "ovo" or classes == 2 else classes
        lines = classes - 1 if self.strategy == "ovo" or classes == 2 else classes
        svm_rows.check_expansion(self, machines, lines, classes)
        fitted = machines if self.probability else 0
        expect_array(self, "probA_", (fitted,))
        expect_array(self, "probB_", (fitted,))


class SVR(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Regression that lets errors under epsilon pass, in the space of a kernel.

    C: price > 0 of an error above epsilon, numpy.inf for none allowed; epsilon ≥ 0: half width of the tube, in the
    unit of y. Kernel, tol, cache_size, shrinking, max_iter as in SVC.
    X (n, d) dense or CSR, float32 or float64; y (n,).
    Fitted: support_, support_vectors_, n_support_ (1,), dual_coef_ α − α* (1, s), intercept_ (1,), gamma_, n_iter_,
    dual_objective_, duality_gap_, violation_ (of y's unit), fit_status_. Callbacks see them step by step, and alphas_.
    Source: Vapnik (1995); Smola and Schölkopf, A tutorial on support vector regression (2004).

    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = SVR(kernel="linear", C=100.0, epsilon=0.5).fit(X, [0.0, 1.0, 2.0, 3.0])
    >>> model.predict([[1.5]]).round(2).tolist(), model.support_.tolist()
    ([1.5], [0, 3])
    """

    def __init__(
        self,
        *,
        kernel: str | Function = "rbf",
        degree: float = 3,
        gamma: float | str = "scale",
        coef0: float = 0.0,
        tol: float = 1e-3,
        C: float = 1.0,
        epsilon: float = 0.1,
        shrinking: bool = True,
        cache_size: float = 1024,
        max_iter: int = -1,
    ) -> None:
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.tol = tol
        self.C = C
        self.epsilon = epsilon
        self.shrinking = shrinking
        self.cache_size = cache_size
        self.max_iter = max_iter

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the support vectors; sample_weight (n,) ≥ 0 multiplies C row by row."""
        how = svm_rows.settings(self)
        if not (isinstance(self.epsilon, (int, float)) and np.isfinite(self.epsilon) and self.epsilon >= 0):
            raise ValueError(f"epsilon: expected a number ≥ 0, received {self.epsilon!r}")
        given = svm_rows.read(self, X, y, sample_weight, classify=False)
        bound = svm_rows.reach(self, given)
        self.gamma_ = svm_rows.choose_gamma(self.gamma, given.X, given.weights)
        points = svm_rows.kernel_of(self).points(given.X)
        problem = (np.arange(len(points)), Dual(given.y, -bound, bound, float(self.epsilon)))
        watch = Watch(self, given.X, given.y, sample_weight=sample_weight)

        def observe(state: Solution) -> bool:
            return watch.step(lambda: regressor_attributes(self, given, state) | {"alphas_": state.beta.copy()})

        solutions = svm_machines.solve_all(
            points, [problem], how, [observe] if watch.active else None, max(1, len(points) // 100)
        )
        svm_rows.report(self, solutions)
        for name, value in regressor_attributes(self, given, solutions[0]).items():
            setattr(self, name, value)
        watch.end()
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets (n,)."""
        return svm_rows.decisions(self, X)[:, 0]

    @property
    def coef_(self) -> np.ndarray:
        """Weights (1, d) of the columns, with the linear kernel only."""
        if self.kernel != "linear":
            raise AttributeError("coef_ is only available when using a linear kernel")
        check_is_fitted(self)
        return svm_machines.weights(self.dual_coef_, self.support_vectors_, None)

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        svm_rows.check_expansion(self, 1, 1, 1)


class LinearSVC(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Linear support vector classifier without kernel values, for many rows or columns; one machine a class.

    C: price > 0 of the loss; loss: "hinge" or "squared_hinge"; solver: "dual" (coordinate descent), "newton" (squared
    hinge only), "sgd" (averaged stochastic subgradient) or "auto": "newton" where it applies and pays (fewer columns
    than rows; at most 64, or prices that bind coordinates), else "dual". The intercept is the weight of a constant
    column of value intercept_scaling and is penalised with the others, as LIBLINEAR has it. tol: of "dual" the largest
    projected gradient left, of "newton" the relative duality gap, of "sgd" the least relative fall of the objective.
    max_iter: epochs; class_weight: None, "balanced" or {class: weight}; random_state: seed of the order of the rows.
    X (n, d) dense or CSR, float32 or float64; y (n,) of two or more classes.
    Fitted: classes_, class_weight_, coef_ (1 or k, d), intercept_, n_iter_ (the largest of all machines); of each
    machine objective_, dual_objective_ and duality_gap_ (−∞, ∞ for "sgd"), violation_. Callbacks see every epoch.
    Source: Hsieh and others (2008); Mangasarian (2002); Shalev-Shwartz and others (2011).

    >>> model = LinearSVC(random_state=0).fit(np.array([[0.0], [1.0], [3.0], [4.0]]), [0, 0, 1, 1])
    >>> model.predict([[0.5], [3.5]]).tolist(), bool(model.duality_gap_[0] < 1e-3)
    ([0, 1], True)
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        loss: str = "squared_hinge",
        solver: str = "auto",
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: Any = None,
        max_iter: int = 1000,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.loss = loss
        self.solver = solver
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Find the weights; sample_weight (n,) ≥ 0 multiplies C row by row."""
        given = svm_rows.read(self, X, y, sample_weight, classify=True)
        bound, constant, solver = svm_rows.linear_settings(self, given)
        outputs = 1 if len(given.classes) == 2 else len(given.classes)
        watch = Watch(self, given.X, given.labels, sample_weight=sample_weight, most=outputs)
        search = linear_search(solver, given.X, bound, constant, squared=self.loss == "squared_hinge")
        found: list[LinearSolution] = []
        for output in range(outputs):
            part = watch.part("machine", most=self.max_iter)

            def observe(state: LinearSolution, part: Watch = part) -> bool:
                return part.step(lambda: linear_attributes([*found, state], outputs, constant, given.X.dtype))

            one = search(
                np.where(given.y == (output if outputs > 1 else 1), 1.0, -1.0),
                tolerance=float(self.tol),
                epochs=int(self.max_iter),
                random=np.random.default_rng(self.random_state),
                observe=observe if watch.active else None,
            )
            found.append(one)
            part.end()
        for name, value in linear_attributes(found, outputs, constant, given.X.dtype).items():
            setattr(self, name, value)
        if any(one.ending == "epochs" for one in found):
            warnings.warn(
                f"LinearSVC stopped after max_iter={self.max_iter} epochs before reaching tol={self.tol};"
                " raise max_iter, standardise the columns, or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        watch.end()
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Values (n,) with two classes, positive for the second, else (n, k)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=svm_rows.FORMATS, reset=False)
        values = np.asarray(X @ self.coef_.T) + self.intercept_
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
        expect_array(self, "coef_", (outputs, columns))
        expect_array(self, "intercept_", (outputs,))
