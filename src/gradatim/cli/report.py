"""`gradatim report`: the report of a run as one offline HTML file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, refuse_idle


def report(
    run: Path,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write RUN/report.html anew from the facts of the run, with the pictures and texts of its worst rows.

    Parameters
    ----------
    run
        The folder of a run.
    output
        Where to write; default RUN/report.html.
    force
        Replace the output file when it exists; RUN/report.html always is.
    json
        Print the facts as JSON instead.
    """
    from gradatim.errors import GradatimError
    from gradatim.run import load

    refuse_idle("no --json with it, which prints and draws nothing", output=json and output is not None)
    loaded = load(run)
    if not loaded.facts:
        raise GradatimError(f"{run}: expected report.json with the facts of the run, found none; fit again")
    if json:
        print_json(loaded.facts)
        return
    path = output or run / "report.html"
    check_free(output, force)
    try:
        loaded.report(path)
    except (GradatimError, OSError):
        raise
    except Exception as error:  # facts from a stranger may fail anywhere; the file is named
        raise GradatimError(f"{run / 'report.json'}: expected the facts of a run, found damaged ones "
                            f"({type(error).__name__}: {str(error)[:200]}); fit again") from None
    print(path)
