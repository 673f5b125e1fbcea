"""What a user calls: fit a table, predict, evaluate, report, save, load."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradatim.artifact import (
    REQUEST,
    Artifact,
    check_folder,
    claim_folder,
    copy_records,
    drop_unfinished,
    load_artifact,
    record_use,
    remove_inside,
    save_artifact,
)
from gradatim.data.gather import gather_again
from gradatim.data.join import attach_labels
from gradatim.data.readers import read_table
from gradatim.data.schema import Schema
from gradatim.data.spelling import check_single, spelled_rows, spelled_table
from gradatim.data.table import Table
from gradatim.errors import ArtifactError, DataError, GradatimError, shown
from gradatim.evaluate.predictions import Predictions
from gradatim.evaluate.thresholds import choose_threshold, parse_goal
from gradatim.files import read_json, write_atomic, write_json
from gradatim.fitting import Fitting, Progress, Say, fit_request
from gradatim.problems import Problems
from gradatim.request import Request, asked, plain_options, read_request
from gradatim.tasks import Task
from gradatim.tasks.facts import PROBLEMS, check_metric, fingerprint, score_rows, write_history, write_predictions
from gradatim.tasks.line import as_line, gathered_rows
from gradatim.tasks.options import as_texts
from gradatim.tasks.placed import said_of, truth_of
from gradatim.tasks.source import Source
from gradatim.tasks.unknown import list_unknown

if TYPE_CHECKING:
    from gradatim.evaluate.explain.explanation import Explanation
    from gradatim.tasks.generate import Generated



OF_SCHEMA = ("target", "task", "id", "group", "time", "ignore", "kinds")  # what a schema decides


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
    began: float | None = None,
    **options: Any,
) -> "Run":
    """Fit a table: read, infer, audit, split, baselines, network, choice, score, refit, ledger, report.

    source: a file, a folder of class folders, or a pandas / polars / Arrow frame. output: a folder to write the run
    to (None: nothing is written). say receives a line at each stage; progress (cells done, cells in all) while files
    are decoded, and with it training shows a bar. began: `time.perf_counter()` from which `minutes` count, where that
    is before this call. The other options are the fields of `Request`: task, id, group,
    time, split, ignore, kinds, encoders, fusion, metric, minutes (of the whole call), epochs, seed, ledger ("masked",
    "refit", "none"), optimizer, learning_rate, label_smoothing, mixup, flip, class_weights ("auto", "balanced",
    "none"), estimator (an address: this one alone), fine_tune, augment, gather, options (of the task by
    name), levers (set what makes this machine fast, process-wide: on in the command line, off here).
    Raises GradatimError, one line, for anything that the user can mend.

    >>> import polars as pl
    >>> frame = pl.DataFrame({"x": list(range(60)), "y": ["low"] * 30 + ["high"] * 30})
    >>> run = fit(frame, target="y", minutes=0.1, kinds={"x": "number"})
    >>> run.predict(pl.DataFrame({"x": [1, 55]})).frame["prediction"].to_list()
    ['low', 'high']
    """
    began = time.perf_counter() if began is None else began
    known = set(Request.__dataclass_fields__) - {"source", "target", "schema", "test"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise GradatimError(f"fit: expected options among {', '.join(sorted(known))}; received {', '.join(unknown)}")
    chosen = Schema.load(schema) if isinstance(schema, str | Path) else schema
    if not isinstance(chosen, Schema | None):
        raise GradatimError(f"schema: expected a Schema or a path, received {type(chosen).__name__}; "
                            "save an object as a file, or use Schema.from_json")
    if not isinstance(output, str | Path | None):
        raise GradatimError(f"output: expected the path of a folder, received {type(output).__name__}")
    request = Request(
        source=str(Path(source).resolve()) if isinstance(source, str | Path) else "",
        schema=None if chosen is None else chosen.to_json(),
        test=str(Path(test).resolve()) if isinstance(test, str | Path) else None,
        options=as_texts(options.pop("options", {})),
        **plain_options({"target": target, **options}),
    )
    decided = [f"--{name.removesuffix('s') if name == 'kinds' else name}" for name in OF_SCHEMA
               if chosen is not None and getattr(request, name)]
    if decided:
        raise GradatimError(f"{decided[0]}: expected no schema with it, which decides that; change it there")
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
        return _finished(fit_request(source, test, request, claim, say or (lambda line: None), progress, began))
    except GradatimError:  # an option to mend: the next attempt finds the folder free
        for folder in claimed:
            drop_unfinished(folder)
        raise


def resume(
    folder: Path | str, *, say: Say | None = None, progress: Progress | None = None, began: float | None = None
) -> "Run":
    """Go on with an interrupted run from its last checkpoint; the same plan gives the same weights.

    say, progress, began: as in `fit`.
    """
    began = time.perf_counter() if began is None else began
    folder = Path(folder)
    if (folder / "artifact.json").is_file():
        raise GradatimError(f"{folder}: this run is finished; there is nothing to resume")
    if not (folder / "request.json").is_file():
        raise GradatimError(f"{folder}: expected request.json of an interrupted run, found none; fit again")
    request = read_request(folder / "request.json")
    if not request.source:
        raise GradatimError(f"{folder}: this run was fitted on a frame in memory, which is gone; fit again with force")
    speak = say or (lambda line: None)
    return _finished(fit_request(request.source, request.test, request, lambda: folder, speak, progress, began))


def _finished(fitting: Fitting) -> "Run":
    """The run, written to its folder, and scored on the user's test table where that has labels."""
    run = Run(fitting.artifact, fitting.facts, fitting.folder)
    if fitting.folder is not None:
        write_history(fitting.folder, fitting.histories)
        write_predictions(fitting.folder, fitting.predictions())
        run._write(fitting.folder, fitting.table)
    labelled = fitting.test is not None and run.task.target in (None, *fitting.test.frame.columns)
    if fitting.test is not None and labelled:
        fitting.facts["external_test"] = run.evaluate(fitting.test)
        if fitting.folder is not None:
            run._write_report(fitting.folder, fitting.table)
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
        table, line = self.read(source, labelled=False), as_line(self.task)
        id = plain_options({"id": id})["id"]
        self._check_columns(table, id)
        ids = {id: table.cells(id)} if id is not None else None
        if line is not None:
            unread = problems if problems is not None else Problems()
            return line.predict(self.artifact.ensemble, Source(table, unread), ids)
        answer = self.answer(table, id=id, problems=problems)
        return said_of(self.task, answer, table, np.arange(len(table)), ids)

    def read(self, source: Any, *, labelled: bool = True) -> Table:
        """A table as the run's own was read: what was gathered at fit is gathered again, unless it is there already.

        labelled: the target as well, where its columns are there; a table to predict needs none.
        """
        wanted = asked(self.artifact.recipe, "gather")
        if not labelled:
            wanted.pop(self.task.target or "", None)
        table = gather_again(read_table(source), wanted)
        options = asked(self.artifact.recipe, "options")
        return gathered_rows(self.task.name, table, self.artifact.schema, options)[0]

    def answer(self, table: Table, *, id: str | None = None, problems: Problems | None = None) -> np.ndarray:
        """Probabilities (N, C) in the order of the task's classes, or numbers (N,)."""
        self._check_columns(table, id)
        problems = problems if problems is not None else Problems()
        table = spelled_table(table, self.artifact.schema)
        list_unknown(self.artifact.ensemble, table, problems)
        return self.artifact.ensemble.answer(Source(table, problems))

    def _check_columns(self, table: Table, id: str | None) -> None:
        if not isinstance(id, str | None):
            raise GradatimError(f"--id: expected the name of a column, received {shown(repr(id))}")
        needed = [*self.artifact.ensemble.columns, *([id] if id is not None else [])]
        missing = [name for name in needed if name not in table.frame.columns]
        if missing:
            made = asked(self.artifact.recipe, "gather")
            how = "".join(f" ({name} is gathered from {made[name]})" for name in missing if name in made)
            raise DataError(
                f"{table.source}: expected the columns {', '.join(needed)}; missing {', '.join(missing)}{how}; "
                f"found {', '.join(table.frame.columns)}"
            )
        for column in self.artifact.schema.columns:
            read = column.name in self.artifact.ensemble.columns or column.role == "target"
            if read and column.kind in ("number", "category") and column.name in table.frame.columns:
                check_single(table.frame.get_column(column.name), table.source)

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
        if not isinstance(constraint, str | None):
            raise GradatimError(f"--constraint: expected a text, received {shown(repr(constraint))}")
        goal = None if constraint is None else parse_goal(constraint)
        if goal is not None and (as_line(self.task) is not None or len(self.task.classes) != 2):
            raise GradatimError(f"--constraint: expected a target of two classes, this run's task is {self.task.name}"
                                + (f" with {len(self.task.classes)} classes" if self.task.classes else ""))
        table, target, line = self.read(source), self.task.target, as_line(self.task)
        if target is None and line is None:
            raise GradatimError(f"evaluate: expected a task with a target, {self.task.name} has none to compare with")
        if labels is not None and target is not None:
            apart = gather_again(read_table(labels), asked(self.artifact.recipe, "gather"))
            table = attach_labels(table, apart, target, id)
        if target is not None and target not in table.frame.columns:
            raise DataError(f"{table.source}: expected labels in column '{target}', found none; pass --labels FILE")
        self._check_columns(table, None)
        if line is not None:
            return self._noted(line.evaluate(self.artifact.ensemble, Source(table)), table, metric)
        truth = truth_of(self.task, table)
        problems = Problems()
        answer = self.answer(table, problems=problems)
        scores = score_rows(self.task, answer, truth)
        scores["problems"] = problems.to_json()[:PROBLEMS]
        scores["notes"].extend(str(problem) for problem in problems if problem.row is None)
        if goal is not None:
            known = truth >= 0
            scores["threshold"] = choose_threshold(truth[known], answer[known, 1], goal,
                                                   positive=str(self.task.classes[1]))
        return self._noted(scores, table, metric)

    def _noted(self, scores: dict[str, Any], table: Table, metric: str | None) -> dict[str, Any]:
        """The scores, their use of these rows noted in the run's folder."""
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

        table = self._fitted_table() if source is None else spelled_table(self.read(source), self.artifact.schema)
        if table is not None:
            self._check_columns(table, None)
        return explain_table(self.artifact.ensemble, self.artifact.schema, table, rows, **options)

    def generate(self, prompt: str = "", *, heard: Any = None, **manner: Any) -> "list[Generated]":
        """Texts that go on from a prompt, of a language model.

        manner: the fields of `gradatim.tasks.generate.Manner`: strategy ("greedy", "sample", "beam"), temperature,
        top_k, top_p, beams, tokens, count, seed. heard(row, text) is told what becomes readable, as it comes.
        """
        from gradatim.tasks.generate import Manner, generate

        known = Manner.__dataclass_fields__
        unknown = sorted(set(manner) - set(known))
        if unknown:
            raise GradatimError(f"generate: expected options among {', '.join(known)}; received {', '.join(unknown)}")
        return generate(self.artifact.ensemble, prompt, Manner(**manner), heard=heard)

    def score(self, texts: Sequence[str]) -> Predictions:
        """How probable each text is to a language model: log-probability, perplexity, bits per character."""
        from gradatim.tasks.generate import score

        return score(self.artifact.ensemble, list(texts))

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
            table, _ = spelled_rows(self.read(source), self.artifact.schema)
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
        self._write(self.folder, self._fitted_table())

    def _write(self, folder: Path, table: Table | None) -> None:
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
    for name in ("gather", "options"):  # a damaged one is refused now, not when somebody predicts
        asked(artifact.recipe, name)
    path = folder / "report.json"
    facts = read_json(path) if path.is_file() else {}
    if not isinstance(facts, dict):
        raise ArtifactError(f"{path}: expected the facts of a run as an object, found {type(facts).__name__}")
    return Run(artifact, facts, folder)
