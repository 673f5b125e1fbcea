"""Every lesson runs, reaches its figures, and has a page that states them."""

import json
import math
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from pytest import approx

import gradatim as gd
from gradatim.errors import GradatimError
from gradatim.lessons import catalogue

NAMES = catalogue.names()
PAGES = Path(__file__).resolve().parents[2] / "docs" / "lessons"
NUMBER = r"[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+−]?\d+)?"


@pytest.fixture(scope="module")
def results() -> dict[str, catalogue.Result]:
    """Results by name, each lesson run once, in quick mode."""
    return {}


def quick(results: dict[str, catalogue.Result], name: str) -> dict[str, float]:
    if name not in results:
        results[name] = catalogue.lesson(name, quick=True)
    return dict(results[name].figures)


def number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def precision(text: str) -> float:
    """Half a unit of the last digit printed."""
    digits, _, exponent = text.replace(",", "").partition("e")
    return 0.5001 * 10.0 ** (int(exponent.replace("−", "-") or 0) - len(digits.partition(".")[2]))


def stated(name: str) -> list[tuple[str, str]]:
    """The rows (figure, value) of the table on the lesson's page."""
    table = (PAGES / f"{name}.md").read_text(encoding="utf-8").partition("## Figures to expect")[2]
    return re.findall(r"^\| (?!figure )([^|]+?) \| ([^|]+?) \|$", table.partition("\n## ")[0], flags=re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_lesson_runs_and_its_page_states_its_figures(name: str, results: dict, tmp_path: Path) -> None:
    figures = quick(results, name)
    result = results[name]
    assert figures and all(isinstance(value, float) and math.isfinite(value) for value in figures.values())
    assert isinstance(result.picture, Figure) and result.picture.axes
    assert result.text.endswith((".", "for any formula.")) or "\n" in result.text
    rows = stated(name)
    assert len(rows) >= 4
    for key, text in rows:
        assert key in figures, f"{name}.md: no figure '{key}'; there are {', '.join(figures)}"
        if text.startswith("<"):
            assert abs(figures[key]) < number(text[2:]), key
        elif not text.startswith("≈"):
            assert figures[key] == approx(number(text), abs=precision(text)), key
    result.save(tmp_path / "picture.svg")
    ElementTree.parse(tmp_path / "picture.svg")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_whole_lesson_reaches_the_figures_of_its_page(name: str) -> None:
    figures = catalogue.lesson(name).figures
    for key, text in stated(name):
        if text.startswith("≈"):
            assert figures[key] == approx(number(text[2:]), rel=0.35), key
        elif not text.startswith("<"):
            assert figures[key] == approx(number(text), abs=precision(text)), key


@pytest.mark.parametrize("name", NAMES)
def test_lesson_has_its_shape(name: str) -> None:
    stem = name.replace("-", "_")
    lines = len((catalogue.FOLDER / f"{stem}.py").read_text(encoding="utf-8").splitlines())
    assert 40 <= lines <= 120
    notice = catalogue.notice(name)
    assert "\nWhat to notice: " in notice and re.search(r"\d", catalogue.stated(name))
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert 40 <= len(page.splitlines()) <= 80
    assert f"gradatim lesson {name}" in page and f"({name}.svg)" in page and f"{stem}.py" in page
    picture = ElementTree.parse(PAGES / f"{name}.svg").getroot()
    assert picture.tag.endswith("svg") and (PAGES / f"{name}.svg").stat().st_size < 120_000
    assert f"({name}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


def test_pages_and_reading_order_name_lessons_only() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*NAMES, "README"}
    assert {name.replace("-", "_") for name in NAMES} == set(catalogue.READING_ORDER)


def test_line(results: dict) -> None:
    figures = quick(results, "line")
    assert figures["theta 0"] == approx(-42.78334, abs=1e-5)
    assert figures["theta 1"] == approx(0.2296196, abs=1e-7)
    assert figures["cost J"] == approx(448.219, abs=5e-4)
    assert figures["slope without intercept"] == approx(0.2030525, abs=1e-7)


def test_cubic_fit(results: dict) -> None:
    figures = quick(results, "cubic-fit")
    assert 7.5e-4 < figures["limit of the rate"] < 1.5e-3
    assert figures["loss from 0 after 1000 steps at 7.5e-4"] == approx(figures["least loss"], rel=1e-9)
    assert figures["loss from 0 after 1000 steps at 2e-5"] > 1.2 * figures["least loss"]
    assert figures["step at which 1.5e-3 is called diverging"] < 10
    assert "diverges" in results["cubic-fit"].text


