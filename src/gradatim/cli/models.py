"""`gradatim models`: list the networks; show one with its arguments, and what each layer takes and sees."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, refuse_idle, say, show_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from gradatim.models.summary import Layer

LARGEST_INPUT = 2**26
DEPTH = 2


def models(
    address: str | None = None,
    *,
    input: str | None = None,
    depth: int = DEPTH,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List the networks by family, or show one: its idea, its arguments, and layer by layer the size of the output,
    parameters, multiply-adds, memory of the activations, and how many pixels a place of it sees (its receptive field).

    Parameters
    ----------
    address
        A network's import path; its last part suffices where it is unique, as resnet18.
    input
        The size of one input, as 3x64x64 for a picture, 1x64x200 for a log-mel spectrogram (bands x frames), 20 for a
        text of 20 tokens or a row of 20 numbers; default: that of the network's own example.
    depth
        How many names deep the table of layers goes.
    output
        Draw the network: a file ending in .svg.
    force
        Replace the output file when it exists.
    json
        Print JSON.
    """
    from gradatim.errors import GradatimError

    if output is not None and (address is None or output.suffix.lower() != ".svg"):
        raise GradatimError("--output: expected a network's address and a file ending in .svg, received "
                            + (f"'{output}'" if address is not None else "no address"))
    check_free(output, force)
    if depth < 1:
        raise GradatimError(f"--depth: expected at least 1, received {depth}")
    if address is None:
        refuse_idle("a network's address", input=input is not None, depth=depth != DEPTH)
        list_zoo(json)
        return
    shown, drawn = describe(address, input, depth)
    if json:
        print_json(shown)
    else:
        show(shown)
    if output is not None:
        from gradatim.files import write_atomic

        write_atomic(output, drawn())
        say(f"wrote {output}")


def show(shown: dict[str, Any]) -> None:
    """The description as text."""
    from gradatim.models.drawing import short_bytes

    print(f"{shown['address']}\n\n{shown['summary']}\n\n{shown['idea']}\n")
    show_table("Arguments", ("argument", "default"), [(a["name"], a["default"]) for a in shown["arguments"]])
    header = ("layer", "kind", "output", "parameters", "multiply-adds", "activations")
    seeing = any(row["receptive_field"] for row in shown["layers"])
    rows = [
        (row["layer"], " ".join(part for part in (row["kind"], row["detail"]) if part), shape_text(row["shape"]),
         f"{row['parameters']:,}", f"{row['multiply_adds']:,}", short_bytes(row["activation_bytes"]),
         *([field_text(row["receptive_field"]), field_text(row["jump"])] if seeing else []))
        for row in shown["layers"]
    ]
    show_table(f"Layers, {shown['input']}", (*header, *(("sees", "apart") if seeing else ())), rows)
    if seeing:
        print("sees: pixels of the input that one place depends on, padding included; apart: pixels between neighbours")
    print(f"{shown['parameters']:,} parameters, {shown['multiply_adds']:,} multiply-adds, "
          f"{short_bytes(shown['activation_bytes'])} of activations")


def field_text(field: Any) -> str:
    """[7, 7] → '7', [3, 5] → '3 × 5', 'all' → 'all'."""
    if field is None or field == "all":
        return field or ""
    return str(field[0]) if len(set(field)) == 1 else shape_text(field)


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


def describe(address: str, size: str | None, depth: int) -> "tuple[dict[str, Any], Callable[[], str]]":
    """What is shown of one network, as a JSON object, and its drawing."""
    from importlib import import_module

    import torch

    from gradatim.models.address import full_address, resolve
    from gradatim.models.drawing import network_svg
    from gradatim.models.summary import summary

    full = full_address(address)
    builder = resolve(full)
    module = import_module(full.rpartition(".")[0])
    parameters = inspect.signature(builder).parameters
    network, batch, source = prepared(full, parameters, module.demo, size)
    try:
        found = summary(network.to("meta"), to_meta(batch), depth=depth)
    except NotImplementedError:  # some fused kernels have no shape-only form
        with torch.random.fork_rng(devices=[]):
            network, batch, source = prepared(full, parameters, module.demo, size, meta=False)
        found = summary(network, batch, depth=depth)
    except (RuntimeError, ValueError, IndexError) as error:
        from gradatim.errors import GradatimError

        if size is not None:
            raise GradatimError(f"{full}: does not take an input of {size}: {str(error).splitlines()[0]}") from error
        with torch.random.fork_rng(devices=[]):  # by its defaults it is made for larger inputs than its example has
            network, batch = module.demo()
        source, found = "on its own small example", summary(network, batch, depth=depth)
    shape = next((tuple(part.shape) for part in batch if isinstance(part, torch.Tensor)), ())
    described = {
        "address": full,
        "summary": inspect.getdoc(builder),
        "idea": inspect.getdoc(module),
        "arguments": [
            {"name": name, "default": None if p.default is p.empty else p.default} for name, p in parameters.items()
        ],
        "input": source,
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        "activation_bytes": found.activation_bytes,
        "layers": [layer_json(row) for row in found.layers],
    }
    return described, lambda: network_svg(found, title=full.rpartition(".")[2], input_shape=shape)


def layer_json(row: "Layer") -> dict[str, Any]:
    """One row of the table as JSON values; receptive_field: pixels by axis, or "all"."""
    field = row.receptive_field
    seen = None if field is None else "all" if float("inf") in field else [int(side) for side in field]
    jump = None if row.jump is None or seen == "all" else [int(j) if j == int(j) else j for j in row.jump]
    return {
        "layer": row.name, "kind": row.kind, "detail": row.detail, "shape": row.shape, "parameters": row.parameters,
        "multiply_adds": row.multiply_adds, "activation_bytes": row.activation_bytes, "receptive_field": seen,
        "jump": jump,
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
