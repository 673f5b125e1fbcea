"""Which options each task takes: those of every `fit` that have an effect there, and its own `--option NAME=VALUE`.

`gradatim tasks NAME` and docs/tasks.md show this list; `check_taken` refuses what is not on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradatim.errors import GradatimError, shown
from gradatim.tasks.options import GENERAL, Option, check_effect, read_options


@dataclass(frozen=True, slots=True)
class Declaration:
    """A task in the list: one sentence, the general options that it takes, its own options."""

    line: str
    general: tuple[Option, ...]
    own: tuple[Option, ...] = ()


def _general(*words: str) -> tuple[Option, ...]:
    """The general options of these groups or names."""
    return tuple(option for option in GENERAL if {option.group, option.name} & set(words))


CHOSEN = ("attention", "transformer", "none")  # networks of a translator
TAGGERS = ("recurrent", "transformer", "both")
PLAIN = ("table", "split", "budget")
ROWS = (*PLAIN, "network", "report")
COLUMN = Option("column", "text", None, "the column of the texts")
FORECASTING = (
    Option("horizon", "whole", None, "steps ahead", low=1, high=10_000),
    Option("known", "names", None, "columns whose future is known"),
    Option("season", "whole", None, "steps of a season", low=1, high=100_000),
    Option("context", "whole", None, "steps that models look back", low=1, high=2_000),
    Option("quantiles", "numbers", (0.1, 0.5, 0.9), "quantiles that are forecast", low=0, high=1),
    Option("frequency", "text", None, "hour, day, 15 minutes, month …"),
    Option("duplicates", "choice", None, "what repeated times become", choices=("mean", "sum", "first", "last")),
    Option("wide", "names", None, "all, or the columns that are series of their own"),
    Option("models", "names", None, "candidates; without it all of them",
           choices=("naive", "seasonal_naive", "drift", "moving_mean", "exponential_smoothing", "theta", "ridge",
                    "trees", "convolutional", "patches", "recurrent")),
)
LANGUAGE = (
    COLUMN,
    Option("tokens", "choice", None, "what the texts are read in", choices=("characters", "words", "subwords")),
    Option("vocabulary", "whole", None, "most tokens", low=2, high=100_000),
    Option("order", "whole", None, "tokens of the longest n-grams", low=1, high=16),
    Option("network", "choice", "recurrent", "none: n-grams alone", choices=("transformer", "recurrent", "none")),
)
_WRITTEN = ("network", CHOSEN[:2])
_ATTENTION = ("network", CHOSEN[:1])
TRANSLATION = (
    Option("source", "text", None, "the input column, where there are several texts"),
    Option("network", "choice", None, "none: the baselines alone", choices=CHOSEN),
    Option("beams", "whole", 4, "of the search", low=1, high=64, only=_WRITTEN),
    Option("length_penalty", "number", None, "α of Wu et al. 2016; else by development rows", low=-10, high=10,
           only=_WRITTEN),
    Option("attention", "choice", "general", "how places of the source are scored",
           choices=("bahdanau", "dot", "general", "concat"), only=_ATTENTION),
    Option("feeding", "flag", False, "input feeding of Luong et al.", only=_ATTENTION),
    Option("lexicon", "flag", True, "a table of subwords beside the attention network", only=_ATTENTION),
    Option("cell", "choice", "gru", "of the attention network",
           choices=("rnn", "rnn_relu", "gru", "gru_before", "lstm"), only=_ATTENTION),
    Option("width", "whole", None, "of the network", low=8, high=4096, only=_WRITTEN),
    Option("layers", "whole", None, "of the network", low=1, high=24, only=_WRITTEN),
    Option("dropout", "number", None, "share", high=0.9, only=_WRITTEN),
    Option("vocabulary", "whole", None, "subwords", low=300, high=100_000, only=_WRITTEN),
    Option("batch_tokens", "whole", None, "padded tokens of a batch, a side", low=32, high=1_000_000, only=_WRITTEN),
    Option("learning_rate", "number", 2e-3, "of AdamW", low=1e-8, high=10, only=_WRITTEN),
)
PHRASES = Option("phrases", "flag", True, "a table of phrases as a baseline")
SENTENCES = Option("sentences", "whole", 1, "that the lead of a document has", low=1, high=1000)
TAGGING = (
    Option("model", "choice", "recurrent", "networks; none: the CRF on features alone", choices=(*TAGGERS, "none")),
    Option("crf", "flag", True, "a CRF on the network", only=("model", TAGGERS)),
    Option("characters", "choice", "convolution", "how letters are read", choices=("convolution", "recurrent", "none"),
           only=("model", TAGGERS)),
    Option("hidden", "whole", None, "width of the reader", low=2, high=4096, only=("model", TAGGERS)),
    Option("layers", "whole", None, "of the reader", low=1, high=24, only=("model", TAGGERS)),
    Option("cell", "choice", "lstm", "of the recurrent reader", choices=("lstm", "gru", "gru_before", "rnn"),
           only=("model", ("recurrent", "both"))),
    Option("dropout", "number", None, "share", high=0.95, only=("model", TAGGERS)),
    Option("strength", "number", None, "of the CRF's penalty; else by development rows", low=1e-6, high=1e6),
)

DECLARED: Mapping[str, Declaration] = {
    "classification": Declaration("one of several classes for each row", _general(
        *ROWS, "mixing", "classes", "estimator")),
    "regression": Declaration("a number for each row", _general(*ROWS, "mixing", "estimator")),
    "localisation": Declaration("a box in each picture, and its class", _general(*ROWS, "label_smoothing")),
    "landmarks": Declaration("points in each picture", _general(*ROWS)),
    "forecasting": Declaration("the next steps of series", _general("table", "budget"), FORECASTING),
    "language-model": Declaration("how probable a text is, and what comes next", _general(*PLAIN), LANGUAGE),
    "translation": Declaration("a text for each text", _general(*PLAIN), (*TRANSLATION, PHRASES)),
    "summarisation": Declaration("a short text for each text", _general(*PLAIN), (*TRANSLATION, SENTENCES)),
    "tagging": Declaration("a tag for each word of a sentence", _general(*PLAIN), TAGGING),
}


def declaration_of(task: str) -> Declaration:
    """The declaration of a task by its name; GradatimError for another name."""
    if task not in DECLARED:
        raise GradatimError(f"expected a task among {', '.join(DECLARED)}; received '{shown(task)}'")
    return DECLARED[task]


def options_of(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The task's own options, read; what a saved run holds of an older list is left out (`check_taken` refuses it)."""
    known = DECLARED[task].own
    return read_options({option.name: given[option.name] for option in known if option.name in given}, known, task)