def test_the_rate_at_which_the_cubic_diverges_is_the_limit() -> None:
    from gradatim.lessons.cubic_fit import descend, samples

    x, y = samples()
    design = np.vander(x, 4)
    limit = 1 / np.linalg.eigvalsh(design.T @ design)[-1]
    under, over = (descend(design, y, (0, 0, 0, 0), share * limit, 2000) for share in (0.99, 1.01))
    assert "diverges" not in under[2] and np.all(np.diff(under[1]) <= 1e-9)
    assert "diverges" in over[2]


def test_degree(results: dict) -> None:
    """Closed forms against measured draws; bias nothing and variance p/n for a fit that can be right."""
    figures = quick(results, "degree")
    assert figures["training error at degree 12"] < 0.04 < figures["error on new points at the best degree"]
    assert figures["training error at degree 12"] == approx(0.04 * (1 - 13 / 20), rel=1e-3)
    assert figures["error on new points at degree 1"] > figures["error on new points at the best degree"]


def test_logistic_neuron(results: dict) -> None:
    figures = quick(results, "logistic-neuron")
    assert figures["sigma'(10)"] == approx(math.exp(-10) / (1 + math.exp(-10)) ** 2, rel=1e-9)
    assert figures["sigma'(10)"] == approx(4.54e-5, abs=5e-8) and figures["sigma'(0)"] == 0.25
    assert figures["largest |dL/dz - (a - y)|"] < 1e-9


def test_saturation(results: dict) -> None:
    figures = quick(results, "saturation")
    assert figures["sigma'(10)"] == approx(4.54e-5, abs=5e-8)
    assert figures["tanh'(10)"] == approx(4 * math.exp(-20), rel=1e-6)
    assert figures["answer after 1500 steps, ReLU"] == 0
    assert figures["answer after 1500 steps, sigmoid, squared error"] < 1e-4


def test_golden_network(results: dict) -> None:
    golden = {
        "o1": 5, "o2": -8, "o3": 5, "o4": 0, "o5": -4, "loss": 81, "dL/do5": -18, "dL/dw5": -90, "dL/do3": 36,
        "dL/do1": 36, "dL/dw1": 72, "dL/dw2": 36, "dL/db1": 36, "dL/db3": -18, "dL/dw3": 0, "dL/dw4": 0, "dL/db2": 0,
        "dL/dw6": 0, "new w5": -1.91, "new w1": -0.072,
    }  # fmt: skip
    figures = quick(results, "hand-made-network")
    assert {name: figures[name] for name in golden} == approx(golden)
    assert figures["loss after the step"] == approx(65.92531, abs=5e-6)


def test_computation_graph(results: dict) -> None:
    figures = quick(results, "computation-graph")
    golden = {"J": 33, "dJ/da": 3, "dJ/db": 6, "dJ/dc": 9, "f": -12, "df/dx": -4, "df/dy": -4, "df/dz": 3}
    assert {name: figures[name] for name in golden} == approx(golden)


def test_symmetry(results: dict) -> None:
    figures = quick(results, "symmetry")
    assert figures["largest difference between columns, zeros"] == figures["movement of the weights, zeros"] == 0
    assert figures["largest difference between columns, equal constants"] < 1e-12
    assert figures["largest difference between columns, small random"] > 0.5
    assert figures["loss, small random"] < 0.05 * figures["loss, equal constants"]


def test_depth(results: dict) -> None:
    """Against the limit of infinite width: q ← gain²·E[tanh²(√q z)], by quadrature."""
    figures = quick(results, "depth")
    assert figures["1.5^50"] == approx(6.376e8, rel=1e-4) and figures["0.5^50"] == approx(8.88e-16, rel=1e-3)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for scheme, gain in (("Xavier", 1.0), ("Xavier, gain 5/3", 5 / 3)):
        square = 1.0
        for _ in range(50):
            square = weights @ np.tanh(gain * math.sqrt(square) * nodes) ** 2
        assert figures[f"signal at layer 50, tanh, {scheme}"] == approx(math.sqrt(square), rel=0.15)
    assert 0.1 < figures["signal at layer 50, ReLU, Kaiming"] < 10
    assert 2.0**-25 / 10 < figures["signal at layer 50, ReLU, Xavier"] < 2.0**-25 * 10
    assert 0.1 < figures["gradient at layer 1 by that at layer 50, tanh, Xavier"] < 1
    assert figures["gradient at layer 1 by that at layer 50, tanh, Xavier, gain 5/3"] > 30
    assert figures["signal at layer 50, tanh, normal 0.01"] == approx(1e-50, rel=0.5)


def test_linear_collapse(results: dict) -> None:
    figures = quick(results, "linear-collapse")
    assert figures["error of the linear stack"] == approx(figures["error of least squares"], rel=1e-6)
    assert figures["error with ReLU"] < 0.01 * figures["error of least squares"]


