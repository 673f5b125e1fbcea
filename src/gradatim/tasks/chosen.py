"""An estimator that the user chose by its address, in place of the line's own candidates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradatim.errors import GradatimError, shown


@dataclass(frozen=True, slots=True)
class ChosenEstimator:
    """`--estimator ADDRESS[:NAME=VALUE,…]`: a class of `gradatim.estimators` and its constructor's arguments.

    >>> ChosenEstimator.parse("svm.SVC:C=10,kernel=rbf").options
    {'C': 10, 'kernel': 'rbf'}
    """

    address: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "ChosenEstimator":
        """Read the option's text; values are JSON and inf, and words that are neither stay strings."""
        address, _, rest = text.partition(":")
        options: dict[str, Any] = {}
        for part in rest.split(",") if rest else ():
            name, equals, value = part.partition("=")
            if not equals or not name.strip():
                raise GradatimError(f"--estimator {shown(address)}: expected NAME=VALUE after the colon, received "
                                    f"'{shown(part)}'")
            options[name.strip()] = _value(name.strip(), value.strip())
        return cls(address, options)

    @property
    def text(self) -> str:
        """As the user would write it."""
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.address}:{options}" if options else self.address

    def build(self, task: str) -> Any:
        """A new estimator; GradatimError where the address or an argument is wrong, or it does not fit the task."""
        from sklearn.base import is_classifier, is_regressor

        from gradatim.estimators.address import resolve

        maker = resolve(self.address)
        known = sorted(maker().get_params())
        unknown = [name for name in self.options if name not in known]
        if unknown:
            raise GradatimError(f"--estimator {self.address}: expected arguments among {', '.join(known)}; received "
                                f"'{unknown[0]}'")
        estimator = maker(**self.options)
        fits = is_classifier(estimator) if task == "classification" else is_regressor(estimator)
        if not fits:
            kind = "a classifier" if task == "classification" else "a regressor"
            raise GradatimError(f"--estimator {self.address}: expected {kind} for {task}, received another kind; "
                                "`gradatim estimators` lists them")
        return estimator

    def fit(self, task: str, features: Any, labels: Any) -> Any:
        """A fitted estimator; what it refuses is said in one line."""
        estimator = self.build(task)
        try:
            return estimator.fit(features, labels)
        except (TypeError, ValueError) as error:
            raise GradatimError(f"--estimator {self.text}: {' '.join(str(error).split())}") from None


def _value(name: str, text: str) -> Any:
    """A value of the constructor. A number beyond every float is infinite, which the estimator may refuse; nan is none.

    >>> _value("C", "inf"), _value("C", "1e400"), _value("kernel", "rbf")
    (inf, inf, 'rbf')
    """
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return float(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    if found != found or text.lower().lstrip("+-") == "nan":
        raise GradatimError(f"--estimator: expected a value of {shown(name)}, received '{shown(text)}'")
    return found
