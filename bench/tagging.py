"""`python -m bench tagging --data FOLDER`: sentences tagged, against CRFsuite with the usual features.

FOLDER holds entities.conll and addresses.conll, as scripts/tagging.py writes them. A run of `gradatim fit` divides each
set; what it compares (the CRF on features, networks, their averages) and CRFsuite are fitted on its training sentences
and answer its test sentences. CRFsuite gets the features and the settings of sklearn-crfsuite's tutorial, and our
features with the same penalty as ours; ours and its penalties are those that are best on the development sentences.
Every score is seqeval's and is asserted to be what our own evaluation says. Intervals draw sentences with replacement,
the same ones for both of a difference. One thread; seconds are those of the processor.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.side_by_side import RESULTS, machine

SETS = ("entities", "addresses")
DRAWS = 1000
TUTORIAL = "CRFsuite, tutorial's features"
OURS = "CRF on features"
Tagged = list[list[str]]


def main(arguments: list[str]) -> None:
    """Run, print and write bench/results/tagging.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m bench tagging")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--minutes", type=float, default=2.0, help="of each run; 0: without networks")
    parser.add_argument("--growth", action="store_true", help="also seconds by the number of sentences")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each set, each with another division")
    chosen = parser.parse_args(arguments)
    path = RESULTS / "tagging.json"
    facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sets": {}, "growth": {}}
    facts["machine"] = machine()
    for name in filter(None, chosen.sets.split(",")):
        file = chosen.data / f"{name}.conll"
        if chosen.growth:
            facts["growth"][name] = grown(file)
        runs = [compared(file, chosen.minutes, seed) for seed in range(chosen.seeds)]
        facts["sets"][name] = pooled(runs)
        path.write_text(json.dumps(facts, indent=1))
    text = page(facts)
    (RESULTS / "tagging.md").write_text(text)
    print(text)


