"""`gradatim models`: list the networks; show one with its arguments, parameters and shapes."""

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import print_json, show_table

if TYPE_CHECKING:
    from torch import nn

LARGEST_INPUT = 2**26


def models(
    address: str | None = None,
    *,
    input: str | None = None,
    depth: int = 2,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List the networks by family, or show one: its idea, arguments, parameters, and the shape at each layer.

    Parameters
    ----------
    address
        A network's import path; its last part suffices where it is unique, as resnet18.
    input
        The size of one input, as 3x64x64 for a picture, 1x64x200 for a log-mel spectrogram (bands x frames), 20 for a
        text of 20 tokens or a row of 20 numbers; default: that of the network's own example.
    depth
        How many names deep the table of layers goes.
    json
        Print JSON.
    """
    if address is None:
        list_zoo(json)
        return
    shown = describe(address, input, depth)
    if json:
        print_json(shown)
        return
    print(f"{shown['address']}\n\n{shown['summary']}\n\n{shown['idea']}\n")
    show_table("Arguments", ("argument", "default"), [(a["name"], a["default"]) for a in shown["arguments"]])
    rows = [(row["layer"], row["kind"], shape_text(row["shape"]), f"{row['parameters']:,}") for row in shown["layers"]]
    show_table(f"Layers, {shown['input']}", ("layer", "kind", "output", "parameters"), rows)
    print(f"{shown['parameters']:,} parameters")


def list_zoo(json: bool) -> None:
    """Every address with the first line of its builder, read from the source: torch is not imported."""
    from gradatim.models.address import ZOO, addresses, summaries

    lines = summaries()
    entries = [
        {"address": known, "family": known.removeprefix(f"{ZOO}.").split(".")[0], "summary": lines[known]}
        for known in addresses()
    ]
    if json:
        print_json(entries)
        return
    for family in dict.fromkeys(entry["family"] for entry in entries):
        rows = [
            (entry["address"].removeprefix(f"{ZOO}."), entry["summary"])
            for entry in entries if entry["family"] == family
        ]
        show_table(family, ("address", "what it is"), rows)


def describe(address: str, size: str | None, depth: int) -> dict[str, Any]:
    """What is shown of one network, as a JSON object."""
    from importlib import import_module

    import torch

    from gradatim.models.address import full_address, resolve
    from gradatim.models.summary import layers, parameter_count

    full = full_address(address)
    builder = resolve(full)
    module = import_module(full.rpartition(".")[0])
    parameters = inspect.signature(builder).parameters
    network, batch, source = prepared(full, parameters, module.demo, size)
    try:
        table = layers(network.to("meta"), to_meta(batch), depth=depth)
    except NotImplementedError:  # some fused kernels have no shape-only form
        with torch.random.fork_rng(devices=[]):
            network, batch, source = prepared(full, parameters, module.demo, size, meta=False)
        table = layers(network, batch, depth=depth)
    except (RuntimeError, ValueError, IndexError) as error:
        from gradatim.errors import GradatimError

        raise GradatimError(f"{full}: does not take an input of {size}: {str(error).splitlines()[0]}") from error
    return {
        "address": full,
        "summary": inspect.getdoc(builder),
        "idea": inspect.getdoc(module),
        "arguments": [
            {"name": name, "default": None if p.default is p.empty else p.default} for name, p in parameters.items()
        ],
        "input": source,
        "parameters": parameter_count(network),
        "layers": [
            {"layer": row.name, "kind": row.kind, "shape": row.shape, "parameters": row.parameters} for row in table
        ],
    }


def prepared(
    address: str, parameters: Any, demo: Any, size: str | None, *, meta: bool = True
) -> "tuple[nn.Module, tuple[Any, ...], str]":
    """The network by its defaults and a batch of the asked size; or, where it has none, its own example."""
    import torch

    from gradatim.errors import GradatimError
    from gradatim.models.address import build

    with torch.random.fork_rng(devices=[]):
        example, batch = demo()
    if any(p.default is p.empty for p in parameters.values()):
        if size is not None:
            raise GradatimError(f"{address}: --input is for networks of one input; this one is shown on its example")
        return example, batch, "on its own small example"
    arguments: dict[str, int] = {}
    if size is not None:
        batch, arguments = batch_of(parse_size(size), parameters)
    elif "in_features" in parameters:
        arguments = {"in_features": batch[0].shape[1]}
    elif "in_channels" in parameters:
        arguments = {"in_channels": batch[0].shape[1]}
    with torch.device("meta" if meta else "cpu"):
        network = build({"address": address, "arguments": arguments})
    return network, batch, f"input {shape_text(batch[0].shape)}"


def batch_of(sizes: list[int], parameters: Any) -> tuple[tuple[Any, ...], dict[str, int]]:
    """One row of the asked size and the arguments that it settles."""
    import torch

    from gradatim.errors import GradatimError

    if "in_channels" in parameters and len(sizes) == 3:
        settled = {"in_channels": sizes[0]}
        if "size" in parameters:
            settled["size"] = sizes[1]
        return (torch.zeros(1, *sizes),), settled
    if len(sizes) == 1 and "vocabulary" in parameters:
        return (torch.ones(1, sizes[0], dtype=torch.long), torch.tensor(sizes)), {}
    if len(sizes) == 1 and "in_features" in parameters:
        return (torch.zeros(1, sizes[0]),), {"in_features": sizes[0]}
    wanted = "three sizes, as 3x64x64" if "in_channels" in parameters else "one size, as 20"
    raise GradatimError(f"--input: expected {wanted}, received {'x'.join(map(str, sizes))}")


def parse_size(text: str) -> list[int]:
    """'3x64x64' → [3, 64, 64].

    >>> parse_size("3x64x64")
    [3, 64, 64]
    """
    from math import prod

    from gradatim.errors import GradatimError

    parts = text.lower().replace("×", "x").split("x")
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise GradatimError(f"--input: expected sizes such as 3x64x64, received '{text}'")
    sizes = [int(part) for part in parts]
    if prod(sizes) > LARGEST_INPUT:
        raise GradatimError(f"--input: expected at most {LARGEST_INPUT:,} numbers, received {prod(sizes):,}")
    return sizes


def to_meta(value: Any) -> Any:
    """A batch without its numbers."""
    if isinstance(value, dict):
        return {name: to_meta(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(to_meta(part) for part in value)
    return value.to("meta")


def shape_text(shape: Any) -> str:
    """(1, 3, 64, 64) → '1 × 3 × 64 × 64'."""
    return "" if shape is None else " × ".join(map(str, shape))
