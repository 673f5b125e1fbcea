"""The modality ledger of a run: each input alone, left out, shuffled, on test rows, with what it costs to read.

`masked`: cells are taken away from the table; networks and trees answer as they are (networks met absent inputs in
training), linear heads are fitted again on the inputs that are left. `refit`: everything is fitted again without.
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
MOST_COLUMNS = 8  # table columns beyond these share one entry: they are left out of the ledger and named in a note


def ledger_of(
    outcome: Outcome,
    source: Source,
    schema: Schema,
    split: Split,
    choices: Choices,
    *,
    how: str,
    seconds: float,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The entries of the ledger, see `gradatim.evaluate.ledger`; none when there are no test rows."""
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

    rows = outcome.test_rows[:MOST_ROWS]
    labels = outcome.test_labels[: len(rows)]
    table = source.table.take(rows)
    if how == "refit":
        predict = _refitting(outcome, source, schema, split, choices, table, seconds / (1 + 2 * len(columns)))
    else:
        hidden_sets = [complete(hidden) for hidden in _hidden_sets(columns)]
        predict = _masking(outcome, source, schema, choices, table, hidden_sets)
    began = time.perf_counter()

    def shown(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        return predict(complete(hidden), shuffled)

    entries = modality_ledger(shown, columns, labels, metric=outcome.task.metric, seed=choices.seed)
    say(f"modality ledger: {len(entries)} entries on {len(rows)} test rows in {time.perf_counter() - began:.1f} s")
    return entries


def _masking(
    outcome: Outcome, source: Source, schema: Schema, choices: Choices, table: Table,
    hidden_sets: Sequence[frozenset[str]],
) -> Any:
    fitted_without: dict[frozenset[str], Ensemble] = {}

    def without(hidden: frozenset[str]) -> Ensemble:
        relevant = frozenset(hidden)
        if relevant not in fitted_without:
            members = tuple(
                _member_without(m, relevant, outcome, source, schema, choices) for m in outcome.scored.members
            )
            fitted_without[relevant] = replace(outcome.scored, members=members)
        return fitted_without[relevant]

    for hidden in hidden_sets:
        without(hidden)  # before the clock of an entry runs

    def predict(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        shown = shuffle(hide(table, hidden), shuffled)
        return without(hidden).answer(Source(shown))

    return predict


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
    outcome: Outcome, source: Source, schema: Schema, split: Split, choices: Choices, table: Table, seconds: float
) -> Any:
    found: dict[frozenset[str], Ensemble] = {frozenset(): outcome.scored}

    def predict(hidden: frozenset[str], shuffled: Mapping[str, np.ndarray]) -> np.ndarray:
        if hidden not in found:
            columns = tuple(replace(c, role="ignore") if c.name in hidden else c for c in schema.columns)
            again = fit_supervised(
                source, replace(schema, columns=columns), split, outcome.task, choices, clock=Clock(seconds),
                memo=Memo(), say=lambda line: None, final=False,
            )
            found[hidden] = again.scored
        return found[hidden].answer(Source(shuffle(hide(table, hidden), shuffled)))

    return predict
