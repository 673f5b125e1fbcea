"""Inputs that tell the target by themselves: what they say may not be known when a prediction is wanted."""

import numpy as np

from gradatim.audit.finding import Finding, first_rows, listed
from gradatim.audit.probes import (
    WORD,
    Gain,
    correlation,
    gain_of_codes,
    gain_of_numbers,
    gain_of_words,
)
from gradatim.audit.view import View, codes_of, missing_of, numbers_of, texts_of
from gradatim.data.schema import Column

ALMOST_ALL = 0.97  # of the way from the majority to all right, for one column alone
ALMOST_ALL_VARIANCE = 0.995
ONE_WORD = 0.9  # for one word a class
MISSINGNESS = 0.9  # correlation of a missing cell with a class
MISSINGNESS_OF_NUMBER = 0.6  # with a numeric target
PURE, COMMON, FEWEST_PURE = 0.985, 0.8, 20  # share of one class where the cell is empty; at most overall; rows
FEWEST_CELLS = 10  # missing and present ones, before missingness may speak
REMEDY = "ask whether it is known when a prediction is wanted; if not, leave it out with --ignore {}"


def find_single_columns(view: View) -> list[Finding]:
    """Inputs that alone predict the target almost perfectly. A table with one input has nothing to compare with."""
    if view.target is None or len(view.schema.inputs) < 2:
        return []
    findings = []
    for column in view.schema.inputs:
        found = _gain(view, column)
        if found is None:
            continue
        gain, words = found
        enough = ALMOST_ALL_VARIANCE if view.target.numeric else ONE_WORD if column.kind == "text" else ALMOST_ALL
        if gain.value < enough:
            continue
        through = f" through single words ({listed(words)})" if words else ""
        findings.append(Finding(
            "leak-single-column", "error" if gain.value > 0.999 and column.kind != "text" else "warning",
            f"'{column.name}' alone{through} predicts the target with {gain.words}, "
            f"cross-validated{view.sampled}",
            "it may say the answer, or be made from it; then the model is worthless on new rows",
            REMEDY.format(column.name), (column.name,),
            values={"score": gain.score, "baseline": gain.baseline, "gain": gain.value, "low": gain.low},
        ))
    return findings


def find_missingness(view: View) -> list[Finding]:
    """Inputs whose empty cells tell the target."""
    if view.target is None:
        return []
    findings = []
    for column in view.schema.inputs:
        if column.name not in view.table.frame.columns:
            continue
        missing = missing_of(view.table, column, view.sample)
        if min(missing.sum(), (~missing).sum()) < FEWEST_CELLS:
            continue
        strength, meant = _association(view, missing.astype(np.float64))
        pure = _pure(view, missing)
        if abs(strength) >= (MISSINGNESS_OF_NUMBER if view.target.numeric else MISSINGNESS):
            evidence = f"whether '{column.name}' is empty ({missing.mean():.0%} of the rows) tells {meant} " \
                       f"(correlation {strength:+.2f})"
        elif pure is not None:
            evidence = f"of the rows where '{column.name}' is {pure}"
        else:
            continue
        findings.append(Finding(
            "leak-missingness", "warning", evidence + view.sampled,
            "the cell may be filled in only after the answer is known; then the model is worthless on new rows",
            REMEDY.format(column.name), (column.name,), first_rows(view.sample[missing]),
            {"correlation": strength, "missing": float(missing.mean())},
        ))
    return findings


def find_labels_in_text(view: View) -> list[Finding]:
    """Text inputs that contain the label itself."""
    if view.target is None or view.target.numeric or not 2 <= len(view.target.classes) <= 200:
        return []
    names = [" ".join(WORD.findall(name.casefold())) for name in view.target.classes]
    telling = [index for index, name in enumerate(names) if len(name) >= 3 and not name.isdigit()]
    if len(telling) < len(names) / 2:
        return []
    findings = []
    for column in view.schema.inputs:
        if column.kind != "text" or column.name not in view.table.frame.columns:
            continue
        texts = [f" {' '.join(WORD.findall((text or '').casefold()))} " for text in
                 texts_of(view.table, column.name, view.sample)]
        own = np.zeros(len(texts), bool)
        other = np.zeros(len(texts), bool)
        for index in telling:
            holds = np.array([f" {names[index]} " in text for text in texts])
            own |= holds & (view.target.codes == index)
            other |= holds & (view.target.codes != index)
        alone = own & ~other
        if alone.mean() < 0.5 or other.mean() > 0.1:
            continue
        findings.append(Finding(
            "leak-label-in-text", "warning",
            f"in {alone.mean():.0%} of the rows '{column.name}' contains the label itself, and no other label"
            f"{view.sampled}",
            "the model will look for the label instead of what the text says",
            "remove the label from the texts, if it will not stand there in new rows", (column.name,),
            first_rows(view.sample[alone]), {"share": float(alone.mean())},
        ))
    return findings


def _gain(view: View, column: Column) -> tuple[Gain, list[str]] | None:
    assert view.target is not None
    if column.name not in view.table.frame.columns:
        return None
    if column.kind == "number":
        values = numbers_of(view.table, column, view.sample)
        return None if np.isnan(values).all() else (gain_of_numbers(values, view.target, view.folds), [])
    if column.kind == "category":
        return gain_of_codes(codes_of(view.table, column.name, view.sample), view.target, view.folds), []
    if column.kind == "text":
        return gain_of_words(texts_of(view.table, column.name, view.sample), view.target, view.folds)
    return None


def _pure(view: View, missing: np.ndarray) -> str | None:
    """Where the empty cells, or the filled ones, nearly all belong to one class that is not nearly everywhere."""
    assert view.target is not None
    if view.target.numeric:
        return None
    for side, word in ((missing, "empty"), (~missing, "filled in")):
        counts = np.bincount(view.target.codes[side], minlength=len(view.target.classes))
        index = int(counts.argmax())
        base = float((view.target.codes == index).mean())
        purity = counts[index] / max(1, side.sum())
        if side.sum() >= FEWEST_PURE and purity >= PURE and base <= COMMON:
            name = view.target.classes[index]
            return f"{word} ({side.sum():,}) {purity:.1%} have the target '{name}', of all rows {base:.1%}"
    return None


def _association(view: View, missing: np.ndarray) -> tuple[float, str]:
    assert view.target is not None
    if view.target.values is not None:
        return correlation(missing, view.target.values), "how large the target is"
    best, meant = 0.0, ""
    for index, name in enumerate(view.target.classes[:500]):
        strength = correlation(missing, (view.target.codes == index).astype(np.float64))
        if abs(strength) > abs(best):
            best, meant = strength, f"whether the target is '{name}'"
    return best, meant
