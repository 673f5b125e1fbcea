"""`python -m bench quality SET --data FOLDER`: accuracy on real data against peers, several seeds, paired intervals.

The data come from `python scripts/NAME.py`. Each seed draws its own test rows (grouped where rows belong together);
every method sees the same rows. Written to bench/results/quality_SET.{json,md}.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> None:
    """Run one comparison."""
    parser = argparse.ArgumentParser(prog="python -m bench quality")
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--data", type=Path, default=Path("data-real"))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--minutes", type=float)
    chosen = parser.parse_args(arguments)
    run, seeds, minutes = SETS[chosen.set]
    seeds, minutes = chosen.seeds or seeds, chosen.minutes or minutes
    began = time.perf_counter()
    scores = run(chosen.data, seeds, minutes)
    write(chosen.set, scores, minutes, time.perf_counter() - began)


def write(name: str, scores: dict[str, list[float]], minutes: float, seconds: float) -> None:
    """Mean of each method over the seeds, and the paired difference to the first with its 95 % t interval."""
    first = next(iter(scores))
    lines = [
        f"# {name}: test accuracy, {len(scores[first])} seeds, {minutes:g} minutes a fit, {seconds:.0f} s in all",
        "",
        "| method | mean | least | most | paired difference to the first |",
        "|---|---|---|---|---|",
    ]
    for method, values in scores.items():
        array = np.array(values)
        lines.append(
            f"| {method} | {array.mean():.4f} | {array.min():.4f} | {array.max():.4f} | "
            + ("" if method == first else paired(np.array(scores[first]), array))
            + " |"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"quality_{name}.json").write_text(
        json.dumps({"minutes": minutes, "seconds": seconds, "scores": scores})
    )
    (RESULTS / f"quality_{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def paired(first: np.ndarray, other: np.ndarray) -> str:
    """first − other in points, mean and 95 % interval over seeds."""
    difference = 100 * (first - other)
    if len(difference) < 2:
        return f"{difference.mean():+.2f} points"
    half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5
    return f"{difference.mean():+.2f} points [{difference.mean() - half:+.2f}, {difference.mean() + half:+.2f}]"


def split_rows(labels: list[Any], seed: int, share: float, groups: list[Any] | None = None) -> tuple[Any, Any]:
    """Training and test rows, stratified; rows of one group on one side."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit

    if groups is None:
        splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
        return next(splitter.split(np.zeros(len(labels)), labels))
    folds = StratifiedGroupKFold(round(1 / share), shuffle=True, random_state=seed)
    return next(folds.split(np.zeros(len(labels)), labels, groups))


def fitted(table: Any, rows: Any, test: Any, target: str, **options: Any) -> np.ndarray:
    """Our predictions of the test rows."""
    from gradatim.run import fit

    run = fit(table.take(rows), target=target, ledger="none", **options)
    return np.array([str(label) for label in run.predict(table.take(test)).frame["prediction"].to_list()])


def compare(
    path: Path,
    target: str,
    seeds: int,
    methods: dict[str, Callable[..., np.ndarray]],
    share: float = 0.2,
    group: str | None = None,
) -> dict[str, list[float]]:
    """Accuracy of each method at each seed; a method is called with (table, training rows, test rows, seed)."""
    from gradatim.data.readers import read_table

    table = read_table(path)
    labels = [str(label) for label in table.cells(target)]
    scores: dict[str, list[float]] = {name: [] for name in methods}
    for seed in range(seeds):
        rows, test = split_rows(labels, seed, share, table.cells(group) if group else None)
        truth = np.array(labels)[test]
        for name, method in methods.items():
            began = time.perf_counter()
            scores[name].append(float((method(table, rows, test, seed) == truth).mean()))
            print(f"seed {seed} {name}: {scores[name][-1]:.4f} in {time.perf_counter() - began:.0f} s", flush=True)
    return scores


