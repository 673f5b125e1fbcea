"""Gradient-boosted trees: grown by lightgbm, kept and walked as arrays of our own.

Each tree is fitted to the gradient of the loss at the sum of the trees before it (Friedman, 2001); lightgbm
grows them leaf by leaf on binned columns. It is the outside candidate for tables. After `fit` no object of
lightgbm remains: see `forest` for the arrays.
"""

import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gradatim.estimators.folds import stratified_folds
from gradatim.estimators.forest import Forest, check_forest, read_lightgbm
from gradatim.estimators.likelihood import sigmoid
from gradatim.estimators.validation import damaged, expect_array, expect_classes, expect_count

# With fewer rows nothing is held out to stop early: the held-out loss would be noise.
FEWEST_TO_STOP_EARLY = 100
# A leaf of two rows that agree is no evidence of certainty: leaves hold a fifteenth of the rows, and each is drawn
# towards its parent as by 10 rows, up to 400 rows; by less above.
FEWEST_IN_LEAF, SMOOTHED_ROWS = 5, 4000
MANY_ROWS = 200_000  # from here on growing trees uses all cores
FOREST_ARRAYS = {
    "feature": "i", "threshold": "f", "left": "i", "right": "i", "default_left": "b", "missing": "i",
    "categorical": "b", "words": "u", "word_starts": "i", "value": "f", "node_starts": "i", "leaf_starts": "i",
}  # fmt: skip
FOREST_TYPES = {
    "feature": "int32", "threshold": "float64", "left": "int32", "right": "int32", "missing": "int8",
    "words": "uint32", "value": "float64", "word_starts": "int64", "node_starts": "int64", "leaf_starts": "int64",
}  # fmt: skip


