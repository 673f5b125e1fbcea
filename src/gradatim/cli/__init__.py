"""The command line, one file a command; a command's module is imported only when it is called.

Exit codes: 0 done; 1 a finding under --strict or a failed check; 2 an input to mend; 130 interrupted.
"""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter, Token, convert

from gradatim import __version__

# Command → (module:function, one line of help). The line stands here so that --help imports nothing heavy.
COMMANDS = {
    "demo": ("gradatim.cli.demo:demo", "Make the sample world, fit, explain, predict: the whole line in a minute."),
    "schema": ("gradatim.cli.schema:schema", "Show what each column is taken for, and why."),
    "audit": ("gradatim.cli.audit:audit", "Look for leakage, duplicates, shortcuts, unreadable cells."),
    "augment": ("gradatim.cli.augment:augment", "Show what augmentation does to pictures: a contact sheet."),
    "fit": ("gradatim.cli.fit:fit", "From a table to a checked, explained, saved model."),
    "predict": ("gradatim.cli.predict:predict", "Answer the rows of a table with a saved run."),
    "evaluate": ("gradatim.cli.evaluate:evaluate", "Score a run, or anybody's predictions, against labels."),
    "export": ("gradatim.cli.export:export", "Write a run as ONNX or PyTorch's archive, checked; int8 too."),
    "explain": ("gradatim.cli.explain:explain", "Why a run answered a row so: pixels, words, numbers, columns."),
    "filters": ("gradatim.cli.filters:filters", "Look into a network: kernels, maps by depth, gradients."),
    "report": ("gradatim.cli.report:report", "Write the report of a run: one offline HTML file."),
    "graph": ("gradatim.cli.graph:graph", "Show a formula as a computation graph, with its gradients."),
    "race": ("gradatim.cli.race:race", "Race optimisers down a surface: table, picture, animation."),
    "lessons": ("gradatim.cli.lessons:lessons", "List the lessons: one idea, one picture, one figure each."),
    "lesson": ("gradatim.cli.lesson:lesson", "Run a lesson: what to notice, its figures, its picture."),
    "words": ("gradatim.cli.words:words", "Vectors of words: learn them, neighbours and analogies."),
    "generate": ("gradatim.cli.generate:generate", "Text from a language model: drawn, greedy, or by beam search."),
    "score": ("gradatim.cli.score:score", "How probable a language model holds texts, a line each."),
    "tasks": ("gradatim.cli.tasks:tasks", "List the tasks; show one and the options that it takes."),
    "models": ("gradatim.cli.models:models", "List the networks; show one, its parameters and shapes."),
    "weights": ("gradatim.cli.weights:weights", "Published weights: list, get, path."),
    "estimators": ("gradatim.cli.estimators:estimators", "List the classical estimators; show one and its parameters."),
}



def read_value(kind: Any, tokens: Sequence[Token]) -> Any:
    """An option's value as cyclopts reads it, but nothing is rounded: 1.5 is no whole number, and None is a text."""
    for token in tokens if kind is int else ():
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", token.value):
            raise ValueError(f"expected a whole number, received '{token.value:.60}'")
    if kind is Path and not all(token.value for token in tokens):
        raise ValueError("expected a path, received ''")
    return convert(kind, tokens)


app = App(
    name="gradatim",
    help="From a table of pictures, texts, sounds and numbers to a checked, explained, saved model.",
    version=__version__,
    help_on_error=False,
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(converter=read_value),
)
for _name, (_target, _line) in COMMANDS.items():
    app.command(_target, name=_name, help=_line)


def main() -> None:
    """Entry point of `gradatim`: errors that a user can mend are one line and exit code 2."""
    from gradatim.errors import GradatimError

    # A waiting thread of OpenMP spins, and steals its core from other programs for longer than they can bear. This many
    # turns keep the full speed of an idle machine; it must be said before torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # The same for the two OpenBLAS of NumPy and SciPy, 2^14 processor cycles: said before NumPy is imported.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "14")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # those of the libraries below are for programmers
    try:
        app(sys.argv[1:], print_error=False, exit_on_error=False)
        sys.stdout.flush()
    except (GradatimError, CycloptsError) as error:
        raise SystemExit(complain(str(error), 2)) from None
    except BrokenPipeError:  # the reader of our output has enough: no error, and nothing more to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        raise SystemExit(complain(f"{place}the system says '{error.strerror or error}'", 2)) from None
    except MemoryError:
        advice = "expected enough memory, found none left; use fewer rows or smaller inputs"
        raise SystemExit(complain(advice, 2)) from None
    except KeyboardInterrupt as interruption:
        hint = f"; {interruption}" if str(interruption) else ""
        raise SystemExit(complain(f"interrupted{hint}", 130)) from None


def complain(message: str, code: int) -> int:
    """One plain line on standard error; returns the exit code."""
    from gradatim.cli.console import visible
    from gradatim.errors import shortened

    print("gradatim: " + visible(shortened(" ".join(message.split()))), file=sys.stderr, flush=True)
    return code