def majority(target: str) -> Callable[..., np.ndarray]:
    """The most frequent training class."""

    def method(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
        labels = [str(table.cells(target)[row]) for row in rows]
        return np.full(len(test), max(set(labels), key=labels.count))

    return method


def emoji(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """Picture, name and tags → group; families on one side. All inputs, each alone, majority."""

    def ours(*ignored: str) -> Callable[..., np.ndarray]:
        return lambda table, rows, test, seed: fitted(
            table, rows, test, "group", group="family", ignore=("code", *ignored), minutes=minutes, seed=seed
        )

    methods = {
        "together": ours(),
        "picture alone": ours("name", "tags"),
        "text alone": ours("picture"),
        "majority": majority("group"),
    }
    return compare(data / "emoji" / "emoji.csv", "group", seeds, methods, group="family")


def transfer(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """The emoji pictures alone, at an eighth to all of the labels: from scratch, from Lite0 frozen and fine-tuned."""
    pretrained = {"image": "efficientnet_lite0:pretrained"}

    def ours(share: int, **options: Any) -> Callable[..., np.ndarray]:
        def method(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
            chosen = np.random.default_rng(seed).permutation(rows)[: len(rows) // share]
            return fitted(
                table, np.sort(chosen), test, "group", group="family", ignore=("code", "name", "tags"),
                minutes=minutes, seed=seed, **options,
            )  # fmt: skip

        return method

    methods = {}
    for share in (8, 4, 2, 1):
        part = "all labels" if share == 1 else f"1/{share} of the labels"
        methods[f"from scratch, {part}"] = ours(share)
        methods[f"frozen, {part}"] = ours(share, encoders=pretrained)
        methods[f"fine-tuned, {part}"] = ours(share, encoders=pretrained, fine_tune=True)
    return compare(data / "emoji" / "emoji.csv", "group", seeds, methods, group="family")


def titanic(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """Titanic against scikit-learn's gradient boosting on its numbers and categories."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    numbers, categories = ["pclass", "age", "sibsp", "parch", "fare"], ["sex", "embarked"]

    def frame(table: Any, rows: Any) -> Any:
        chosen = table.frame.select(
            *[pl.col(name).cast(pl.Float64, strict=False) for name in numbers],
            *[pl.col(name).fill_null("missing") for name in categories],
        )
        return chosen[np.asarray(rows)].to_pandas()

    def peer(model: Any, encoder: Any, impute: bool) -> Callable[..., np.ndarray]:
        def method(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
            plain = SimpleImputer() if impute else "passthrough"
            pipeline = make_pipeline(
                make_column_transformer((plain, numbers), (encoder, categories)), model(random_state=seed)
            )
            labels = np.array([str(label) for label in table.cells("survived")])
            return pipeline.fit(frame(table, rows), labels[rows]).predict(frame(table, test))

        return method

    def ours(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
        return fitted(table, rows, test, "survived", minutes=minutes, seed=seed)

    methods = {
        "gradatim": ours,
        "GradientBoosting": peer(GradientBoostingClassifier, OneHotEncoder(handle_unknown="ignore"), True),
        "HistGradientBoosting": peer(
            HistGradientBoostingClassifier, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), False
        ),
        "majority": majority("survived"),
    }
    return compare(data / "titanic" / "titanic.csv", "survived", seeds, methods)


def text(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """WordNet glosses → class against TF-IDF and logistic regression of scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline

    def peer(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
        cells, labels = np.array(table.cells("gloss")), np.array(table.cells("class"))
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegressionCV(Cs=5, cv=3, max_iter=300, scoring="neg_log_loss"),
        )
        return model.fit(cells[rows], labels[rows]).predict(cells[test])

    def ours(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
        return fitted(table, rows, test, "class", minutes=minutes, seed=seed)

    methods = {"gradatim": ours, "TF-IDF + logistic regression": peer, "majority": majority("class")}
    return compare(data / "text" / "glosses.csv", "class", seeds, methods)


def spoken(
    folder: Path, table: str, target: str, group: str, seeds: int, ours: dict[str, dict[str, Any]]
) -> dict[str, list[float]]:
    """Spoken words, groups apart: ours with several options, log-mel statistics (librosa) and logistic regression."""
    import librosa
    import soundfile
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known: dict[str, np.ndarray] = {}

    def statistics(name: str) -> np.ndarray:
        if name not in known:
            samples, rate = soundfile.read(folder / name, dtype="float32", always_2d=True)
            power = librosa.feature.melspectrogram(y=samples.mean(1), sr=rate, n_mels=64, hop_length=rate // 100)
            mel = np.log(power + 1e-6)
            known[name] = np.concatenate([mel.mean(1), mel.std(1), mel.min(1), mel.max(1)])
        return known[name]

    def peer(table: Any, rows: Any, test: Any, seed: int) -> np.ndarray:
        features = np.stack([statistics(name) for name in table.cells("sound")])
        labels = np.array([str(label) for label in table.cells(target)])
        model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=5, cv=3, max_iter=1000))
        return model.fit(features[rows], labels[rows]).predict(features[test])

    def fit_with(options: dict[str, Any]) -> Callable[..., np.ndarray]:
        return lambda table, rows, test, seed: fitted(table, rows, test, target, group=group, seed=seed, **options)

    methods = {name: fit_with(options) for name, options in ours.items()}
    methods |= {"log-mel statistics + logistic regression": peer, "majority": majority(target)}
    return compare(folder / table, target, seeds, methods, group=group)


def digits(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """Spoken digits, voices apart."""
    ours = {"gradatim": {"minutes": minutes, "ignore": ("accent",)}}
    return spoken(data / "klettres", "digits.csv", "digit", "voice", seeds, ours)


def letters(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """Spoken letters of fifteen languages, languages (and so speakers) apart: networks, at one speed and at several."""
    speed = {"augment": ("audio:speed=0.15",)}
    ours: dict[str, dict[str, Any]] = {
        "recurrent, speed=0.15": {"encoders": {"sound": "log_mel_recurrent"}, **speed},
        "recurrent": {"encoders": {"sound": "log_mel_recurrent"}},
        "attention, speed=0.15": {"encoders": {"sound": "log_mel_attention"}, **speed},
        "attention": {"encoders": {"sound": "log_mel_attention"}},
        "convolutional, speed=0.15": {"encoders": {"sound": "log_mel_net"}, **speed},
        "convolutional": {"encoders": {"sound": "log_mel_net"}},
    }
    ours = {name: {"minutes": minutes, **options} for name, options in ours.items()}
    return spoken(data / "klettres", "letters.csv", "letter", "language", seeds, ours)


def fashion(data: Path, seeds: int, minutes: float) -> dict[str, list[float]]:
    """Fashion-MNIST from a folder of class folders, its own 10,000 test pictures."""
    from gradatim.data.readers import read_table
    from gradatim.run import fit

    scores: dict[str, list[float]] = {"gradatim": []}
    for seed in range(seeds):
        began = time.perf_counter()
        run = fit(data / "fashion-mnist" / "train", minutes=minutes, seed=seed, ledger="none", flip=True, say=print)
        took = time.perf_counter() - began
        test = read_table(data / "fashion-mnist" / "test")
        truth = np.array([str(label) for label in test.cells("label")])
        said = np.array([str(label) for label in run.predict(test).frame["prediction"].to_list()])
        scores["gradatim"].append(float((said == truth).mean()))
        print(f"seed {seed}: {scores['gradatim'][-1]:.4f} after {took:.0f} s; {run.facts['seconds']}", flush=True)
    return scores


# name → (function, seeds, minutes a fit)
SETS: dict[str, tuple[Callable[[Path, int, float], dict[str, list[float]]], int, float]] = {
    "emoji": (emoji, 5, 1.0),
    "transfer": (transfer, 3, 1.0),
    "titanic": (titanic, 10, 0.4),
    "text": (text, 10, 0.6),
    "digits": (digits, 3, 1.0),
    "letters": (letters, 3, 0.5),
    "fashion": (fashion, 1, 5.0),
}
