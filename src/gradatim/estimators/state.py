"""A fitted estimator as JSON and arrays, and back, without pickle.

The JSON names a public class of `gradatim.estimators`, its constructor arguments and its fitted attributes:
those whose names end in an underscore. Arrays are kept apart under the path of the attribute ("coef_",
"arguments/heads/0/coef_") for a safetensors file. Reading builds nothing but those classes, numbers,
strings, lists and arrays; each estimator then checks with `check_state` that its attributes fit together.
"""

import importlib
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator

from gradatim.errors import ArtifactError

PACKAGE = "gradatim.estimators"
ADDRESS = re.compile(r"gradatim\.estimators(\.[a-z][a-z0-9_]*){1,3}\.[A-Z][A-Za-z0-9]*", re.ASCII)
ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9_]*_", re.ASCII)
# Nothing of ours nests deeper; a file that does is refused before it exhausts the stack.
DEEPEST = 12
# An object with one of these keys stands for something that JSON has no word for.
MARKS = ("$array", "$strings", "$sparse", "$tuple", "$number", "$object", "$estimator")


def estimator_to_state(estimator: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The address, arguments and fitted attributes as JSON values, and the arrays (keys are paths).

    Arguments may hold other estimators of ours, alone or in lists and dictionaries. Functions, random
    generators and objects of other packages are refused.

    >>> from gradatim.estimators.linear import Ridge
    >>> value, arrays = estimator_to_state(Ridge(alpha=2.0).fit(np.eye(3), [1.0, 2.0, 3.0]))
    >>> value["address"], value["arguments"]["alpha"], sorted(arrays)
    ('gradatim.estimators.linear.Ridge', 2.0, ['coef_'])
    """
    arrays: dict[str, np.ndarray] = {}
    return _pack_estimator(estimator, "", arrays, 0), arrays


def estimator_from_state(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Rebuild the estimator that `estimator_to_state` took apart; raise ArtifactError where the file is
    damaged.

    Every array must be used once: `arrays` are those of this estimator alone.
    """
    unused = set(arrays)
    estimator = _unpack_estimator(value, arrays, unused, 0)
    if unused:
        raise _refuse("arrays that the JSON names", f"also {sorted(unused)[0]!r}")
    return estimator


def _refuse(expected: str, received: Any) -> ArtifactError:
    text = received if isinstance(received, str) else repr(received)
    return ArtifactError(
        f"estimator: expected {expected}, received {text[:120]}; the file is damaged or foreign, fit again"
    )


def _pack_estimator(estimator: Any, path: str, arrays: dict[str, np.ndarray], depth: int) -> dict[str, Any]:
    kind = type(estimator)
    address = f"{kind.__module__}.{kind.__qualname__}"
    if not isinstance(estimator, BaseEstimator) or not ADDRESS.fullmatch(address):
        raise _refuse(f"an estimator of {PACKAGE}", address)
    arguments = {
        name: _pack(argument, f"{path}arguments/{name}", arrays, depth + 1)
        for name, argument in estimator.get_params(deep=False).items()
    }
    attributes = {
        name: _pack(attribute, f"{path}{name}", arrays, depth + 1)
        for name, attribute in sorted(vars(estimator).items())
        if ATTRIBUTE.fullmatch(name)
    }
    return {"address": address, "arguments": arguments, "attributes": attributes}


def _pack(value: Any, path: str, arrays: dict[str, np.ndarray], depth: int) -> Any:
    """One argument or attribute as a JSON value."""
    if depth > DEEPEST:
        raise _refuse(f"values nested at most {DEEPEST} deep", f"more at {path}")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$number": str(value)}
    if isinstance(value, np.ndarray):
        return _pack_array(value, path, arrays)
    if scipy.sparse.issparse(value):
        compressed = value.tocsr()
        for part in ("data", "indices", "indptr"):
            arrays[f"{path}/{part}"] = getattr(compressed, part)
        return {"$sparse": path, "shape": list(compressed.shape)}
    if isinstance(value, (list, tuple)):
        items = [_pack(item, f"{path}/{place}", arrays, depth + 1) for place, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, dict):
        if not all(isinstance(key, (str, int, float)) for key in value):
            raise _refuse(f"text or numbers as keys in {path}", "other keys")
        # Pairs, not an object: keys may be numbers (class_weight), or look like one of our marks.
        pairs = [
            [_pack(key, "", arrays, depth + 1), _pack(item, f"{path}/{place}", arrays, depth + 1)]
            for place, (key, item) in enumerate(value.items())
        ]
        return {"$object": pairs}
    if isinstance(value, BaseEstimator):
        return {"$estimator": _pack_estimator(value, f"{path}/", arrays, depth)}
    raise _refuse(f"numbers, text, lists, arrays or estimators of ours in {path}", type(value).__name__)


def _pack_array(value: np.ndarray, path: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        arrays[path] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {"$array": path}
    if value.dtype.kind in "UO" and value.ndim == 1 and all(isinstance(item, str) for item in value):
        return {"$strings": value.tolist(), "fixed": value.dtype.kind == "U"}
    raise _refuse(f"an array of numbers or a row of strings in {path}", f"{value.dtype} of shape {value.shape}")


def _unpack_estimator(value: Any, arrays: Mapping[str, np.ndarray], unused: set[str], depth: int) -> Any:
    if not isinstance(value, dict) or set(value) != {"address", "arguments", "attributes"}:
        raise _refuse("an object with address, arguments and attributes", value)
    kind = resolve(value["address"])
    arguments, attributes = value["arguments"], value["attributes"]
    if not isinstance(arguments, dict) or not isinstance(attributes, dict):
        raise _refuse(f"objects as arguments and attributes of {kind.__name__}", type(arguments).__name__)
    foreign = set(arguments) - set(kind().get_params(deep=False))
    if foreign:
        raise _refuse(f"arguments of {kind.__name__}", f"also {sorted(foreign)[0]!r}")
    estimator = kind(**{name: _unpack(item, arrays, unused, depth + 1) for name, item in arguments.items()})
    for name, item in attributes.items():
        if not ATTRIBUTE.fullmatch(name) or hasattr(kind, name):
            raise _refuse("names of fitted attributes (ending in one underscore)", name)
        setattr(estimator, name, _unpack(item, arrays, unused, depth + 1))
    if attributes:
        try:
            estimator.check_state()
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise _refuse(f"attributes of a fitted {kind.__name__} that fit together", str(error)) from None
    return estimator


def resolve(address: Any) -> Any:
    """The public estimator class at an address inside this package, and nothing else."""
    if not isinstance(address, str) or not ADDRESS.fullmatch(address):
        raise _refuse(f"the address of a class in {PACKAGE}", address)
    module_name, _, name = address.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        raise _refuse(f"a module of {PACKAGE}", module_name) from None
    kind = vars(module).get(name)
    if not isinstance(kind, type) or kind.__module__ != module_name or not issubclass(kind, BaseEstimator):
        raise _refuse(f"an estimator defined in {module_name}", name)
    if not hasattr(kind, "check_state"):
        raise _refuse("an estimator that can be saved", name)
    return kind


def _unpack(value: Any, arrays: Mapping[str, np.ndarray], unused: set[str], depth: int) -> Any:
    """The value that `_pack` wrote."""
    if depth > DEEPEST:
        raise _refuse(f"values nested at most {DEEPEST} deep", "more")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_unpack(item, arrays, unused, depth + 1) for item in value]
    mark = next((mark for mark in MARKS if isinstance(value, dict) and mark in value), None)
    if mark is None:
        raise _refuse("a JSON value that an estimator can hold", value)
    content = value[mark]
    if mark == "$estimator":
        return _unpack_estimator(content, arrays, unused, depth)
    if mark == "$array":
        return _array(content, arrays, unused)
    if mark == "$sparse":
        return _sparse(content, value.get("shape"), arrays, unused)
    if mark == "$number":
        if content not in ("nan", "inf", "-inf"):
            raise _refuse("nan, inf or -inf", content)
        return float(content)
    if not isinstance(content, list):
        raise _refuse(f"a list in {mark}", content)
    if mark == "$strings":
        if not all(isinstance(item, str) for item in content):
            raise _refuse("a list of strings", content)
        return np.array(content, dtype=str if value.get("fixed") else object)
    if mark == "$tuple":
        return tuple(_unpack(item, arrays, unused, depth + 1) for item in content)
    if not all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], (str, int, float)) for pair in content
    ):
        raise _refuse("pairs of a key and a value", content)
    return {key: _unpack(item, arrays, unused, depth + 1) for key, item in content}


