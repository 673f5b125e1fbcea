"""From a request to a fitted run: read, infer, audit, split, fit, score, and the facts of the report."""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from gradatim import __version__
from gradatim.artifact import Artifact, read_uses
from gradatim.audit.audit import audit_table
from gradatim.data.duplicates import find_ties
from gradatim.data.gather import gather_again, gather_columns
from gradatim.data.infer import infer_schema
from gradatim.data.readers import read_table
from gradatim.data.schema import Schema
from gradatim.data.spelling import spelled_rows, spelled_table, with_spellings
from gradatim.data.split import Split, make_split
from gradatim.data.table import Table
from gradatim.device import choose, pull_levers
from gradatim.errors import DataError
from gradatim.evaluate.predictions import Predictions
from gradatim.problems import Problems
from gradatim.request import Request, check_columns, check_line, choices_of, read_encoders, task_of
from gradatim.tasks import LINES, SupervisedTask
from gradatim.tasks.classification import Classification
from gradatim.tasks.declared import DECLARED, check_taken, options_of
from gradatim.tasks.effects import check_effects
from gradatim.tasks.facts import assemble_facts, fingerprint, line_facts, predictions_of
from gradatim.tasks.line import Fitted, Job, gathered_rows, line_of
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.source import Source
from gradatim.tasks.supervised import Choices, Outcome, fit_supervised
from gradatim.tasks.worth import ledger_of

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
Claim = Callable[[], Path | None]
LARGE_FILE, LARGE_TABLE = 5_000_000, 50_000  # bytes, rows from which reading and inferring are announced
REPORT_SHARE, MOST_REPORT_SHARE = 0.12, 0.3  # of the minutes is kept for score, ledger and report
REPORT_SECONDS = 2.5  # that they take the processor at least


