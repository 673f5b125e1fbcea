"""`gradatim report`: the report of a run as one offline HTML file."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json


def report(
    run: Path,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write RUN/report.html anew from the facts of the run, with the pictures and texts of its worst rows.

    Parameters
    ----------
    run
        The folder of a run.
    output
        Where to write; default RUN/report.html.
    json
        Print the facts as JSON instead.
    """
    from gradatim.errors import GradatimError
    from gradatim.run import load

    loaded = load(run)
    if not loaded.facts:
        raise GradatimError(f"{run}: expected report.json with the facts of the run, found none; fit again")
    if json:
        print_json(loaded.facts)
        return
    path = output or run / "report.html"
    loaded.report(path)
    print(path)
