"""`gradatim estimators`: list the classical estimators; show one with its parameters and methods."""

import inspect
import re
from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import print_json, show_table

# The methods of scikit-learn's API that answer, in the order in which one meets them.
ANSWERS = (
    "fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "inverse_transform", "fit_predict", "fit_transform", "kneighbors", "sample", "score", "score_samples",
    "set_callbacks",
)  # fmt: skip


def estimators(address: str | None = None, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the classical estimators, or show one: its objective, parameters with defaults, and methods.

    Parameters
    ----------
    address
        An estimator's import path; its last parts suffice where they are unique, as svm.SVC or SVC.
    json
        Print JSON.
    """
    if address is None:
        list_all(json)
        return
    shown = describe(address)
    if json:
        print_json(shown)
        return
    print(f"{shown['address']}, {shown['kind']}\n\n{shown['documentation']}\n\n{shown['idea']}\n")
    show_table("Parameters", ("parameter", "default"), [(p["name"], p["default"]) for p in shown["parameters"]])
    show_table("Methods", ("method", "what it does"), [(m["name"], m["summary"]) for m in shown["methods"]])


def list_all(json: bool) -> None:
    """Every address with its kind and first sentence, read from the source: no estimator is imported."""
    from gradatim.estimators.address import PACKAGE, entries

    found = [{"address": one.address, "kind": one.kind, "summary": one.summary} for one in entries()]
    if json:
        print_json(found)
        return
    for kind in dict.fromkeys(entry["kind"] for entry in found):
        rows = [
            (entry["address"].removeprefix(f"{PACKAGE}."), entry["summary"])
            for entry in found if entry["kind"] == kind
        ]
        show_table(kind, ("address", "what it is"), rows)


def describe(address: str) -> dict[str, Any]:
    """What is shown of one estimator, as a JSON object."""
    from gradatim.estimators.address import entries, first_sentence, full_address, resolve

    def method_line(method: Any) -> str:
        # scikit-learn's own docstrings hold references for its web pages.
        return re.sub(r":\w+:`([^<`]+?)( <[^`]*)?`", r"\1", first_sentence(inspect.getdoc(method) or ""))

    full = full_address(address)
    kind = resolve(full)
    entry = next(one for one in entries() if one.address == full)
    parameters = [
        {"name": name, "default": repr(parameter.default)}
        for name, parameter in inspect.signature(kind).parameters.items()
    ]
    return {
        "address": full,
        "kind": entry.kind,
        "summary": entry.summary,
        "documentation": inspect.getdoc(kind) or "",
        "idea": inspect.getdoc(inspect.getmodule(kind)) or "",
        "parameters": parameters,
        "methods": [
            {"name": name, "summary": method_line(getattr(kind, name))} for name in ANSWERS if hasattr(kind, name)
        ],
    }