@dataclass(slots=True)
class Fitting:
    """What a fit leaves: the artefact, what the report tells, and what is written beside them.

    predictions: makes the frames of predictions/NAME.csv; test: the user's second table, to be scored once.
    """

    artifact: Artifact
    facts: dict[str, Any]
    folder: Path | None
    table: Table
    test: Table | None
    histories: Mapping[str, Any]
    predictions: Callable[[], dict[str, Predictions]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What every line stands on: the request, the tables, the schema, and whom to tell."""

    request: Request
    table: Table
    test: Table | None
    schema: Schema
    problems: Problems
    claim: Claim
    clock: Clock
    say: Say
    progress: Progress | None


def fit_request(
    source: Any, test: Any, request: Request, claim: Claim, say: Say, progress: Progress | None, began: float
) -> Fitting:
    """Fit what the request says; `claim` takes the run's folder once the input has proved good.

    began: `time.perf_counter()` when what the request's minutes are the time of began.
    """
    clock = Clock(request.minutes * 60, began)
    problems = Problems()
    if request.task in DECLARED and not request.schema:
        check_taken(str(request.task), request)  # before a large table is read
    if isinstance(source, str | Path) and Path(source).is_file() and Path(source).stat().st_size > LARGE_FILE:
        say(f"reading {Path(source).name}")
    table = gather_columns(read_table(source), request.gather)
    if len(table) > LARGE_TABLE:
        say(f"{table.source}: {len(table)} rows; looking at what kind of cells each of {table.frame.width} columns has")
    chosen = Schema.from_json(request.schema) if request.schema else infer_schema(
        table, target=request.target, task=request.task, id=request.id, group=request.group, time=request.time,
        ignore=request.ignore, kinds=request.kinds,
    )
    name = check_line(chosen, request)
    table, chosen = gathered_rows(name, table, chosen, request.options)
    chosen = with_spellings(chosen, table)
    table, joined = spelled_rows(table, chosen)
    for sentence in joined:
        problems.add("label-spelling", sentence, column=chosen.targets[0].name)
    told = ", ".join(f"{column.name}: {column.kind}" for column in chosen.inputs)
    say(f"{table.source}: {len(table)} rows, {len(chosen.inputs)} inputs" + (f" ({told})" if told else ""))
    if request.split is not None:
        chosen = chosen.changed(request.split, role="ignore", why=("it says which part of the split a row is in",))
    test_table = None if test is None else spelled_table(gather_again(read_table(test), request.gather), chosen)
    ground = Ground(request, table, test_table, chosen, problems, claim, clock, say, progress)
    return _by_line(ground, name) if name in LINES else _by_rows(ground)


def _by_line(ground: Ground, name: str) -> Fitting:
    """Fit a task that has a line of its own (gradatim.tasks.line)."""
    request, table, clock = ground.request, ground.table, ground.clock
    line, split = line_of(name), None
    findings: list[Any] = []
    if not getattr(line, "OWN_SPLIT", False):
        split, findings = _split_and_audit(ground)
    folder = ground.claim()
    with resumable(folder, request):
        memo = _opened_memo(ground, folder)
        _ready_machine(request, ground.say)
        budget = replace(clock, seconds=clock.seconds - _report_seconds(clock))
        fitted: Fitted = line.fit_line(Job(
            Source(table, ground.problems, progress=ground.progress), ground.schema, split,
            options_of(name, request.options), request.seed, request.epochs, request.metric, budget, memo, ground.say,
        ))
        clock.parts |= budget.parts
        artifact = Artifact(ground.schema, fitted.task, fitted.final, _provenance(request, table),
                            fitted.split.to_json(), {"request": asdict(request), "plan": fitted.facts.get("plan", {})})
        facts = line_facts(ground.schema, artifact.provenance, artifact.recipe, fitted, table,
                           [*findings, *fitted.findings], ground.problems, clock,
                           [] if folder is None else read_uses(folder))
    return Fitting(artifact, facts, folder, table, ground.test, fitted.histories, lambda: fitted.predictions)


def _by_rows(ground: Ground) -> Fitting:
    """Fit a task that answers each row from the row's own cells."""
    request, table, chosen = ground.request, ground.table, ground.schema
    check_columns(chosen, table)
    encoders = read_encoders(request.encoders, chosen)
    task = task_of(table, chosen, request)
    check_effects(request, task, chosen, encoders)
    choices = choices_of(request, encoders, task.name, chosen)
    names = [] if ground.test is None else ground.test.frame.columns
    lacking = [column.name for column in chosen.inputs if ground.test is not None and column.name not in names]
    if ground.test is not None and lacking:
        raise DataError(f"{ground.test.source}: expected the input columns, found none called {', '.join(lacking[:5])}")
    split, findings = _split_and_audit(ground)
    training = table.take(split.train)
    if isinstance(task, Classification):  # a class may be known from any row, whether classes are skewed may not
        task = task.weighted(training.cells(task.target), request.class_weights)
    elif not task.classes:  # mean and deviation of a target of numbers come from the training rows
        task = task_of(training, chosen, request)
    folder = ground.claim()
    with resumable(folder, request):
        outcome, ledger = _train(ground, split, task, choices, folder)
    return _finish(ground, ledger, split, findings, outcome, folder)


@contextmanager
def resumable(folder: Path | None, request: Request) -> Iterator[None]:
    """An interrupt says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        hint = f"go on with `gradatim fit --resume {folder}`" if folder is not None and request.source else ""
        raise KeyboardInterrupt(hint) from None


def _split_and_audit(ground: Ground) -> tuple[Split, list[Any]]:
    table, chosen, request, say = ground.table, ground.schema, ground.request, ground.say
    say("looking for duplicates, leakage and shortcuts")
    began = time.perf_counter()
    ties = find_ties(table, chosen, problems=ground.problems)
    split = make_split(table, chosen, seed=request.seed, ties=ties, column=request.split)
    findings = audit_table(table, chosen, test=ground.test, split=split, ties=ties, seed=request.seed)
    ground.clock.note("audit and split", time.perf_counter() - began)
    say(f"split: {len(split.train)} train, {len(split.development)} development, {len(split.test)} test rows; "
        f"audit: {len(findings)} findings in {ground.clock.parts['audit and split']:.1f} s")
    for finding in findings:
        if finding.severity != "note":
            say(f"  {finding.severity}: {finding.evidence}. {finding.remedy}")
    return split, list(findings)


def _opened_memo(ground: Ground, folder: Path | None) -> Memo:
    memo = Memo.open(None if folder is None else folder / "checkpoints")
    mark = fingerprint(ground.table)
    if memo.decide("data", lambda: mark) != mark:
        raise DataError(f"{ground.request.source}: the data has changed since the run began; fit again")
    return memo


def _ready_machine(request: Request, say: Say) -> None:
    machine = choose()
    levers = pull_levers(machine, memory=True) if request.levers else []
    say("machine: " + "; ".join([*machine.reasons, *(line for line in levers if not line.startswith("advice"))]))


def _train(
    ground: Ground, split: Split, task: SupervisedTask, choices: Choices, folder: Path | None
) -> tuple[Outcome, Sequence[Mapping[str, Any]]]:
    request, clock, say, chosen = ground.request, ground.clock, ground.say, ground.schema
    memo = _opened_memo(ground, folder)
    _ready_machine(request, say)
    inputs = Source(ground.table, ground.problems, progress=ground.progress)
    kept = _report_seconds(clock) if request.ledger != "refit" else 0.5 * clock.seconds
    budget = replace(clock, seconds=clock.seconds - kept)
    threads = torch.get_num_threads()
    try:
        outcome = fit_supervised(inputs, chosen, split, task, choices, clock=budget, memo=memo, say=say)
    finally:
        torch.set_num_threads(threads)  # the plan may have taken fewer; the caller's other work shall not
    clock.parts |= budget.parts
    ledger = ledger_of(outcome, inputs, chosen, split, choices, how=request.ledger, say=say, memo=memo,
                       clock=clock)
    return outcome, ledger


def _report_seconds(clock: Clock) -> float:
    """Seconds to keep for score, ledger and report: a share of the time, more where it is short or the machine busy."""
    share = REPORT_SECONDS * clock.slowness() / clock.seconds
    return clock.seconds * min(max(REPORT_SHARE, share), MOST_REPORT_SHARE)


def _provenance(request: Request, table: Table) -> dict[str, Any]:
    return {
        "gradatim": __version__, "created": time.strftime("%Y-%m-%dT%H:%M:%S"), "python": platform.python_version(),
        "machine": platform.machine(), "source": request.source or table.source, "fingerprint": fingerprint(table),
        "rows": len(table), "seed": request.seed,
        "versions": {"numpy": np.__version__, "polars": pl.__version__, "torch": str(torch.__version__)},
    }


def _finish(
    ground: Ground, ledger: Sequence[Mapping[str, Any]], split: Split, findings: Sequence[Any], outcome: Outcome,
    folder: Path | None,
) -> Fitting:
    request, table, schema = ground.request, ground.table, ground.schema
    artifact = Artifact(schema, outcome.task, outcome.final, _provenance(request, table), split.to_json(),
                        {"request": asdict(request), "plan": outcome.plan})
    uses = [] if folder is None else read_uses(folder)
    facts = assemble_facts(schema, artifact.provenance, artifact.recipe, outcome, table, split, findings,
                           ground.problems, ledger, ground.clock, uses)
    return Fitting(artifact, facts, folder, table, ground.test, outcome.histories,
                   lambda: predictions_of(outcome, table))
