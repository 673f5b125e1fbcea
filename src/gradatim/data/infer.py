"""From a table to a schema: every column runs through the rules, then the target and the roles are checked."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from gradatim.data.amounts import FEW_INPUT
from gradatim.data.drafts import Draft, Request
from gradatim.data.evidence import Facts, families, gather, spaced
from gradatim.data.folders import is_class_folder_table
from gradatim.data.readers import no_such_column
from gradatim.data.rules import RULES
from gradatim.data.schema import KINDS, Column, Schema
from gradatim.data.table import Table
from gradatim.errors import SchemaError
from gradatim.problems import Problems

MEDIA = ("image", "audio")
SUPERVISED = ("classification", "regression")
_TARGET_NAMES = ("target", "label", "labels", "class", "y", "outcome", "category", "survived", "price", "score")


def infer_schema(
    table: Table,
    *,
    target: str | None = None,
    task: str | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    ignore: Iterable[str] = (),
    kinds: Mapping[str, str] | None = None,
    problems: Problems | None = None,
) -> Schema:
    """Kind, role and evidence of every column.

    target, id, group, time, ignore: columns that the user named; task: 'classification', 'regression' or any task
    that needs no target; kinds: column → kind, which no rule overrules; problems: collects unreadable numbers by row
    and label spellings. The target of a table of class folders is `label`. A column of pictures or sounds that is
    named `id` stays an input: its cells are the data. Raises SchemaError for a column that is not there (with close
    names), for no target and no task (with candidates), for an empty target, and for one of a single class.
    """
    if target is None and is_class_folder_table(table):
        target = "label"
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    roles = _roles(table, target=target, id=id, group=group, time=time, ignore=ignore)
    kinds = _checked_kinds(table, kinds or {})
    facts = gather(table.frame, table.folder)
    request = _request(table, facts, roles, kinds, task, problems)
    drafts = {name: _run(facts[name], request) for name in facts}
    if target is None and (task is None or task in SUPERVISED):
        raise SchemaError(_no_target(table, facts, drafts, task))
    if id is not None and drafts[id].kind in MEDIA:
        drafts[id].role = "input"
        drafts[id].say("its cells are files to look at, so it stays an input and also names the rows")
    if target is not None:
        _check_target(facts[target], drafts[target], task)
    columns = tuple(
        Column(name, draft.kind or "text", draft.role or "input", tuple(draft.why), draft.options)
        for name, draft in drafts.items()
    )
    schema = Schema(columns, task)
    if target is not None and not schema.inputs and (task is None or task in SUPERVISED):
        reasons = "; ".join(f"{c.name}: {c.why[-1]}" for c in columns if c.role == "ignore")[:300]
        raise SchemaError(f"{table.source}: expected at least one input column beside the target, found none "
                          f"({reasons or 'there is no other column'}); --kind C=K uses a column anyway")
    return schema


def schema_lines(table: Table, schema: Schema, *, samples: int = 3, width: int = 40) -> list[dict[str, Any]]:
    """The guesses as rows to show: name, kind, role, sampled cells (different ones first seen), why."""
    rows = []
    for column in schema.columns:
        rows.append({
            "name": column.name,
            "kind": column.kind,
            "role": column.role,
            "samples": _samples(table, column.name, samples, width),
            "why": list(column.why),
        })
    return rows


def _samples(table: Table, name: str, most: int, width: int) -> list[str]:
    if name not in table.frame.columns:
        return []
    found: dict[str, None] = {}
    for cell in _spread(table.frame.get_column(name)).to_list():
        text = f"{len(cell):,} bytes" if isinstance(cell, bytes) else " ".join(str(cell).split())
        found[text if len(text) <= width else text[: width - 1] + "…"] = None
        if len(found) == most:
            break
    return list(found)


def _spread(cells: pl.Series) -> pl.Series:
    """Different filled cells, from the beginning and from all over the column."""
    filled = cells.drop_nulls()
    some = pl.concat([filled.head(100), spaced(filled, 1000)])
    return some if some.dtype.is_nested() or some.dtype == pl.Binary else some.unique(maintain_order=True)


def _run(facts: Facts, request: Request) -> Draft:
    draft = Draft()
    for rule in RULES:
        rule(facts, draft, request)
    return draft


def _roles(table: Table, *, ignore: tuple[str, ...], **named: str | None) -> dict[str, str]:
    """Column → role as the user named them; each column once."""
    roles: dict[str, str] = {}
    for role, name in [*named.items(), *(("ignore", name) for name in ignore)]:
        if name is None:
            continue
        if name not in table.frame.columns:
            if role == "target" and table.frame.columns == ["file"]:
                raise SchemaError(f"{table.source}: expected class folders, whose names are the labels, found files "
                                  "alone; put each class into a folder of its own")
            raise SchemaError(f"{table.source}: --{role}: {no_such_column(name, table.frame.columns)}")
        if roles.get(name, role) != role:
            raise SchemaError(f"column '{name}': expected one role, received {roles[name]} and {role}; drop one")
        roles[name] = role
    return roles


def _checked_kinds(table: Table, kinds: Mapping[str, str]) -> dict[str, str]:
    for name, kind in kinds.items():
        if name not in table.frame.columns:
            raise SchemaError(f"{table.source}: --kind: {no_such_column(name, table.frame.columns)}")
        if kind not in KINDS:
            raise SchemaError(f"--kind {name}={kind}: expected a kind among {', '.join(KINDS)}, received '{kind}'")
    return dict(kinds)


def _request(
    table: Table, facts: dict[str, Facts], roles: dict[str, str], kinds: dict[str, str], task: str | None,
    problems: Problems | None,
) -> Request:
    """What the rules need beyond one column: the table's decimal mark and its families of numbered columns."""
    decided = [(name, fact.decimals) for name, fact in facts.items() if fact.is_text]
    commas = [name for name, evidence in decided if evidence.comma > evidence.point]
    points = [name for name, evidence in decided if evidence.point > evidence.comma]
    decimal = "," if len(commas) > len(points) else "."
    others = commas if decimal == "," else points
    why = f", as column '{others[0]}' marks its decimals" if others else ""
    verdicts: dict[str, bool] = {}
    stem_of = {name: stem for stem, names in families(list(facts)).items() for name in names}
    members = families(list(facts))

    def family_is_number(name: str) -> bool:
        stem = stem_of.get(name)
        if stem is None:
            return False
        if stem not in verdicts:
            varied = [facts[other] for other in members[stem] if facts[other].distinct > 1]
            many = [fact for fact in varied if fact.distinct > FEW_INPUT and fact.looks_numeric]
            verdicts[stem] = 2 * len(many) > len(varied)
        return verdicts[stem]

    return Request(roles, kinds, task, decimal, why, family_is_number, problems, table.line)


