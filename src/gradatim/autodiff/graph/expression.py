"""From a formula typed by hand to a graph: `3*(a + b*c)` with a=5 b=3 c=2. Nothing but arithmetic is ever run.

The text is parsed by Python's own grammar and walked node by node; whatever is not a number, a name that was given, one
of the signs + - * / **, or one of the functions below is refused. Sizes are bounded before anything is computed.
"""

import ast
import difflib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gradatim.autodiff.engine import activations, functions
from gradatim.autodiff.engine.tensor import Tensor
from gradatim.errors import GradatimError

LONGEST_TEXT, MOST_PARTS, LARGEST_POWER, MOST_NUMBERS, DEEPEST = 1000, 200, 100.0, 64, 60
CONSTANTS = {"pi": math.pi, "e": math.e}
# name → function, and how many arguments it takes
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "exp": (functions.exp, 1), "log": (functions.log, 1), "ln": (functions.log, 1), "sqrt": (functions.sqrt, 1),
    "sin": (functions.sin, 1), "cos": (functions.cos, 1), "abs": (functions.absolute, 1),
    "tanh": (activations.tanh, 1), "sigmoid": (activations.sigmoid, 1), "relu": (activations.relu, 1),
    "softplus": (activations.softplus, 1), "max": (functions.maximum, 2), "min": (functions.minimum, 2),
    "maximum": (functions.maximum, 2), "minimum": (functions.minimum, 2),
    "sum": (lambda x: x.sum(), 1), "mean": (lambda x: x.mean(), 1),
}
_SIGNS: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b, ast.Pow: lambda a, b: a**b,
}


def evaluate(text: str, values: Mapping[str, float | Sequence[float]]) -> Tensor:
    """The result of a formula as a tensor that remembers its graph.

    text: one formula, or several parted by `;`, each with a name as in "q = x + y; f = q*z"; the last is the result.
    values: name → number, or a list of at most 64. Raises GradatimError for anything else than arithmetic, for a name
    without a value, and where a number is not finite.

    >>> evaluate("f = (x + y)*z", {"x": -2, "y": 5, "z": -4}).item()
    -12.0
    """
    names: dict[str, Tensor] = {}
    for name, value in values.items():
        names[name] = _given(name, value)
    statements = _parsed(text)
    used: set[str] = set()
    result = None
    for statement in statements:
        title, body = _named(statement)
        with np.errstate(all="ignore"):
            result = _walk(body, names, used, 0)
        if title is not None:
            if title in names:
                raise GradatimError(f"'{title}': expected a new name, received one that has a value")
            if result.parents:  # naming an input again would rename it
                result.name = title
            names[title] = result
    assert result is not None
    unused = sorted(set(values) - used)
    if unused:
        raise GradatimError(f"'{unused[0]}': expected a name in the formula, found none; mend it or leave it out")
    if result.value.size != 1:
        raise GradatimError(f"expected a formula with one number as its result, received {result.value.size}; "
                            "put sum(…) or mean(…) around it")
    if not result.requires_gradient:
        raise GradatimError(f"'{text:.60}': expected at least one variable, such as a in 3*a with a=5, received none")
    return result


