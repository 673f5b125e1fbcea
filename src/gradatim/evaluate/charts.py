"""The charts of the report, each from JSON-able values to one SVG element; see `svg.py` for colours and ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gradatim.evaluate.svg import Ink, drawing, figure, short, to_svg
from gradatim.randomness import generator

MOST_CLASSES_IN_MATRIX = 12
MOST_POINTS = 1500
LINES = (Ink.accent, Ink.second, Ink.third, Ink.bad)


def learning_curves(
    history: Sequence[Mapping[str, Any]], *, name: str, what: str = "loss", title: str = "Learning curves"
) -> str:
    """Training and development values over epochs; the lowest development loss is ringed.

    history: one mapping an epoch with `epoch`, `loss` or `train_loss`, `development_loss`, `development_accuracy` ….
    what: the measure to draw, as in `development_<what>`; empty text when no epoch has it.
    """
    keys = [key for key in (what, f"train_{what}", f"development_{what}") if _series(history, key) is not None]
    if not keys:
        return ""
    with drawing():
        drawn = figure(4.3, 2.9)
        axes = drawn.subplots()
        epochs = np.array([row.get("epoch", number) for number, row in enumerate(history)], dtype=np.float64)
        for key in keys:
            values, ours = _series(history, key), key.startswith("development")
            assert values is not None
            label = ("development " if ours else "training ") + short(what.replace("_", " "))
            axes.plot(epochs, values, color=Ink.accent if ours else Ink.second, label=label,
                      marker="o" if len(epochs) < 25 else "", markersize=3)
            if ours and what == "loss":
                best = int(np.nanargmin(values))
                axes.plot(epochs[best], values[best], "o", color=Ink.accent, markersize=7.5, markerfacecolor="none",
                          markeredgewidth=1.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        axes.grid(axis="x", visible=False)
        axes.legend()
        return to_svg(drawn, name=name, title=f"{title}: {short(what)}")


def measures_of(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What `learning_curves` can draw of a history, the loss first."""
    found = ["loss"] if any(_series(history, key) is not None for key in ("loss", "train_loss")) else []
    for key in history[0] if history else ():
        what = key.removeprefix("development_")
        if what != key and what not in found and _series(history, key) is not None:
            found.append(what)
    return found


def intervals(
    entries: Sequence[Mapping[str, Any]], *, name: str, title: str, label: str, percent: bool = False,
    reference: float | None = None, reference_label: str = "",
) -> str:
    """A dot with its interval for each entry {name, value, low, high, chosen}, in the given order from the top."""
    with drawing():
        drawn = figure(5.4, 0.75 + 0.3 * len(entries))
        axes = drawn.subplots()
        scale = 100.0 if percent else 1.0
        for place, entry in enumerate(entries):
            if entry.get("value") is None:
                continue
            colour = Ink.accent if entry.get("chosen") else Ink.muted
            if entry.get("low") is not None and entry.get("high") is not None:
                axes.plot([entry["low"] * scale, entry["high"] * scale], [place, place], color=colour, linewidth=2.2,
                          solid_capstyle="round")
            axes.plot(entry["value"] * scale, place, "o", color=colour, markersize=6.5 if entry.get("chosen") else 5)
        if reference is not None:
            axes.axvline(reference * scale, color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
            axes.text(reference * scale, -0.75, short(reference_label, 40), ha="center", va="bottom", fontsize=7.5,
                      color=Ink.muted)
        axes.set_yticks(range(len(entries)), [short(entry["name"], 28) for entry in entries])
        for tick, entry in zip(axes.get_yticklabels(), entries):
            tick.set_color(Ink.ink if entry.get("chosen") else Ink.muted)
        axes.set_ylim(len(entries) - 0.4, -0.7)
        axes.set_xlabel(label + (", %" if percent else ""))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        return to_svg(drawn, name=name, title=title)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[Any], *, name: str) -> str:
    """Counts with true classes as rows, shaded by the share of the row; over 12 classes the most frequent mix-ups."""
    counts = np.asarray(matrix, dtype=np.float64)
    if len(counts) > MOST_CLASSES_IN_MATRIX:
        return _top_confusions(counts, classes, name=name)
    with drawing():
        side = max(2.6, 1.2 + 0.31 * len(counts))
        drawn = figure(side + 0.9, side)
        axes = drawn.subplots()
        shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
        for true in range(len(counts)):
            for chosen in range(len(counts)):
                share = shares[true, chosen]
                colour = (Ink.accent if true == chosen else Ink.bad) if share else Ink.muted
                axes.add_patch(Rectangle((chosen - 0.47, true - 0.47), 0.94, 0.94, facecolor=colour, linewidth=0,
                                         alpha=float(0.1 + 0.8 * share) if share else 0.07))
                if share:
                    axes.text(chosen, true, f"{counts[true, chosen]:,.0f}", ha="center", va="center", fontsize=8,
                              color=Ink.on_accent if share > 0.55 else Ink.ink)
        names = [short(c, 14) for c in classes]
        steep = max(map(len, names), default=0) > 4 and len(names) > 3
        axes.set_xticks(range(len(names)), names, rotation=45 if steep else 0, ha="right" if steep else "center",
                        rotation_mode="anchor" if steep else "default")
        axes.set_yticks(range(len(names)), names)
        _bare(axes, len(names))
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        return to_svg(drawn, name=name, title="Confusion matrix: rows are true classes, columns predicted ones")


