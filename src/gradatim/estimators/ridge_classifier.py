"""Least squares on labels: a linear classifier whose penalty leave-one-out chooses in closed form.

Each class is a target of 1 and −1; ridge regression answers all of them from one factor, and the error that each row
would have made had it been left out follows from the same factor (Golub, Heath and Wahba, 1979), so that choosing the
penalty costs no further fit. What to notice: with far more features than rows, as random kernels give, this is as
exact as logistic regression and a fraction of its time; its scores are no probabilities.
"""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.linear import Ridge
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count


class RidgeClassifier(ClassifierMixin, BaseEstimator):
    """Ridge regression on labels of 1 and −1, one target a class (two classes: one target).

    alpha: strength of the penalty, or "auto": that with the least leave-one-out squared error; class_weight: None,
    "balanced" or {class: weight}. X (n, d) dense or CSR, float32 or float64.
    Fitted: classes_, coef_ (1 or classes, d), intercept_ (1 or classes,), alpha_.

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
        return self

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