def compared(file: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Truth and everybody's tags of the run's test sentences, and seconds of fitting."""
    import gradatim as gd
    from gradatim.tasks import tagging_line

    lines: list[Any] = []
    seconds: dict[str, float] = {}
    looked, trained, fitted = tagging_line._Line.chosen, tagging_line.train_tagger, tagging_line.fit_crf

    def chosen(line: Any) -> Any:
        lines.append((line, looked(line)))
        return lines[-1][1]

    def timed(name: Callable[..., str], work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            found = work(*given, **named)
            seconds.setdefault(name(named), time.process_time() - began)
            return found
        return call

    tagging_line._Line.chosen = chosen  # type: ignore[method-assign]
    tagging_line.train_tagger = timed(lambda named: named["name"], trained)
    tagging_line.fit_crf = timed(lambda named: OURS, fitted)
    try:
        with tempfile.TemporaryDirectory() as place:
            gd.fit(file, task="tagging", output=Path(place) / "run", minutes=minutes or 5.0, seed=seed, ledger="none",
                   options={"model": "both" if minutes else "none"})
    finally:
        tagging_line._Line.chosen = looked  # type: ignore[method-assign]
        tagging_line.train_tagger, tagging_line.fit_crf = trained, fitted
    line, best = lines[0]
    tags = line.task.codec.tags
    parts = {part: ([line.corpus.sentences[row] for row in rows],
                    [[tags[number] for number in line.corpus.tags[row]] for row in rows])
             for part, rows in line.parts.items()}
    said = {tried.name: [[tags[number] for number in path] for path in line.task.decided(tried.test)]
            for tried in line.tried}
    for name, (answers, took) in of_crfsuite(parts).items():
        said[name], seconds[name] = answers, took
    said["what the run chose"] = said[best.name]
    return {"truth": parts["test"][1], "said": said, "seconds": seconds, "chosen": best.name,
            "scores": {name: scored(line.task.codec, parts["test"][1], answers) for name, answers in said.items()},
            "train": len(parts["train"][0])}


def tutorial(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """The features of sklearn-crfsuite's tutorial, less parts of speech, which these sets do not have."""
    found = []
    for place, word in enumerate(tokens):
        own: dict[str, Any] = {
            "bias": 1.0, "word.lower()": word.lower(), "word[-3:]": word[-3:], "word[-2:]": word[-2:],
            "word.isupper()": word.isupper(), "word.istitle()": word.istitle(), "word.isdigit()": word.isdigit()}
        for step in (-1, 1):
            if not 0 <= place + step < len(tokens):
                own["BOS" if step < 0 else "EOS"] = True
                continue
            other = tokens[place + step]
            own |= {f"{step}:word.lower()": other.lower(), f"{step}:word.istitle()": other.istitle(),
                    f"{step}:word.isupper()": other.isupper()}
        found.append(own)
    return found


def ours(tokens: Sequence[str]) -> list[dict[str, float]]:
    """Our own features in CRFsuite's form."""
    from gradatim.tasks.tagging_features import features

    return [dict.fromkeys(one, 1.0) for one in features(tokens)]


def fit_crfsuite(features: Callable[..., Any], sentences: Any, tags: Any, **settings: Any) -> Any:
    """A CRF of sklearn-crfsuite, L-BFGS."""
    from sklearn_crfsuite import CRF

    model = CRF(algorithm="lbfgs", max_iterations=100, all_possible_transitions=True, **settings)
    return model.fit([features(tokens) for tokens in sentences], tags)


def of_crfsuite(parts: dict[str, Any]) -> dict[str, tuple[Tagged, float]]:
    """Tags of the test sentences and seconds of the fit, by features; penalties by F on the development sentences."""
    from seqeval.metrics import f1_score

    found = {}
    choices: list[dict[str, Any]]
    for name, features, choices in (
        (TUTORIAL, tutorial, [{"c1": 0.1, "c2": 0.1}, {"c1": 0.0, "c2": 0.15}, {"c1": 0.0, "c2": 0.5}]),
        ("CRFsuite, our features", ours, [{"c1": 0.0, "c2": 0.15}, {"c1": 0.0, "c2": 0.5}]),
    ):
        best: tuple[float, Any, float] = (-1.0, None, 0.0)
        for settings in choices:
            began = time.process_time()
            model = fit_crfsuite(features, *parts["train"], **settings)
            took = time.process_time() - began
            held, truth = parts["development"]
            value = f1_score(truth, model.predict([features(tokens) for tokens in held]))
            if value > best[0]:
                best = (value, model, took)
        answers = best[1].predict([features(tokens) for tokens in parts["test"][0]])
        found[name] = ([list(path) for path in answers], best[2])
    return found


def scored(codec: Any, truth: Tagged, said: Tagged) -> dict[str, float]:
    """seqeval's precision, recall and F, which must be ours."""
    from seqeval.metrics import f1_score, precision_score, recall_score

    from gradatim.evaluate.tagging import Sentence, score_tagging

    numbers = {tag: number for number, tag in enumerate(codec.tags)}

    def spans(tags: list[str]) -> list[tuple[str, int, int]]:
        return codec.spans(np.array([numbers[tag] for tag in tags]))

    sentences = [Sentence(true, one, spans(true), spans(one)) for true, one in zip(truth, said)]
    mine = score_tagging(sentences, codec.kinds)["metrics"]
    found = {"precision": precision_score(truth, said), "recall": recall_score(truth, said),
             "f1": f1_score(truth, said)}
    for name, value in found.items():
        assert abs(mine[f"entity_{name}"]["value"] - value) < 1e-12, (name, value, mine[f"entity_{name}"])
    return {**found, "tokens": mine["token_accuracy"]["value"]}


def counts(truth: Tagged, said: Tagged) -> np.ndarray:
    """Right, said and true entities of each sentence, float64 (N, 3)."""
    from seqeval.metrics.sequence_labeling import get_entities

    rows = [(set(get_entities(true)), set(get_entities(one))) for true, one in zip(truth, said)]
    return np.array([[len(true & one), len(one), len(true)] for true, one in rows], dtype=np.float64)


def f_of(sums: np.ndarray) -> np.ndarray:
    """F of sums (…, 3)."""
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def pooled(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The test sentences of all runs together: scores, F with its interval, F less CRFsuite's with its interval."""
    names = list(runs[0]["said"])
    found = {name: np.concatenate([counts(run["truth"], run["said"][name]) for run in runs]) for name in names}
    size = len(found[names[0]])
    random = np.random.default_rng(0)
    drawn = [random.integers(0, size, size) for _ in range(DRAWS)]
    by_draw = {name: np.array([f_of(rows[draw].sum(0)) for draw in drawn]) for name, rows in found.items()}
    methods = {}
    for name in names:
        sums = found[name].sum(0)
        gap = by_draw[name] - by_draw[TUTORIAL]
        seconds = [run["seconds"][name] for run in runs if name in run["seconds"]]
        methods[name] = {
            "precision": sums[0] / max(sums[1], 1), "recall": sums[0] / sums[2], "f1": float(f_of(sums)),
            "interval": np.quantile(by_draw[name], [0.025, 0.975]).tolist(),
            "difference": float(f_of(sums) - f_of(found[TUTORIAL].sum(0))),
            "difference_interval": np.quantile(gap, [0.025, 0.975]).tolist(),
            "tokens": float(np.mean([run["scores"][name]["tokens"] for run in runs])),
            "seconds": float(np.median(seconds)) if seconds else None,
        }
    return {"train": runs[0]["train"], "test": size, "runs": len(runs), "chosen": [run["chosen"] for run in runs],
            "methods": methods}


def grown(file: Path) -> list[dict[str, Any]]:
    """Seconds of our CRF and of CRFsuite with the same features and penalty on more and more sentences."""
    from gradatim.data.codecs.tags import TagsCodec
    from gradatim.data.readers import read_table
    from gradatim.tasks.tagging_crf import fit_crf
    from gradatim.tasks.tagging_words import read_sentences

    table = read_table(file)
    sentences, cells = read_sentences(table.cells("tokens")), table.cells("tags")
    codec = TagsCodec().fit(cells)
    tagged = [(tokens, codec.encode(cell)[0]) for tokens, cell in zip(sentences, cells) if tokens]
    sentences, numbers = [tokens for tokens, _ in tagged], [tags for _, tags in tagged]
    fit_crf(sentences[:20], numbers[:20], len(codec.tags))  # compiled beforehand
    rows = []
    for size in (len(sentences) // 4, len(sentences) // 2, len(sentences)):
        tags = [[codec.tags[number] for number in one] for one in numbers[:size]]
        took: dict[str, list[float]] = {"ours": [], "CRFsuite": []}
        for _ in range(3):
            began = time.process_time()
            fit_crf(sentences[:size], numbers[:size], len(codec.tags), strength=1.0)
            middle = time.process_time()
            fit_crfsuite(ours, sentences[:size], tags, c1=0.0, c2=0.5)
            took["ours"].append(middle - began)
            took["CRFsuite"].append(time.process_time() - middle)
        ratio = float(np.median(np.array(took["CRFsuite"]) / np.array(took["ours"])))
        rows.append({"sentences": size, "tokens": sum(map(len, sentences[:size])),
                     **{name: float(np.median(values)) for name, values in took.items()}, "ratio": ratio})
        print(file.stem, rows[-1], flush=True)
    return rows


def page(facts: dict[str, Any]) -> str:
    """Tables of scores and of growth."""
    lines = ["# Tagging", "", "Entities right as a whole, on test sentences; scores by seqeval, equal to our own "
             f"evaluation on every output. The difference is of F, paired by sentences, against {TUTORIAL}."]
    for title, entry in facts["sets"].items():
        lines += ["", f"## {title}: {entry['train']} training sentences, {entry['test']} test sentences of "
                  f"{entry['runs']} divisions; the run chose {', '.join(entry['chosen'])}", "",
                  "| | precision | recall | F | F less CRFsuite's | tokens right | processor seconds of a fit |",
                  "|---|---|---|---|---|---|---|"]
        for name, one in entry["methods"].items():
            low, high = one["difference_interval"]
            gap = "" if name == TUTORIAL else f"{100 * one['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
            f_low, f_high = one["interval"]
            seconds = "" if one["seconds"] is None else f"{one['seconds']:.1f}"
            lines.append(f"| {name} | {100 * one['precision']:.1f} | {100 * one['recall']:.1f} | {100 * one['f1']:.1f} "
                         f"[{100 * f_low:.1f}, {100 * f_high:.1f}] | {gap} | {100 * one['tokens']:.1f} | {seconds} |")
    lines += ["", "## Seconds of the CRF by sentences, the same features and penalty (CRFsuite over ours)", "",
              "| set | sentences | tokens | ours | CRFsuite | ratio |", "|---|---|---|---|---|---|"]
    lines += [f"| {title} | {row['sentences']} | {row['tokens']} | {row['ours']:.2f} | {row['CRFsuite']:.2f} | "
              f"{row['ratio']:.2f} |" for title, rows in facts["growth"].items() for row in rows]
    return "\n".join([*lines, "", f"Machine: {facts['machine']}", ""])