def _top_confusions(counts: np.ndarray, classes: Sequence[Any], *, name: str, most: int = 15) -> str:
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(*np.unravel_index(place, wrong.shape), wrong.flat[place]) for place in order if wrong.flat[place] > 0]
    with drawing():
        drawn = figure(5.6, 0.7 + 0.27 * max(1, len(pairs)))
        axes = drawn.subplots()
        places = range(len(pairs))
        axes.barh(places, [count for *_, count in pairs], color=Ink.bad, alpha=0.75, height=0.62)
        for place, (true, _, count) in zip(places, pairs):
            axes.text(count, place, f"  {count:,.0f} of {counts[true].sum():,.0f}", va="center", fontsize=7.5,
                      color=Ink.muted)
        axes.set_yticks(places, [f"{short(classes[t], 16)} → {short(classes[p], 16)}" for t, p, _ in pairs])
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_xlabel("rows (true → predicted)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(axis="y", visible=False)
        return to_svg(drawn, name=name, title="Most frequent confusions, true class to predicted class")


def reliability(calibration: Mapping[str, Any], *, name: str) -> str:
    """Share right against confidence, a point a bin with its interval; the diagonal is honesty."""
    bins = calibration["bins"]
    with drawing():
        drawn = figure(4.3, 3.6)
        axes = drawn.subplots()
        confidence = np.array([b["confidence"] for b in bins])
        right = np.array([b["right"] for b in bins])
        low = right - np.array([b["low"] for b in bins])
        high = np.array([b["high"] for b in bins]) - right
        start = max(0.0, min(confidence.min(), (right - low).min()) - 0.03)
        axes.plot([start, 1], [start, 1], color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
        axes.errorbar(confidence, right, yerr=np.stack([low, high]).clip(0), color=Ink.accent, fmt="o-", markersize=4.5,
                      linewidth=1.2, elinewidth=1.2)
        axes.set_xlim(start, 1.01)
        axes.set_ylim(start, 1.01)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share right")
        _percent(axes)
        return to_svg(drawn, name=name, title="Reliability: share right against confidence")


def roc(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[Any], *, name: str) -> str:
    """True against false positive rate; over two classes each class against the rest."""

    def curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hits, alarms = _sweep(positive, scores)
        return np.append(0, alarms / alarms[-1]), np.append(0, hits / hits[-1])

    with drawing():
        drawn = figure(4.3, 3.6)
        axes = drawn.subplots()
        axes.plot([0, 1], [0, 1], color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
        _class_curves(axes, curve, labels, probabilities, classes)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("recall (true positive rate)")
        _percent(axes)
        _legend(axes, "lower right")
        return to_svg(drawn, name=name, title="ROC curve")


def precision_recall(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[Any], *, name: str) -> str:
    """Precision against recall; over two classes each class against the rest."""

    def curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hits, alarms = _sweep(positive, scores)
        precision = hits / (hits + alarms)
        return np.append(0, hits / hits[-1]), np.append(precision[0], precision)

    with drawing():
        drawn = figure(4.3, 3.6)
        axes = drawn.subplots()
        if len(classes) == 2:
            axes.axhline(float((labels == 1).mean()), color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
        _class_curves(axes, curve, labels, probabilities, classes)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        _percent(axes)
        _legend(axes, "lower left")
        return to_svg(drawn, name=name, title="Precision and recall")


def confidences(labels: np.ndarray, probabilities: np.ndarray, *, name: str) -> str:
    """How sure the model was where it was right and where it was wrong."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    with drawing():
        drawn = figure(4.3, 3.6)
        axes = drawn.subplots()
        edges = np.linspace(1 / probabilities.shape[1] if probabilities.shape[1] < 5 else 0.0, 1, 21)
        axes.hist([sure[right], sure[~right]], bins=list(edges), stacked=True, color=[Ink.accent, Ink.bad], rwidth=0.88,
                  label=["right", "wrong"])
        axes.set_xlabel("confidence")
        axes.set_ylabel("rows")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left")
        return to_svg(drawn, name=name, title="Histogram of confidences, right and wrong answers")


def class_balance(per_class: Sequence[Mapping[str, Any]], *, name: str, most: int = 30) -> str:
    """Rows of each class, true and predicted."""
    shown = sorted(per_class, key=lambda entry: -entry["rows"])[:most]
    with drawing():
        drawn = figure(4.3, 0.8 + 0.26 * len(shown))
        axes = drawn.subplots()
        places = np.arange(len(shown))
        axes.barh(places - 0.19, [entry["rows"] for entry in shown], 0.36, color=Ink.accent, label="true")
        axes.barh(places + 0.19, [entry["predicted"] for entry in shown], 0.36, color=Ink.second, label="predicted")
        axes.set_yticks(places, [short(entry["class"]) for entry in shown])
        axes.invert_yaxis()
        axes.set_xlabel("rows")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        return to_svg(drawn, name=name, title="Rows of each class, true and predicted")


def predicted_against_true(labels: np.ndarray, values: np.ndarray, *, name: str, unit: str = "") -> str:
    """A point a row; on the line the prediction is right."""
    kept = _sample(np.abs(values - labels))
    with drawing():
        drawn = figure(4.3, 3.6)
        axes = drawn.subplots()
        ends = np.array([min(labels.min(), values.min()), max(labels.max(), values.max())])
        axes.plot(ends, ends, color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
        axes.scatter(labels[kept], values[kept], s=9, color=Ink.accent, alpha=0.55, linewidths=0)
        axes.set_xlabel("true" + (f" {short(unit)}" if unit else ""))
        axes.set_ylabel("predicted")
        return to_svg(drawn, name=name, title="Predicted against true values")


def residuals(labels: np.ndarray, values: np.ndarray, *, name: str) -> str:
    """Predicted minus true against the prediction: a bend or a funnel says what the model misses."""
    error = values - labels
    kept = _sample(np.abs(error))
    with drawing():
        drawn = figure(4.3, 3.6)
        axes, side = drawn.subplots(1, 2, sharey=True, width_ratios=[4, 1])
        axes.axhline(0, color=Ink.muted, linewidth=1, linestyle=(0, (3, 3)))
        axes.scatter(values[kept], error[kept], s=9, color=Ink.accent, alpha=0.55, linewidths=0)
        order = np.argsort(values)
        parts = [part for part in np.array_split(order, min(10, max(1, len(order) // 10))) if len(part)]
        if len(parts) > 2:
            axes.plot([values[part].mean() for part in parts], [error[part].mean() for part in parts], color=Ink.second,
                      linewidth=1.8, label="mean")
            axes.legend()
        axes.set_xlabel("predicted")
        axes.set_ylabel("predicted − true")
        side.hist(error, bins=25, orientation="horizontal", color=Ink.accent, rwidth=0.9)
        side.grid(visible=False)
        side.set_xticks([])
        side.spines["bottom"].set_visible(False)
        return to_svg(drawn, name=name, title="Residuals against predictions")


def _class_curves(
    axes: Axes, curve: Any, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[Any]
) -> None:
    """One curve for two classes; one each up to four; beyond, all muted with the largest class in colour."""
    if len(classes) == 2:
        if 0 < (labels == 1).sum() < len(labels):
            axes.plot(*curve(labels == 1, probabilities[:, 1]), color=Ink.accent, label=short(classes[1]))
        return
    seen = [c for c in range(len(classes)) if 0 < (labels == c).sum() < len(labels)]
    few = len(seen) <= len(LINES)
    for place, c in enumerate(seen[:40]):
        x, y = _thinned(*curve(labels == c, probabilities[:, c]))
        axes.plot(x, y, color=LINES[place] if few else Ink.accent, linewidth=1.4 if few else 0.9,
                  alpha=1.0 if few else 0.5, label=short(classes[c]) if few else (None if place else "each class"))


def _sweep(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits and false alarms as the threshold falls through the distinct scores."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    return hits, last + 1 - hits


def _thinned(x: np.ndarray, y: np.ndarray, most: int = 200) -> tuple[np.ndarray, np.ndarray]:
    if len(x) <= most:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, most).astype(int))
    return x[kept], y[kept]


def _sample(size: np.ndarray) -> np.ndarray:
    """All rows, or the 300 largest errors and others at random."""
    if len(size) <= MOST_POINTS:
        return np.arange(len(size))
    order = np.argsort(-size, kind="stable")
    rest = generator("points", len(size)).choice(order[300:], MOST_POINTS - 300, replace=False)
    return np.concatenate([order[:300], rest])


def _series(history: Sequence[Mapping[str, Any]], key: str) -> np.ndarray | None:
    cells = [row.get(key) for row in history]
    if not any(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells):
        return None
    return np.array([cell if isinstance(cell, int | float) else np.nan for cell in cells], dtype=np.float64)


def _legend(axes: Axes, place: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=place)


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _bare(axes: Axes, count: int) -> None:
    axes.set_xlim(-0.55, count - 0.45)
    axes.set_ylim(count - 0.45, -0.55)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
