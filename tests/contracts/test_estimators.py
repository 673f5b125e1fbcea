"""One contract over all estimators, found by address: conventions, words, copies, files, precision, watching.

scikit-learn's own checks run here and only here. The estimators of `features` take pictures, sounds, texts and frames
instead of a matrix; their own tests hold them to what applies.
"""

import inspect
import json
import re
import sys
import warnings

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from gradatim.errors import ArtifactError
from gradatim.estimators.address import PACKAGE, addresses, resolve
from gradatim.estimators.displays.cost import CostDisplay
from gradatim.estimators.recording import Recorder
from gradatim.estimators.state import estimator_from_state, estimator_to_state

# Those of series (rows, channels, steps) or lists of them, no tables: their own tests hold them to their definitions.
OF_SERIES = {"dtw.DTWNeighborsClassifier", "hydra.Hydra", "hydra.MultiRocketHydra", "rocket.MiniRocket",
             "rocket.MultiRocket"}
NAMES = [address.removeprefix(f"{PACKAGE}.") for address in addresses()]
ADDRESSES = [name for name in NAMES if not name.startswith("features.") and name not in OF_SERIES]
# Arguments under which the checks hold to all their digits, where the defaults stop earlier.
STRICT = {
    "logistic.LogisticRegression": {"tol": 1e-20},
    "svm.LinearSVC": {"tol": 1e-10},
    "svm.SVC": {"tol": 1e-12},
    "svm.SVR": {"tol": 1e-12},
}
WEIGHTS = tuple(f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse"))
# Checks that cannot hold, and why; scikit-learn excuses its own KMeans and boosted trees for the same reasons.
EXCUSED = {
    "cluster.KMeans": dict.fromkeys(WEIGHTS, "a repeated row draws other random centres than a weight of two"),
    "cluster.MiniBatchKMeans": dict.fromkeys(WEIGHTS, "a repeated row fills other batches than a weight of two"),
    "ridge_classifier.RidgeClassifier": dict.fromkeys(WEIGHTS, "leaving out one of two equal rows tells nothing"),
    "trees.BoostedTreesClassifier": dict.fromkeys(WEIGHTS, "a repeated row moves the borders of the bins"),
    "trees.BoostedTreesRegressor": dict.fromkeys(WEIGHTS, "a repeated row moves the borders of the bins"),
}
# Those without steps to watch, and why.
WITHOUT_STEPS = {
    "bases.GaussianBasis": "places along the columns",
    "bases.PolynomialBasis": "nothing is learnt",
    "bases.SigmoidBasis": "places along the columns",
    "decomposition.PCA": "an eigendecomposition",
    "decomposition.Whitening": "an eigendecomposition",
    "discriminant.LinearDiscriminantAnalysis": "an eigendecomposition",
    "linear.Ridge": "one system of equations",
    "neighbors.KNeighborsClassifier": "the rows are kept, nothing is sought",
    "neighbors.KNeighborsRegressor": "the rows are kept, nothing is sought",
    "ridge_classifier.RidgeClassifier": "one system of equations",
    "scaling.MeanScaler": "one pass over the columns",
    "scaling.RangeScaler": "one pass over the columns",
    "scaling.StandardScaler": "one pass over the columns",
    "trees.BoostedTreesClassifier": "grown by another library",
    "trees.BoostedTreesRegressor": "grown by another library",
}
# Arguments of the watched fit, where the defaults take no steps or one.
STEPPING = {
    "linear.LinearRegression": {"solver": "gradient_descent"},
    "cluster.MiniBatchKMeans": {"batch_size": 10},
}
# Arguments that keep an estimator from going on for ever on rows that it cannot part.
PATIENCE = {"perceptron.Perceptron": {"max_iter": 50}}
# Those whose steps have no cost, and why.
WITHOUT_COST = {
    "cluster.MiniBatchKMeans": "a batch does not know the inertia of all rows",
    "perceptron.Perceptron": "it counts mistakes, and on rows that cannot be separated without end",
}
# Those whose watched fit takes other steps to the same optimum, and how near both come to it.
OTHER_STEPS = {
    "lasso.ElasticNet": {"tol": 1e-10},
    "lasso.Lasso": {"tol": 1e-10},
    "svm.SVC": {"tol": 1e-8},
    "svm.SVR": {"tol": 1e-8},
}
# Those that answer in float64 whatever comes in, and why.
DOUBLE = {
    "mixture.GaussianMixture": "logarithms of densities need the digits",
    "neighbors.KNeighborsClassifier": "votes are counted in float64",
    "neighbors.KNeighborsRegressor": "means are taken in float64",
    "ridge_classifier.RidgeClassifier": "probabilities are taken in float64",
    "svm.SVC": "the dual is solved and summed in float64",
    "svm.SVR": "the dual is solved and summed in float64",
    "trees.BoostedTreesClassifier": "the library's own precision",
    "trees.BoostedTreesRegressor": "the library's own precision",
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(estimator, dtype=np.float64):
    """60 rows of 4 columns in three groups, and what the estimator wants to know of them."""
    generator = np.random.default_rng(0)
    groups = np.arange(60) % 3
    rows = generator.normal(size=(60, 4)) + 2.5 * np.eye(4)[groups]
    if is_regressor(estimator):
        return rows.astype(dtype), (rows @ [1.0, -2.0, 0.5, 0.0] + 3 + 0.1 * generator.normal(size=60)).astype(dtype)
    return rows.astype(dtype), np.array(["ash", "beech", "oak"])[groups]


def made(address, **more):
    """The estimator with its defaults, its random choices fixed."""
    estimator = resolve(address)(**(PATIENCE.get(address, {}) | more))
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator


def fitted(estimator, dtype=np.float64):
    rows, targets = data(estimator, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(rows) if is_clusterer(estimator) or not get_tags(estimator).target_tags.required else (
            estimator.fit(rows, targets)
        )


def answers(estimator, rows):
    """Name → what the estimator says of rows, by each of its methods."""
    names = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
    found = {}
    for name in names:
        if hasattr(estimator, name):
            found[name] = getattr(estimator, name)(rows)
    return found


def attributes(estimator):
    return {name: value for name, value in vars(estimator).items() if name.endswith("_") and not name.startswith("_")}


def assert_same(first, second, tolerance=0.0):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            scale = max(float(np.abs(value).max(initial=0.0)), 1e-300)
            np.testing.assert_allclose(second[name], value, rtol=tolerance, atol=tolerance * scale, err_msg=name)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(second[name], value, err_msg=name)
        elif isinstance(value, float):
            assert second[name] == pytest.approx(value, rel=tolerance, nan_ok=True), name
        elif isinstance(value, (int, str, type(None))):
            assert second[name] == value, name


@pytest.mark.parametrize("address", ADDRESSES)
def test_conventions_of_scikit_learn(address):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            made(address, **STRICT.get(address, {})), expected_failed_checks=EXCUSED.get(address, {}), on_fail=None
        )
    failed = {one["check_name"]: str(one["exception"])[:300] for one in results if one["status"] == "failed"}
    assert not failed
    assert len(results) > 40


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_docstring_names_objective_and_source(address):
    kind = resolve(address)
    own, module = inspect.getdoc(kind), sys.modules[kind.__module__].__doc__
    text = f"{own}\n{module}"
    assert own.partition("\n")[0].rstrip().endswith((".", ",")) or "\n\n" in own
    aims = r"(?i)objective|minimi[sz]|maximi[sz]|likelihood|loss|squared error|vote|nearest|mistake"
    # An expansion or a scale has a formula instead.
    assert re.search(aims, text) or re.search(r"[xX] ?[−,)(²]|\(x", own), "objective"
    # Subtracting and dividing needs no paper.
    assert re.search(r"\b(19|20)\d\d\b", text) or address.startswith("scaling."), "the year of a source"
    assert kind.fit.__doc__ or kind.__mro__[1].fit.__doc__


@pytest.mark.parametrize("address", ADDRESSES)
def test_parameters_are_kept_and_copied(address):
    estimator = resolve(address)()
    settings = estimator.get_params(deep=False)
    assert list(settings) == sorted(settings) and set(settings) == set(inspect.signature(resolve(address)).parameters)
    fitted(made(address))
    copy = clone(made(address))
    assert repr(copy) == repr(made(address)) and not attributes(copy)
    assert copy.set_params(**settings).get_params(deep=False) == settings


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("address", ADDRESSES)
def test_saved_as_json_and_arrays_and_loaded_equal(address, dtype):
    estimator = fitted(made(address), dtype)
    rows, _ = data(estimator, dtype)
    value, arrays = estimator_to_state(estimator)
    read = load(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    again = estimator_from_state(json.loads(json.dumps(value, allow_nan=False)), read)
    assert type(again) is type(estimator)
    assert_same(attributes(estimator), attributes(again))
    assert_same(answers(estimator, rows), answers(again, rows))


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_damaged_file_is_refused(address):
    estimator = fitted(made(address))
    value, arrays = estimator_to_state(estimator)
    for name, array in arrays.items():
        if array.ndim > 1 and array.shape[-1] == estimator.n_features_in_:
            with pytest.raises(ArtifactError):
                estimator_from_state(value, {**arrays, name: array[..., :-1]})
    with pytest.raises(ArtifactError):
        estimator_from_state(value, {})
    with pytest.raises(ArtifactError):
        estimator_from_state({**value, "attributes": {**value["attributes"], "n_features_in_": -1}}, arrays)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address not in DOUBLE])
def test_float32_in_float32_out(address):
    estimator = fitted(made(address), np.float32)
    rows, _ = data(estimator, np.float32)
    for name, answer in answers(estimator, rows).items():
        if np.asarray(answer).dtype.kind == "f":
            assert np.asarray(answer).dtype == np.float32 or name == "score_samples", name
    double = fitted(made(address))
    for name, answer in answers(double, rows.astype(np.float64)).items():
        if np.asarray(answer).dtype.kind == "f":
            assert np.asarray(answer).dtype == np.float64, name


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_same_data_give_the_same_model(address):
    assert_same(attributes(fitted(made(address))), attributes(fitted(made(address))))


class Predicting(Recorder):
    """A recorder that asks the estimator of each step for all its answers."""

    rows = None

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if fitted_estimator is not None and self.rows is not None:
            for answer in answers(fitted_estimator, self.rows).values():
                assert len(answer) == len(self.rows)
        return super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address not in WITHOUT_STEPS])
