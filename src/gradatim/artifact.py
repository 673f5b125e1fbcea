"""Save and load a run: a folder of JSON and safetensors that is safe to open, wherever it comes from.

`artifact.json` says what the run is (format, schema, task, members, provenance) and holds size and SHA-256 of
`weights.safetensors`. Members are networks or estimators; an address resolves only to a public builder of ours;
a network is built without memory first and compared with the header of the weights. Nothing is ever unpickled.
"""

import json
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensors_to_bytes

from gradatim.data.schema import Schema
from gradatim.errors import ArtifactError, GradatimError
from gradatim.files import path_under, read_json, sha256_of, write_atomic, write_json
from gradatim.tasks import Task, task_from_json
from gradatim.tasks.members import Ensemble, member_from_state

FORMAT = 1
MANIFEST = "artifact.json"
WEIGHTS = "weights.safetensors"
MAX_HEADER_BYTES = 64 * 2**20

# Format n → n + 1: each takes and returns the manifest. Older runs open through them, one after the other.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


@dataclass(slots=True)
class Artifact:
    """What a run leaves behind: everything that predicting needs, and how it came about."""

    schema: Schema
    task: Task
    ensemble: Ensemble
    provenance: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


def save_artifact(folder: Path | str, artifact: Artifact) -> None:
    """Write the weights, then the manifest that names them: a kill in between leaves no half artefact behind."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    members, tensors = [], {}
    for number, member in enumerate(artifact.ensemble.members):
        state, arrays = member.to_state()
        members.append(state)
        for name, array in arrays.items():
            tensor = torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array
            tensors[f"{number}/{name}"] = tensor.detach().cpu().contiguous()
    write_atomic(folder / WEIGHTS, tensors_to_bytes(tensors))
    manifest = {
        "format": FORMAT,
        "kind": "gradatim run",
        "schema": artifact.schema.to_json(),
        "task": artifact.task.to_json(),
        "members": members,
        "member_weights": list(artifact.ensemble.weights),
        "temperature": artifact.ensemble.temperature,
        "provenance": artifact.provenance,
        "split": artifact.split,
        "recipe": artifact.recipe,
        "files": {WEIGHTS: {"bytes": (folder / WEIGHTS).stat().st_size, "sha256": sha256_of(folder / WEIGHTS)}},
    }
    write_json(folder / MANIFEST, manifest)


def load_artifact(folder: Path | str) -> Artifact:
    """Open a run folder; raises ArtifactError in one line for anything missing, damaged or unsafe.

    Source of the rules: the paragraph on safety in docs/architecture.md.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    header = tensor_header(folder / WEIGHTS)
    try:
        schema = Schema.from_json(manifest["schema"])
        task = task_from_json(manifest["task"])
        members = []
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            for number, state in enumerate(manifest["members"]):
                prefix = f"{number}/"
                shapes = {n.removeprefix(prefix): tuple(v["shape"]) for n, v in header.items() if n.startswith(prefix)}

                def read(name: str, prefix: str = prefix) -> torch.Tensor:
                    return weights.get_tensor(prefix + name)

                members.append(member_from_state(state, shapes, read, task))
        shares = [float(weight) for weight in manifest["member_weights"]]
        if len(shares) != len(members) or not members or not all(0 <= share <= 1 for share in shares):
            raise ArtifactError("expected one weight between 0 and 1 for each member")
        ensemble = Ensemble(tuple(members), tuple(shares), task, float(manifest["temperature"]))
    except GradatimError as error:
        raise ArtifactError(f"{folder / MANIFEST}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, SafetensorError) as error:
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"{folder / MANIFEST}: expected a run of gradatim, found a damaged one ({type(error).__name__}: {detail}); "
            "restore the folder from a copy or fit again"
        ) from None
    return Artifact(schema, task, ensemble, manifest["provenance"], manifest["split"], manifest["recipe"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """`artifact.json`, checked for its format and brought up to the newest one."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: expected the folder of a run, found none; `gradatim fit` makes one")
    if not (folder / MANIFEST).is_file():
        if (folder / "request.json").is_file():
            raise ArtifactError(f"{folder}: this run is not finished; go on with `gradatim fit --resume {folder}`")
        raise ArtifactError(f"{folder}: expected {MANIFEST} in the folder, found none; is this the folder of a run?")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != "gradatim run":
        raise ArtifactError(f"{folder / MANIFEST}: expected the manifest of a run, found something else")
    version = manifest.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise ArtifactError(f"{folder}: expected format {FORMAT} or older, found {version!r}; upgrade gradatim")
    while version < FORMAT:
        if version not in UPGRADES:
            raise ArtifactError(f"{folder}: format {version} can no longer be opened; use the gradatim that wrote it")
        manifest = UPGRADES[version](manifest)
        version += 1
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compare size, then SHA-256, of every file the manifest names."""
    files = manifest.get("files")
    if not isinstance(files, dict) or WEIGHTS not in files:
        raise ArtifactError(f"{folder / MANIFEST}: expected size and hash of {WEIGHTS}, found none")
    for name, facts in files.items():
        path = path_under(folder, name)
        if not path.is_file():
            raise ArtifactError(f"{path}: expected a file of {facts.get('bytes')} bytes, found none")
        if path.stat().st_size != facts.get("bytes") or sha256_of(path) != facts.get("sha256"):
            raise ArtifactError(f"{path}: expected the content that was saved, found other; restore it from a copy")


def tensor_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, types and shapes in a safetensors file, without reading the tensors."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= min(MAX_HEADER_BYTES, path.stat().st_size):
            raise ArtifactError(f"{path}: expected a safetensors header, found damaged bytes")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise ArtifactError(f"{path}: expected a safetensors header, found damaged bytes") from None
    header.pop("__metadata__", None)
    return header


def record_use(folder: Path | str, use: Mapping[str, Any]) -> int:
    """Note that a test set was scored; returns how often this run has been scored, this time included."""
    path = Path(folder) / "uses.jsonl"
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **use})
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    return len(path.read_text(encoding="utf-8").splitlines())


def claim_folder(folder: Path | str, *, force: bool = False) -> Path:
    """An empty folder for a new run; an existing run is kept unless `force`, foreign files are never deleted."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder to write to, found a file")
    ours = (folder / MANIFEST).exists() or (folder / "request.json").exists()
    if ours and not force:
        raise ArtifactError(f"{folder}: a run is there already; choose another -o, or pass --force to replace it")
    if folder.exists() and any(folder.iterdir()) and not ours:
        raise ArtifactError(f"{folder}: expected a new or empty folder, found files that are no run; choose another -o")
    if ours:
        remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_run(folder: Path) -> None:
    """Delete what a run wrote, and nothing else."""
    for name in (MANIFEST, "request.json"):  # first, so that a kill leaves no run that looks whole
        (folder / name).unlink(missing_ok=True)
    for name in (WEIGHTS, "history.csv", "report.html", "report.json", "card.md", "uses.jsonl", "schema.json"):
        (folder / name).unlink(missing_ok=True)
    for sub in ("predictions", "checkpoints"):
        for path in sorted((folder / sub).rglob("*"), reverse=True):
            path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
        if (folder / sub).is_dir():
            (folder / sub).rmdir()
