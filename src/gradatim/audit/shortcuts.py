"""What a file is called, how large it is, how it is stored: none of it should tell what the file shows."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from gradatim.audit.finding import Finding
from gradatim.audit.probes import Gain, gain_of_codes, gain_of_numbers
from gradatim.audit.view import View
from gradatim.data.fingerprints import Prints

# Code → the low end of the gain from which it is reported, and what it is. Bytes follow content, as duration does, so
# that more is asked of them; formats and sizes have no business with the answer.
LIMITS = {
    "shortcut-file-name": 0.5,
    "shortcut-file-size": 0.6,
    "shortcut-file-format": 0.3,
    "shortcut-picture-size": 0.3,
    "shortcut-duration": 0.6,
}
REMEDIES = {
    "shortcut-file-name": "rename or shuffle the files; never let a name be an input",
    "shortcut-file-size": "store all files in one format, size and quality",
    "shortcut-file-format": "store all files in one format",
    "shortcut-picture-size": "crop or resize all pictures to one size before training",
    "shortcut-duration": "cut all sounds to one length, rate and number of channels before training",
}


def find_shortcuts(view: View) -> list[Finding]:
    """Facts of the files that predict the target, cross-validated."""
    if view.target is None:
        return []
    findings = []
    for name, prints in view.prints.items():
        if prints.kind not in ("image", "audio"):
            continue
        best: dict[str, tuple[Gain, str]] = {}
        for code, what, gain in _gains(view, prints):
            if code not in best or gain.low > best[code][0].low:
                best[code] = (gain, what)
        for code, (gain, what) in best.items():
            if gain.low < LIMITS[code]:
                continue
            findings.append(Finding(
                code, "warning",
                f"{what} of the files in '{name}' predicts the target with {gain.words}, cross-validated{view.sampled}",
                "the model may learn how the files were made instead of what they show, and fail on new files",
                REMEDIES[code], (name,),
                values={"fact": what, "score": gain.score, "baseline": gain.baseline, "gain": gain.value,
                        "low": gain.low},
            ))
    return findings


def _gains(view: View, prints: Prints) -> list[tuple[str, str, Gain]]:
    assert view.target is not None
    rows, target, folds = view.sample, view.target, view.folds
    found = []
    facts = {fact: values[rows] for fact, values in prints.facts.items()}
    for fact, code, what in (
        ("bytes", "shortcut-file-size", "the size in bytes"),
        ("width", "shortcut-picture-size", "the width"),
        ("height", "shortcut-picture-size", "the height"),
        ("seconds", "shortcut-duration", "the duration"),
        ("hertz", "shortcut-duration", "the sampling rate"),
        ("channels", "shortcut-duration", "the number of channels"),
    ):
        if _varies(facts[fact]):
            found.append((code, what, gain_of_numbers(facts[fact], target, folds)))
    aspect = facts["width"] / facts["height"]
    if _varies(aspect):
        found.append(("shortcut-picture-size", "the aspect", gain_of_numbers(aspect, target, folds)))
        pair = np.unique(np.nan_to_num(facts["width"] * 1e6 + facts["height"], nan=-1), return_inverse=True)[1]
        found.append(("shortcut-picture-size", "the size in pixels", gain_of_codes(pair, target, folds)))
    formats = _codes([prints.formats[row] for row in rows])
    if len(set(formats.tolist())) > 1:
        found.append(("shortcut-file-format", "the format", gain_of_codes(formats, target, folds)))
    return found + _names(view, [prints.names[row] for row in rows])


def _names(view: View, names: list[str | None]) -> list[tuple[str, str, Gain]]:
    assert view.target is not None
    if sum(name is not None for name in names) < len(names) / 2:
        return []
    paths = [PurePosixPath((name or "").replace("\\", "/")) for name in names]
    stems = [path.stem for path in paths]
    words = _codes([" ".join(re.findall(r"[^\W\d_]+", stem.casefold())) for stem in stems])
    lengths = np.array([float(len(stem)) for stem in stems])
    numbers = np.array([float((re.findall(r"\d{1,15}", stem) or ["nan"])[-1]) for stem in stems])
    gains = {"the words in the name": gain_of_codes(words, view.target, view.folds)}
    for what, values in (("the number in the name", numbers), ("the length of the name", lengths)):
        if _varies(values):
            gains[what] = gain_of_numbers(values, view.target, view.folds)
    labels = {" ".join(str(name).casefold().split()) for name in view.target.classes}
    # Folders named after the classes are how the labels are told, and not a shortcut.
    if not {path.parent.name.casefold() for path in paths} <= labels:
        gains["the folder"] = gain_of_codes(_codes([str(path.parent) for path in paths]), view.target, view.folds)
    return [("shortcut-file-name", what, gain) for what, gain in gains.items()]


def _codes(texts: Sequence[str | None]) -> np.ndarray:
    known: dict[str | None, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)


def _varies(values: np.ndarray) -> bool:
    present = values[~np.isnan(values)]
    return len(present) > 1 and bool((present != present[0]).any())