def test_each_step_can_be_watched_and_watching_changes_nothing(address):
    settings = STEPPING.get(address, {}) | OTHER_STEPS.get(address, {})
    alone = fitted(made(address, **settings))
    recorder = Predicting(most_steps=10_000)
    recorder.rows = data(alone)[0]
    watched = made(address, **settings).set_callbacks(recorder)
    fitted(watched)
    rows = recorder.rows
    if address not in OTHER_STEPS:
        assert_same(attributes(alone), attributes(watched), 1e-6)
    assert_same(answers(alone, rows), answers(watched, rows), 1e-6)
    steps = [step for step in recorder.steps if len(step.path) > 1]
    assert len(steps) > 1, "no steps"
    if address not in WITHOUT_COST:
        for _, costs in CostDisplay.from_recorder(recorder).curves.values():
            assert np.isfinite(costs).all() and costs[-1] <= costs[0] + 1e-9 * abs(costs[0]) + 1e-12
    again = Recorder.from_json(json.loads(json.dumps(recorder.to_json(), allow_nan=False)))
    assert len(again.steps) == len(recorder.steps)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address not in WITHOUT_STEPS])
def test_a_callback_can_stop_the_fit(address):
    class Stop(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            return True

    settings = STEPPING.get(address, {})
    recorder, whole = Stop(), Recorder(most_steps=10_000)
    fitted(made(address, **settings).set_callbacks(whole))
    stopped = fitted(made(address, **settings).set_callbacks(recorder))
    assert recorder.published < whole.published
    assert all(np.isfinite(answer).all() for answer in answers(stopped, data(stopped)[0]).values()
               if answer.dtype.kind == "f")  # fmt: skip


@pytest.mark.parametrize("address", [address for address in ADDRESSES if address not in WITHOUT_STEPS])
def test_callbacks_of_scikit_learn(address, capsys):
    estimator = made(address, **STEPPING.get(address, {}))
    callbacks = [ProgressBar()]
    if is_classifier(estimator) or is_regressor(estimator):
        callbacks.append(ScoringMonitor(scoring="accuracy" if is_classifier(estimator) else "r2"))
    fitted(estimator.set_callbacks(*callbacks))
    assert type(estimator).__name__ in capsys.readouterr().out
    if len(callbacks) > 1:
        scores = [next(row[name] for name in ("accuracy", "r2") if name in row) for row in callbacks[1].get_logs().data]
        assert len(scores) > 1 and np.isfinite(scores).all()


def test_exceptions_name_estimators_that_there_are():
    for table in (STRICT, EXCUSED, WITHOUT_STEPS, STEPPING, WITHOUT_COST, OTHER_STEPS, PATIENCE, DOUBLE):
        assert set(table) <= set(ADDRESSES)
