"""`gradatim evaluate`: score a run, or anybody's predictions, against labels."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import print_json, show_table


def evaluate(
    subject: Path,
    source: str | None = None,
    *,
    labels: str | None = None,
    id: str | None = None,
    target: str | None = None,
    metric: str | None = None,
    constraint: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Score a run on a table, or a file of predictions, against labels; every metric with its 95 % interval.

    Parameters
    ----------
    subject
        The folder of a run, or a CSV / Parquet file of predictions.
    source
        For a run: the table to answer.
    labels
        The table that holds the labels, when they are apart.
    id
        The column that joins rows and labels.
    target
        For predictions: the column of the labels.
    metric
        The metric to put first.
    constraint
        For two classes, as 'highest recall with precision >= 0.9': the threshold that meets it.
    json
        Print every metric, the confusion matrix and the classes as JSON.
    """
    from gradatim.cli.console import refuse_idle
    from gradatim.errors import GradatimError

    if subject.is_dir():
        from gradatim.run import load

        if source is None:
            raise GradatimError("evaluate: expected a table after the run: gradatim evaluate RUN TABLE [--labels FILE]")
        refuse_idle("a file of predictions; a run knows its own target", target=target is not None)
        refuse_idle("--labels FILE, whose rows it joins", id=id is not None and labels is None)
        scores = load(subject).evaluate(source, labels=labels, id=id, constraint=constraint, metric=metric)
    else:
        from gradatim.evaluate.foreign import score_files

        if labels is None:
            raise GradatimError("evaluate: expected --labels FILE beside the predictions")
        if source is not None:
            raise GradatimError(f"evaluate: expected no table after a file of predictions, received '{source}'")
        scores = score_files(subject, labels, id=id, target=target, metric=metric, constraint=constraint)
    if json:
        print_json(scores)
    else:
        show_scores(scores, metric)


def show_scores(scores: dict[str, Any], first: str | None = None) -> None:
    """Metrics, then classes, then warnings."""
    from gradatim.cli.fit import number

    metrics = scores["metrics"]
    names = sorted(metrics, key=lambda name: name != first)
    rows = [(name, number(metrics[name]["value"]),
             f"{number(metrics[name].get('low'))} to {number(metrics[name].get('high'))}") for name in names]
    show_table(f"{scores.get('rows', '')} rows", ("metric", "value", "95 % interval"), rows)
    if scores.get("per_class"):
        classes = [(c["class"], c["rows"], number(c["precision"]), number(c["recall"]), number(c["f1"]))
                   for c in scores["per_class"]]
        show_table("By class", ("class", "rows", "precision", "recall", "F1"), classes)
    for problem in scores.get("problems", []):
        if problem["row"] is None:
            print(f"column '{problem['column']}': {problem['message']}")
    for warning in scores.get("warnings", []):
        print(f"warning: {warning['evidence']} {warning['remedy']}")
    if scores.get("threshold"):
        print(scores["threshold"]["sentence"])
    if scores.get("uses"):
        print(f"this run has now been scored {scores['uses']} time{'s' if scores['uses'] > 1 else ''} on test sets")
