"""`gradatim fit`: from a table to a checked, explained, saved model."""

from inspect import signature
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import CountBar, pairs, print_json, refuse_idle, say, show_table, silent

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def fit(
    source: str | None = None,
    *,
    target: str | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    schema: Path | None = None,
    task: str | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    split: str | None = None,
    ignore: Repeated = (),
    kind: Repeated = (),
    encoder: Repeated = (),
    fusion: str = "concatenation",
    metric: str | None = None,
    test: str | None = None,
    minutes: float = 10.0,
    epochs: int | None = None,
    seed: int = 0,
    ledger: str = "masked",
    optimizer: str | None = None,
    learning_rate: float | None = None,
    label_smoothing: float | None = None,
    mixup: float = 0.0,
    flip: Flag = False,
    augment: Repeated = (),
    gather: Repeated = (),
    option: Repeated = (),
    class_weights: str = "auto",
    estimator: str | None = None,
    fine_tune: Flag = False,
    recipe: str | None = None,
    levers: bool = True,
    resume: Path | None = None,
    force: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> None:
    """From a table (CSV, TSV, Parquet, JSON lines) or a folder of class folders to a checked, explained, saved model.

    Parameters
    ----------
    source
        The file or folder to learn from.
    target
        The column to predict; a folder of class folders needs none.
    output
        The folder of the run; default runs/NAME-N.
    schema
        A schema file (see `gradatim schema`); it decides what each column is.
    task
        Where the target's kind leaves a choice: classification, regression, localisation, landmarks, forecasting,
        language-model, tagging, translation.
    id
        The column that names the rows.
    group
        Rows with the same value stay on one side of every split.
    time
        Split by this column: the past trains, the future tests.
    split
        A column whose cells say train, dev or test: your own split.
    ignore
        A column to leave out; repeat for more.
    kind
        COLUMN=KIND where the guess is wrong: number, category, text, image, audio, series, of the target also boxes,
        points, tags; repeat for more.
    encoder
        X=ADDRESS[:WEIGHTS]: the network for a column or a kind, as image=resnet18, text=minilm:pretrained or
        text=words:vectors.vec; repeat for
        more.
    fusion
        concatenation or attention.
    metric
        The metric to report and choose by, as accuracy, balanced_accuracy, roc_auc, rmse, mae.
    test
        A second table: it feeds the audit; when it has labels it is scored once, last.
    minutes
        Time for the whole command, report included; it ends earlier on a plateau.
    epochs
        Passes over the data for each network, instead of what the minutes allow.
    seed
        Same seed, same data, same machine: same run.
    ledger
        What each input is worth: masked (inputs hidden from the trained model), refit (everything trained again)
        or none.
    optimizer
        sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw or muon.
    learning_rate
        The highest learning rate of the schedule.
    label_smoothing
        Share of the target probability spread over all classes.
    mixup
        Strength α of mixup; 0 is off.
    flip
        A picture mirrored left to right means the same (not so for letters and digits): train on both.
    augment
        NAME=VALUE,… or COLUMN:NAME=VALUE,…: how rows are changed at random in training, as
        rotate=15,crop=0.8,colour=0.2,cutmix=1; none drops the defaults; see `gradatim augment`; repeat for more.
    gather
        NEW=COLUMN,COLUMN,…: one target of several columns, as box=xmin,ymin,xmax,ymax,label, or points=x1,y1,x2,y2; or
        NEW=long:ID,TIME,VALUE,…: a long table as rows of series.
    option
        NAME=VALUE of the task: horizon=12 of forecasting, tokens=characters of a language model; repeat for more.
    class_weights
        balanced: every class weighs the same in the loss, however rare; none; auto: balanced where the metric is
        balanced_accuracy or f1_macro and the classes are skewed.
    estimator
        ADDRESS[:NAME=VALUE,…]: fit this estimator alone, as svm.SVC:C=10; see `gradatim estimators`.
    fine_tune
        Train the pretrained networks of --encoder on, slowly and from the top down; without it they stay as they are
        and convex heads read their features.
    recipe
        fast: for a set accuracy in little time: one cycle of the learning rate with Muon, label smoothing, and with
        --flip the average of each picture's answer and its mirror's.
    levers
        Set what makes this machine fast, for this process: float32 products of oneDNN, an allocator that keeps its
        memory.
    resume
        Go on with an interrupted run.
    force
        Replace a run that stands in the output folder.
    json
        Print the facts of the report as JSON.
    quiet
        Say nothing but errors.
    """
    given = dict(locals())
    began = perf_counter()  # the imports below are part of --minutes
    from gradatim.errors import GradatimError, shown
    from gradatim.run import fit as fit_table
    from gradatim.run import resume as resume_run

    speak = silent if quiet or json else say
    bar = None if quiet or json else CountBar()
    if resume is not None and source is not None:
        raise GradatimError(f"fit: expected --resume alone, it knows its table; received '{shown(source)}' as well")
    if resume is not None:
        check_alone(given)
        run = resume_run(resume, say=speak, progress=bar, began=began)
    elif source is None:
        raise GradatimError("fit: expected a file or folder to learn from, or --resume RUN; see gradatim fit --help")
    else:
        run = fit_table(
            source, target=target, output=output or next_folder(source), schema=schema, test=test, force=force,
            say=speak, progress=bar, began=began, task=task, id=id, group=group, time=time, split=split, ignore=ignore,
            kinds=pairs(kind, "--kind"),
            encoders=pairs(encoder, "--encoder"), fusion=fusion, metric=metric, minutes=minutes, epochs=epochs,
            seed=seed, ledger=ledger, optimizer=optimizer, learning_rate=learning_rate,
            label_smoothing=label_smoothing, mixup=mixup, flip=flip, class_weights=class_weights,
            estimator=estimator, fine_tune=fine_tune, recipe=recipe, levers=levers, augment=augment,
            gather=pairs(gather, "--gather"), options=pairs(option, "--option"),
        )
    if json:
        print_json(run.facts)
    elif not quiet:
        show_run(run)


def check_alone(given: dict[str, Any]) -> None:
    """Refuse an option of `fit` beside --resume, which goes on with those of the run."""
    usual = {name: entry.default for name, entry in signature(fit).parameters.items()}
    refuse_idle("no --resume with it: the run goes on with the options that it began with",
                **{name: value != usual[name] for name, value in given.items()
                   if name not in ("source", "resume", "json", "quiet")})


def next_folder(source: str) -> Path:
    """runs/NAME-N with the first N that is free."""
    name = Path(source).resolve().stem or "run"
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"


def show_run(run: Any) -> None:
    """The candidates, the ledger, the score and the files of a run."""
    facts = run.facts
    if facts.get("candidates"):
        show_candidates(facts)
    if facts.get("ledger"):
        header = ("inputs", facts["score"]["metric"], "against all inputs", "ms a row", "faster")
        show_table("Modality ledger: what each input is worth", header,
                   [ledger_row(entry) for entry in facts["ledger"]])
    score = facts.get("score") or {}
    if score:
        between = f"[{number(score.get('low'))}, {number(score.get('high'))}]"
        print(f"{score['metric']} {number(score['value'])} {between} on {score['rows']} rows used for no choice; "
              f"{score['note']}")
    print(facts["answer"]["why"])
    for sentence in (facts.get("advice") or {}).get("sentences", []):
        print(sentence)
    if run.folder is not None:
        print(f"saved: {run.folder}  report: {run.folder / 'report.html'}")


def show_candidates(facts: dict[str, Any]) -> None:
    """What was tried, with its score on the rows of the choice."""
    rows = [
        (c["name"], number(c["value"]), f"{number(c['low'])} to {number(c['high'])}", f"{c['seconds']:.1f}",
         f"{c['weight']:.0%}" if c["chosen"] else "", c.get("note", ""))
        for c in facts["candidates"]
    ]
    from gradatim.evaluate.metrics import METRICS

    metric = facts["candidates"][0]["metric"]
    title = METRICS[metric].title if metric in METRICS else metric
    show_table(f"Candidates: {title} on rows held out from their fit",
               ("candidate", metric, "95 % interval", "seconds", "weight", "note"), rows)


def number(value: Any) -> str:
    """Four significant digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"


def ledger_row(entry: dict[str, Any]) -> tuple[Any, ...]:
    """One entry of the ledger as cells."""
    difference = entry.get("difference", {}).get("text", "")
    speed = f"{entry['speedup']:.1f}×" if entry.get("speedup") else ""
    return (entry["label"], number(entry["value"]), difference, f"{entry['milliseconds']:.2f}", speed)
