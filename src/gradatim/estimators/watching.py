"""How an estimator shows its steps, through scikit-learn's callback protocol and nothing beside it.

`Watch` is what an estimator's `fit` holds: it opens the protocol's task tree (fit → parts → steps) and publishes, at
the end of each step, the attributes that the fit would leave behind if it stopped there. Any callback of scikit-learn
(ProgressBar, ScoringMonitor) sees them as a fitted estimator; `gradatim.estimators.recording.Recorder` keeps them.
What to notice: the attributes come from a function that is called only where somebody watches, and a callback that
returns True stops the fit.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

Attributes = Callable[[], Mapping[str, Any]]


class Watch:
    """The open task of a fit, or of one of its parts (a start, a class, a value of the penalty).

    Made at the start of a `fit` decorated with `sklearn.callback.with_callbacks`, of an estimator that has
    `sklearn.callback.CallbackSupportMixin`. X, y and sample_weight are the validated inputs, y with the user's labels.
    most: the largest number of steps, or of parts where there are parts; None where it is not known.

    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from sklearn.callback import CallbackSupportMixin, with_callbacks
    >>> class Mean(CallbackSupportMixin, BaseEstimator):
    ...     @with_callbacks
    ...     def fit(self, X, y=None):
    ...         watch = Watch(self, X, most=3)
    ...         mean = np.zeros(X.shape[1])
    ...         for step in range(3):
    ...             mean += 0.5 * (X.mean(axis=0) - mean)
    ...             if watch.step(lambda: {"mean_": mean, "n_iter_": step + 1}):
    ...                 break
    ...         self.mean_, self.n_iter_ = mean, step + 1
    ...         watch.end()
    ...         return self
    >>> float(Mean().fit(np.array([[8.0]])).mean_[0])
    7.0
    """

    __slots__ = ("_context", "_data", "_estimator", "_whole", "active")

    def __init__(
        self, estimator: Any, X: Any, y: Any = None, *, sample_weight: Any = None, most: int | None = None
    ) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        context = estimator._init_callback_context(max_subtasks=most)
        self._whole = True
        self._open(estimator, {"X": X, "y": y, "metadata": metadata}, context)

    def _open(self, estimator: Any, data: dict[str, Any], context: Any) -> None:
        self._estimator, self._data, self._context = estimator, data, context
        # Whether anybody watches: only then is a kernel run step by step, or an objective computed.
        self.active = bool(getattr(estimator, "_skl_callbacks", ()))
        if self.active:
            context.call_on_fit_task_begin(estimator=estimator, **data)

    def part(self, name: str, *, most: int | None = None) -> Self:
        """A part of the fit that has steps of its own: "start", "class", "penalty"; close it with `end`."""
        part = type(self).__new__(type(self))
        part._whole = False
        part._open(self._estimator, self._data, self._context.subcontext(task_name=name, max_subtasks=most))
        return part

    def step(self, attributes: Attributes, *, name: str = "iteration") -> bool:
        """Publish the end of one step; True where a callback wants the fit to stop here.

        attributes: function without arguments → names and values of the fitted attributes as they would be if the fit
        stopped now, complete enough to predict. They may be the live arrays: who keeps them copies them.
        """
        if not self.active:
            return False
        context = self._context.subcontext(task_name=name)
        context.call_on_fit_task_begin(estimator=self._estimator, **self._data)
        return self._close(context, attributes)

    def end(self, attributes: Attributes | None = None) -> bool:
        """Publish the end of this task: of a part with its attributes if given, of the whole fit after they are set."""
        if not self.active:
            return False
        return self._close(self._context, dict if attributes is None and self._whole else attributes)

    def _close(self, context: Any, attributes: Attributes | None) -> bool:
        return bool(
            context.call_on_fit_task_end(estimator=self._estimator, reconstruction_attributes=attributes, **self._data)
        )
