"""`gradatim explain`: why a run answered a row as it did."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, say, visible

Flag = Annotated[bool, Parameter(negative="")]
ENDINGS = (".html", ".png", ".json")


def explain(
    run: Path,
    /,
    *rows: int,
    table: str | None = None,
    method: str = "removal",
    of: str | None = None,
    check: Flag = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Show which pixels, words, numbers and categories speak for a run's answer to a row, and which against.

    Example: gradatim explain runs/one 12 -o why.html

    Parameters
    ----------
    run
        The folder of a run.
    rows
        Rows of the table, counted from 0.
    table
        The file or folder that they are in; default: the one that the run was fitted on.
    method
        removal (what is lost without a part; for every run), exact (linear heads), saliency, smooth_grad,
        integrated_gradients, grad_cam (networks).
    of
        The class to speak for or against; default: the predicted one.
    check
        Also explain with random weights, to see whether the method looks at what was learned.
    output
        Draw it: .html (one offline page), .png (one row) or .json.
    force
        Replace the output file when it exists.
    json
        Print JSON.
    """
    from gradatim.errors import GradatimError
    from gradatim.run import load

    if output is not None:
        if output.suffix.lower() not in ENDINGS:
            raise GradatimError(f"--output: expected a file ending in {', '.join(ENDINGS)}, received '{output}'")
        check_free(output, force)
        if output.suffix.lower() == ".png" and len(rows) > 1:
            raise GradatimError("--output: a .png shows one row; choose .html for several")
    if not rows:
        raise GradatimError("rows: expected at least one row number, received none, as in gradatim explain RUN 0")
    loaded = load(run)
    source = loaded._fitted_table() if table is None else loaded.read(table)
    if source is None:
        raise GradatimError(f"{run}: the table that was fitted is gone or has changed; name one with --table FILE")
    found = loaded.explain(source, rows, method=method, of=of, check=check)
    if json:
        print_json([explanation.to_json() for explanation in found])
    else:
        print(visible("\n\n".join(map(str, found))))
    if output is not None:
        from gradatim.files import write_atomic, write_json

        if output.suffix.lower() == ".json":
            write_json(output, [explanation.to_json() for explanation in found])
        elif output.suffix.lower() == ".png":
            from gradatim.evaluate.explain.painting import explanation_png

            write_atomic(output, explanation_png(found[0], table=source))
        else:
            from gradatim.evaluate.explain.page import explanation_page

            title = f"Why {run.name} answered so"
            write_atomic(output, explanation_page(found, title=title, table=source))
        say(f"wrote {output}")