def parse_value(name: str, text: str) -> float | list[float]:
    """A number, or numbers parted by commas.

    >>> parse_value("x", "1,2.5")
    [1.0, 2.5]
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise GradatimError(f"{name}={text:.40}: expected a number, or numbers parted by commas") from None
    if not all(map(math.isfinite, numbers)):
        raise GradatimError(f"{name}={text:.40}: expected finite numbers")
    return numbers if "," in text else numbers[0]


def _given(name: str, value: float | Sequence[float]) -> Tensor:
    if not name.isidentifier() or name.startswith("__"):
        raise GradatimError(f"'{name:.40}': expected a name of letters, digits and _, such as a or w1")
    array = np.asarray(value, dtype=np.float64)
    if array.size > MOST_NUMBERS or array.ndim > 1:
        raise GradatimError(f"{name}: expected a number or at most {MOST_NUMBERS} of them, received {array.size}")
    return Tensor(array, requires_gradient=True, name=name)


def _parsed(text: str) -> list[ast.stmt]:
    if len(text) > LONGEST_TEXT:
        raise GradatimError(f"expected a formula of at most {LONGEST_TEXT} characters, received {len(text)}")
    if "^" in text:
        raise GradatimError("'^': write ** for powers, as in x**2")
    if "\n" in text or "\r" in text:
        raise GradatimError("expected a formula on one line; part several by ;")
    try:
        body = ast.parse(text.strip(), mode="exec").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "too deeply nested"
        raise GradatimError(f"'{text:.60}': expected a formula such as 3*(a + b*c), received one that cannot be read "
                            f"({reason})") from None
    if not body:
        raise GradatimError("expected a formula such as 3*(a + b*c), received nothing")
    count = sum(1 for statement in body for _ in ast.walk(statement))
    if count > 4 * MOST_PARTS:
        raise GradatimError(f"expected a formula of at most {MOST_PARTS} numbers, names and signs, received more")
    return body


def _named(statement: ast.stmt) -> tuple[str | None, ast.expr]:
    if isinstance(statement, ast.Expr):
        return None, statement.value
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    raise GradatimError(f"'{ast.unparse(statement):.60}': expected a formula, or a name = a formula")


def _walk(part: ast.expr, names: Mapping[str, Tensor], used: set[str], depth: int) -> Tensor:
    """The tensor of one part of the formula; every branch ends in a check that the number is finite."""
    if depth > DEEPEST:
        raise GradatimError(f"expected a formula nested at most {DEEPEST} deep, received a deeper one")
    if isinstance(part, ast.Constant):
        return _constant(part)
    if isinstance(part, ast.Name):
        return _name(part.id, names, used)
    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.UAdd | ast.USub):
        inner = _walk(part.operand, names, used, depth + 1)
        if isinstance(part.op, ast.UAdd):
            return inner
        return Tensor(-inner.value) if isinstance(part.operand, ast.Constant) else -inner
    if isinstance(part, ast.BinOp) and type(part.op) in _SIGNS:
        left = _walk(part.left, names, used, depth + 1)
        right = _walk(part.right, names, used, depth + 1)
        if isinstance(part.op, ast.Pow) and np.abs(right.value).max() > LARGEST_POWER:
            raise GradatimError(f"'{ast.unparse(part):.60}': expected a power of at most {LARGEST_POWER:.0f}")
        return _finite(_SIGNS[type(part.op)](left, right), part)
    if isinstance(part, ast.Call):
        return _finite(_call(part, names, used, depth), part)
    raise GradatimError(f"'{ast.unparse(part):.60}': expected numbers, names, + - * / ** and functions such as exp, "
                        f"received {type(part).__name__}")


def _constant(part: ast.Constant) -> Tensor:
    if isinstance(part.value, bool) or not isinstance(part.value, int | float):
        raise GradatimError(f"'{part.value!s:.40}': expected a number")
    try:
        return _finite(Tensor(float(part.value)), part)
    except OverflowError:
        raise GradatimError("expected numbers below 1e308, received a larger one") from None


def _name(name: str, names: Mapping[str, Tensor], used: set[str]) -> Tensor:
    if name in names:
        used.add(name)
        return names[name]
    if name in CONSTANTS:
        return Tensor(CONSTANTS[name], name=name)
    if name in FUNCTIONS:
        raise GradatimError(f"'{name}': a function needs brackets, as in {name}(x)")
    raise GradatimError(f"'{name:.40}': expected a value for it, as in {name:.40}=2, received none")


def _call(part: ast.Call, names: Mapping[str, Tensor], used: set[str], depth: int) -> Tensor:
    if not isinstance(part.func, ast.Name) or part.keywords:
        raise GradatimError(f"'{ast.unparse(part):.60}': expected a function by its name, such as exp(x)")
    name = part.func.id
    if name not in FUNCTIONS:
        near = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}"
        raise GradatimError(f"'{name:.40}': expected a function that is known; {advice}")
    function, wanted = FUNCTIONS[name]
    if len(part.args) != wanted:
        raise GradatimError(f"{name}: expected {wanted} argument{'s' if wanted > 1 else ''}, received {len(part.args)}")
    return function(*(_walk(argument, names, used, depth + 1) for argument in part.args))


def _finite(result: Tensor, part: ast.expr) -> Tensor:
    if not np.isfinite(result.value).all():
        raise GradatimError(f"'{ast.unparse(part):.60}': expected a finite number, received {result.value.flat[0]}; "
                            "it is too large, or not defined there")
    return result
