"""The command line, one file a command; a command's module is imported only when it is called.

Exit codes: 0 done; 1 a finding under --strict or a failed check; 2 an input to mend; 130 interrupted.
"""

import os
import sys

from cyclopts import App, CycloptsError

from gradatim import __version__

# Command → (module:function, one line of help). The line stands here so that --help imports nothing heavy.
COMMANDS = {
    "demo": ("gradatim.cli.demo:demo", "Make the sample world, fit, explain, predict: the whole line in a minute."),
    "schema": ("gradatim.cli.schema:schema", "Show what each column is taken for, and why."),
    "audit": ("gradatim.cli.audit:audit", "Look for leakage, duplicates, shortcuts, unreadable cells."),
    "fit": ("gradatim.cli.fit:fit", "From a table to a checked, explained, saved model."),
    "predict": ("gradatim.cli.predict:predict", "Answer the rows of a table with a saved run."),
    "evaluate": ("gradatim.cli.evaluate:evaluate", "Score a run, or anybody's predictions, against labels."),
    "report": ("gradatim.cli.report:report", "Write the report of a run: one offline HTML file."),
    "models": ("gradatim.cli.models:models", "List the networks; show one, its parameters and shapes."),
}

app = App(
    name="gradatim",
    help="From a table of pictures, texts, sounds and numbers to a checked, explained, saved model.",
    version=__version__,
    help_on_error=False,
)
for _name, (_target, _line) in COMMANDS.items():
    app.command(_target, name=_name, help=_line)


def main() -> None:
    """Entry point of `gradatim`: errors that a user can mend are one line and exit code 2."""
    from gradatim.errors import GradatimError

    # Waiting threads of OpenMP spin by default and steal the cores from each other as soon as another program wants
    # them: 6 times the processor time was measured. It must be said before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(print_error=False, exit_on_error=False)
    except (GradatimError, CycloptsError) as error:
        print("gradatim: " + " ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("gradatim: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
