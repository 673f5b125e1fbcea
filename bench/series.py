"""`python -m bench series --data FOLDER --peers PYTHON`: series classified and transformed, against aeon.

FOLDER holds NAME/NAME_TRAIN.ts and NAME/NAME_TEST.ts, as `aeon/datasets/data` in aeon's wheel does; PYTHON is the
interpreter of a place in which aeon is installed. Everyone fits on the training file and answers the test file that
the archive gives. Rows of unequal lengths go to us as they are and to the peers as the archive's own `_eq` files, cut
or filled to one length. One thread; seconds are those of the processor, in turns with the peer's process; medians.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.series_worker import walk
from bench.side_by_side import RESULTS, machine
from gradatim.data.codecs.series_cells import read_series
from gradatim.data.readers import read_table

SETS = ("ItalyPowerDemand", "GunPoint", "ArrowHead", "BasicMotions", "JapaneseVowels", "PickupGestureWiimoteZ",
        "OSULeaf", "ACSF1")
PEERS = ("MultiRocketHydra", "Hydra", "MultiRocket", "MiniRocket", "1-NN DTW")
SIZES = ((100, 1, 150), (100, 1, 600), (400, 1, 150), (100, 6, 150))  # rows, channels, steps
SWEEP = tuple((kind, *size) for kind in ("MiniRocket", "MultiRocket", "Hydra") for size in SIZES)


class Peer:
    """aeon in its own process, asked a JSON object at a time."""

    def __init__(self, interpreter: str) -> None:
        worker = Path(__file__).with_name("series_worker.py")
        self.process = subprocess.Popen([interpreter, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its answer; RuntimeError when it has died."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise RuntimeError(f"expected an answer to {request}, the peers' process ended")


def main(arguments: list[str]) -> None:
    """Run, print and write bench/results/series.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m bench series")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", help="interpreter with aeon; without it our own figures alone")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--minutes", type=float, default=0.0, help="of `gradatim fit` a set; 0: leave it out")
    parser.add_argument("--only", default="", help="contenders by their names in the tables, divided by commas")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sweep", action="store_true", help="also growth with length, rows and channels")
    chosen = parser.parse_args(arguments)
    peer = Peer(chosen.peers) if chosen.peers else None
    path = RESULTS / "series.json"
    facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sets": {}, "sweep": []}
    only = [name for name in chosen.only.split(",") if name]
    for name in filter(None, chosen.sets.split(",")):
        found = compare(chosen.data, name, peer, chosen.minutes, only)
        before = facts["sets"].get(name, {}).get("methods", {})
        found["methods"] = {key: value for key, value in (before | found["methods"]).items() if key in NAMES}
        facts["sets"][name] = found
        print(name, json.dumps({key: value.get("accuracy") for key, value in found["methods"].items()}), flush=True)
        save(path, facts)
    for case in SWEEP if chosen.sweep else ():
        if only and case[0] not in only:
            continue
        entry = grown(case, peer, chosen.turns)
        same = ("transform", "rows", "channels", "steps")
        others = [one for one in facts["sweep"] if any(one[key] != entry[key] for key in same)]
        facts["sweep"] = sorted([*others, entry], key=lambda one: SWEEP.index(tuple(one[key] for key in same)))
        print(entry, flush=True)
        save(path, facts)
    print(page(facts))


