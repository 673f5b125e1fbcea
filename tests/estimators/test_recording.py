"""Steps through scikit-learn's protocol: what is published, what is kept, what a replay gives back."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin, FitCallback, with_callbacks
from sklearn.linear_model import LogisticRegression

from gradatim.errors import DataError
from gradatim.estimators.recording import Recorder
from gradatim.estimators.watching import Watch


class Halving(CallbackSupportMixin, BaseEstimator):
    """A mean reached by halving the distance, from several starts; counts how often it was asked for attributes."""

    def __init__(self, iterations=10, starts=1):
        self.iterations = iterations
        self.starts = starts

    @with_callbacks
    def fit(self, X, y=None):
        watch = Watch(self, X, y, most=self.starts if self.starts > 1 else self.iterations)
        self.asked = 0
        for start in range(self.starts):
            inner = watch.part("start", most=self.iterations) if self.starts > 1 else watch
            mean = np.full(X.shape[1], float(start))
            for step in range(self.iterations):
                mean += 0.5 * (X.mean(axis=0) - mean)
                if inner.step(lambda: self._attributes(mean, step + 1)):  # noqa: B023
                    break
            if inner is not watch:
                inner.end(lambda: self._attributes(mean, step + 1))  # noqa: B023
        self.mean_, self.n_iter_ = mean, step + 1
        watch.end()
        return self

    def _attributes(self, mean, steps):
        self.asked += 1
        return {"mean_": mean, "n_iter_": steps, "objective_": float(mean.sum())}

    def predict(self, X):
        return X - self.mean_


ROWS = np.array([[8.0, 4.0], [8.0, 4.0]])


def test_every_step_is_kept_as_a_copy():
    recorder = Recorder()
    assert isinstance(recorder, FitCallback)
    estimator = Halving(3).set_callbacks(recorder).fit(ROWS)
    assert [float(mean[0]) for _, mean in recorder.values("mean_")] == [4.0, 6.0, 7.0, 7.0]
    assert [step.path[-1] for step in recorder.steps[:3]] == [("iteration", 0), ("iteration", 1), ("iteration", 2)]
    assert recorder.steps[-1].path == (("fit", 0),)
    assert recorder.estimator.endswith("Halving") and recorder.parameters == {"iterations": 3, "starts": 1}
    then = [fitted.predict(ROWS)[0, 0] for _, fitted in recorder.fitted(estimator)]
    assert then == [4.0, 2.0, 1.0, 1.0]


def test_nothing_is_asked_for_where_nobody_watches():
    assert Halving(3).fit(ROWS).asked == 0


def test_a_callback_stops_the_fit():
    class Enough(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            return len(self.steps) >= 2

    assert Halving(50).set_callbacks(Enough()).fit(ROWS).n_iter_ == 2


def test_parts_have_steps_of_their_own():
    recorder = Recorder()
    Halving(2, starts=2).set_callbacks(recorder).fit(ROWS)
    assert [step.path[1:] for step in recorder.steps] == [
        (("start", 0), ("iteration", 0)), (("start", 0), ("iteration", 1)), (("start", 0),),
        (("start", 1), ("iteration", 0)), (("start", 1), ("iteration", 1)), (("start", 1),),
        (),
    ]  # fmt: skip


@pytest.mark.parametrize("iterations", [1, 7, 100, 1000])
def test_memory_is_bounded_and_first_and_last_are_kept(iterations):
    recorder = Recorder(most_steps=16)
    Halving(iterations).set_callbacks(recorder).fit(ROWS)
    numbers = [step.number for step in recorder.steps]
    assert recorder.published == iterations + 1
    assert numbers[0] == 0 and numbers[-1] == iterations and len(numbers) <= 17
    assert len(set(np.diff(numbers[:-1]))) <= 1, "evenly spaced"
    assert len(numbers) >= min(iterations, 8)


def test_large_arrays_are_thinned_by_bytes():
    recorder = Recorder(most_bytes=10 * 1000 * 8)
    Halving(64).set_callbacks(recorder).fit(np.ones((2, 1000)))
    assert sum(step.bytes for step in recorder.steps) <= 11 * 1000 * 8
    assert len(recorder.steps) >= 5


def test_a_second_fit_forgets_the_first():
    recorder = Recorder()
    estimator = Halving(5).set_callbacks(recorder)
    estimator.fit(ROWS)
    estimator.set_params(iterations=2).fit(ROWS)
    assert len(recorder.steps) == 3 and recorder.parameters["iterations"] == 2
    clone(estimator).fit(ROWS)
    assert len(recorder.steps) == 3


def test_only_the_names_asked_for():
    recorder = Recorder(names=("objective_",))
    Halving(2).set_callbacks(recorder).fit(ROWS)
    assert dict(recorder.steps[0].attributes) == {"objective_": 6.0}


def test_a_replay_through_json_is_equal():
    recorder = Recorder()
    Halving(3).set_callbacks(recorder).fit(np.array([[np.pi, 1e300]], dtype=np.float64))
    recorder.steps[0].attributes["odd_"] = np.array([np.nan, np.inf], dtype=np.float32)
    again = Recorder.from_json(json.loads(json.dumps(recorder.to_json(), allow_nan=False)))
    assert again.estimator == recorder.estimator and again.published == recorder.published
    assert len(again.steps) == len(recorder.steps)
    for first, second in zip(again.steps, recorder.steps):
        assert first.path == second.path and first.number == second.number
        assert first.attributes.keys() == second.attributes.keys()
        for name, value in second.attributes.items():
            np.testing.assert_array_equal(first.attributes[name], value)
            assert getattr(first.attributes[name], "dtype", None) == getattr(value, "dtype", None)


@pytest.mark.parametrize("value", [None, {}, {"format": 2}, {"format": 1, "steps": 3}])
def test_a_damaged_replay_is_refused(value):
    with pytest.raises(DataError, match="recording"):
        Recorder.from_json(value)


def test_estimators_of_scikit_learn_are_recorded_too():
    recorder = Recorder()
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    LogisticRegression().set_callbacks(recorder).fit(rows, [0, 0, 1, 1])
    slopes = [float(value[0, 0]) for _, value in recorder.values("coef_")]
    assert len(slopes) > 2 and slopes[-1] == slopes[-2] != slopes[0]


def test_bounds_are_checked():
    with pytest.raises(ValueError, match="most_steps ≥ 2"):
        Recorder(most_steps=1)
