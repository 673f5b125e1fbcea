"""How many rounds of boosted trees the time holds, and on how many rows: measured on a few rounds, then decided.

A round costs in proportion to rows and classes, so that a thousand classes need a thousand trees a round. All rows and
fewer rounds are better than many rounds on a sample, down to `FEWEST_ROUNDS`; fewer rounds take larger steps.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.data.codecs import codec_for
from gradatim.data.codecs.number import NumberCodec
from gradatim.data.schema import Column
from gradatim.estimators.trees import BoostedTreesRegressor
from gradatim.randomness import generator
from gradatim.tasks.heads import number_cells
from gradatim.tasks.tables import Trees

if TYPE_CHECKING:
    from gradatim.tasks.supervised import Line

MOST_ROUNDS = 1000
FEWEST_ROUNDS = 60  # under this many on all rows, a sample of the rows gets as many
LEAST_ROUNDS = 10  # under this many on the smallest sample, trees are left out
PROBE_ROWS = 1000
LARGE_PROBE_ROWS = 20_000
PROBE_ROUNDS = 12
SHARE = 0.15  # of the time, for one fit beside pictures, sounds or texts
TABLE_SHARE = 0.25  # of the time, for one fit where all inputs are numbers and categories
STEP = 15.0  # learning rate times rounds, as 300 rounds at 0.05
SLOWEST, FASTEST = 0.05, 0.3  # learning rates


def tree_rounds(line: "Line", title: str, columns: Sequence[Column]) -> dict[str, Any]:
    """{"rows", "rounds"} for one fit; 0 rounds where the time holds no trees. A stored decision."""
    rows = line.parts[0][0]
    whole: dict[str, Any] = {"rows": len(line.source), "rounds": MOST_ROUNDS}
    if line.choices.epochs is not None or len(rows) * max(1, line.task.outputs) < 4 * PROBE_ROWS:
        return whole
    plain = all(column.kind in ("number", "category") for column in line.columns)
    limit = (TABLE_SHARE if plain else SHARE) * line.clock.seconds

    def measured() -> dict[str, Any]:
        for column in columns:  # read once, before the clock of a probe runs
            codec = codec_for(column)
            if isinstance(codec, NumberCodec):
                number_cells(line.source, codec, column.name)
        BoostedTreesRegressor(max_iter=1).fit(np.arange(20.0)[:, None], np.arange(20.0))  # loads what it stands on
        few = min(PROBE_ROWS, len(rows))
        fixed, pace = _pace(line, columns, rows, few, limit)
        more = min(LARGE_PROBE_ROWS, len(rows))
        if few < more and (2 * fixed + (PROBE_ROUNDS + 2) * pace) * more / few < limit / 2:
            few, (fixed, pace) = more, _pace(line, columns, rows, more, limit)
        found = planned(len(rows), few, fixed, pace, limit)
        return whole | found if found["rows"] < len(rows) else whole | {"rounds": found["rounds"]}

    return dict(line.memo.decide(f"rounds of {title}", measured))


def planned(rows: int, probed: int, fixed: float, pace: float, limit: float) -> dict[str, int]:
    """Rows and rounds for a limit in seconds, when a fit on `probed` rows takes `fixed` and `pace` more a round.

    >>> planned(1_000_000, 1_000_000, 2.0, 0.2, 32.0), planned(1_000_000, 1000, 0.0, 0.001, 30.0)
    ({'rows': 1000000, 'rounds': 150}, {'rows': 500000, 'rounds': 60})
    """
    each = pace * rows / probed
    whole = fixed * rows / probed
    rounds = int((limit - whole) / max(each, 1e-9))
    if rounds >= FEWEST_ROUNDS:
        return {"rows": rows, "rounds": min(rounds, MOST_ROUNDS)}
    fitting = int(limit / max((fixed + FEWEST_ROUNDS * pace) / probed, 1e-9))
    if fitting >= PROBE_ROWS:
        return {"rows": min(fitting, rows), "rounds": FEWEST_ROUNDS}
    rounds = int((limit - fixed) / max(pace, 1e-9)) if probed <= PROBE_ROWS else 0
    return {"rows": PROBE_ROWS, "rounds": rounds if rounds >= LEAST_ROUNDS else 0}


def learning_rate(rounds: int) -> float:
    """Larger steps where there are few.

    >>> [learning_rate(rounds) for rounds in (1000, 150, 20)]
    [0.05, 0.1, 0.3]
    """
    return float(np.clip(STEP / max(rounds, 1), SLOWEST, FASTEST))


def _pace(line: "Line", columns: Sequence[Column], rows: np.ndarray, count: int, limit: float) -> tuple[float, float]:
    """Seconds of a fit without its rounds, and of one round."""
    chosen = rows if count == len(rows) else np.sort(
        generator("tree rounds", line.choices.seed).choice(rows, count, replace=False)
    )

    def seconds(rounds: int) -> float:
        began = time.perf_counter()
        Trees.fit(line.source, columns, chosen, line.labels, line.task, seed=line.choices.seed, rounds=rounds)
        return time.perf_counter() - began

    one = seconds(1)
    if one > limit / 4:  # many classes: one round says enough
        return 0.0, one
    several = seconds(1 + PROBE_ROUNDS)
    # One long fit may have met a busy moment: a round is never taken for less than a third of its even share.
    pace = max((several - one) / PROBE_ROUNDS, several / (1 + PROBE_ROUNDS) / 3)
    return max(one - pace, 0.0), pace
