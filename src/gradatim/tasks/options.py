"""What an option of `fit` is: one declaration gives its reading, its checks, its errors, its line in the documents.

`GENERAL` are those of every call of `fit`; the options of one task, `--option NAME=VALUE`, stand beside that task.
Which task takes which is declared in `gradatim.tasks.declared`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradatim.errors import GradatimError, shown
from gradatim.train.optim import OPTIMIZERS

# Type of an option → how its values are called. Those that end in "s" are lists, divided by commas in a text.
TYPES = {
    "whole": "a whole number", "number": "a number", "flag": "yes or no", "choice": "one of", "text": "a text",
    "numbers": "numbers, divided by commas", "names": "names, divided by commas", "texts": "texts",
    "pairs": "NAME=VALUE",
}
OWN = "task"  # the group of options that are given as `--option NAME=VALUE`
MAX_DIGITS = 18  # a whole number of more is beyond every range; Python refuses to read thousands


@dataclass(frozen=True, slots=True)
class Option:
    """An option: name, type (a key of TYPES), default (None: chosen from the data), help, group.

    choices: the values of a choice or of names; low, high: the least and the greatest number (of numbers: what they lie
    between); high 0: no limits; off: a value that asks
    for nothing, which no task refuses; only: (other option, its values), without which this one would do nothing.
    """

    name: str
    type: str
    default: Any
    help: str
    group: str = OWN
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    off: Any = None
    only: tuple[str, tuple[str, ...]] | None = None

    @property
    def flag(self) -> str:
        """As the command line calls it."""
        if self.group == OWN:
            return f"--option {self.name}"
        return "--" + {"kinds": "kind", "encoders": "encoder"}.get(self.name, self.name.replace("_", "-"))

    @property
    def values(self) -> str:
        """What it takes, in words."""
        if self.type == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.type == "names" and self.choices:
            return f"names among {', '.join(self.choices)}, divided by commas"
        if self.type == "numbers":
            return f"numbers between {self.low:g} and {self.high:g}, divided by commas"
        form = ",d" if self.type == "whole" else "g"
        limits = f" from {self.low:{form}} to {self.high:{form}}" if self.high else ""
        return TYPES[self.type] + limits

    def read(self, value: Any) -> Any:
        """The value that a text stands for; GradatimError, one line, for a text that stands for none.

        >>> Option("layers", "whole", 1, "of the network", low=1, high=24).read("2")
        2
        """
        text = str(value).strip() if isinstance(value, str) else value
        try:
            return self._read(text)
        except (TypeError, ValueError, OverflowError):
            raise GradatimError(f"{self.flag}={shown(value)}: expected {self.values}") from None

    def _read(self, text: Any) -> Any:
        if self.type in ("numbers", "names"):
            words = text.split(",") if isinstance(text, str) else list(text)
            words = [word.strip() if isinstance(word, str) else word for word in words]
            found = tuple(self._one(word) for word in words if word != "")
            if not found:
                raise ValueError
            return found
        return self._one(text)

    def _one(self, text: Any) -> Any:
        """A single value of the type; ValueError where it is none."""
        if self.type == "flag":
            if text not in ("yes", "no", True, False):
                raise ValueError
            return text in ("yes", True)
        if self.type in ("whole", "number", "numbers"):
            number = _whole(text) if self.type == "whole" else _number(text)
            inside = self.low < number < self.high if self.type == "numbers" else self.low <= number <= self.high
            if self.high and not inside:
                raise ValueError
            return number
        if not isinstance(text, str) or not text or (self.choices and text not in self.choices):
            raise ValueError
        return text

    def check(self, value: Any) -> None:
        """Refuse a value from Python or a saved request that is of another type or out of range."""
        if value is None and self.default is None:
            return
        try:
            if self.type == "pairs":
                fits = isinstance(value, Mapping) and all(isinstance(w, str) for pair in value.items() for w in pair)
            elif self.type == "texts":
                fits = isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)
            elif self.type == "flag":
                fits = isinstance(value, bool)
            else:
                fits = isinstance(value, str) == (self.type in ("text", "choice")) and self._one(value) is not None
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise GradatimError(f"{self.flag}: expected {self.values}, received {shown(repr(value))}")

    def given(self, value: Any) -> bool:
        """Whether a value asks for something: neither the default nor off."""
        return value != self.default and value != self.off


def _whole(text: Any) -> int:
    if isinstance(text, str):
        if not text.isascii() or not text.isdigit() or len(text) > MAX_DIGITS:
            raise ValueError
        return int(text)
    if isinstance(text, bool) or int(text) != text:
        raise ValueError
    return int(text)


def _number(text: Any) -> float:
    if isinstance(text, bool) or (isinstance(text, str) and (not text.isascii() or "_" in text)):
        raise ValueError
    number = float(text)
    if number != number:
        raise ValueError
    return number


GENERAL: tuple[Option, ...] = (
    Option("target", "text", None, "the column to predict", "table"),
    Option("task", "text", None, "the task, where the kind of the target leaves a choice", "table"),
    Option("id", "text", None, "the column that names the rows", "table"),
    Option("time", "text", None, "split by this column: the past trains, the future tests", "table"),
    Option("ignore", "texts", (), "columns to leave out", "table"),
    Option("kinds", "pairs", {}, "COLUMN=KIND where the guess is wrong", "table"),
    Option("gather", "pairs", {}, "NEW=COLUMN,…: several columns, or the rows of a long table, as one", "table"),
    Option("group", "text", None, "rows with the same value stay on one side of every split", "split"),
    Option("split", "text", None, "a column whose cells say train, dev or test", "split"),
    Option("minutes", "number", 10.0, "time for the whole command", "budget", low=1e-6, high=1e6),
    Option("epochs", "whole", None, "passes over the data for each network", "budget", low=1, high=10**6),
    Option("seed", "whole", 0, "same seed, same data, same machine: same run", "budget",
           low=-(10**15), high=10**15),
    Option("metric", "text", None, "the metric to report and choose by", "budget"),
    Option("levers", "flag", False, "set what makes this machine fast (on in the command line)", "budget"),
    Option("encoders", "pairs", {}, "X=ADDRESS[:WEIGHTS]: the network for a column or a kind", "network"),
    Option("fusion", "choice", "concatenation", "how several inputs are joined", "network",
           ("concatenation", "attention")),
    Option("optimizer", "choice", None, "of the networks", "network", tuple(OPTIMIZERS)),
    Option("learning_rate", "number", None, "the highest of the schedule", "network", low=1e-12, high=1e6),
    Option("fine_tune", "flag", False, "train the pretrained networks of --encoder on", "network", off=False),
    Option("recipe", "choice", None, "fast: a set accuracy in little time", "network", ("fast",)),
    Option("augment", "texts", (), "how rows are changed at random in training", "network", off=("none",)),
    Option("flip", "flag", False, "a mirrored picture means the same: train on both", "network", off=False),
    Option("mixup", "number", 0.0, "strength α of mixup", "mixing", high=1e6, off=0.0),
    Option("label_smoothing", "number", None, "share of the target probability spread over all classes", "classes",
           high=0.999, off=0.0),
    Option("class_weights", "choice", "auto", "balanced: every class weighs the same in the loss", "classes",
           ("auto", "balanced", "none"), off="none"),
    Option("estimator", "text", None, "ADDRESS[:NAME=VALUE,…]: fit this estimator alone", "estimator"),
    Option("ledger", "choice", "masked", "what each input is worth", "report", ("masked", "refit", "none"),
           off="none"),
)


def as_texts(given: Any) -> Any:
    """The options of a task from Python as a request stores them; what is no mapping stays, and is refused by its type.

    >>> as_texts({"horizon": 12, "models": ["theta", "trees"], "phrases": False})
    {'horizon': '12', 'models': 'theta,trees', 'phrases': 'no'}
    """
    if not isinstance(given, Mapping):
        return given
    return {name: _as_text(value) for name, value in given.items()}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def read_options(given: Mapping[str, Any], options: Sequence[Option], task: str) -> dict[str, Any]:
    """The options of a task by name, read; those that are not given have their default, or are not there for None.

    Errors: GradatimError for a name that the task does not have and for a value that is none.
    """
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            raise GradatimError(f"--option {shown(name)}=…: expected an option among {', '.join(known) or 'none'} of "
                                f"the task {task}; see `gradatim tasks {task}`")
    found = {name: option.read(given[name]) if name in given else option.default for name, option in known.items()}
    return {name: value for name, value in found.items() if value is not None}


def check_effect(given: Mapping[str, Any], options: Sequence[Option], task: str) -> None:
    """Refuse an option that would do nothing beside the others; errors as `read_options`."""
    values = read_options(given, options, task)
    for option in options:
        if option.name in given and option.only is not None:
            other, among = option.only
            if other in values and values[other] not in among:
                raise GradatimError(f"{option.flag}={shown(given[option.name])}: expected --option {other}="
                                    f"{' or '.join(among)} with it, received {other}={values[other]}, where it does "
                                    "nothing")
