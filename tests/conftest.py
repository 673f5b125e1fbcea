"""What every test may use: the --slow option, one thread a worker, a sample world made once a session."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread for each worker process when several share the cores; must be set before torch and numpy start theirs.
if os.environ.get("PYTEST_XDIST_WORKER"):
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(variable, "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests unless asked for."""
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="slow; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def products_as_before() -> Iterator[None]:
    """The command line sets the machine's levers for its process; the next test must not compute by them."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.backends.mkldnn.matmul.fp32_precision != "none":
        torch.backends.mkldnn.matmul.fp32_precision = "none"


@pytest.fixture(scope="session")
def sample_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample world, 240 training rows and 60 test rows of 32 pixels. Read it, do not write into it."""
    from gradatim.data.scenes import make_scenes

    folder = tmp_path_factory.mktemp("sample-world")
    make_scenes(folder, rows=240, test_rows=60, size=32)
    return folder


@pytest.fixture(scope="session")
def whole_sample_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample world as `gradatim demo` makes it, 1,200 and 300 rows of 64 pixels. Read it, do not write into it."""
    from gradatim.data.scenes import make_scenes

    folder = tmp_path_factory.mktemp("whole-sample-world")
    make_scenes(folder)
    return folder
