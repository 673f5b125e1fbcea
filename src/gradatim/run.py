"""What a user calls: fit a table, predict, evaluate, report, save, load."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from gradatim import __version__
from gradatim.artifact import (
    REQUEST,
    Artifact,
    check_folder,
    claim_folder,
    copy_records,
    drop_unfinished,
    load_artifact,
    read_uses,
    record_use,
    remove_inside,
    save_artifact,
)
from gradatim.audit.audit import audit_table
from gradatim.data.duplicates import find_ties
from gradatim.data.gather import gather_columns
from gradatim.data.infer import infer_schema
from gradatim.data.join import attach_labels
from gradatim.data.readers import read_table
from gradatim.data.schema import Schema
from gradatim.data.split import Split, make_split
from gradatim.data.table import Table
from gradatim.device import choose, pull_levers
from gradatim.errors import ArtifactError, DataError, GradatimError
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.thresholds import choose_threshold
from gradatim.files import read_json, write_atomic, write_json
from gradatim.problems import Problems
from gradatim.request import Request, check_columns, choices_of, gathered, read_encoders, read_request, task_of
from gradatim.tasks import SupervisedTask, Task
from gradatim.tasks.facts import assemble_facts, check_metric, fingerprint, score_rows
from gradatim.tasks.memo import Clock, Memo
from gradatim.tasks.placed import said_of, truth_of
from gradatim.tasks.source import Source
from gradatim.tasks.supervised import Choices, Outcome, fit_supervised
from gradatim.tasks.worth import ledger_of

if TYPE_CHECKING:
    from gradatim.evaluate.explain.explanation import Explanation

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
REPORT_SHARE = 0.12  # of the minutes is kept for score, ledger and report


def fit(
    source: Any,
    *,
    target: str | None = None,
    output: Path | str | None = None,
    schema: Schema | Path | str | None = None,
    test: Any = None,
    force: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> "Run":
    """Fit a table: read, infer, audit, split, baselines, network, choice, score, refit, ledger, report.

    source: a file, a folder of class folders, or a pandas / polars / Arrow frame. output: a folder to write the run
    to (None: nothing is written). say receives a line at each stage; progress (cells done, cells in all) while files
    are decoded, and with it training shows a bar. The other options are the fields of `Request`: task, id, group,
    time, split, ignore, kinds, encoders, fusion, metric, minutes (of the whole call), epochs, seed, ledger ("masked",
    "refit", "none"), optimizer, learning_rate, label_smoothing, mixup, flip, class_weights ("auto", "balanced",
    "none"), estimator (an address: this one alone), fine_tune, augment, gather, levers (set what makes this machine
    fast, process-wide: on in the command line, off here).
    Raises GradatimError, one line, for anything that the user can mend.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"x": list(range(60)), "y": ["low"] * 30 + ["high"] * 30})
    >>> run = fit(frame, target="y", minutes=0.1, kinds={"x": "number"})
    >>> run.predict(pl.DataFrame({"x": [1, 55]})).frame["prediction"].to_list()
    ['low', 'high']
    """
    known = set(Request.__dataclass_fields__) - {"source", "target", "schema", "test"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise GradatimError(f"fit: expected options among {', '.join(sorted(known))}; received {', '.join(unknown)}")
    chosen = Schema.load(schema) if isinstance(schema, str | Path) else schema
    request = Request(
        source=str(Path(source).resolve()) if isinstance(source, str | Path) else "",
        target=target,
        schema=None if chosen is None else chosen.to_json(),
        test=str(Path(test).resolve()) if isinstance(test, str | Path) else None,
        **{**options, **{name: tuple(options.get(name, ())) for name in ("ignore", "augment")}},
    )
    if output is not None:
        check_folder(output, force=force)  # now; what stands there is replaced only when the input has proved good
    claimed: list[Path] = []

    def claim() -> Path | None:
        if output is None:
            return None
        claimed.append(claim_folder(output, force=force))
        write_json(claimed[0] / REQUEST, asdict(request))
        return claimed[0]

    try:
        return _fit(source, test, request, claim, say or (lambda line: None), progress)
    except GradatimError:  # an option to mend: the next attempt finds the folder free
        for folder in claimed:
            drop_unfinished(folder)
        raise


def resume(folder: Path | str, *, say: Say | None = None, progress: Progress | None = None) -> "Run":
    """Go on with an interrupted run from its last checkpoint; the same plan gives the same weights."""
    folder = Path(folder)
    if (folder / "artifact.json").is_file():
        raise GradatimError(f"{folder}: this run is finished; there is nothing to resume")
    if not (folder / "request.json").is_file():
        raise GradatimError(f"{folder}: expected request.json of an interrupted run, found none; fit again")
    request = read_request(folder / "request.json")
    if not request.source:
        raise GradatimError(f"{folder}: this run was fitted on a frame in memory, which is gone; fit again with force")
    return _fit(request.source, request.test, request, lambda: folder, say or (lambda line: None), progress)


def _fit(
    source: Any, test: Any, request: Request, claim: Callable[[], Path | None], say: Say, progress: Progress | None
) -> "Run":
    clock = Clock(request.minutes * 60)
    problems = Problems()
    table = gather_columns(read_table(source), request.gather)
    chosen = Schema.from_json(request.schema) if request.schema else infer_schema(
        table, target=request.target, task=request.task, id=request.id, group=request.group, time=request.time,
        ignore=request.ignore, kinds=request.kinds,
    )
    say(f"{table.source}: {len(table)} rows, {len(chosen.inputs)} inputs ("
        + ", ".join(f"{column.name}: {column.kind}" for column in chosen.inputs) + ")")
    check_columns(chosen, table)
    if request.split is not None:
        chosen = chosen.changed(request.split, role="ignore", why=("it says which part of the split a row is in",))
    encoders = read_encoders(request.encoders, chosen)
    task = task_of(table, chosen, request)
    choices = choices_of(request, encoders, task.name, chosen)
    test_table = None if test is None else gather_columns(read_table(test), request.gather)
    lacking = [c.name for c in chosen.inputs if test_table is not None and c.name not in test_table.frame.columns]
    if test_table is not None and lacking:
        raise DataError(f"{test_table.source}: expected the input columns, found none called {', '.join(lacking[:5])}")
    say("looking for duplicates, leakage and shortcuts")
    began = time.perf_counter()
    ties = find_ties(table, chosen, problems=problems)
    split = make_split(table, chosen, seed=request.seed, ties=ties, column=request.split)
    if not task.classes:  # mean and deviation of a target of numbers come from the training rows
        task = task_of(table.take(split.train), chosen, request)
    findings = audit_table(table, chosen, test=test_table, split=split, ties=ties, seed=request.seed)
    clock.note("audit and split", time.perf_counter() - began)
    say(f"split: {len(split.train)} train, {len(split.development)} development, {len(split.test)} test rows; "
        f"audit: {len(findings)} findings in {clock.parts['audit and split']:.1f} s")
    for finding in findings:
        if finding.severity != "note":
            say(f"  {finding.severity}: {finding.evidence}. {finding.remedy}")
    folder = claim()
    try:
        return _train(request, table, test_table, chosen, split, findings, problems, task, choices, folder, clock,
                      say, progress)
    except KeyboardInterrupt:
        hint = f"go on with `gradatim fit --resume {folder}`" if folder is not None and request.source else ""
        raise KeyboardInterrupt(hint) from None


def _train(
    request: Request, table: Table, test_table: Table | None, chosen: Schema, split: Split, findings: Sequence[Any],
    problems: Problems, task: SupervisedTask, choices: Choices, folder: Path | None, clock: Clock, say: Say,
    progress: Progress | None,
) -> "Run":
    memo = Memo.open(None if folder is None else folder / "checkpoints")
    mark = fingerprint(table)
    if memo.decide("data", lambda: mark) != mark:
        raise DataError(f"{request.source}: the data has changed since the run began; fit again")
    machine = choose()
    levers = pull_levers(machine, memory=True) if request.levers else []
    say("machine: " + "; ".join([*machine.reasons, *(line for line in levers if not line.startswith("advice"))]))
    inputs = Source(table, problems, progress=progress)
    share = 1 - REPORT_SHARE if request.ledger != "refit" else 0.5
    budget = replace(clock, seconds=clock.seconds * share)
    threads = torch.get_num_threads()
    try:
        outcome = fit_supervised(inputs, chosen, split, task, choices, clock=budget, memo=memo, say=say)
    finally:
        torch.set_num_threads(threads)  # the plan may have taken fewer; the caller's other work shall not
    clock.parts |= budget.parts
    ledger = ledger_of(outcome, inputs, chosen, split, choices, how=request.ledger, say=say,
                       seconds=clock.left(share_kept=0.05))
    return _finish(ledger, request, table, chosen, split, findings, problems, outcome, test_table, folder, clock, say)


def _finish(
    ledger: Sequence[Mapping[str, Any]],
    request: Request,
    table: Table, schema: Schema, split: Split, findings: Sequence[Any], problems: Problems,
    outcome: Outcome, test_table: Table | None, folder: Path | None, clock: Clock, say: Say,
) -> "Run":
    provenance = {
        "gradatim": __version__, "created": time.strftime("%Y-%m-%dT%H:%M:%S"), "python": platform.python_version(),
        "machine": platform.machine(), "source": request.source or table.source, "fingerprint": fingerprint(table),
        "rows": len(table), "seed": request.seed,
        "versions": {"numpy": np.__version__, "polars": pl.__version__, "torch": str(torch.__version__)},
    }
    artifact = Artifact(schema, outcome.task, outcome.final, provenance, split.to_json(),
                        {"request": asdict(request), "plan": outcome.plan})
    uses = [] if folder is None else read_uses(folder)
    facts = assemble_facts(
        schema, artifact.provenance, artifact.recipe, outcome, table, split, findings, problems, ledger, clock, uses
    )
    run = Run(artifact, facts, folder)
    if folder is not None:
        run._write(folder, table, outcome)
    if test_table is not None and schema.targets[0].name in test_table.frame.columns:
        facts["external_test"] = run.evaluate(test_table)
        if folder is not None:
            run._write_report(folder, table)
    return run


@dataclass(slots=True)
class Run:
    """A fitted run: predict, evaluate, report, save. `facts` is what the report tells, as JSON values."""

    artifact: Artifact
    facts: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def task(self) -> Task:
        """The task with its fitted target codec."""
        return self.artifact.task

    def predict(self, source: Any, *, id: str | None = None, problems: Problems | None = None) -> Predictions:
        """Answer every row of a table, in its order.

        id: a column to carry along; problems: filled with the cells that could not be read and count as absent.
        Raises DataError when an input column is missing.
        """
        table = read_table(source)
        answer = self.answer(table, id=id, problems=problems)
        ids = {id: table.cells(id)} if id else None
        return said_of(self.task, answer, table, np.arange(len(table)), ids)

    def answer(self, table: Table, *, id: str | None = None, problems: Problems | None = None) -> np.ndarray:
        """Probabilities (N, C) in the order of the task's classes, or numbers (N,)."""
        self._check_columns(table, id)
        return self.artifact.ensemble.answer(Source(table, problems if problems is not None else Problems()))

    def _check_columns(self, table: Table, id: str | None) -> None:
        needed = [*self.artifact.ensemble.columns, *([id] if id else [])]
        missing = [name for name in needed if name not in table.frame.columns]
        if missing:
            raise DataError(
                f"{table.source}: expected the columns {', '.join(needed)}; missing {', '.join(missing)}; "
                f"found {', '.join(table.frame.columns)}"
            )

    def evaluate(
        self, source: Any, *, labels: Any = None, id: str | None = None, constraint: str | None = None,
        metric: str | None = None,
    ) -> dict[str, Any]:
        """Score the run on labelled rows; `labels` is a second table matched by `id` when they are apart.

        constraint: for two classes, as 'highest recall with precision >= 0.9': the threshold that meets it. metric: the
        one that is noted, in place of the run's own.

        Returns every metric with its interval. The use of the test set is noted in uses.jsonl.
        """
        check_metric(metric, self.task.name, len(self.task.classes))
        table = gather_columns(read_table(source), gathered(self.artifact.recipe))
        target = self.task.target
        if target is None:
            raise GradatimError(f"evaluate: expected a task with a target, {self.task.name} has none to compare with")
        if labels is not None:
            table = attach_labels(table, read_table(labels), target, id)
        if target not in table.frame.columns:
            raise DataError(f"{table.source}: expected labels in column '{target}', found none; pass --labels FILE")
        self._check_columns(table, None)
        truth = truth_of(self.task, table)
        answer = self.artifact.ensemble.answer(Source(table))
        scores = score_rows(self.task, answer, truth)
        if constraint is not None:
            if len(self.task.classes) != 2:
                raise GradatimError(f"--constraint: expected a target of two classes, it has {len(self.task.classes)}")
            known = truth >= 0
            scores["threshold"] = choose_threshold(truth[known], answer[known, 1], constraint,
                                                   positive=str(self.task.classes[1]))
        if self.folder is not None:
            noted = metric or self.task.metric
            scores["uses"] = record_use(self.folder, {
                "source": table.source, "rows": len(table), "fingerprint": fingerprint(table),
                "metric": noted, "value": scores["metrics"].get(noted, {}).get("value"),
            })
        return scores

    def explain(self, source: Any = None, rows: Any = (0,), **options: Any) -> "list[Explanation]":
        """Why these rows (a number or several) of a table were answered so; source None: the table that was fitted.

        The options are those of `gradatim.tasks.explain.explain_rows`: method ("removal", "exact", "saliency",
        "smooth_grad", "integrated_gradients", "grad_cam"), of (a class), check.
        """
        from gradatim.tasks.explain import explain_table

        table = self._fitted_table() if source is None else read_table(source)
        if table is not None:
            self._check_columns(table, None)
        return explain_table(self.artifact.ensemble, self.artifact.schema, table, rows, **options)

    def report(self, path: Path | str | None = None) -> str:
        """The report as one offline HTML page; written to `path` when given.

        Pictures and sounds of the worst rows are shown when the table that was fitted is still where it was.
        """
        from gradatim.evaluate.report import build_report

        page = build_report(self.facts, table=self._fitted_table())
        if path is not None:
            write_atomic(path, page)
        return page

    def _fitted_table(self) -> Table | None:
        """The table that was fitted, when it can still be read and has not changed."""
        provenance = self.artifact.provenance
        source = provenance.get("source")
        if not isinstance(source, str) or not source or not Path(source).exists():
            return None
        try:
            table = gather_columns(read_table(source), gathered(self.artifact.recipe))
        except GradatimError:
            return None
        return table if fingerprint(table) == provenance.get("fingerprint") else None

    def card(self) -> str:
        """The model card in Markdown."""
        from gradatim.evaluate.card import model_card

        return model_card(self.facts)

    def save(self, folder: Path | str, *, force: bool = False) -> None:
        """Write the run to a folder of JSON and safetensors."""
        if self.folder is None or Path(folder).resolve() != self.folder.resolve():
            claim_folder(folder, force=force)
            if self.folder is not None:
                copy_records(self.folder, Path(folder))
        self.folder = Path(folder)
        self._write(self.folder, self._fitted_table(), None)

    def _write(self, folder: Path, table: Table | None, outcome: Outcome | None) -> None:
        from gradatim.tasks.facts import write_history, write_predictions

        if outcome is not None:
            write_history(folder, outcome)
            if table is not None:
                write_predictions(folder, outcome, table)
        write_json(folder / REQUEST, self.artifact.recipe.get("request", {}))  # first: the mark of an unfinished run
        self.artifact.schema.save(folder / "schema.json")
        if self.facts:  # a run that was put together by hand has none to tell
            self._write_report(folder, table)
        save_artifact(folder, self.artifact)
        remove_inside(folder / "checkpoints")

    def _write_report(self, folder: Path, table: Table | None) -> None:
        from gradatim.evaluate.report import build_report

        write_json(folder / "report.json", self.facts)
        write_atomic(folder / "report.html", build_report(self.facts, table=table))
        write_atomic(folder / "card.md", self.card())


def load(folder: Path | str, *, packages: Sequence[str] = ("gradatim",)) -> Run:
    """Open a saved run; raises ArtifactError in one line for anything missing, damaged or unsafe.

    packages: those whose networks may be built; name a package of your own only if you trust its code.
    """
    folder = Path(folder)
    artifact = load_artifact(folder, packages=packages)
    path = folder / "report.json"
    facts = read_json(path) if path.is_file() else {}
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path}: expected the facts of a run as an object, found {type(facts).__name__}")
    return Run(artifact, facts, folder)
