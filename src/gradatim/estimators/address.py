"""An estimator is named by its import path, `gradatim.estimators.svm.SVC`; its last parts suffice where unique.

The list is read off the source text, so naming the estimators imports none of them. An estimator is a public class of a
module of this package that comes down from scikit-learn's BaseEstimator and has a `fit`, its own or inherited from a
class of this package. No registry stands between.
"""

import ast
import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradatim.errors import GradatimError

PACKAGE = "gradatim.estimators"
# What an estimator answers to, by the mixin of scikit-learn among its ancestors; the first that fits.
KINDS = {
    "ClassifierMixin": "classifier",
    "RegressorMixin": "regressor",
    "ClusterMixin": "clusterer",
    "DensityMixin": "density",
    "OutlierMixin": "outlier detector",
    "TransformerMixin": "transformer",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What the source says of an estimator: its kind of answer, and its docstring's first sentence."""

    address: str
    kind: str
    summary: str


@dataclass(frozen=True, slots=True)
class _Class:
    address: str
    bases: tuple[str, ...]
    functions: frozenset[str]
    summary: str


@lru_cache(maxsize=1)
def _entries() -> dict[str, Entry]:
    root = Path(__file__).parent
    classes: dict[str, _Class] = {}
    for file in sorted(root.rglob("*.py")):
        module = ".".join([PACKAGE, *file.relative_to(root).with_suffix("").parts])
        if not file.name.startswith("_"):
            classes.update({found.address: found for found in _classes(module, file.read_text(encoding="utf-8"))})
    found = {}
    for address, one in classes.items():
        ancestors, functions = _family(one, classes)
        if not address.rpartition(".")[2].startswith("_") and "BaseEstimator" in ancestors and "fit" in functions:
            kind = next((kind for mixin, kind in KINDS.items() if mixin in ancestors), "estimator")
            found[address] = Entry(address, kind, one.summary)
    return found


def _classes(module: str, source: str) -> list[_Class]:
    """The classes in a module's source, in the order of the file, with their bases by full or bare name."""
    body = ast.parse(source).body
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    here = {node.name: f"{module}.{node.name}" for node in body if isinstance(node, ast.ClassDef)}
    return [
        _Class(
            here[node.name],
            tuple((here | imported).get(ast.unparse(base), ast.unparse(base)) for base in node.bases),
            frozenset(part.name for part in node.body if isinstance(part, ast.FunctionDef)),
            first_sentence(ast.get_docstring(node) or ""),
        )
        for node in body if isinstance(node, ast.ClassDef)
    ]


def first_sentence(text: str) -> str:
    """The first sentence of a docstring on one line.

    >>> first_sentence("Least squares\\nby hand. More.")
    'Least squares by hand.'
    """
    sentence = " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    return f"{sentence}." if sentence else ""


def _family(one: _Class, classes: dict[str, _Class]) -> tuple[set[str], set[str]]:
    """The last parts of the names of all ancestors, and the functions that those of this package bring along."""
    ancestors, functions = set(), set(one.functions)
    for base in one.bases:
        ancestors.add(base.rpartition(".")[2])
        if base in classes and base != one.address:
            above, more = _family(classes[base], classes)
            ancestors |= above
            functions |= more
    return ancestors, functions


def addresses() -> list[str]:
    """Every estimator by its full address; imports none of them.

    >>> "gradatim.estimators.linear.Ridge" in addresses()
    True
    """
    return list(_entries())


def entries() -> list[Entry]:
    """Address, kind of answer and first sentence of every estimator; imports none of them."""
    return list(_entries().values())


def full_address(address: str) -> str:
    """The full address that a full or shortened one means; errors list the candidates or the nearest names.

    >>> full_address("Ridge"), full_address("linear.Ridge")
    ('gradatim.estimators.linear.Ridge', 'gradatim.estimators.linear.Ridge')
    """
    known = _entries()
    if not isinstance(address, str) or not address or len(address) > 300:
        raise GradatimError(f"expected an estimator's address, such as linear.Ridge, received {address!r:.80}")
    if address in known:
        return address
    parts = address.split(".")
    matches = [full for full in known if full.split(".")[-len(parts):] == parts]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise GradatimError(f"'{address}' is ambiguous: {', '.join(matches)}; write more of the address")
    short = {full.rpartition(".")[2]: full.removeprefix(f"{PACKAGE}.") for full in known}
    folded = {name.lower(): name for name in short}
    near = difflib.get_close_matches(parts[-1].lower(), folded, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(short[folded[name]] for name in near)}?" if near else (
        "`gradatim estimators` lists them"
    )
    raise GradatimError(f"'{address:.120}': expected an estimator of {PACKAGE}, found none; {advice}")


def resolve(address: str) -> Any:
    """The estimator's class at a full or shortened address; nothing that the list of addresses does not hold.

    >>> resolve("Ridge")(alpha=2.0)
    Ridge(alpha=2.0)
    """
    from importlib import import_module

    full = full_address(address)
    module_name, _, name = full.rpartition(".")
    kind = vars(import_module(module_name)).get(name)
    if not isinstance(kind, type) or kind.__module__ != module_name or kind.__qualname__ != name:
        raise GradatimError(f"'{full}': expected a class defined in {module_name}, found {type(kind).__name__}")
    return kind
