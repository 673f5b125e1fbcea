"""Save and load a run: a folder of JSON and safetensors that is safe to open, wherever it comes from.

`artifact.json` says what the run is (format, schema, task, members, provenance) and holds size and SHA-256 of
`weights.safetensors`. Members are networks or estimators; an address resolves only to a public builder of ours;
a network is built without memory first and compared with the header of the weights. Nothing is ever unpickled.
"""

import json
import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import safe_open
from safetensors.torch import save as tensors_to_bytes

from gradatim.data.codecs import CODECS, codec_for
from gradatim.data.schema import Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.errors import ArtifactError
from gradatim.files import path_under, read_json, sha256_of, write_atomic, write_json
from gradatim.models.address import OWN, allowing
from gradatim.tasks import Task, task_from_json
from gradatim.tasks.facts import check_metric
from gradatim.tasks.members import Ensemble, Member, member_from_state
from gradatim.tasks.source import Source

FORMAT = 1
MANIFEST = "artifact.json"
WEIGHTS = "weights.safetensors"
REQUEST = "request.json"
USES = "uses.jsonl"
WRITTEN = ("history.csv", "report.html", "report.json", "card.md", "schema.json", USES)  # beside these three
CHECKPOINT = re.compile(
    r"\.?(checkpoint-\d+\.(json|safetensors)|decisions\.json|(development|test)\.csv)(\..*\.part)?"
)
MAX_HEADER_BYTES = 64 * 2**20
MOST_MEMBERS = 100

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
    members, tensors, seen = [], {}, set()
    for number, member in enumerate(artifact.ensemble.members):
        state, arrays = member.to_state()
        members.append(state)
        for name, array in arrays.items():
            tensor = torch.from_numpy(np.ascontiguousarray(array)) if isinstance(array, np.ndarray) else array
            tensor = tensor.detach().cpu().contiguous()
            place = tensor.untyped_storage().data_ptr()  # safetensors wants tied weights written out twice
            tensors[f"{number}/{name}"] = tensor.clone() if place in seen else tensor
            seen.add(place)
    write_atomic(folder / WEIGHTS, tensors_to_bytes(tensors))
    manifest = {
        "format": FORMAT,
        "kind": "gradatim run",
        "schema": artifact.schema.to_json(),
        "task": artifact.task.to_json(),
        "members": members,
        "member_weights": list(artifact.ensemble.weights),
        "temperature": artifact.ensemble.temperature,
        "member_temperatures": list(artifact.ensemble.temperatures),
        "uniform_share": artifact.ensemble.uniform_share,
        "provenance": artifact.provenance,
        "split": artifact.split,
        "recipe": artifact.recipe,
        "files": {WEIGHTS: {"bytes": (folder / WEIGHTS).stat().st_size, "sha256": sha256_of(folder / WEIGHTS)}},
    }
    write_json(folder / MANIFEST, manifest)