def takers(name: str) -> list[str]:
    """The tasks that take a general option."""
    return [task for task, declared in DECLARED.items() if any(option.name == name for option in declared.general)]


def check_taken(task: str, request: Any) -> None:
    """Refuse the first option of a request that has no effect in the task, naming the tasks that take it.

    A default, and a value that asks for nothing, is never refused: the request of a task holds a field for each.
    """
    taken = {option.name for option in DECLARED[task].general}
    for option in GENERAL:
        if option.name not in taken and option.given(getattr(request, option.name)):
            raise GradatimError(f"{option.flag}: expected a task that takes it ({', '.join(takers(option.name))}), "
                                f"received {task}; see `gradatim tasks {task}`")
    if request.options and not DECLARED[task].own:
        with_own = [name for name, declared in DECLARED.items() if declared.own]
        raise GradatimError(f"--option {shown(next(iter(request.options)))}=…: expected a task with options of its own "
                            f"({', '.join(with_own)}), received {task}")
    check_effect(request.options, DECLARED[task].own, task)


def rows_of(task: str) -> list[dict[str, Any]]:
    """The options of a task as JSON objects: flag, type, default, values, help, group."""
    declared = DECLARED[task]
    return [{"name": option.name, "flag": option.flag, "type": option.type, "default": option.default,
             "choices": list(option.choices), "values": option.values, "help": option.help, "group": option.group}
            for option in (*declared.own, *declared.general)]


