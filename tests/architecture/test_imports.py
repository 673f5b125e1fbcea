"""Who may import whom, by reading every import statement; and what may never be imported."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "gradatim"
FILES = sorted(PACKAGE.rglob("*.py"))
LEAVES = {"errors", "randomness", "device", "files", "problems"}
BELOW_RUN = {"nn", "data", "train", "models", "estimators", "audit", "evaluate", "recipe", "tasks", "artifact"}
# part of the package → the parts it may import besides itself and the leaves (docs/architecture.md)
MAY_IMPORT: dict[str, set[str]] = {
    **{leaf: set() for leaf in LEAVES},
    "nn": set(),
    "data": set(),
    "train": {"data"},
    "models": {"nn"},
    "estimators": {"nn"},
    "audit": {"data", "estimators"},
    "evaluate": {"data", "estimators"},
    "recipe": {"train", "evaluate"},
    "tasks": {"data", "models", "nn", "estimators", "train", "audit", "evaluate", "recipe"},
    "artifact": {"data", "models", "estimators", "train", "evaluate", "tasks"},
    "autodiff": {"train"},
    "weights": {"models"},
    "request": {"data", "models", "tasks", "train", "weights"},
    "fitting": BELOW_RUN | {"request"},
    "run": BELOW_RUN | {"request", "fitting"},
    "faces": BELOW_RUN | {"run"},
    "export": BELOW_RUN | {"run"},
    "lessons": BELOW_RUN | {"run", "faces", "autodiff"},
    "web": BELOW_RUN | {"run", "faces", "autodiff", "lessons"},
    "cli": BELOW_RUN | {"run", "export", "faces", "weights", "autodiff", "lessons", "web"},
    "__main__": {"cli"},
    "__init__": BELOW_RUN | {"run", "faces", "lessons", "autodiff", "cli", "web"},
}
# import name → name in pyproject, where they differ
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}


def part_of(path: Path) -> str:
    """'data' for data/codecs/text.py, 'run' for run.py, '__init__' for the package's own file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported under a node, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: expected an absolute import"
            module = node.module or ""
            if module == "gradatim":
                yield from ((node.lineno, f"gradatim.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def top_level_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports that run when the module is imported: not those inside functions or under `if TYPE_CHECKING`."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield from imports(node)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_parts_import_only_what_they_may(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"{part}: expected a part named in docs/architecture.md; say there whom it may import"
    allowed = MAY_IMPORT[part] | LEAVES | {part}
    for line, name in imports(ast.parse(path.read_text())):
        if name.startswith("gradatim."):
            imported = name.split(".")[1]
            # `from gradatim import __version__` and the like name things, not parts
            if imported in MAY_IMPORT:
                assert imported in allowed, f"{path}:{line}: {part} may not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_third_parties_are_declared(path: Path) -> None:
    """What runs at import must be a dependency in pyproject.toml; optional packages are imported inside functions."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^A-Za-z0-9_-]", entry)[0].lower() for entry in project["dependencies"]}
    for line, name in top_level_imports(ast.parse(path.read_text())):
        root = name.split(".")[0]
        if root not in sys.stdlib_module_names and root not in ("gradatim", "__future__"):
            assert DISTRIBUTIONS.get(root, root) in declared, f"{path}:{line}: {root} is not in pyproject.toml"


@pytest.mark.parametrize(
    "path",
    [PACKAGE / "__init__.py", *sorted((PACKAGE / "cli").rglob("*.py"))],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_command_line_imports_nothing_heavy_at_the_top(path: Path) -> None:
    light = {"cyclopts", "rich", "gradatim", *sys.stdlib_module_names}
    for line, name in top_level_imports(ast.parse(path.read_text())):
        assert name.split(".")[0] in light, f"{path}:{line}: import {name} inside the function that needs it"
        if name.startswith("gradatim.") and name.split(".")[1] not in {"cli", "errors"}:
            assert name == "gradatim.__version__", f"{path}:{line}: import {name} inside the function that needs it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_pickled(path: Path) -> None:
    """No pickle, nor anything that hides one: joblib, shelve, dill, torch.save, allow_pickle.

    torch.load only with weights_only=True, for weights that somebody else published as .pth.
    """
    tree = ast.parse(path.read_text())
    for line, name in imports(tree):
        assert name.split(".")[0] not in {"pickle", "joblib", "shelve", "dill", "cloudpickle", "marshal"}, (
            f"{path}:{line}: {name} reads or writes pickles"
        )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert called != "torch.save", f"{path}:{node.lineno}: write safetensors"
            assert called != "torch.load" or words.get("weights_only") == "True", f"{path}:{node.lineno}: weights_only"
            assert words.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}: allow_pickle"
