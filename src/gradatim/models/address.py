"""A network is named by its import path: `gradatim.models.vision.resnet.resnet18`. No registry stands between.

A builder is a public top-level function of a module under `models`, annotated to return a class that the same module
defines (`demo` apart). The list is read off the source text, so naming the zoo costs no import of torch; and only what
is on that list can be built from a file, so a damaged or hostile artefact cannot name any other function.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gradatim.errors import ArtifactError, DataError, GradatimError

if TYPE_CHECKING:
    import torch
    from torch import nn

OWN = "gradatim"
ZOO = f"{OWN}.models"
_allowed: ContextVar[tuple[str, ...]] = ContextVar("allowed_packages", default=(OWN,))


@lru_cache(maxsize=1)
def _zoo() -> dict[str, str]:
    """Address → first line of the builder's docstring."""
    root = Path(__file__).parent
    found = {}
    for file in sorted(root.rglob("*.py")):
        if file.name.startswith("_") or file.parent == root:
            continue
        module = ".".join([ZOO, *file.relative_to(root).with_suffix("").parts])
        for name, line in _builders(file.read_text(encoding="utf-8")).items():
            found[f"{module}.{name}"] = line
    return found


def _builders(source: str) -> dict[str, str]:
    """The builders in a module's source, in the order of the file: name → first line of the docstring."""
    body = ast.parse(source).body
    classes = {node.name for node in body if isinstance(node, ast.ClassDef)}
    return {
        node.name: (ast.get_docstring(node) or "").partition("\n")[0]
        for node in body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name != "demo"
        and _returned(node) in classes
    }


def _returned(node: ast.FunctionDef) -> str | None:
    if isinstance(node.returns, ast.Name):
        return node.returns.id
    if isinstance(node.returns, ast.Constant) and isinstance(node.returns.value, str):
        return node.returns.value
    return None


def addresses() -> list[str]:
    """Every builder of the zoo by its full address, in the order of families and files; imports no torch.

    >>> "gradatim.models.vision.resnet.resnet18" in addresses()
    True
    """
    return list(_zoo())


def summaries() -> dict[str, str]:
    """Address → what it is, in one line; imports no torch."""
    return dict(_zoo())


def full_address(address: str, *, packages: Sequence[str] | None = None) -> str:
    """The full address that a full or shortened one means.

    The last parts suffice where they are unique. Errors: an ambiguous one lists the candidates, an unknown one the
    nearest names, one of a package outside `packages` is refused (None: ours alone, or what the enclosing `build`
    allows).

    >>> full_address("resnet18")
    'gradatim.models.vision.resnet.resnet18'
    """
    if not isinstance(address, str) or not address or len(address) > 300:
        raise GradatimError(f"expected a network's address, such as vision.resnet.resnet18, received {address!r:.80}")
    parts = address.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        raise GradatimError(
            f"'{address:.80}': expected names joined by dots, such as vision.resnet.resnet18; "
            "private names, paths and empty parts are refused"
        )
    if address in _zoo():
        return address
    for package in _allowed.get() if packages is None else packages:
        if package != OWN and address.startswith(f"{package}."):
            return address
    matches = [known for known in _zoo() if known.split(".")[-len(parts):] == parts]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise GradatimError(f"'{address}' is ambiguous: {', '.join(matches)}; write more of the address")
    raise GradatimError(_unknown(address))


def _unknown(address: str) -> str:
    last = address.rsplit(".", 1)[-1]
    short = {known.rsplit(".", 1)[-1]: known for known in _zoo()}
    near = [short[name] for name in difflib.get_close_matches(last, short, n=3, cutoff=0.5)]
    advice = f"did you mean {' or '.join(near)}?" if near else "`gradatim models` lists them"
    return f"'{address:.120}': expected a network of the zoo (or of a package named by you), found none; {advice}"


def resolve(address: str, *, packages: Sequence[str] | None = None) -> "Callable[..., nn.Module]":
    """The builder at an address.

    Only a public function defined in the module that the address names, and annotated to return a network, is given
    out: no class, no re-exported name, nothing of a package outside `packages`. A package other than ours is imported,
    so name only packages whose code you trust.
    """
    full = full_address(address, packages=packages)
    module_name, name = full.rsplit(".", 1)
    if full not in _zoo():
        _check_foreign(module_name, name)
    module = importlib.import_module(module_name)
    builder = getattr(module, name, None)
    if not isinstance(builder, FunctionType) or builder.__module__ != module_name or builder.__qualname__ != name:
        raise GradatimError(f"'{full}': expected a function defined in {module_name}, found {type(builder).__name__}")
    return builder


def _check_foreign(module_name: str, name: str) -> None:
    """Refuse a name of a user's package that its source does not define as a function returning a network."""
    try:
        spec = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise GradatimError(f"'{module_name}': expected an installed Python module, found none; check the spelling")
    source = Path(spec.origin).read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name and node.returns is not None:
            if name in _builders(source) or ast.unparse(node.returns).strip("'\"").rsplit(".", 1)[-1] == "Module":
                return
            break
    raise GradatimError(
        f"'{module_name}.{name}': expected a public function defined there and annotated to return nn.Module or a "
        "class of that module, found none"
    )