def save(path: Path, facts: dict[str, Any]) -> None:
    """What is known so far: figures that this call did not take again stay as they were."""
    facts["machine"] = machine()
    path.write_text(json.dumps(facts, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(facts))


def rows_of(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Series (C, T) float32 and labels of a .ts file."""
    table = read_table(path)
    series = [np.asarray(read_series(cell), dtype=np.float32) for cell in table.cells("series")]
    return series, np.array(table.cells("label"))


def compare(folder: Path, name: str, peer: Peer | None, minutes: float, only: list[str]) -> dict[str, Any]:
    """Accuracy and seconds of every method on one set, of those in `only` where it names some."""
    training, labels = rows_of(folder / name / f"{name}_TRAIN.ts")
    test, truth = rows_of(folder / name / f"{name}_TEST.ts")
    lengths = sorted({row.shape[1] for row in [*training, *test]})
    methods: dict[str, Any] = {}
    for title, fit in OURS.items():
        if only and title not in only:
            continue
        fit(training[:4] + training[-4:], np.r_[labels[:4], labels[-4:]])(test[:1])  # compiled beforehand
        began = time.process_time()
        answer = fit(training, labels)
        fitted = time.process_time()
        found = answer(test)
        methods[title] = {"accuracy": float((found == truth).mean()), "fit": fitted - began,
                          "predict": time.process_time() - fitted}
    if len(lengths) > 1 and (not only or EQUAL in only):
        began = time.process_time()
        held = equal_lengths(folder, name, training, labels, test, truth)
        found = OURS[BOTH](list(held["x_train"]), held["y_train"])(list(held["x_test"]))
        methods[EQUAL] = {"accuracy": float((found == held["y_test"]).mean()), "fit": time.process_time() - began,
                          "predict": 0.0}
    if minutes and (not only or MAIN in only):
        methods[MAIN] = main_line(folder / name, name, truth, minutes)
    if peer is not None:
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file.name, **equal_lengths(folder, name, training, labels, test, truth))  # type: ignore[arg-type]
            for method in PEERS:
                if only and f"aeon {method}" not in only:
                    continue
                answer_of_peer = peer.ask({"classify": method, "data": file.name})
                methods[f"aeon {method}"] = {key: answer_of_peer[key] for key in ("accuracy", "fit", "predict")}
    return {"train": len(training), "test": len(test), "channels": len(training[0]), "steps": [lengths[0], lengths[-1]],
            "classes": len(set(labels.tolist())), "methods": methods}


def equal_lengths(
    folder: Path, name: str, training: list[np.ndarray], labels: np.ndarray, test: list[np.ndarray], truth: np.ndarray
) -> dict[str, np.ndarray]:
    """The arrays that the peers get: the archive's `_eq` files where lengths differ."""
    if len({row.shape[1] for row in [*training, *test]}) > 1:
        training, labels = rows_of(folder / name / f"{name}_eq_TRAIN.ts")
        test, truth = rows_of(folder / name / f"{name}_eq_TEST.ts")
    return {"x_train": np.stack(training), "y_train": labels.astype(str), "x_test": np.stack(test),
            "y_test": truth.astype(str)}


def by_kernels(kind: str) -> Callable[..., Any]:
    """Random kernels and a ridge classifier."""
    def fit(training: list[np.ndarray], labels: np.ndarray) -> Callable[[list[np.ndarray]], np.ndarray]:
        from gradatim.estimators.ridge_classifier import RidgeClassifier

        transform = transformer(kind)()
        if "standardise" in transform.get_params():
            transform.set_params(standardise=True)
        model = RidgeClassifier().fit(transform.fit_transform(training), labels)
        return lambda test: model.predict(transform.transform(test))

    return fit


def transformer(kind: str) -> Any:
    """One of our transforms of series by its name."""
    from gradatim.estimators import hydra, rocket

    return getattr(hydra if "Hydra" in kind else rocket, kind)


def by_warping(training: list[np.ndarray], labels: np.ndarray) -> Callable[[list[np.ndarray]], np.ndarray]:
    """The nearest row by dynamic time warping, window 0.1."""
    from gradatim.estimators.dtw import DTWNeighborsClassifier

    return DTWNeighborsClassifier().fit(training, labels).predict


BOTH = "MultiRocket + Hydra + ridge"
EQUAL = "the same at equal lengths"
OURS: dict[str, Callable[..., Any]] = {
    BOTH: by_kernels("MultiRocketHydra"), "Hydra + ridge": by_kernels("Hydra"),
    "MultiRocket + ridge": by_kernels("MultiRocket"), "MiniRocket + ridge": by_kernels("MiniRocket"),
    "1-NN DTW": by_warping,
}
MAIN = "gradatim fit"
NAMES = (BOTH, EQUAL, *list(OURS)[1:], MAIN, *(f"aeon {method}" for method in PEERS))


def main_line(folder: Path, name: str, truth: np.ndarray, minutes: float) -> dict[str, Any]:
    """`gradatim fit` on the training file, answering the test file."""
    import gradatim as gd

    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        run = gd.fit(folder / f"{name}_TRAIN.ts", target="label", output=Path(place) / "run", minutes=minutes,
                     ledger="none")
        fitted = time.process_time()
        predicted = np.array(run.predict(folder / f"{name}_TEST.ts").frame["prediction"].to_list())
    return {"accuracy": float((predicted == truth).mean()), "fit": fitted - began,
            "predict": time.process_time() - fitted, "answered_by": run.facts["answer"]["name"]}


def grown(case: tuple[str, int, int, int], peer: Peer | None, turns: int) -> dict[str, Any]:
    """Median seconds of transforming random walks, ours and the peer's in turn, and the median ratio of the turns."""
    kind, rows, channels, steps = case
    series = walk(rows, channels, steps)
    model = transformer(kind)().fit(series)
    model.transform(series[:2])
    ours, theirs = [], []
    for _ in range(turns):
        began = time.process_time()
        model.transform(series)
        ours.append(time.process_time() - began)
        if peer is not None:
            asked = {"transform": kind, "rows": rows, "channels": channels, "steps": steps}
            theirs.append(peer.ask(asked)["transform"])
    ratio = statistics.median(their / our for our, their in zip(ours, theirs)) if theirs else None
    return {"transform": kind, "rows": rows, "channels": channels, "steps": steps,
            "seconds": statistics.median(ours), "aeon": statistics.median(theirs) if theirs else None, "ratio": ratio}


def page(facts: dict[str, Any]) -> str:
    """Tables of accuracy, of seconds and of growth."""
    lines = ["# Series", ""]
    if facts["sets"]:
        names = [name for name in NAMES if any(name in entry["methods"] for entry in facts["sets"].values())]
        lines += ["Accuracy on the archive's test rows (processor seconds of fitting and answering). Rows of unequal "
                  "lengths are given to us as they are; 'at equal lengths' and aeon read the archive's files of one "
                  "length.", "",
                  "| set (training rows, channels × steps) | " + " | ".join(names) + " |",
                  "|---" * (len(names) + 1) + "|"]
        for title, entry in facts["sets"].items():
            low, high = entry["steps"]
            steps = f"{low}" if low == high else f"{low}–{high}"
            cells = [cell_of(entry["methods"].get(name)) for name in names]
            lines.append(f"| {title} ({entry['train']}, {entry['channels']} × {steps}) | " + " | ".join(cells) + " |")
        found = [[entry["methods"][name]["accuracy"] for entry in facts["sets"].values() if name in entry["methods"]]
                 for name in names]
        lines.append("| mean | " + " | ".join(f"{np.mean(values):.4f}" if len(values) == len(facts["sets"]) else "–"
                                              for values in found) + " |")
    if facts["sweep"]:
        lines += ["", "Transforming random walks, one thread.", "",
                  "| transform | rows | channels | steps | seconds | aeon | times as fast |", "|---" * 7 + "|"]
        lines += [f"| {e['transform']} | {e['rows']} | {e['channels']} | {e['steps']} | {e['seconds']:.3f} | "
                  + (f"{e['aeon']:.3f} | {e['ratio']:.1f} |" if e["aeon"] else "– | – |") for e in facts["sweep"]]
    return "\n".join(lines) + "\n"


def cell_of(entry: dict[str, Any] | None) -> str:
    """Accuracy and seconds in a cell."""
    return "–" if entry is None else f"{entry['accuracy']:.4f} ({entry['fit'] + entry['predict']:.1f} s)"
