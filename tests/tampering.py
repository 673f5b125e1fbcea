"""Saved runs changed as a stranger might: in their JSON, in the header of their tensors, in the tensors themselves.

Each changed run is opened and asked in a child process, so that a crash, a hang or too much memory is found too.
"""

import copy
import hashlib
import json
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

MANIFEST, WEIGHTS = "artifact.json", "weights.safetensors"
MOST_SECONDS = 5.0  # of processor time that opening and asking one changed run may take
MOST_GIGABYTES = 2.0
PATIENCE = 60.0  # seconds by the clock until the child counts as hanging
DEEP = json.loads("[" * 200 + "]" * 200)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**6, 10**12, 10**30, 0.5, -0.5, 1e308, -1e308, 1e-320, "", "nan", "os.system",
    "x", "\x00", [], {}, [None], [[1]], [1, 2, 3], {"a": 1}, {"$array": "coef_"}, {"$number": "inf"}, DEEP, "long" * 99,
)

Change = tuple[str, Any]  # where, and what


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one changed run: "answered", "refused", or a fault in words."""

    change: str
    what: str
    seconds: float = 0.0


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value; of long lists the first two and the last."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, (*path, key))
    elif isinstance(value, list):
        for place in sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from paths_of(value[place], (*path, place))


def put(value: Any, path: tuple[Any, ...], item: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = item


def drop(value: Any, path: tuple[Any, ...]) -> None:
    for key in path[:-1]:
        value = value[key]
    del value[path[-1]]


def write_run(folder: Path, manifest: Any, arrays: dict[str, np.ndarray] | None) -> None:
    """Write both files so that what the manifest says of the weights is true."""
    if arrays is not None:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS)
    weights = (folder / WEIGHTS).read_bytes()
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
        manifest["files"][WEIGHTS] = {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def changed_manifest(manifest: Any, random: np.random.Generator) -> tuple[str, Any]:
    """One place of the manifest replaced or deleted, and what was done in words."""
    changed = copy.deepcopy(manifest)
    places = [path for path in paths_of(manifest) if path[0] != "files"]
    path = places[int(random.integers(len(places)))]
    if random.random() < 0.2:
        drop(changed, path)
        return f"delete {'/'.join(map(str, path))}", changed
    value = VALUES[int(random.integers(len(VALUES)))]
    put(changed, path, value)
    return f"{'/'.join(map(str, path))} = {value!r:.60}", changed


ARRAYS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "zeros": lambda a, r: np.zeros_like(a),
    "ones": lambda a, r: np.ones_like(a),
    "minus": lambda a, r: -a if a.dtype.kind in "if" else a,
    "huge": lambda a, r: np.full_like(a, np.finfo(a.dtype).max if a.dtype.kind == "f" else 2**31 - 1
                                      if a.dtype.itemsize >= 4 else 1),
    "below": lambda a, r: np.full_like(a, -1) if a.dtype.kind in "if" else a,
    "not a number": lambda a, r: np.full_like(a, np.nan) if a.dtype.kind == "f" else a,
    "one far": lambda a, r: one_changed(a, r),
    "shuffled": lambda a, r: r.permutation(a.ravel()).reshape(a.shape),
    "shorter": lambda a, r: a[:-1] if a.ndim and len(a) else a,
    "longer": lambda a, r: np.concatenate([a, a]) if a.ndim else a,
    "flat": lambda a, r: a.ravel()[:, None],
    "empty": lambda a, r: a.ravel()[:0],
    "whole numbers": lambda a, r: np.nan_to_num(a).astype(np.int64),
    "halves": lambda a, r: a.astype(np.float16),
    "doubles": lambda a, r: a.astype(np.float64),
    "bytes": lambda a, r: np.nan_to_num(a).astype(np.uint8),
    "truths": lambda a, r: a.astype(bool),
}


def one_changed(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The array with one entry far out."""
    if not array.size:
        return array
    flat = array.copy().ravel()
    large = 1e30 if array.dtype.kind == "f" and array.dtype.itemsize > 2 else min(2**30, np.iinfo(
        array.dtype).max) if array.dtype.kind in "iu" else 1
    flat[int(random.integers(len(flat)))] = large
    return flat.reshape(array.shape)


