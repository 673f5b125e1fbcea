"""`gradatim lesson`: run one lesson, print its figures, open or save its picture."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, say, show_table


def lesson(
    name: str,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a lesson: what to notice, its figures, its picture.

    Parameters
    ----------
    name
        As listed by `gradatim lessons`.
    output
        Where to write the picture: .svg, .png or .pdf. Without it, the picture opens when there is a screen.
    force
        Replace the output file when it exists.
    quick
        Fewer repetitions where chance is averaged.
    json
        Print JSON.
    """
    from gradatim.errors import GradatimError
    from gradatim.lessons import catalogue

    catalogue.module_name(name)
    if output is not None:
        from gradatim.lessons.picture import ENDINGS

        if output.suffix.lower() not in ENDINGS:
            raise GradatimError(f"{output}: expected a picture ending in {', '.join(ENDINGS)}")
        check_free(output, force)
    result = catalogue.lesson(name, quick=quick)
    if output is not None:
        result.save(output)
    if json:
        print_json(catalogue.as_json(name, result, output))
        return
    print(f"{catalogue.notice(name)}\n\n{result.text}\n")
    show_table("Figures", ("figure", "value"), [(key, number(value)) for key, value in result.figures.items()])
    if output is not None:
        print(output)
    elif not open_picture(result):
        say("no screen to show the picture on: -o FILE.svg saves it")


def number(value: float) -> str:
    """Seven significant digits, as pages state them.

    >>> number(0.2296196), number(33.0), number(8.881784197001252e-16)
    ('0.2296196', '33', '8.881784e-16')
    """
    return f"{value:.7g}"


def open_picture(result: Any) -> bool:
    """Show the picture in the reader's own viewer; False where nobody could see it."""
    screen = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not (screen and sys.stdout.isatty()):
        return False
    import tempfile
    import webbrowser

    path = Path(tempfile.mkdtemp(prefix="gradatim-")) / "lesson.svg"
    result.save(path)
    return webbrowser.open(path.as_uri())