class _BoostedTrees(BaseEstimator):
    """What the classifier and the regressor share."""

    def __init__(
        self,
        *,
        learning_rate: float = 0.05,
        max_iter: int = 1000,
        max_leaf_nodes: int = 31,
        min_samples_leaf: int | None = None,
        l2_regularization: float = 1.0,
        feature_fraction: float = 0.8,
        categorical_features: Sequence[int] = (),
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 50,
        random_state: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.feature_fraction = feature_fraction
        self.categorical_features = categorical_features
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=reset)
        return np.where(np.isinf(X), np.sign(X) * 1e300, X)

    def _grow(
        self,
        X: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray,
        held_out: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
        objective: dict[str, Any],
        strata: np.ndarray,
    ) -> None:
        """Fit, and keep the trees up to the best round on held-out rows."""
        if held_out is None and self.early_stopping and len(X) >= FEWEST_TO_STOP_EARLY:
            count = max(2, round(1 / self.validation_fraction))
            held = stratified_folds(strata, count, seed=self.random_state or 0) == 0
            held_out = X[held], y[held], weights[held]
            X, y, weights = X[~held], y[~held], weights[~held]
        text, self.n_iter_ = grow(
            X,
            y,
            weights,
            held_out if self.early_stopping else None,
            self._parameters(len(X)) | objective,
            list(self.categorical_features),
            self.max_iter,
            self.n_iter_no_change,
        )
        self._keep(read_lightgbm(text))

    def _parameters(self, rows: int) -> dict[str, Any]:
        """lightgbm's parameters. What it calls by default fits tens of thousands of rows; small tables need
        less.
        """
        smallest = self.min_samples_leaf or min(20, max(FEWEST_IN_LEAF, rows // 15))
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.max_leaf_nodes,
            "min_data_in_leaf": smallest,
            "min_data_per_group": min(100, max(2, rows // 20)),
            "min_data_in_bin": min(3, smallest),
            "lambda_l2": self.l2_regularization,
            "path_smooth": 0.0 if self.min_samples_leaf else min(10.0, SMOOTHED_ROWS / rows),
            "feature_fraction": self.feature_fraction,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "seed": self.random_state or 0,
            # lightgbm's threads wait for each other by spinning: where another program had one of two cores, two
            # threads took 60 times as long as one.
            "num_threads": self.n_jobs or (1 if rows < MANY_ROWS else _idle_cores()),
            "verbosity": -1,
        }

    def _keep(self, forest: Forest) -> None:
        for name in FOREST_ARRAYS:
            setattr(self, f"{name}_", getattr(forest, name))
        self.outputs_ = forest.outputs

    def _forest(self) -> Forest:
        return Forest(**{name: getattr(self, f"{name}_") for name in FOREST_ARRAYS}, outputs=self.outputs_)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._forest().scores(self._read(X, reset=False))

    def check_state(self) -> None:
        """Raise ArtifactError unless walking the trees must end, in bounds, with finite numbers."""
        for name, kind in FOREST_ARRAYS.items():
            array = expect_array(self, f"{name}_", (None,), kind, finite=name == "value")
            if array.dtype != FOREST_TYPES.get(name, "bool"):
                raise damaged(self, f"{name}_ as {FOREST_TYPES.get(name, 'bool')}", str(array.dtype))
        expect_count(self, "outputs_", least=1)
        check_forest(self._forest(), expect_count(self, "n_features_in_", least=1))


class BoostedTreesClassifier(ClassifierMixin, _BoostedTrees):
    """Boosted trees on the log loss.

    X (n, d) float with NaN for missing; categorical_features: columns of whole numbers ≥ 0 that are codes,
    not amounts (negative and NaN: missing). Growth stops when the loss on held-out rows
    (validation_fraction of them, or X_val) has not fallen for n_iter_no_change rounds; under 100 rows
    nothing is held out and max_iter, at most 100, rounds are grown. min_samples_leaf None: 20, fewer under
    800 rows. n_jobs: threads, None for one under 200,000 rows, else as many as no other program holds;
    equal results for equal random_state whatever their number.
    Fitted: classes_, n_iter_ (rounds), n_features_in_ and the arrays of `forest.Forest`, each with an
    underscore.

    >>> X = np.arange(200.0)[:, None]
    >>> model = BoostedTreesClassifier().fit(X, ["low"] * 120 + ["high"] * 80)
    >>> model.predict(np.array([[3.0], [190.0]])).tolist()
    ['low', 'high']
    """

    def __init__(
        self,
        *,
        class_weight: Any = None,
        learning_rate: float = 0.05,
        max_iter: int = 1000,
        max_leaf_nodes: int = 31,
        min_samples_leaf: int | None = None,
        l2_regularization: float = 1.0,
        feature_fraction: float = 0.8,
        categorical_features: Sequence[int] = (),
        early_stopping: bool = True,
        validation_fraction: float = 0.15,
        n_iter_no_change: int = 50,
        random_state: int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            max_iter=max_iter,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_leaf=min_samples_leaf,
            l2_regularization=l2_regularization,
            feature_fraction=feature_fraction,
            categorical_features=categorical_features,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            n_jobs=n_jobs,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Grow trees; X_val, y_val: rows to stop by instead of a part of the training rows."""
        given = X
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=False)
        X = self._read(given, reset=False)
        check_classification_targets(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"expected rows of at least two classes, received {len(self.classes_)} class")
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        held_out = None
        if X_val is not None:
            known = np.isin(y_val, self.classes_)
            held = np.searchsorted(self.classes_, np.asarray(y_val)[known])
            held_out = (self._read(X_val, reset=False)[known], held, np.ones(len(held)))
        several = len(self.classes_) > 2
        objective = {"objective": "multiclass", "num_class": len(self.classes_)} if several else {"objective": "binary"}
        self._grow(X, labels, weights, held_out, objective, labels)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores (n, classes) before the softmax; with two classes the log odds (n,) of the second."""
        scores = self._scores(X)
        return scores[:, 0] if self.outputs_ == 1 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability (n, classes) of every class, in the order of classes_."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.stack([sigmoid(-scores), sigmoid(scores)], axis=1)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        return scores / scores.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class (n,)."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(1)]

    def check_state(self) -> None:
        """Raise ArtifactError unless the trees and the classes fit together."""
        super().check_state()
        classes = expect_classes(self)
        if self.outputs_ != (len(classes) if len(classes) > 2 else 1) or len(classes) < 2:
            raise damaged(self, f"outputs for {len(classes)} classes", str(self.outputs_))


class BoostedTreesRegressor(RegressorMixin, _BoostedTrees):
    """Boosted trees on the squared error; arguments as in `BoostedTreesClassifier`.

    Fitted: mean_ and scale_ of the target, which is standardised because lightgbm keeps it in float32;
    n_iter_ and the arrays of `forest.Forest`.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Grow trees; X_val, y_val: rows to stop by instead of a part of the training rows."""
        given = X
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite=False, y_numeric=True)
        if not np.isfinite(np.asarray(y, dtype=np.float64)).all():
            raise ValueError("y: expected finite numbers, received NaN or infinity")
        X = self._read(given, reset=False)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, y, weights = X[weights > 0], np.asarray(y, dtype=np.float64)[weights > 0], weights[weights > 0]
        self.mean_ = float(np.average(y, weights=weights))
        self.scale_ = float(np.sqrt(np.average((y - self.mean_) ** 2, weights=weights))) or 1.0
        scaled = (y - self.mean_) / self.scale_
        held_out = None
        if X_val is not None:
            held = (np.asarray(y_val, dtype=np.float64) - self.mean_) / self.scale_
            held_out = (self._read(X_val, reset=False), held, np.ones(len(held)))
        # Held-out rows from every tenth of the target, so that both parts have its range.
        strata = (np.argsort(np.argsort(y, kind="stable"), kind="stable") * 10) // len(y)
        self._grow(X, scaled, weights, held_out, {"objective": "regression"}, strata)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets (n,)."""
        return self._scores(X)[:, 0] * self.scale_ + self.mean_

    def check_state(self) -> None:
        """Raise ArtifactError unless the trees and the target's scale fit together."""
        super().check_state()
        if self.outputs_ != 1 or not np.isfinite([self.mean_, self.scale_]).all() or not self.scale_ > 0:
            raise damaged(self, "one output, finite mean_ and positive scale_", f"{self.mean_}, {self.scale_}"[:80])


def _idle_cores() -> int:
    """The processors that no other program holds, this one's own included."""
    cores = os.cpu_count() or 1
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return max(1, min(cores, round(cores + 1 - busy)))


def grow(
    X: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    parameters: dict[str, Any],
    categorical_features: list[int],
    rounds: int,
    patience: int,
) -> tuple[str, int]:
    """lightgbm's text of the best rounds, and their number; the only place that touches lightgbm."""
    import lightgbm

    options: dict[str, Any] = {
        "categorical_feature": categorical_features,
        "params": parameters,
        "free_raw_data": False,
    }
    training = lightgbm.Dataset(X, label=y, weight=weights, **options)
    if held_out is None:
        rounds = rounds if len(X) >= FEWEST_TO_STOP_EARLY else min(rounds, 100)
        booster = lightgbm.train(parameters, training, num_boost_round=rounds)
        return booster.model_to_string(num_iteration=-1), booster.current_iteration()
    rest = lightgbm.Dataset(held_out[0], label=held_out[1], weight=held_out[2], reference=training, **options)
    booster = lightgbm.train(
        parameters,
        training,
        num_boost_round=rounds,
        valid_sets=[rest],
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
    )
    best = booster.best_iteration or booster.current_iteration()
    return booster.model_to_string(num_iteration=best), best