def changed_arrays(arrays: dict[str, np.ndarray], random: np.random.Generator) -> tuple[str, dict[str, np.ndarray]]:
    """One tensor changed, gone or doubled under another name."""
    names = sorted(arrays)
    name = names[int(random.integers(len(names)))]
    chance = random.random()
    if chance < 0.06:
        return f"delete tensor {name}", {key: array for key, array in arrays.items() if key != name}
    if chance < 0.1:
        return f"one more tensor beside {name}", {**arrays, f"{name}x": arrays[name]}
    how = list(ARRAYS)[int(random.integers(len(ARRAYS)))]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return f"tensor {name}: {how}", {**arrays, name: ARRAYS[how](arrays[name], random)}


def ask(folder: Path, table: Path) -> str:
    """Open the run, answer and score the table: "answered", "refused" or the fault in words."""
    import gradatim as gd
    from gradatim.errors import GradatimError

    try:
        run = gd.load(folder)
        run.predict(table)
        try:
            run.evaluate(table)
        except GradatimError as error:
            return "refused" if fine(str(error)) else f"message: {error!s:.200}"
        return "answered"
    except GradatimError as error:
        return "refused" if fine(str(error)) else f"message: {error!s:.200}"
    except BaseException as error:  # whatever comes out that is not ours is what is looked for
        frames, trace = [], error.__traceback__
        while trace is not None:
            frames.append(f"{trace.tb_frame.f_code.co_filename.rpartition('gradatim/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        own = [frame for frame in frames if not frame.startswith("/")]
        return f"{type(error).__name__}: {error!s:.120} at {' '.join(own[-3:])}"


def fine(text: str) -> bool:
    return "\n" not in text and 10 < len(text) < 900


def worker(run: Path, table: Path, work: Path, seeds: list[int], pipe: Connection) -> None:
    """Change, open and ask the run once for each seed; what became of it goes through the pipe."""
    warnings.simplefilter("ignore")
    manifest, arrays = json.loads((run / MANIFEST).read_text()), load_file(run / WEIGHTS)
    original = (run / WEIGHTS).read_bytes()
    ask(run, table)  # what is imported and compiled the first time does not count
    for seed in seeds:
        random = np.random.default_rng(seed)
        (work / WEIGHTS).write_bytes(original)
        if not arrays or random.random() < 0.6:
            what, changed = changed_manifest(manifest, random)
            write_run(work, changed, None)
        else:
            what, tensors = changed_arrays(arrays, random)
            write_run(work, copy.deepcopy(manifest), tensors)
        pipe.send((seed, what, None, 0.0, 0))
        began = time.process_time()
        found = ask(work, table)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        pipe.send((seed, what, found, time.process_time() - began, most))
    pipe.close()


def outcomes(run: Path, table: Path, work: Path, seeds: list[int]) -> list[Outcome]:
    """What became of the run under the change of each seed; a child that dies or hangs is a fault and replaced."""
    work.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")  # a forked child would wait for threads that it does not have
    found: list[Outcome] = []
    left = list(seeds)
    while left:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=worker, args=(run, table, work, left, there), daemon=True)
        child.start()
        there.close()
        doing = "nothing yet"
        try:
            while left:
                if not here.poll(PATIENCE):
                    found.append(Outcome(doing, f"hangs for {PATIENCE:.0f} s"))
                    left = left[1:]
                    break
                seed, what, result, seconds, gigabytes = here.recv()
                doing = f"seed {seed}: {what}"
                if result is None:
                    continue
                left = left[1:]
                if gigabytes > MOST_GIGABYTES:
                    found.append(Outcome(doing, f"took {gigabytes:.1f} GB", seconds))
                    break
                slow = seconds > MOST_SECONDS
                found.append(Outcome(doing, f"took {seconds:.0f} s, {result}" if slow else result, seconds))
        except EOFError:
            child.join(5)
            found.append(Outcome(doing, f"dies with {child.exitcode}"))
            left = left[1:]
        child.kill()
        child.join()
    return found
