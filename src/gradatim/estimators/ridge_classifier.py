"""Least squares on labels: a linear classifier whose penalty leave-one-out chooses in closed form.

Each class is a target of 1 and −1; ridge regression answers all of them from one factor, and the error that each row
would have made had it been left out follows from the same factor (Golub, Heath and Wahba, 1979), so that choosing the
penalty costs no further fit. What to notice: with far more features than rows, as random kernels give, this is as
exact as logistic regression and a fraction of its time. Its scores are no probabilities; how sure they are is read
off what leaving each row out would have said.
"""

from typing import Any, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.linear import Ridge
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count

MOST_LEFT_OUT = 1500  # rows whose leave-one-out scores are worth a matrix of rows × rows


class RidgeClassifier(ClassifierMixin, BaseEstimator):
    """Ridge regression on labels of 1 and −1, one target a class (two classes: one target).

    alpha: strength of the penalty, or "auto": that with the least leave-one-out squared error; class_weight: None,
    "balanced" or {class: weight}. X (n, d) dense or CSR, float32 or float64.
    Fitted: classes_, coef_ (1 or classes, d), intercept_ (1 or classes,), alpha_, sharpness_: probabilities are the
    softmax of so many times the scores.

    >>> model = RidgeClassifier().fit(np.array([[0.0], [1.0], [2.0], [3.0]]), ["a", "a", "b", "b"])
    >>> model.predict(np.array([[0.2], [2.9]])).tolist()
    ['a', 'b']
    """

    def __init__(self, alpha: float | str = "auto", *, class_weight: Any = None) -> None:
        self.alpha = alpha
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve the normal equations, once for all classes."""
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, place = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected at least two classes, received one class: {self.classes_[0]!r}")
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = weights * compute_sample_weight(self.class_weight, y)
        targets = np.where(place[:, None] == np.arange(len(self.classes_)), 1.0, -1.0)
        model = Ridge(self.alpha).fit(X, targets[:, 1:] if len(self.classes_) == 2 else targets, weights)
        self.coef_ = np.atleast_2d(model.coef_)
        self.intercept_ = np.atleast_1d(np.asarray(model.intercept_, dtype=self.coef_.dtype))
        self.alpha_ = float(getattr(model, "alpha_", self.alpha))
        self.sharpness_ = self._sharpness(X, targets, place, weights)
        return self

    def _sharpness(self, X: Any, targets: np.ndarray, place: np.ndarray, weights: np.ndarray) -> float:
        """The β of least log loss of softmax(β · score) on rows left out; on the rows themselves where they are many.

        Targets are smoothed by one row a class, as Platt (1999) does: separable rows would ask for infinite β.
        """
        kept = np.flatnonzero(weights > 0)
        scores = self.decision_function(X).reshape(len(targets), -1)[kept]
        truth = targets[:, 1:] if len(self.classes_) == 2 else targets
        if len(kept) <= MOST_LEFT_OUT:
            scores = left_out_scores(X[kept], truth[kept], weights[kept], self.alpha_)
        logits = np.concatenate([np.zeros_like(scores), scores], axis=1) if scores.shape[1] == 1 else scores
        classes, count = len(self.classes_), len(kept)
        smoothed = (np.eye(classes)[place[kept]] * count + 1.0) / (count + classes)
        picked = (smoothed * logits).sum(1).mean()

        def slope(beta: float) -> float:
            return float((softmax(beta * logits, axis=1) * logits).sum(1).mean() - picked)

        low, high = 1e-3, 1e3
        if slope(low) >= 0:
            return low
        return high if slope(high) <= 0 else float(brentq(slope, low, high, xtol=1e-8))

    def predict_proba(self, X: Any) -> np.ndarray:
        """softmax(sharpness_ · score), float64 (n, classes)."""
        scores = self.decision_function(X).astype(np.float64)
        logits = np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores
        return np.asarray(softmax(self.sharpness_ * logits, axis=1))

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores (n,) for two classes, positive for the second, else (n, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = np.asarray(X @ self.coef_.T + self.intercept_)
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The class of the largest score."""
        scores = self.decision_function(X)
        return np.asarray(self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)])

    def check_state(self) -> None:
        """Raise ArtifactError unless the fitted attributes fit together."""
        classes = len(expect_classes(self))
        if classes < 2:
            raise damaged(self, "at least two classes_", str(classes))
        rows = 1 if classes == 2 else classes
        expect_array(self, "coef_", (rows, expect_count(self, "n_features_in_", least=1)))
        expect_array(self, "intercept_", (rows,))
        if not isinstance(self.sharpness_, float) or not 0 < self.sharpness_ <= 1e3:
            raise damaged(self, "sharpness_ above 0", repr(self.sharpness_)[:40])


def left_out_scores(X: Any, targets: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """What ridge with intercept, fitted without a row, would say of it: (n, targets) from X (n, d) and weights (n,).

    With A the weighted, centred rows, A Aᵀ = V Λ Vᵀ and b the weighted, centred targets, the residuals are
    V (α / (Λ + α)) Vᵀ b, and one minus the leverages the diagonal of V (α / (Λ + α)) Vᵀ without the direction of the
    weights' roots, which is the intercept's. Both are small where features are many and α is small: as sums of what is
    left they keep their digits, as one minus what is fitted they would be rounding errors.
    """
    roots = np.sqrt(weights)
    share = weights / weights.sum()
    rows = X if isinstance(X, np.ndarray) else X.toarray()
    centred = (rows - (share @ rows).astype(rows.dtype)) * roots[:, None].astype(rows.dtype)
    kernel = (centred @ centred.T).astype(np.float64)
    constant = np.sqrt(share)
    # The kernel has nothing in this direction but rounding errors: put beyond all others, it is the last one below.
    across = kernel @ constant
    kernel -= np.outer(constant, across) + np.outer(across, constant)
    kernel += np.outer(constant, constant) * (constant @ across + np.trace(kernel) + 1.0)
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0.0)
    penalty = max(alpha, 1e-12 * values.max(initial=1.0))
    left = penalty / (values + penalty)
    left[-1] = 0.0
    goals = (targets - share @ targets) * roots[:, None]
    residuals = vectors @ (left[:, None] * (vectors.T @ goals)) / roots[:, None]
    return np.asarray(targets - residuals / np.maximum(np.square(vectors) @ left, 1e-300)[:, None])
