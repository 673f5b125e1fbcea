"""Checkpoints: a tree of tensors and JSON values in two files, safetensors and JSON, whole or ignored; never
pickle.
"""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gradatim.errors import ArtifactError, GradatimError
from gradatim.files import read_json, to_json_bytes, write_atomic

FORMAT = 1
_MARK = "$tensor"


def machine() -> dict[str, Any]:
    """What the last bits of a result depend on beside the plan."""
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "system": platform.system(),
    }


def save_checkpoint(folder: Path | str, tree: Mapping[str, Any], number: int, *, keep: int = 2) -> Path:
    """Write checkpoint `number` of a run and drop all but the newest `keep`.

    tree: dicts and lists whose leaves are tensors and JSON values. The tensors are written first; the JSON
    file, which holds their hash, last: it makes the checkpoint valid. Returns its path.
    """
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    body = to_json_bytes(_split(tree, "", tensors), indent=0)
    stem = f"checkpoint-{number:09d}"
    payload = save(_storable(tensors))
    write_atomic(folder / f"{stem}.safetensors", payload)
    manifest = {
        "format": FORMAT,
        "tensors": {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()},
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body": msgspec.Raw(body),
    }
    path = folder / f"{stem}.json"
    write_atomic(path, msgspec.json.encode(manifest))
    for old in sorted(folder.glob("checkpoint-*.json"))[:-keep]:
        # The manifest goes first: without it the tensors are only a leftover.
        old.unlink(missing_ok=True)
        old.with_suffix(".safetensors").unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path | str) -> dict[str, Any] | None:
    """The newest whole checkpoint of a folder as the tree that was saved; None where there is none.

    A half-written or damaged one is passed over for the one before it.
    """
    for path in sorted(Path(folder).glob("checkpoint-*.json"), reverse=True):
        try:
            return read_checkpoint(path)
        except ArtifactError:
            continue
    return None


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """One checkpoint, its sizes and hashes checked; raises ArtifactError when it is not whole."""
    path = Path(path)
    try:
        manifest = read_json(path)
        if manifest["format"] != FORMAT:
            raise ArtifactError(f"{path}: expected checkpoint format {FORMAT}, found {manifest['format']!r}")
        if hashlib.sha256(to_json_bytes(manifest["body"], indent=0)).hexdigest() != manifest["body_sha256"]:
            raise ArtifactError(f"{path}: damaged, its hash does not fit; delete it to use the one before")
        source = path.with_suffix(".safetensors")
        if os.stat(source).st_size != manifest["tensors"]["bytes"]:
            raise ArtifactError(f"{source}: half written; delete it to use the one before")
        payload = source.read_bytes()
        if hashlib.sha256(payload).hexdigest() != manifest["tensors"]["sha256"]:
            raise ArtifactError(f"{source}: damaged, its hash does not fit; delete it to use the one before")
        return _join(manifest["body"], load(payload))
    except ArtifactError:
        raise
    except (GradatimError, KeyError, TypeError, OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not a whole checkpoint ({error}); delete it to use the one before") from None


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with each tensor replaced by its name; the tensors by name."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach()
        return {_MARK: path}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"expected names as keys of a state, received {key!r} at '{path}'")
        return {key: _split(item, f"{path}/{key}" if path else key, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_MARK}:
            return tensors[value[_MARK]]
        return {key: _join(item, tensors) for key, item in value.items()}
    return [_join(item, tensors) for item in value] if isinstance(value, list) else value


def _storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU that share no memory (safetensors stores neither strides nor aliases)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        plain = tensor.cpu().contiguous()
        pointer = plain.untyped_storage().data_ptr()
        if pointer in seen or plain.untyped_storage().nbytes() != plain.nbytes:
            plain = plain.clone()
        seen.add(pointer)
        result[name] = plain
    return result
