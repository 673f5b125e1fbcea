"""`gradatim predict`: answer the rows of a table with a saved run."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, refuse_idle, say, silent

Flag = Annotated[bool, Parameter(negative="")]


def predict(
    run: Path,
    source: str,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    id: str | None = None,
    probabilities: Flag = False,
    force: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> None:
    """Answer every row of a table, in its order; submission.csv is exactly id and target in the original spellings.

    Parameters
    ----------
    run
        The folder of a run.
    source
        The file or folder to answer.
    output
        Where to write (.csv or .parquet); default: CSV on standard output.
    id
        The column that names the rows; without it they are numbered from 0.
    probabilities
        Add a column probability:CLASS for each class.
    force
        Replace the output file when it exists.
    json
        Print a JSON summary.
    quiet
        Say nothing but errors.
    """
    import sys

    from gradatim.data.readers import read_table
    from gradatim.errors import GradatimError
    from gradatim.evaluate.predictions import written
    from gradatim.problems import Problems
    from gradatim.run import load

    if output is not None:
        check_free(output, force)
        if output.suffix.lower() not in (".csv", ".parquet", ".conll", ".bio"):
            raise GradatimError(f"{output}: expected a name ending in .csv or .parquet (tags also .conll or .bio)")
    if output is not None and output.suffix.lower() in (".conll", ".bio"):
        refuse_idle("a .csv or .parquet file, whose rows have columns", id=id is not None, probabilities=probabilities)
    problems, speak = Problems(), silent if quiet or json else say
    loaded = load(run)
    plain = read_table(source)
    table = loaded.read(plain, labelled=False)
    for note in table.notes[len(plain.notes):]:  # of what was gathered
        speak(f"{table.source}: {note}")
    with_classes = loaded.task.name == "classification"
    refuse_idle(f"a run of classification, this one's task is {loaded.task.name}",
                probabilities=probabilities and not with_classes)
    answers = loaded.predict(table, id=id, problems=problems)
    if answers.task == "forecasting":  # its rows are steps ahead of each series, not the rows of the table
        frame = answers.frame
    else:
        frame = answers.submission(id or "row", probabilities=probabilities)
    if output is None and not json:
        sys.stdout.write(written(frame, answers.target).write_csv())
    elif output is not None and output.suffix.lower() in (".conll", ".bio"):
        answers.write(output)
    elif output is not None:
        _write(frame if output.suffix.lower() == ".parquet" else written(frame, answers.target), output)
    for code, count in problems.counts().items():
        first = next(problem for problem in problems if problem.code == code)
        speak(f"{count} × {code}; the first: {first}")
    if json:
        print_json({"rows": frame.height, "output": output, "problems": problems.to_json()})
    elif output is not None:
        speak(f"{frame.height} rows: {output}")


def _write(frame: object, output: Path) -> None:
    import io

    import polars as pl

    from gradatim.files import write_atomic

    assert isinstance(frame, pl.DataFrame)
    buffer = io.BytesIO()
    if output.suffix.lower() == ".parquet":
        frame.write_parquet(buffer)
    else:
        frame.write_csv(buffer)
    write_atomic(output, buffer.getvalue())
