"""`gradatim graph`: a formula as a computation graph, with values, local derivatives and gradients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gradatim.cli.console import check_free, pairs, print_json, refuse_idle, say, visible

if TYPE_CHECKING:
    from gradatim.autodiff.graph.graph import Graph

ENDINGS = (".svg", ".html", ".png")


def graph(
    formula: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *values: str,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    frames: Annotated[bool, Parameter(negative="")] = False,
    direction: str | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show a formula as a computation graph: each value, each local derivative, each gradient.

    Example: gradatim graph "3*(a + b*c)" a=5 b=3 c=2 -o graph.svg

    Parameters
    ----------
    formula
        Numbers, names, + - * / **, and exp, log, sqrt, sin, cos, abs, tanh, sigmoid, relu, softplus, max, min, sum,
        mean; several formulas parted by ; may name what lies between, as "q = x + y; f = q*z".
    values
        A value for each name, as a=5, or several numbers, as x=1,2,3.
    output
        Draw it: .svg, .png, or .html for a page that steps through both sweeps.
    frames
        Print the forward and the backward sweep step by step; the .svg moves.
    direction
        right or down: where the graph runs; default: the one that is easier to look at.
    force
        Replace the output file when it exists.
    json
        Print JSON.
    """
    from gradatim.autodiff.graph.expression import evaluate, parse_value
    from gradatim.autodiff.graph.graph import graph as graph_of
    from gradatim.errors import GradatimError, shown

    if output is not None and output.suffix.lower() not in ENDINGS:
        raise GradatimError(f"--output: expected a file ending in {', '.join(ENDINGS)}, received '{output}'")
    if direction not in (None, "right", "down"):
        raise GradatimError(f"--direction: expected right or down, received '{shown(direction)}'")
    check_free(output, force)
    refuse_idle("-o FILE to draw to", direction=direction is not None and output is None)
    given = pairs(values, "values")
    seen = graph_of(evaluate(formula, {name: parse_value(name, text) for name, text in given.items()}))
    if json:
        steps = seen.frames(svg=False) if frames else []
        bare = [{name: value for name, value in step.items() if name != "svg"} for step in steps]
        print_json({**seen.to_json(), **({"frames": bare} if frames else {})})
    else:
        print(visible(seen.table()))
        if frames:
            print()
            for step in seen.frames(svg=False):
                print(visible(f"{step['step']:>3}  {step['sentence']}"))
    if output is not None:
        draw(seen, output, direction, frames)


def draw(seen: "Graph", output: Path, direction: str | None, moving: bool) -> None:
    """Write the picture in the form that the file's ending names."""
    from gradatim.files import write_atomic

    ending = output.suffix.lower()
    if ending == ".png":
        write_atomic(output, seen.png(direction=direction))
    elif ending == ".html":
        write_atomic(output, seen.html(direction=direction))
    else:
        write_atomic(output, seen.animation(direction=direction) if moving else seen.svg(direction=direction))
    say(f"wrote {output}")