def load_artifact(folder: Path | str, *, packages: Sequence[str] = (OWN,)) -> Artifact:
    """Open a run folder; raises ArtifactError in one line for anything missing, damaged or unsafe.

    packages: those whose networks may be built, see `gradatim.models.address.resolve`.
    Source of the rules: the paragraph on safety in docs/architecture.md.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        header = tensor_header(folder / WEIGHTS)
        schema = Schema.from_json(manifest["schema"])
        task = task_from_json(manifest["task"])
        with allowing(tuple(packages)):
            members = read_members(folder, manifest["members"], header, task)
        shares = tuple(map(float, manifest["member_weights"]))
        temperatures = tuple(map(float, manifest.get("member_temperatures", ())))  # runs of before have none
        ensemble = Ensemble(members, shares, task, float(manifest["temperature"]), temperatures,
                            float(manifest.get("uniform_share", 0.0)))
        check_whole(schema, ensemble)
        provenance, split, recipe = (plain_object(manifest, name) for name in ("provenance", "split", "recipe"))
        if split:  # a run that was put together by hand has none
            Split.from_json(split)
    except ArtifactError as error:
        text = one_line(str(error))
        raise ArtifactError(text if text.startswith(str(folder)) else f"{folder / MANIFEST}: {text}") from None
    except Exception as error:  # a damaged file may fail anywhere; the cause is named, the file refused
        raise ArtifactError(
            f"{folder / MANIFEST}: expected a run of gradatim, found a damaged one ({type(error).__name__}: "
            f"{one_line(str(error))}); restore the folder from a copy or fit again"
        ) from None
    return Artifact(schema, task, ensemble, provenance, split, recipe)


def one_line(text: str, most: int = 300) -> str:
    """A message without line breaks, cut where it grows long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def plain_object(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One of the manifest's free objects."""
    if not isinstance(manifest[name], dict):
        raise ArtifactError(f"expected an object '{name}', found {type(manifest[name]).__name__}")
    return manifest[name]


def read_members(
    folder: Path, states: Any, header: Mapping[str, Mapping[str, Any]], task: Task
) -> tuple[Member, ...]:
    """Rebuild the members; every tensor of the file must belong to one of them."""
    if not isinstance(states, list) or not 0 < len(states) <= MOST_MEMBERS:
        raise ArtifactError(f"expected a list of 1 to {MOST_MEMBERS} members, found something else")
    prefixes = {f"{number}/" for number in range(len(states))}
    strange = next((name for name in header if name.partition("/")[0] + "/" not in prefixes), None)
    if strange is not None:
        raise ArtifactError(f"expected tensors of the members alone, found also '{strange:.80}'")
    members = []
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        for number, state in enumerate(states):
            prefix = f"{number}/"
            shapes = {n.removeprefix(prefix): tuple(v["shape"]) for n, v in header.items() if n.startswith(prefix)}

            def read(name: str, prefix: str = prefix) -> torch.Tensor:
                return weights.get_tensor(prefix + name)

            members.append(member_from_state(state, shapes, read, task))
    return tuple(members)


def check_whole(schema: Schema, ensemble: Ensemble) -> None:
    """Refuse parts that do not belong together; last, each member answers a row that has no cells.

    That one answer meets every width from the codecs to the classes, so a file whose parts disagree is refused here
    and not when somebody predicts.
    """
    task, shares = ensemble.task, ensemble.weights
    if len(shares) != len(ensemble.members) or not all(0 <= share <= 1 for share in shares) or sum(shares) <= 0:
        raise ArtifactError("expected one weight between 0 and 1 for each member, not all of them 0")
    if len(ensemble.temperatures) not in (0, len(shares)):
        raise ArtifactError(f"expected a temperature for each member, found {len(ensemble.temperatures)}")
    for temperature in (ensemble.temperature, *ensemble.temperatures):
        if not 1e-3 <= temperature <= 1e3:
            raise ArtifactError(f"expected a temperature between 0.001 and 1000, found {temperature}")
    if not 0 <= ensemble.uniform_share <= (1 if task.name == "classification" else 0):
        raise ArtifactError(f"expected a uniform share from 0 to 1, for classes alone, found {ensemble.uniform_share}")
    if [column.name for column in schema.targets] != ([] if task.target is None else [task.target]):
        raise ArtifactError(f"expected '{task.target!s:.80}' as the one target of the schema, found another")
    if task.name == "classification" and len(task.classes) < 2:
        raise ArtifactError(f"expected at least two classes, found {len(task.classes)}")
    if task.name in ("classification", "regression"):
        check_metric(task.metric, task.name, len(task.classes))
    for column in (*schema.inputs, *schema.targets):
        if column.kind in CODECS:
            codec_for(column, target=column.role == "target")  # refuses foreign options and other types
    inputs = [column.name for column in schema.inputs]
    foreign = next((name for name in ensemble.columns if name not in inputs), None)
    if foreign is not None:
        raise ArtifactError(f"expected members that look at inputs of the schema, found one at '{foreign:.80}'")
    blank = Source(Table(pl.DataFrame({name: pl.Series([None], dtype=pl.String) for name in inputs})))
    for number, member in enumerate(ensemble.members):
        answer = np.asarray(member.answer(blank))
        task.predictions(answer, [0])
        if answer.dtype.kind == "f" and not np.isfinite(answer).all():
            raise ArtifactError(f"member {number}: expected finite answers, found others")


def read_manifest(folder: Path) -> dict[str, Any]:
    """`artifact.json`, checked for its format and brought up to the newest one."""
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: expected the folder of a run, found none; `gradatim fit` makes one")
    if not (folder / MANIFEST).is_file():
        if (folder / REQUEST).is_file():
            raise ArtifactError(f"{folder}: this run is not finished; go on with `gradatim fit --resume {folder}`")
        raise ArtifactError(f"{folder}: expected {MANIFEST} in the folder, found none; is this the folder of a run?")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != "gradatim run":
        raise ArtifactError(f"{folder / MANIFEST}: expected the manifest of a run, found something else")
    version = manifest.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version > FORMAT:
        raise ArtifactError(f"{folder}: expected format {FORMAT} or older, found {version!r:.80}; upgrade gradatim")
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
        if not isinstance(facts, dict) or not path.is_file():
            raise ArtifactError(f"{path}: expected a file with its size and hash in {MANIFEST}, found none")
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
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ArtifactError(f"{path}: expected a safetensors header, found damaged bytes")
    header.pop("__metadata__", None)
    return header


def record_use(folder: Path | str, use: Mapping[str, Any]) -> int:
    """Note that a test set was scored; returns how often this run has been scored, this time included."""
    path = Path(folder) / USES
    line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), **use})
    with open(path, "a+b") as file:
        file.seek(0)
        before = file.read()
        torn = bool(before) and not before.endswith(b"\n")  # a kill in the middle of a line: it stays a line
        file.write((b"\n" if torn else b"") + line.encode() + b"\n")
    return sum(bool(entry.strip()) for entry in before.splitlines()) + 1


