"""`gradatim estimators`: the list without heavy imports, one estimator shown, mistakes in one line."""

import json
import subprocess
import sys

import pytest
from sklearn.base import BaseEstimator

from gradatim.cli.estimators import estimators
from gradatim.errors import GradatimError
from gradatim.estimators.address import addresses, full_address, resolve


def test_the_list_names_every_estimator_and_imports_none():
    code = (
        "import sys; from gradatim.cli.estimators import estimators; estimators(); "
        "assert not {'torch', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for address in addresses():
        assert address.removeprefix("gradatim.estimators.") in printed


def test_the_list_as_json(capsys):
    estimators(json=True)
    entries = json.loads(capsys.readouterr().out)
    assert [entry["address"] for entry in entries] == addresses()
    assert all(entry["summary"] and entry["kind"] for entry in entries)
    assert {"classifier", "regressor", "transformer"} <= {entry["kind"] for entry in entries}


def test_one_estimator(capsys):
    estimators("linear.Ridge", json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["address"] == "gradatim.estimators.linear.Ridge" and shown["kind"] == "regressor"
    assert {"name": "alpha", "default": "1.0"} in shown["parameters"]
    assert {"fit", "predict", "score"} <= {method["name"] for method in shown["methods"]}
    estimators("Ridge")
    printed = capsys.readouterr().out
    assert "fit_intercept" in printed and "Hoerl" in printed and ":ref:" not in printed


def test_every_address_leads_to_an_estimator_class():
    for address in addresses():
        kind = resolve(address)
        assert issubclass(kind, BaseEstimator) and callable(kind.fit)
        assert f"{kind.__module__}.{kind.__qualname__}" == address
        assert full_address(".".join(address.split(".")[-2:])) == address


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ridge", "did you mean linear.Ridge"),
        ("nothing.of.the.kind", "`gradatim estimators` lists them"),
        ("", "expected an estimator's address"),
        ("BaseEstimator", "found none"),
        ("os.system", "found none"),
        ("gradatim.estimators.trees._BoostedTrees", "found none"),
        ("gradatim.estimators.linear.np", "found none"),
    ],
)
def test_mistakes_are_one_line(address, says):
    with pytest.raises(GradatimError, match="expected") as error:
        resolve(address)
    assert says in str(error.value) and "\n" not in str(error.value)
