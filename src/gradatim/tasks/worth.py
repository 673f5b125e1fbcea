"""The modality ledger of a run: each input alone, left out, shuffled, on test rows, with what it costs to read.

`masked`: cells are taken away from the table; networks and trees answer as they are (networks met absent inputs in
training), linear models are fitted again on the inputs that are left, where the time holds it. `refit`: everything is
fitted again without.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradatim.data.schema import Schema
from gradatim.data.split import Split
from gradatim.data.table import Table
from gradatim.evaluate.ledger import modality_ledger
from gradatim.tasks.constant import Constant
from gradatim.tasks.heads import Head
from gradatim.tasks.members import Ensemble, Member
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.source import Source, hide, shuffle
from gradatim.tasks.supervised import Choices, Outcome, fit_supervised

MOST_ROWS = 1000
PROBED_ROWS, FEWEST_ROWS = 32, 50
MASKED_SHARE, REFIT_SHARE = 0.5, 0.85  # of the time that is left; the rest is for the report
LEAST_SHARE = 0.06  # of the whole time is taken for a ledger even where nothing is left
MOST_COLUMNS = 8  # table columns beyond these share one entry: they are left out of the ledger and named in a note


def ledger_of(
    outcome: Outcome,
    source: Source,
    schema: Schema,
    split: Split,
    choices: Choices,
    *,
    how: str,
    clock: Clock,
    memo: Memo,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The entries of the ledger, see `gradatim.evaluate.ledger`; none when there are no test rows.

    Where the time that is left does not hold it, linear models are not fitted again, or fewer test rows are answered,
    or there is no ledger; the outcome's notes say so. Stored decisions.
    """
    columns = list(outcome.scored.columns)
    if how == "none" or not columns or len(outcome.test_rows) == 0:
        return []
    if len(columns) > MOST_COLUMNS:
        media = [c.name for c in schema.inputs if c.name in columns and c.kind in ("image", "audio", "series", "text")]
        columns = (media + [name for name in columns if name not in media])[:MOST_COLUMNS]
    unlisted = frozenset(outcome.scored.columns) - frozenset(columns)

    def complete(hidden: frozenset[str]) -> frozenset[str]:
        """'Alone' hides the columns that the ledger has no room for as well."""
        return hidden | unlisted if len(hidden) == len(columns) - 1 > 1 else hidden

    share = REFIT_SHARE if how == "refit" else MASKED_SHARE
    seconds = max(share * clock.left(), LEAST_SHARE * clock.seconds)
    most = memo.decide("ledger rows", lambda: _rows_in_time(outcome, source, columns, seconds, choices))
    if most == 0:
        outcome.notes.append("what each input is worth was not measured: there was no time; give more --minutes")
        return []
    rows = outcome.test_rows[:most]
    labels = outcome.test_labels[: len(rows)]
    table = source.table.take(rows)
    began = time.perf_counter()
    if how == "refit":
        predict = _refitting(outcome, source, schema, split, choices, table, memo, seconds / (1 + 2 * len(columns)))
    else:
        hidden_sets = [complete(hidden) for hidden in _hidden_sets(columns)]
        again = memo.decide("ledger of refitted linear models",
                            lambda: _refits_in_time(outcome, hidden_sets, seconds, choices))
        if not again:
            outcome.notes.append("what each input is worth: there was no time to fit the linear models again without "
                                 "it; they answered with its cells missing")
        predict = _masking(outcome, source, schema, choices, table, hidden_sets if again else None)

    def shown(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        return predict(complete(hidden), shuffled)

    entries = modality_ledger(shown, columns, labels, metric=outcome.task.metric, seed=choices.seed)
    say(f"modality ledger: {len(entries)} entries on {len(rows)} test rows in {time.perf_counter() - began:.1f} s")
    return entries


def _masking(
    outcome: Outcome, source: Source, schema: Schema, choices: Choices, table: Table,
    hidden_sets: Sequence[frozenset[str]] | None,
) -> Any:
    """Answers with cells taken away; linear models fitted again without the hidden columns, unless hidden_sets is None.
    """
    fitted_without: dict[frozenset[str], Ensemble] = {}

    def without(hidden: frozenset[str]) -> Ensemble:
        relevant = frozenset(hidden)
        if relevant not in fitted_without:
            members = tuple(
                _member_without(m, relevant, outcome, source, schema, choices) for m in outcome.scored.members
            )
            fitted_without[relevant] = replace(outcome.scored, members=members)
        return fitted_without[relevant]

    for hidden in hidden_sets or ():
        without(hidden)  # before the clock of an entry runs

    def predict(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        shown = shuffle(hide(table, hidden), shuffled)
        return (outcome.scored if hidden_sets is None else without(hidden)).answer(Source(shown))

    return predict


def _rows_in_time(
    outcome: Outcome, source: Source, columns: Sequence[str], seconds: float, choices: Choices
) -> int:
    """How many test rows half of the seconds hold for every entry, by the time that some take; 0: under FEWEST_ROWS."""
    rows = min(len(outcome.test_rows), MOST_ROWS)
    if choices.epochs is not None:
        return rows
    probe = outcome.test_rows[:PROBED_ROWS]
    outcome.scored.answer(Source(source.table.take(probe)))  # pays for caches and compilation
    began = time.perf_counter()
    outcome.scored.answer(Source(source.table.take(probe)))
    each = (time.perf_counter() - began) / len(probe)
    entries = 2 + (3 if len(columns) > 1 else 1) * len(columns)
    fitting = int(0.5 * seconds / (entries * max(each, 1e-9)))
    return 0 if fitting < min(rows, FEWEST_ROWS) else min(rows, fitting)


def _refits_in_time(
    outcome: Outcome, hidden_sets: Sequence[frozenset[str]], seconds: float, choices: Choices
) -> bool:
    """Whether half of the seconds hold fits of the linear models without each set of columns."""
    if choices.epochs is not None or choices.estimator:
        return True
    fits = sum(candidate.seconds * sum(bool(hidden & set(candidate.columns)) for hidden in set(hidden_sets))
               for candidate in outcome.candidates if candidate.weight > 0 and candidate.kind in ("head", "frozen"))
    return fits <= 0.5 * seconds


def _hidden_sets(columns: Sequence[str]) -> list[frozenset[str]]:
    if len(columns) < 2:
        return []
    every = frozenset(columns)
    return [frozenset({name}) for name in columns] + [every - {name} for name in columns]


def _member_without(
    member: Member, hidden: frozenset[str], outcome: Outcome, source: Source, schema: Schema, choices: Choices
) -> Member:
    """A linear head is fitted again on the columns that are left; the others know absent cells.

    A chosen estimator is not fitted again: it may take minutes, and its features know absent cells.
    """
    if choices.estimator or not isinstance(member, Head) or not hidden & set(member.columns):
        return member
    left = [column for column in schema.inputs if column.name in member.columns and column.name not in hidden]
    if not left:
        return Constant(outcome.task.constant(outcome.labels[outcome.fitted_rows]))
    read_by = {block.columns[0]: block.extractor for block in member.blocks if block.kind == "frozen"}
    return Head.fit(source, left, outcome.choice_codecs, outcome.fitted_rows, outcome.labels, outcome.task, read_by)


def _refitting(
    outcome: Outcome, source: Source, schema: Schema, split: Split, choices: Choices, table: Table, memo: Memo,
    seconds: float,
) -> Any:
    found: dict[frozenset[str], Ensemble] = {frozenset(): outcome.scored}

    def predict(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        if hidden not in found:
            columns = tuple(replace(c, role="ignore") if c.name in hidden else c for c in schema.columns)
            again_memo = Memo.open(memo.stage(f"ledger-{len(found)}"))  # entries come in the same order again
            again = fit_supervised(
                source, replace(schema, columns=columns), split, outcome.task, choices, clock=Clock(seconds),
                memo=again_memo, say=lambda line: None, final=False,
            )
            found[hidden] = again.scored
        return found[hidden].answer(Source(shuffle(hide(table, hidden), shuffled)))

    return predict