def build(blueprint: Mapping[str, Any], *, packages: Sequence[str] | None = None) -> "nn.Module":
    """The network of a blueprint {"address": …, "arguments": {…}}, with fresh weights.

    The arguments are JSON values, by the builder's own names. `packages` also holds for networks built within this
    one. Build under `torch.device("meta")` to learn names and shapes without taking memory.

    >>> build({"address": "lenet5", "arguments": {"num_classes": 10}}).num_features
    84
    """
    known = {"address", "arguments"}
    if not isinstance(blueprint, Mapping) or "address" not in blueprint or not set(blueprint) <= known:
        raise GradatimError(f'expected {{"address": …, "arguments": {{…}}}}, received {blueprint!r:.120}')
    arguments = blueprint.get("arguments") or {}
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise GradatimError(f"'{blueprint['address']}': expected arguments as an object, received {arguments!r:.80}")
    allowed = _allowed.get() if packages is None else tuple(packages)
    builder = resolve(blueprint["address"], packages=allowed)
    check_arguments(builder, arguments)
    with allowing(allowed):
        try:
            return builder(**arguments)
        except GradatimError:
            raise
        except (TypeError, ValueError, AssertionError, KeyError, RuntimeError) as error:
            raise GradatimError(f"{builder.__name__}: cannot be built from these arguments: {error}") from error


@contextmanager
def allowing(packages: tuple[str, ...]) -> Iterator[None]:
    """Within it, networks of these packages may be built from an address."""
    token = _allowed.set(packages)
    try:
        yield
    finally:
        _allowed.reset(token)


def check_arguments(builder: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the builder does not have, or lacks and needs."""
    parameters = inspect.signature(builder).parameters
    for name in arguments:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            advice = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(parameters)}"
            raise GradatimError(f"{builder.__name__}: it has no argument '{name}'; {advice}")
    missing = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty and n not in arguments]
    if missing:
        raise GradatimError(f"{builder.__name__}: expected a value for {', '.join(missing)}, received none")


def load_weights(module: "nn.Module", path: Path | str, *, prefix: str = "") -> list[str]:
    """Fill a network from a local file of weights; returns what was said: one sentence for each part left out.

    `.safetensors`, or `.pt` / `.pth` read with weights_only (tensors alone, no code runs). `prefix` is cut off the
    names in the file, and names without it are ignored. Names and shapes are compared before any weight is written.
    Where the network is headless (built with num_classes=0), the file's classifier is left aside and said so; the same
    holds for counters that torch added later (`num_batches_tracked`).
    """
    tensors = read_tensors(Path(path))
    if prefix:
        tensors = {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
        if not tensors:
            raise ArtifactError(f"{path}: expected names that begin with '{prefix}', found none")
    own = module.state_dict()
    said = []
    surplus = [name for name in tensors if name not in own]
    heads = [name for name in surplus if name.split(".")[0] in _head_names(module)]
    if heads:
        said.append(f"{path}: left the classifier aside ({', '.join(heads)}); the network has no head of its own")
    counters = [name for name in own if name not in tensors and name.endswith("num_batches_tracked")]
    differences = [f"'{n}' is missing" for n in own if n not in tensors and n not in counters]
    differences += [f"'{n}' is not of this network" for n in surplus if n not in heads]
    differences += [
        f"'{n}' has shape {tuple(tensors[n].shape)}, expected {tuple(own[n].shape)}"
        for n in own if n in tensors and tensors[n].shape != own[n].shape
    ]
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise ArtifactError(
            f"{path}: expected the weights of {type(module).__name__}, received others: "
            f"{'; '.join(differences[:3])}{more}; check the address and its arguments"
        )
    filled = {name: tensors[name] if name in tensors else own[name] for name in own}
    module.load_state_dict(filled)
    return said


def _head_names(module: "nn.Module") -> set[str]:
    """Where a headless network would carry its classifier: direct children that are nn.Identity."""
    from torch import nn

    return {name for name, child in module.named_children() if isinstance(child, nn.Identity)}


def read_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a `.safetensors` file, or of a `.pt` / `.pth` read with weights_only; no code runs."""
    if not path.is_file():
        raise DataError(f"{path}: expected a file of weights, found nothing there; check the path")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{path}: expected a safetensors file, received another ({error})") from None
    if path.suffix not in (".pt", ".pth"):
        raise DataError(f"{path}: expected weights in .safetensors, .pt or .pth, received '{path.suffix}'")
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is damaged or holds more than tensors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"{path}: expected a file of tensors alone, received one that is not ({reason})") from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ArtifactError(f"{path}: expected names and tensors (a state_dict), received {type(content).__name__}")
    return dict(content)
