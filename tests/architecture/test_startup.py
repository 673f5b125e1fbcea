"""`import gradatim` and `gradatim --help` are instant and import nothing heavy."""

import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "polars", "scipy", "sklearn", "matplotlib", "PIL", "numba", "lightgbm", "tokenizers",
         "soundfile", "pandas", "pyarrow", "safetensors", "jinja2")
HELP = "import sys; sys.argv = ['gradatim', '--help']; from gradatim.cli import main; main()"
LIMIT_SECONDS = 0.3


def heavy_modules(code: str) -> set[str]:
    """The heavy packages that are loaded after running `code` in a fresh interpreter."""
    program = f"""
import sys
try:
    exec({code!r})
except SystemExit:
    pass
print("LOADED", *sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY!r})))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.strip().splitlines()[-1].split()[1:])


@pytest.mark.parametrize("code", ["import gradatim; gradatim.__version__; dir(gradatim)", HELP], ids=["import", "help"])
def test_nothing_heavy_is_imported(code: str) -> None:
    assert heavy_modules(code) == set()


def test_help_is_quick() -> None:
    """Processor time, the least of five: other work on the machine must not fail the test."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False,
                                env={**os.environ, "COLUMNS": "100"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert result.returncode == 0, result.stderr
        assert "fit" in result.stdout and "predict" in result.stdout
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < LIMIT_SECONDS, f"expected under {LIMIT_SECONDS} s, measured {seconds}"


def test_public_names_are_there() -> None:
    """Each public name can be imported, and an unknown one is refused with the list."""
    import gradatim

    for name in gradatim.__all__:
        assert getattr(gradatim, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        _ = gradatim.nothing_of_this_name
