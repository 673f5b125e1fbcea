"""What the documents say works: doctests of the package, examples in README and docs, pages of the commands, links."""

import doctest
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src"
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((SOURCE / "gradatim").rglob("*.py"))
    if ">>>" in path.read_text()
]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    """The gradatim commands in console blocks: words, without comments and prompts."""
    found = []
    for block in blocks(path, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == ["gradatim"]:
                found.append(words)
    return found


WITH_COMMANDS = [path for path in DOCUMENTS if commands(path)]
WITH_PYTHON = [path for path in DOCUMENTS if blocks(path, "python")]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    """scripts/write_command_docs.py as a module."""
    spec = importlib.util.spec_from_file_location("write_command_docs", REPOSITORY / "scripts/write_command_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0


def test_pages_of_the_commands_are_current(writer: ModuleType) -> None:
    written = writer.pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs/commands").glob("*.md")}
    stale = sorted(name for name in written.keys() | there.keys() if written.get(name) != there.get(name))
    assert not stale, f"{', '.join(stale)}: run python scripts/write_command_docs.py"


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=name_of)
def test_commands_in_documents_exist_with_their_options(path: Path, writer: ModuleType) -> None:
    from gradatim.cli import COMMANDS

    for words in commands(path):
        if len(words) < 2 or words[1].startswith("-"):
            continue
        assert words[1] in COMMANDS, f"{name_of(path)}: {' '.join(words)}: no such command"
        known = writer.help_of(words[1])
        for option in (word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", known, re.IGNORECASE), (
                f"{name_of(path)}: {' '.join(words)}: no option {option}"
            )


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_COMMANDS, ids=name_of)
def test_commands_in_documents_run(path: Path, whole_sample_world: Path, tmp_path: Path) -> None:
    """In order, in a folder with the sample world's train.csv, test.csv, test_labels.csv and images.

    Commands about data-real/ need real data and are left out, and so are those about the runs they would have made.
    """
    shutil.copytree(whole_sample_world, tmp_path, dirs_exist_ok=True)
    program = "import sys; sys.argv[0] = 'gradatim'; from gradatim.cli import main; main()"
    lacking: set[str] = set()
    for words in commands(path):
        if any("data-real" in word or word in lacking for word in words):
            lacking |= {words[place + 1] for place, word in enumerate(words[:-1]) if word in ("-o", "--output")}
            continue
        result = subprocess.run([sys.executable, "-c", program, *words[1:]], cwd=tmp_path, capture_output=True,
                                text=True, check=False)
        assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}\n{result.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_PYTHON, ids=name_of)
def test_python_in_documents_runs(path: Path, whole_sample_world: Path, tmp_path: Path) -> None:
    """The blocks of a document are one program."""
    shutil.copytree(whole_sample_world, tmp_path, dirs_exist_ok=True)
    program = "\n".join(blocks(path, "python"))
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
                            env={**os.environ, "MPLBACKEND": "agg"})
    assert result.returncode == 0, f"{name_of(path)}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{name_of(path)}: {target} does not exist"


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name_of)
def test_python_in_documents_parses(path: Path) -> None:
    compile("\n".join(blocks(path, "python")), name_of(path), "exec")