def test_approximation(results: dict) -> None:
    figures = quick(results, "approximation")
    for units in (4, 8, 16, 32, 64):
        assert figures[f"largest error by hand, {units} units"] <= figures[f"bound by hand, {units} units"]
    assert figures["largest error trained, 16 units"] < 0.5 * figures["largest error by hand, 16 units"]


def test_dropout(results: dict) -> None:
    figures = quick(results, "dropout")
    assert figures["geometric mean of all nets"] == approx(figures["scaled net"], abs=1e-12)
    assert figures["scaled net"] == approx(1 / (1 + math.exp(-0.75)), abs=1e-12)
    gap = figures["mean logit under inverted dropout"] - figures["logit of the whole net"]
    assert abs(gap) < 4 * figures["standard error of that mean"]


def test_batch_norm(results: dict) -> None:
    figures = quick(results, "batch-norm")
    assert figures["largest difference on the way back"] < 1e-12
    variance = figures["deviation before"] ** 2
    assert figures["deviation after"] == approx(math.sqrt(variance / (variance + 1e-5)), abs=1e-9)


def test_random_perturbation(results: dict) -> None:
    figures = quick(results, "random-perturbation")
    assert figures["steps of descent, any dimension"] == math.ceil(math.log(10) / -math.log(0.9))
    assert figures["tries a dimension at 200"] == approx(figures["tries a dimension by theory"], rel=0.15)


def test_batch_size(results: dict) -> None:
    figures = quick(results, "batch-size")
    closed = figures["noise of the gradient, batch 32, closed form"]
    assert figures["noise of the gradient, batch 32"] == approx(closed, rel=0.15)
    one, some, every = (figures[f"excess loss over the last epoch, batch {size}"] for size in (1, 32, 512))
    assert some < one < every


def test_schedules(results: dict) -> None:
    figures = quick(results, "schedules")
    assert figures["cosine, half way"] == figures["linear, half way"] == 0.5
    assert figures["1/t, half way"] == approx(1 / 6) and figures["1/sqrt(t), half way"] == approx(1 / math.sqrt(6))
    assert figures["rate for batch 512, from 0.1 at 128"] == 0.4


def test_endless_generator(results: dict) -> None:
    figures = quick(results, "endless-generator")
    assert figures["error on the fifteen points, fixed"] < figures["variance of the noise"]
    assert figures["error above the noise, endless"] < 0.4 * figures["error above the noise, fixed"]


def test_race_and_truth_tables(results: dict) -> None:
    race, table = quick(results, "optimiser-race"), quick(results, "truth-table")
    assert race["adagrad on the ravine, steps"] < 10
    assert race["adagrad on the tilted ravine, distance after 500 steps"] > 0.01
    assert race["momentum on the ravine, steps"] == race["momentum on the tilted ravine, steps"]
    assert table["tables of 3 inputs right in both forms"] == 256 and table["wrong rows of parity, flat and deep"] == 0


@pytest.mark.parametrize(("name", "near"), [("xro", "xor"), ("batch_siz", "batch-size"), ("norm", "batch-norm")])
def test_unknown_names_are_answered_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(GradatimError, match=near):
        catalogue.lesson(name)
    with pytest.raises(GradatimError, match="gradatim lessons"):
        catalogue.lesson("qqqqqq")


def test_python_name_and_saving(tmp_path: Path) -> None:
    result = gd.lesson("Computation Graph", quick=True)
    for ending in ("svg", "png", "pdf"):
        result.save(tmp_path / f"picture.{ending}")
        assert (tmp_path / f"picture.{ending}").stat().st_size > 1000
    assert result._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(GradatimError, match=r"ending in \.svg"):
        result.save(tmp_path / "picture.gif")


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from gradatim.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gradatim", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    listed = json.loads(run("lessons", "--json")[1])
    assert [row["lesson"] for row in listed] == NAMES and all(row["summary"] and row["figure"] for row in listed)
    code, out, _ = run("lesson", "computation-graph", "-o", "graph.svg", "--json")
    shown = json.loads(out)
    assert code == 0 and shown["figures"]["J"] == 33 and Path(shown["picture"]).exists()
    code, _, problem = run("lesson", "computation-graph", "-o", "graph.svg")
    assert code == 2 and "--force" in problem and len(problem.splitlines()) == 1
    code, out, hint = run("lesson", "computation-graph")
    assert code == 0 and "What to notice" in out and "dJ/dc" in out and "-o FILE.svg" in hint
    code, _, problem = run("lesson", "computation-grap")
    assert code == 2 and "computation-graph" in problem and len(problem.splitlines()) == 1
