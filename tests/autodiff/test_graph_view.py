"""The graph to look at: recorded frames of the golden examples, local derivatives against PyTorch, sound pictures."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradatim as gd
from gradatim.autodiff.drawing.scene import DARK, LIGHT, Box, Words, text_width
from gradatim.autodiff.engine.activations import relu, tanh
from gradatim.autodiff.engine.functions import exp, maximum, softmax
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.autodiff.graph.expression import evaluate
from gradatim.autodiff.graph.graph import Graph, graph
from gradatim.errors import GradatimError

FRAMES = Path(__file__).parent / "frames"
SVG = "{http://www.w3.org/2000/svg}"


def variable(value, name=None) -> Tensor:
    return Tensor(value, requires_gradient=True, name=name)


def golden_network() -> Tensor:
    """Two inputs, two hidden ReLU units, one output, squared error."""
    x1, x2, target = (Tensor(value, name=name) for name, value in [("x1", 2.0), ("x2", 1.0), ("t", 5.0)])
    w1, w2, w3, w4, w5, w6 = (variable(float(v), f"w{i}") for i, v in enumerate((0, 2, -4, -1, -2, 0), 1))
    b1, b2, b3 = (variable(float(v), f"b{i}") for i, v in enumerate((3, 1, 6), 1))
    o1 = w1 * x1 + w2 * x2 + b1
    o2 = w3 * x1 + w4 * x2 + b2
    o3, o4 = relu(o1), relu(o2)
    o5 = w5 * o3 + w6 * o4 + b3
    loss = (o5 - target) ** 2
    for tensor, name in [(o1, "o1"), (o2, "o2"), (o3, "o3"), (o4, "o4"), (o5, "o5"), (loss, "L")]:
        tensor.name = name
    return loss


GOLDEN = {
    "linear": lambda: evaluate("3*(a + b*c)", {"a": 5, "b": 3, "c": 2}),
    "product": lambda: evaluate("q = x + y; f = q*z", {"x": -2, "y": 5, "z": -4}),
    "network": golden_network,
}


def by_name(seen: Graph) -> dict[str, tuple[float, float | None]]:
    return {n.name: (float(n.value), None if n.gradient is None else float(n.gradient)) for n in seen.nodes if n.name}


@pytest.mark.parametrize("name", GOLDEN)
def test_frames_are_those_recorded(name):
    """Recorded by `gradatim graph FORMULA … --json --frames`, looked at, and kept."""
    frames = [{key: value for key, value in frame.items() if key != "svg"}
              for frame in gd.graph(GOLDEN[name]()).frames(svg=False)]
    recorded = json.loads((FRAMES / f"{name}.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(frames)) == recorded


def test_golden_numbers():
    assert by_name(graph(GOLDEN["linear"]())) == {"a": (5, 3), "b": (3, 6), "c": (2, 9)}
    product = by_name(graph(GOLDEN["product"]()))
    assert product == {"x": (-2, -4), "y": (5, -4), "z": (-4, 3), "q": (3, -4), "f": (-12, 1)}
    seen = by_name(graph(golden_network()))
    values = {"o1": 5, "o2": -8, "o3": 5, "o4": 0, "o5": -4, "L": 81}
    gradients = {"o5": -18, "w5": -90, "o3": 36, "o1": 36, "w1": 72, "w2": 36, "b1": 36, "b3": -18, "w3": 0, "w4": 0,
                 "w6": 0, "b2": 0, "L": 1}
    assert {name: seen[name][0] for name in values} == values
    assert {name: seen[name][1] for name in gradients} == gradients
    assert seen["x1"][1] is None


def test_the_table_reads_as_expected():
    lines = graph(GOLDEN["product"]()).table().splitlines()
    assert [line.split() for line in lines[1:3]] == [["1", "x", "-2", "-4"], ["2", "y", "5", "-4"]]
    assert lines[5].split("  ")[-1].strip() == "1" and "∂/∂q = -4, ∂/∂z = 3" in lines[5]


def test_tensors_are_left_as_they_are():
    a = variable(2.0, "a")
    loss = a * a
    before = graph(loss)
    assert a.gradient is None
    loss.backward()
    after = graph(loss)  # once more, although the engine refuses a second backward pass
    assert float(a.gradient) == 4.0 == float(before.nodes[0].gradient) == float(after.nodes[0].gradient)
    a.value = 100.0
    assert float(graph(loss).nodes[0].value) == 2.0  # what the forward pass saw


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: Tensor(3.0), "requires_gradient"), (lambda: variable([1.0, 2.0]) * 2, "sum or mean"),
     (lambda: torch.ones(1), "gradatim.trace")],
)
def test_what_has_no_graph_is_refused_in_one_line(make, says):
    with pytest.raises(GradatimError, match=says) as caught:
        graph(make())
    assert "\n" not in str(caught.value)


def test_local_derivatives_equal_the_jacobians_of_pytorch():
    x = np.random.default_rng(0).normal(size=(2, 3))
    w = np.random.default_rng(1).normal(size=(3, 2))
    tensor, weight = variable(x, "x"), variable(w, "w")
    hidden = tensor @ weight
    chosen = softmax(tanh(hidden))
    seen = graph((chosen * chosen).sum())
    edges = {(seen.nodes[e.source - 1].label, seen.nodes[e.target - 1].operation): e for e in seen.edges}
    tx, tw = torch.tensor(x), torch.tensor(w)
    for edge, jacobian in [
        (edges["x", "@"], torch.autograd.functional.jacobian(lambda t: t @ tw, tx)),
        (edges["w", "@"], torch.autograd.functional.jacobian(lambda t: tx @ t, tw)),
        (next(e for e in seen.edges if seen.nodes[e.target - 1].operation == "softmax"),
         torch.autograd.functional.jacobian(lambda t: t.softmax(-1), (tx @ tw).tanh())),
    ]:
        assert edge.kind == "jacobian"
        np.testing.assert_allclose(edge.local, jacobian.reshape(edge.local.shape).numpy(), rtol=1e-9, atol=1e-12)
    elementwise = next(e for e in seen.edges if seen.nodes[e.target - 1].operation == "tanh")
    assert elementwise.kind == "elementwise"
    np.testing.assert_allclose(elementwise.local, 1 - np.tanh(x @ w) ** 2, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=25),
       st.integers(1, 4))
def test_any_graph_agrees_with_backward_and_its_edges_add_up(steps, size):
    tensors = [variable(np.linspace(-1, 1, size) + 0.1 * i, f"x{i}") for i in range(3)]
    for first, second, kind in steps:
        a, b = tensors[first % len(tensors)], tensors[second % len(tensors)]
        tensors.append((a + b, a * b * 0.1, tanh(a), maximum(a, b), exp(-(a**2)), a - b / 7)[kind])
    loss = (tensors[-1] + 0.0 * tensors[0]).sum()
    seen = graph(loss)
    loss.backward()
    for node in seen.nodes:
        if node.name:
            leaf = tensors[int(node.name[1:])]
            np.testing.assert_allclose(node.gradient, leaf.gradient, rtol=1e-9, atol=1e-12)
        handed = [edge.passed for edge in seen.edges if edge.source == node.number and edge.passed is not None]
        if handed:
            np.testing.assert_allclose(np.sum(handed, axis=0), node.gradient, rtol=1e-9, atol=1e-12)
    for edge in seen.edges:
        upstream = seen.nodes[edge.target - 1].gradient
        if edge.kind in ("elementwise", "number") and edge.passed is not None:
            np.testing.assert_allclose(edge.local * upstream, edge.passed, rtol=1e-9, atol=1e-12)
        if edge.kind == "jacobian":
            np.testing.assert_allclose(upstream.ravel() @ edge.local, edge.passed.ravel(), rtol=1e-9, atol=1e-12)


def test_large_arrays_are_shown_by_shape_and_norm():
    weight = variable(np.full((30, 40), 0.5), "W")
    seen = graph((weight @ np.ones((40, 20))).sum())
    assert "30×40, norm 17.32" in seen.table() and "Jacobian" in seen.table()
    entry = seen.to_json()["nodes"][0]
    assert entry["value"]["values"] is None and entry["value"]["norm"] == pytest.approx(0.5 * 1200**0.5)
    assert [edge["kind"] for edge in seen.to_json()["edges"]] == ["operator", "constant", "gradient"]
    json.dumps(seen.to_json())


def test_every_frame_shows_what_is_known_by_then():
    frames = graph(GOLDEN["linear"]()).frames()
    texts = [[element.text for element in ElementTree.fromstring(frame["svg"]).iter(f"{SVG}text")] for frame in frames]
    assert [sum(text.startswith("→ ") and "value" not in text for text in shown) for shown in texts] == [
        3, 4, 5, 6, 6, 6, 6, 6, 6]
    assert [sum(text.startswith("← ") and "gradient" not in text for text in shown) for shown in texts] == [
        0, 0, 0, 0, 1, 2, 4, 6, 6]
    assert [frame["phase"] for frame in frames] == ["forward"] * 4 + ["backward"] * 5
    assert "b gets 3·2 = 6; c gets 3·3 = 9" in frames[7]["sentence"]


def test_a_second_use_is_seen_to_add_up():
    frames = graph(evaluate("x*x + x", {"x": 3})).frames(svg=False)
    totals = [frame["gradients"].get(1, {}).get("values") for frame in frames]
    assert totals[-1] == 7.0 and 1.0 in totals
    assert any("more, 7 in all" in frame["sentence"] for frame in frames)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("direction", ["right", "down"])
def test_pictures_are_well_formed_and_nothing_overlaps(name, direction):
    scene = graph(GOLDEN[name]()).scene(direction=direction)
    ElementTree.fromstring(scene.svg())
    cards = [shape for shape in scene.visible() if isinstance(shape, Box)]
    for i, one in enumerate(cards):
        assert one.x >= 0 and one.y >= 0
        assert one.x + one.width <= scene.width and one.y + one.height <= scene.height
        for two in cards[:i]:
            apart = (one.x + one.width <= two.x or two.x + two.width <= one.x
                     or one.y + one.height <= two.y or two.y + two.height <= one.y)
            assert apart, f"{one} on {two}"
    for words in scene.visible():
        if isinstance(words, Words) and words.anchor == "start":
            assert words.x + text_width(words.text, words.size, bold=words.bold) <= scene.width + 1


def test_strange_names_cannot_leave_their_place():
    name = "</text><script>alert(1)</script>&\x00\x1b[31m"
    picture = graph(variable(2.0, name) * 3.0)
    for text in (picture.svg(), picture.animation()):
        root = ElementTree.fromstring(text)
        assert not list(root.iter(f"{SVG}script")) and "\x1b" not in text
    page = picture.html()
    assert page.count("<script>") == 1 and "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_moving_picture_and_the_page_hold_all_frames():
    seen = graph(GOLDEN["linear"]())
    moving = ElementTree.fromstring(seen.animation(seconds_per_step=1.0))
    animations = list(moving.iter(f"{SVG}animate"))
    assert animations and all(a.get("dur") == "11s" and a.get("repeatCount") == "indefinite" for a in animations)
    for animation in animations:
        times = [float(time) for time in animation.get("keyTimes").split(";")]
        assert times[0] == 0.0 and times == sorted(times) and len(times) == len(animation.get("values").split(";"))
    page = seen.html()
    assert 'max="8"' in page and page.count("data-since=") >= 20 and "default-src 'none'" in page
    assert seen.png().startswith(b"\x89PNG")


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent", "second", "bad"])
def test_text_has_the_contrast_that_wcag_asks_for(palette, ground, ink):
    light, dark = sorted((luminance(palette[ground]), luminance(palette[ink])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_too_large_a_graph_says_what_to_do():
    total = variable(1.0, "x")
    for _ in range(410):
        total = total * 1.01
    seen = graph(total)
    assert len(seen.table().splitlines()) == len(seen.nodes) + 1
    with pytest.raises(GradatimError, match="at most 400 nodes"):
        seen.svg()
    with pytest.raises(GradatimError, match="at most 200 nodes"):
        seen.frames()