def _array(path: Any, arrays: Mapping[str, np.ndarray], unused: set[str]) -> np.ndarray:
    if not isinstance(path, str) or path not in arrays:
        raise _refuse("the name of an array in the file", path)
    if path not in unused:
        raise _refuse("every array to be used once", f"{path!r} twice")
    unused.discard(path)
    array = np.asarray(arrays[path])
    if array.dtype.kind not in "biuf":
        raise _refuse(f"numbers in the array {path!r}", str(array.dtype))
    return array


def _sparse(path: Any, shape: Any, arrays: Mapping[str, np.ndarray], unused: set[str]) -> Any:
    data, indices, indptr = (_array(f"{path}/{part}", arrays, unused) for part in ("data", "indices", "indptr"))
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size >= 0 for size in shape)):
        raise _refuse("the two sizes of a sparse matrix", shape)
    # Compiled code walks these without looking, so that a row that ends behind the last entry ends the process.
    fits = (
        data.ndim == indices.ndim == indptr.ndim == 1 and indices.dtype.kind == indptr.dtype.kind == "i"
        and len(indptr) == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == len(indices) == len(data)
        and bool((indptr[1:] >= indptr[:-1]).all())
        and (not len(indices) or (indices.min() >= 0 and indices.max() < shape[1]))
        and (data.dtype.kind != "f" or bool(np.isfinite(data).all()))
    )
    if not fits:
        raise _refuse(f"a sparse matrix of shape {shape} whose indices fit", f"parts of {data.shape}, {indices.shape}")
    return scipy.sparse.csr_matrix((data, indices, indptr), shape=tuple(shape))
