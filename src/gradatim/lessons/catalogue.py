"""Find the lessons by listing the package, and run one by its name.

>>> "xor" in names()
True
"""

import ast
import difflib
import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradatim.errors import GradatimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
NOT_LESSONS = {"__init__", "catalogue", "picture"}
# The order in which they are best read; a lesson that is not named here stands at the end.
READING_ORDER = (
    "line", "cubic_fit", "degree", "logistic_neuron", "xor", "truth_table", "linear_collapse", "approximation",
    "computation_graph", "hand_made_network", "random_perturbation", "optimiser_race", "batch_size", "schedules",
    "saturation", "symmetry", "depth", "batch_norm", "dropout", "endless_generator",
)


@dataclass(frozen=True)
class Result:
    """What a lesson shows: named figures, one picture, and what was seen in a few sentences."""

    figures: Mapping[str, float]
    picture: "Figure"
    text: str

    def save(self, path: str | Path) -> None:
        """Write the picture as .svg, .png or .pdf."""
        from gradatim.lessons.picture import save

        save(self.picture, Path(path))

    def _repr_png_(self) -> bytes:  # what a notebook shows
        from gradatim.lessons.picture import style

        buffer = io.BytesIO()
        with style():
            self.picture.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def lesson(name: str, *, quick: bool = False) -> Result:
    """Run a lesson: its figures, picture and text.

    name: as in `names()`, with - or _; quick: fewer repetitions where chance is averaged, as the tests run it.
    Raises GradatimError with the nearest names on an unknown one.

    >>> lesson("xor", quick=True).figures["errors of the truth-table net"]
    0.0
    """
    from gradatim.lessons.picture import style

    module = import_module(f"gradatim.lessons.{module_name(name)}")
    with style():
        result = module.lesson(quick=quick)
    assert isinstance(result, Result)
    return result


def names() -> list[str]:
    """The names of all lessons in reading order."""
    return list(summaries())


def summaries() -> dict[str, str]:
    """Name → first line of the lesson's docstring, read from the source: nothing is imported."""
    found = {path.stem: opening(path) for path in FOLDER.glob("*.py") if path.stem not in NOT_LESSONS}
    places = {name: place for place, name in enumerate(READING_ORDER)}
    order = sorted(found, key=lambda stem: (places.get(stem, len(places)), stem))
    return {stem.replace("_", "-"): found[stem].rstrip(".") for stem in order}


def stated(name: str) -> str:
    """The figure that the lesson ends in, as its docstring states it."""
    return " ".join(notice(name).partition("\nFigure: ")[2].split())


def notice(name: str) -> str:
    """The whole docstring of a lesson: the idea and what to notice."""
    tree = ast.parse((FOLDER / f"{module_name(name)}.py").read_text(encoding="utf-8"))
    return inspect.cleandoc(ast.get_docstring(tree) or "")


def module_name(name: str) -> str:
    """'batch-size' → 'batch_size' of a lesson that exists."""
    stem = name.strip().lower().replace("-", "_").replace(" ", "_")
    known = [known.replace("-", "_") for known in names()]
    if stem in known:
        return stem
    parts: dict[str, str] = {part: whole for whole in known for part in (whole, *whole.split("_"))}
    near = dict.fromkeys(parts[part] for part in difflib.get_close_matches(stem, parts, n=3, cutoff=0.6))
    hint = f"did you mean {' or '.join(near)}?".replace("_", "-") if near else "`gradatim lessons` lists them"
    raise GradatimError(f"expected the name of a lesson, received '{name}'; {hint}")


def opening(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def as_json(name: str, result: Result, picture: Path | None = None) -> dict[str, Any]:
    """A result as a JSON object, with the path of the picture where one was written."""
    return {
        "lesson": module_name(name).replace("_", "-"),
        "notice": notice(name),
        "figures": dict(result.figures),
        "text": result.text,
        "picture": None if picture is None else str(picture),
    }
