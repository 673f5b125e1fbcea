"""Whether training and test rows can be told apart: where they can, the score on one says little about the other."""

import zlib

import numpy as np

from gradatim.audit.finding import Finding
from gradatim.audit.probes import FOLDS, WORD, Target, auc, chances_of_codes, folds_of, gain_of_vectors
from gradatim.audit.view import View, numbers_of, texts_of
from gradatim.data.fingerprints import FACTS, Prints
from gradatim.data.schema import Column
from gradatim.randomness import generator

MOST_EACH = 4000  # rows of either table
FEWEST_EACH = 20
NOTABLE, STRONG = 0.60, 0.80  # low end of the interval of the area under the ROC curve
BUCKETS = 1 << 12  # for hashed words


def find_shift(view: View, test: View, *, seed: int) -> list[Finding]:
    """Tell training from test rows by each input alone and by all together; area under the ROC curve."""
    if min(len(view.table), len(test.table)) < FEWEST_EACH:
        return []
    random = generator(seed, "audit", "shift")
    ours, theirs = _sample(len(view.table), random), _sample(len(test.table), random)
    side = Target(np.repeat([0, 1], [len(ours), len(theirs)]), ("train", "test"))
    folds = folds_of(side, random)
    evidence = {}
    for column in view.schema.inputs:
        if column.name in view.table.frame.columns and column.name in test.table.frame.columns:
            scores = _scores(view, test, column, ours, theirs, side, folds)
            if scores is not None:
                evidence[column.name] = scores
    if not evidence:
        return []
    areas = {name: auc(scores, side.codes == 1) for name, scores in evidence.items()}
    # Each column's log odds are of held-out rows; their sum takes the columns as independent (naive Bayes).
    together = auc(np.sum(list(evidence.values()), axis=0), side.codes == 1)
    loud = sorted((name for name in areas if areas[name][1] >= NOTABLE), key=lambda name: -areas[name][0])
    top = max([together, *areas.values()], key=lambda area: area[1])
    if top[1] < NOTABLE:
        return []
    sampled = "" if len(ours) == len(view.table) and len(theirs) == len(test.table) else (
        f", on {len(ours):,} and {len(theirs):,} rows"
    )
    single = "; ".join(f"'{name}' alone {areas[name][0]:.2f}" for name in loud[:4])
    return [Finding(
        "shift-train-test", "warning" if top[1] >= STRONG else "note",
        f"training and test rows can be told apart: area under the ROC curve {together[0]:.2f} "
        f"({together[1]:.2f}–{together[2]:.2f}) by all inputs{'; ' + single if single else ''}{sampled}",
        "the test rows are drawn from elsewhere: the score on held-out training rows will not hold there",
        "look at what differs; leave out inputs that mark when or where a row was collected, or split by time or group",
        tuple(loud), values={
            "all": list(together), "columns": {name: list(area) for name, area in areas.items()},
        },
    )]


def _sample(count: int, random: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= MOST_EACH else np.sort(random.choice(count, MOST_EACH, replace=False))


def _scores(
    view: View, test: View, column: Column, ours: np.ndarray, theirs: np.ndarray, side: Target, folds: np.ndarray
) -> np.ndarray | None:
    """Log odds of being a test row, float (N,), each from rows of the other folds."""
    if column.kind == "text":
        texts = texts_of(view.table, column.name, ours) + texts_of(test.table, column.name, theirs)
        return _word_odds(texts, side, folds)
    if column.kind in ("image", "audio"):
        first, second = view.prints.get(column.name), test.prints.get(column.name)
        if first is None or second is None:
            return None
        vectors = np.concatenate([_vectors(first, ours), _vectors(second, theirs)])
        scores = gain_of_vectors(vectors, side, folds)[1][:, 1]
        return _code_odds(_quantiles(scores, 20), side, folds)
    if column.kind == "number":
        values = np.concatenate([numbers_of(view.table, column, ours), numbers_of(test.table, column, theirs)])
        return _code_odds(_quantiles(values, 32), side, folds)
    if column.kind == "category":
        texts = texts_of(view.table, column.name, ours) + texts_of(test.table, column.name, theirs)
        known: dict[str | None, int] = {}
        codes = np.array([known.setdefault(text and text.strip(), len(known)) for text in texts], dtype=np.int64)
        return _code_odds(codes, side, folds)
    return None


def _code_odds(codes: np.ndarray, side: Target, folds: np.ndarray) -> np.ndarray:
    chances = chances_of_codes(codes, side, folds)
    prior = np.bincount(side.codes) / len(side.codes)
    return np.log(chances[:, 1] / chances[:, 0]) - np.log(prior[1] / prior[0])


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    present = values[~np.isnan(values)]
    if not len(present):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, count + 1)[1:-1]))
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))


def _word_odds(texts: list[str | None], side: Target, folds: np.ndarray) -> np.ndarray:
    """Naive Bayes over the presence of hashed words and the quantile of the length."""
    rows, buckets = [], []
    for row, text in enumerate(texts):
        words = set(WORD.findall((text or "").casefold()))
        found = {zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS for word in words}
        rows += [row] * len(found)
        buckets += list(found)
    row_of, bucket = np.array(rows, np.int64), np.array(buckets, np.int64)
    odds = np.zeros(len(texts))
    for fold in range(FOLDS):
        fit = folds != fold
        held = ~fit[row_of]
        sizes = np.bincount(side.codes[fit], minlength=2) + 2.0
        ours, theirs = (bucket[(side.codes[row_of] == value) & ~held] for value in (0, 1))
        weight = np.log((np.bincount(theirs, minlength=BUCKETS) + 1) / sizes[1])
        weight -= np.log((np.bincount(ours, minlength=BUCKETS) + 1) / sizes[0])
        odds += np.bincount(row_of[held], weights=weight[bucket[held]], minlength=len(texts))
    lengths = np.array([np.nan if text is None else len(text) for text in texts], dtype=np.float64)
    # As calibrated log odds: twenty quantiles of the score, counted like a category.
    return _code_odds(_quantiles(odds + _code_odds(_quantiles(lengths, 16), side, folds), 20), side, folds)


def _vectors(prints: Prints, rows: np.ndarray) -> np.ndarray:
    """Simple features of pictures and sounds with the facts of their files, float (N, D)."""
    facts = np.stack([np.log1p(np.nan_to_num(prints.facts[fact][rows])) for fact in FACTS], axis=1)
    if prints.colour is not None:
        content = prints.colour[rows].reshape(len(rows), -1).astype(np.float64)
    else:
        assert prints.energy is not None
        content = prints.energy[rows].astype(np.float64)
    return np.concatenate([content, facts], axis=1)