def read_uses(folder: Path | str) -> list[dict[str, Any]]:
    """Every time the run was scored on a test set; a line that cannot be read still counts as one."""
    path = Path(folder) / USES
    if not path.is_file():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        if line.strip():
            try:
                use = json.loads(line)
            except (ValueError, RecursionError):
                use = None
            found.append(use if isinstance(use, dict) else {"source": "a line that cannot be read"})
    return found


def check_folder(folder: Path | str, *, force: bool = False) -> None:
    """Raise ArtifactError unless `claim_folder` would succeed; changes nothing."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: expected a folder to write to, found a file")
    ours = (folder / MANIFEST).exists() or (folder / REQUEST).exists()
    if ours and not force:
        raise ArtifactError(f"{folder}: a run is there already; choose another -o, or pass --force to replace it")
    if folder.exists() and any(folder.iterdir()) and not ours:
        raise ArtifactError(f"{folder}: expected a new or empty folder, found files that are no run; choose another -o")


def claim_folder(folder: Path | str, *, force: bool = False) -> Path:
    """An empty folder for a new run; an existing run is kept unless `force`, foreign files are never deleted."""
    folder = Path(folder)
    check_folder(folder, force=force)
    if folder.exists():
        remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def remove_run(folder: Path) -> None:
    """Delete what a run wrote, and nothing else: no foreign file, nothing behind a link.

    The weights go first and the manifest last, so that a kill leaves what is no whole run but known as one of ours.
    """
    remove_inside(folder / "checkpoints")
    remove_inside(folder / "predictions")
    for name in (WEIGHTS, *WRITTEN, MANIFEST, REQUEST):
        for path in [folder / name, *folder.glob(f".{name}.*.part")]:
            if path.is_file() or path.is_symlink():
                path.unlink()


def drop_unfinished(folder: Path) -> None:
    """Delete what a fit that came to nothing wrote; a finished run stays."""
    if not (folder / MANIFEST).exists():
        remove_run(folder)
        if not any(folder.iterdir()):
            folder.rmdir()


def remove_inside(folder: Path) -> None:
    """Delete checkpoints and predictions of ours in a folder of a run, and the folders that are empty then."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what is inside a folder comes before it
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif CHECKPOINT.fullmatch(path.name):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def copy_records(source: Path, target: Path) -> None:
    """Copy what the artifact itself does not hold: history, predictions, and how often the run was scored."""
    for name in ("history.csv", USES, "predictions/development.csv", "predictions/test.csv"):
        if (source / name).is_file():
            write_atomic(target / name, (source / name).read_bytes())
