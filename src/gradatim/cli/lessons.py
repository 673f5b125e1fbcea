"""`gradatim lessons`: what there is to learn, one line a lesson."""

from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, show_table


def lessons(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the lessons in the order in which they are best read: name, idea, the figure it ends in.

    `gradatim lesson NAME` runs one.

    Parameters
    ----------
    json
        Print JSON.
    """
    from gradatim.lessons.catalogue import stated, summaries

    rows = [(name, line, stated(name)) for name, line in summaries().items()]
    if json:
        print_json([{"lesson": name, "summary": line, "figure": figure} for name, line, figure in rows])
        return
    show_table("Lessons", ("name", "idea", "figure"), rows)
