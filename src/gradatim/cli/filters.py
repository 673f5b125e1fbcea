"""`gradatim filters`: what a network has learned to look for, what it sees, and whether its signal is sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, refuse_idle, say, show_table, visible

if TYPE_CHECKING:
    from torch import nn

    from gradatim.autodiff.graph.trace import Trace

Flag = Annotated[bool, Parameter(negative="")]
BATCH = 16


def filters(
    network: str,
    /,
    *,
    row: int = 0,
    table: str | None = None,
    column: str | None = None,
    weights: str | None = None,
    picture: Path | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Look into a network of pictures: first kernels, maps by depth, deviation and gradient through depth.

    What vanishes, explodes or is dead is named, with a remedy. Example: gradatim filters runs/one -o filters.png

    Parameters
    ----------
    network
        The folder of a run, or the address of a network of the zoo, as resnet18.
    row
        The row whose maps are shown, counted from 0.
    table
        The table it is in; default: the one that the run was fitted on.
    column
        The column of pictures; default: the first.
    weights
        For an address: a file of weights, or the name of a known set (`gradatim weights list`).
    picture
        For an address: a picture to look at; default: the network's own example, random numbers.
    output
        Draw it: a file ending in .png.
    force
        Replace the output file when it exists.
    json
        Print JSON.
    """
    from gradatim.errors import GradatimError

    if output is not None:
        if output.suffix.lower() != ".png":
            raise GradatimError(f"--output: expected a file ending in .png, received '{output}'")
        check_free(output, force)
    folder = Path(network)
    if folder.is_dir():
        refuse_idle("the address of a network; a run has its own", weights=weights is not None,
                    picture=picture is not None)
        looked = of_run(folder, row, table, column)
    else:
        refuse_idle("the folder of a run, which has a table", row=row != 0, table=table is not None,
                    column=column is not None)
        looked = of_address(network, weights, picture)
    title, encoder, batch, shown, trace, inside = looked
    from gradatim.evaluate.explain.filters_drawing import Depth, filters_png
    from gradatim.evaluate.explain.maps import first_kernels, maps_by_depth

    kernels, maps = first_kernels(encoder), maps_by_depth(encoder, batch)
    depths = [
        Depth(node.name.removeprefix(inside), node.values.std, None if node.gradient is None else node.gradient.norm)
        for node in trace.nodes
        if node.values is not None and any(name.endswith("weight") for name in node.weights)
        and (not inside or node.name.startswith((inside, "fusion", "head")))
    ]
    findings = [finding.sentence for finding in trace.findings]
    if json:
        print_json({
            "network": title, "kernels": {"layer": kernels[0], "shape": kernels[1].shape}, "verdict": trace.verdict,
            "maps": [{"layer": m.name, "shape": m.shape, "channels": m.channels} for m in maps],
            "depths": [{"layer": d.name, "deviation": d.deviation, "gradient": d.gradient} for d in depths],
            "findings": findings,
        })
    else:
        print(visible(f"{title}: {len(kernels[1])} kernels of {' × '.join(map(str, kernels[1].shape[1:]))}"))
        rows = [(d.name, f"{d.deviation:.3g}", "" if d.gradient is None else f"{d.gradient:.3g}") for d in depths]
        show_table("Through depth", ("layer", "deviation", "gradient"), rows)
        print(visible("\n".join(findings) or "sound: nothing vanishes, explodes or is dead"))
    if output is not None:
        from gradatim.files import write_atomic

        said = findings or ["Sound: nothing vanishes, explodes or is dead."]
        write_atomic(output, filters_png(title, kernels, maps, depths, said, picture=shown))
        say(f"wrote {output}")