def _check_target(facts: Facts, draft: Draft, task: str | None) -> None:
    """A target must hold something, and more than one thing."""
    place = f"target '{facts.name}'"
    if not facts.filled:
        raise SchemaError(f"{place}: expected labels, found {facts.rows:,} missing cells; name another column")
    if task is not None and task not in SUPERVISED:
        return
    if draft.kind == "number":
        numbers = draft.numbers or facts.numbers()
        if numbers.share < 0.5 or not numbers.readable:
            raise SchemaError(f"{place}: expected numbers, {numbers.readable:,} of {facts.filled:,} cells are; "
                              "use --task classification")
        if numbers.distinct == 1:
            raise SchemaError(f"{place}: expected different numbers, found {numbers.values[0]:g} in every row; "
                              "there is nothing to learn, name another column")
    elif draft.kind == "category":
        if facts.distinct == 1:
            cell = facts.cells.drop_nulls()[0]
            raise SchemaError(f"{place}: expected at least two classes, found '{cell}' alone in {facts.filled:,} rows; "
                              "there is nothing to learn, add rows of other classes")
        if draft.numbers is None and facts.distinct == facts.filled > 2:
            draft.say("each class has one row: nothing can be learned about any of them")
    elif draft.kind in MEDIA:
        raise SchemaError(f"{place}: expected classes or numbers, found files of kind {draft.kind}; "
                          "name the column that holds the labels")


def _no_target(table: Table, facts: dict[str, Facts], drafts: dict[str, Draft], task: str | None) -> str:
    """One line listing the columns that could be the target, likeliest first."""
    if table.frame.columns == ["file"]:
        return (f"{table.source}: expected class folders, whose names are the labels, found files alone; put each "
                "class into a folder of its own, or name a --task that needs no target")
    names = [name for name, draft in drafts.items() if draft.role is None and draft.kind in ("category", "number")]
    last = table.frame.columns[-1]
    likely = sorted(names, key=lambda name: (
        _TARGET_NAMES.index(name.lower()) if name.lower() in _TARGET_NAMES else len(_TARGET_NAMES) + (name != last),
        drafts[name].kind != "category", facts[name].distinct))
    shown = ", ".join(_candidate(facts[name], drafts[name]) for name in likely[:6])
    wanted = "a target" if task else "a target or a task"
    rest = " or --task clustering" if task is None else ""
    return f"{table.source}: expected {wanted}, received none; name one of the columns {shown} with --target{rest}"


def _candidate(facts: Facts, draft: Draft) -> str:
    what = f"{facts.distinct:,} classes" if draft.kind == "category" else "number"
    return f"'{facts.name}' ({what})"
