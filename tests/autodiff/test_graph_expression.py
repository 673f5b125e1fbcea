"""Formulas typed by hand: equal to Python's own arithmetic, and nothing but arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradatim.autodiff.graph.expression import FUNCTIONS, LONGEST_TEXT, evaluate, parse_value
from gradatim.autodiff.graph.graph import graph
from gradatim.errors import GradatimError

VALUES = {"a": 1.3, "b": -0.7, "c": 2.1}
LEAVES = st.sampled_from(["a", "b", "c", "2", "0.5", "3"])
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda p: f"-{p}"), inner.map(lambda p: f"({p})**2"),
        st.tuples(st.sampled_from(["exp", "sin", "cos", "tanh", "abs"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
    ),
    max_leaves=12,
)
PYTHON = {"exp": math.exp, "sin": math.sin, "cos": math.cos, "tanh": math.tanh, "abs": abs, "max": max, "min": min}


def by_python(formula: str, values: dict[str, float]) -> float:
    return eval(formula, {"__builtins__": {}}, {**PYTHON, **values})


@settings(max_examples=80, deadline=None)
@given(FORMULAS)
def test_values_and_gradients_are_those_of_python_and_of_differences(formula):
    used = {name: VALUES[name] for name in VALUES if name in formula.replace("max", "").replace("tanh", "")
            .replace("abs", "").replace("cos", "")}
    assume(used)
    try:
        expected = by_python(formula, VALUES)
        assume(abs(expected) < 1e6)
    except (ZeroDivisionError, OverflowError):
        assume(False)
    try:
        result = evaluate(formula, used)
    except GradatimError as error:
        assume("power" not in str(error))
        raise
    assert result.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    seen = graph(result)
    for node in seen.nodes:
        if node.name:
            step = 1e-6
            above = by_python(formula, {**VALUES, node.name: VALUES[node.name] + step})
            below = by_python(formula, {**VALUES, node.name: VALUES[node.name] - step})
            scale = max(1.0, abs(expected), abs(float(node.gradient)))
            if abs(above + below - 2 * expected) < 1e-8 * scale:  # no kink within the step
                assert float(node.gradient) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-4 * scale)


@pytest.mark.parametrize("formula", [
    "3*(a + b*c)", "a - (b - c)", "a/(b*c)", "-(a + b)", "(a**b)**c", "a**b**c", "-a**2", "(-a)**2", "a - b + c",
    "a*(b/c)", "2**-a", "(a + b)**2/c", "exp(-(a + b))",
])
def test_labels_mean_what_was_typed(formula):
    """The label of the result, read back as a formula, has the same value."""
    values = {name: value for name, value in {"a": 1.5, "b": 2.5, "c": 3.5}.items() if name in formula}
    result = evaluate(formula, values)
    label = graph(result).nodes[-1].formula
    raised = str.maketrans({"·": "*", "−": "-", "^": "**"})
    back = label.translate(raised)
    for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹"):
        back = back.replace(mark, f"**{digit}")
    assert "#" not in back
    assert by_python(back, values) == pytest.approx(result.item())


def test_names_between_functions_and_lists():
    seen = graph(evaluate("error = w*x - y; mean(error**2)", {"w": 0.5, "x": [1, 2, 3], "y": [2, 4, 6]}))
    slope = next(node.gradient for node in seen.nodes if node.name == "w")
    x = np.array([1.0, 2, 3])
    assert float(slope) == pytest.approx((2 * (0.5 * x - 2 * x) * x).mean())
    for name, (_, wanted) in FUNCTIONS.items():
        values = dict(zip("ab"[:wanted], (0.4, 0.9)))
        assert math.isfinite(evaluate(f"{name}({', '.join(values)})", values).item())
    assert evaluate("pi*r**2", {"r": 2}).item() == pytest.approx(4 * math.pi)
    assert parse_value("x", "1e-3") == 1e-3 and parse_value("x", "1,2") == [1.0, 2.0]


@pytest.mark.parametrize(("formula", "says"), [
    ("__import__('os').system('true')", "by its name"), ("__import__('os')", "function that is known"),
    ("a.real", "Attribute"), ("a[0]", "Subscript"), ("[a, a]", "List"), ("'x'*9", "number"), ("1j*a", "number"),
    ("True*a", "number"), ("None", "number"), ("a if a else 1", "IfExp"), ("a and a", "BoolOp"), ("a < 1", "Compare"),
    ("lambda: a", "Lambda"), ("(lambda: a)()", "by its name"), ("f'{a}'", "JoinedStr"), ("[x for x in a]", "ListComp"),
    ("(a := 3)", "NamedExpr"), ("a % 2", "BinOp"), ("a // 2", "BinOp"), ("a @ a", "BinOp"), ("a << 9", "BinOp"),
    ("~a", "UnaryOp"), ("not a", "UnaryOp"), ("exp(*a)", "Starred"), ("exp(x=a)", "by its name"), ("del a", "del a"),
    ("import os", "import os"), ("a = 3", "new name"), ("b, c = a", "name = "), ("a += 1", "name = "),
    ("10**10**10*a", "power of at most"), ("9**99999*a", "power of at most"), ("a**-101", "power of at most"),
    ("1e999*a", "finite"), ("1" + "0" * 400 + "*a", "1e308"), ("exp(1000*a)", "finite"), ("log(-a)", "finite"),
    ("a/0", "finite"), ("(0-a)**0.5", "finite"), ("a + b", "value for it, as in b=2"), ("tan(a)", "did you mean tanh"),
    ("frobnicate(a)", "there are exp"), ("exp", "brackets"), ("max(a)", "2 arguments"), ("exp(a, a)", "1 argument"),
    ("a^2", r"\*\*"), ("3", "in the formula"), ("", "received nothing"), ("((a", "cannot be read"),
    ("(" * 150 + "a", "cannot be read"), ("a\nb", "one line"), ("a" * (LONGEST_TEXT + 1), "at most 1000"),
    ("+".join(["a"] * 300), "at most 200"), ("-" * 120 + "a", "deep"), ("x\x00y", "cannot be read"),
])  # fmt: skip
def test_anything_else_is_refused_in_one_line(formula, says):
    with pytest.raises(GradatimError, match=says) as caught:
        evaluate(formula, {"a": 1.0})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(("values", "says"), [
    ({"a": [1.0] * 65}, "at most 64"), ({"__class__": 1.0}, "letters"), ({"a b": 1.0}, "letters"),
    ({"a": [1.0, 2.0]}, "sum"), ({"a": 1.0, "b": 2.0}, "'b'"),
])
def test_values_are_checked_too(values, says):
    with pytest.raises(GradatimError, match=says):
        evaluate("a*2", values)


@pytest.mark.parametrize("text", ["", "x", "1,", "nan", "1;2", "inf"])
def test_values_are_finite_numbers(text):
    with pytest.raises(GradatimError, match="a="):
        parse_value("a", text)