def of_run(
    folder: Path, row: int, table: str | None, column: str | None
) -> "tuple[str, nn.Module, tuple[Any, ...], Any, Trace, str]":
    """Title, encoder of the pictures, its batch of one row, the picture itself, the trace of the whole network, and how
    the names of the encoder's layers begin there.
    """
    import numpy as np

    from gradatim.autodiff.graph.trace import trace
    from gradatim.errors import GradatimError
    from gradatim.run import load
    from gradatim.tasks.explain_network import NetworkScore
    from gradatim.tasks.network import NetworkMember
    from gradatim.tasks.source import Source

    run = load(folder)
    members = [m for m in run.artifact.ensemble.members if isinstance(m, NetworkMember)]
    if not members:
        raise GradatimError(f"{folder}: expected a run with a network, this one is answered without; fit with more "
                            "epochs, or look at a network of the zoo by its address")
    member = members[0]
    names = [name for name, codec in member.codecs.items() if codec.kind == "image"]
    if not names or (column is not None and column not in names):
        raise GradatimError(f"--column: expected a column of pictures among {', '.join(names) or 'none'}, received "
                            f"{column!r}")
    name = column or names[0]
    source = run._fitted_table() if table is None else run.read(table)
    if source is None:
        raise GradatimError(f"{folder}: the table that was fitted is gone or has changed; name one with --table FILE")
    if not 0 <= row < len(source):
        raise GradatimError(f"--row: expected a number from 0 to {len(source) - 1}, received {row}")
    rows = np.unique([row, *np.linspace(0, len(source) - 1, min(BATCH, len(source)), dtype=np.int64)])
    encoded = Source(source.take(rows)).encode(member.codecs)
    one = encoded.batch(np.array([int(np.flatnonzero(rows == row)[0])]), member.columns)
    many = encoded.batch(np.arange(len(rows)), member.columns)
    pictures = NetworkScore(member, one, 0).values[name]
    found = trace(member.network.eval(), (many.inputs, many.present))
    pixels = one.inputs[name][0].permute(1, 2, 0).numpy()  # type: ignore[index, union-attr]
    encoder: Any = member.network.encoder(name)  # type: ignore[operator]
    inside = next(f"{path}." for path, module in member.network.named_modules() if module is encoder)
    return f"{folder.name}: the network on {name}, row {row}", encoder, (pictures,), pixels.squeeze(), found, inside


def of_address(
    address: str, weights: str | None, picture: Path | None
) -> "tuple[str, nn.Module, tuple[Any, ...], Any, Trace, str]":
    """The same for a network of the zoo."""
    from importlib import import_module

    import torch

    from gradatim.autodiff.graph.trace import trace
    from gradatim.errors import GradatimError
    from gradatim.models.address import build, full_address, load_weights
    from gradatim.weights import KNOWN, find, path_of

    full = full_address(address)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        example, batch = import_module(full.rpartition(".")[0]).demo()
        loaded, shown, pixels = None, None, {}
        if weights is not None:
            known = any(weights in (k.name, k.address.rpartition(".")[2]) for k in KNOWN)
            loaded = path_of(find(weights)) if known else Path(weights)
            pixels = dict(find(weights).pixels) if known else {}
        if weights is None and picture is None:
            network = example
        else:
            network = build({"address": full})
            batch = (torch.randn(1, 3, 224, 224),)
    if loaded is not None:
        load_weights(network, loaded)
    if picture is not None:
        batch, shown = read_picture(picture, pixels)
    if not batch or not isinstance(batch[0], torch.Tensor) or batch[0].ndim != 4:
        raise GradatimError(f"{full}: expected a network of pictures, this one takes another input")
    network.eval()
    what = "its own small example, fresh weights" if network is example else (
        "fresh weights" if weights is None else f"weights {Path(weights).name}")
    return f"{full.rpartition('.')[2]}, {what}", network, (batch[0][:1],), shown, trace(network, batch[0]), ""


def read_picture(path: Path, pixels: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """A picture as (1, 3, side, side), standardised as the weights ask, and its pixels."""
    import numpy as np
    import torch

    from gradatim.data.codecs.image import ImageCodec

    codec = ImageCodec(size=int(pixels.get("size", 224)), channels=3)
    values, _ = codec.encode(path.read_bytes())
    if values is None:
        values = np.zeros((3, codec.size, codec.size), np.uint8)
    mean, std = (torch.tensor(pixels.get(name, default)).reshape(1, -1, 1, 1) for name, default in
                 (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))))
    batch = (torch.from_numpy(values)[None].float() / 255 - mean) / std
    return (batch,), values.transpose(1, 2, 0)
