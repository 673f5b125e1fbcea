"""Files and functions stay small enough to be read; names say what is inside."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = [REPOSITORY / name for name in ("src", "scripts", "bench")]
FILES = sorted(path for folder in FOLDERS if folder.exists() for path in folder.rglob("*.py"))
LONGEST_FILE = 400
LONGEST_FUNCTION = 70  # without its docstring
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools", "stuff"}


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, less the docstring."""
    first = node.body[0]
    docstring = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        docstring = (first.end_lineno or first.lineno) - first.lineno + 1
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_and_functions_fit_on_a_few_screens(path: Path) -> None:
    text = path.read_text()
    lines = len(text.splitlines())
    assert lines <= LONGEST_FILE, f"{path}: {lines} lines; it holds two ideas: part them"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = length(node)
            assert found <= LONGEST_FUNCTION, f"{path}:{node.lineno}: {node.name} has {found} lines; part it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_names_say_what_is_inside(path: Path) -> None:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    assert not EMPTY_NAMES & set(parts), f"{path}: name the file after its noun or its paper"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_modules_and_public_functions_say_what_they_do(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path}: expected a docstring of the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno}: {node.name}: expected a docstring"
