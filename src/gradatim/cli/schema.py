"""`gradatim schema`: what each column is taken for, and why."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]
MOST_PROBLEMS = 10


def schema(
    source: str,
    *,
    target: str | None = None,
    task: str | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    ignore: Repeated = (),
    kind: Repeated = (),
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Flag = False,
) -> None:
    """Show what each column is taken for, and why.

    The file written by -o can be edited and given to `gradatim fit --schema`.

    Parameters
    ----------
    source
        A CSV, TSV, Parquet or JSON-lines file, or a folder of class folders.
    target
        The column to predict; a folder of class folders needs none.
    task
        What to do, where the target leaves a choice (classification, regression …) or there is none.
    id
        The column that names the rows in a submission.
    group
        Rows with the same cell here stay on one side of the split.
    time
        The column that orders the rows: the split is then by time.
    ignore
        A column to leave out; repeat for more.
    kind
        COLUMN=KIND overrules the guess (number, category, text, image, audio, series); repeat for more.
    output
        Write the schema to this JSON file.
    force
        Replace the file when it exists.
    json
        Print the schema, samples and problems as JSON.
    """
    from gradatim.cli.console import check_free, pairs, print_json, say, show_table
    from gradatim.data.infer import infer_schema, schema_lines
    from gradatim.data.readers import read_table
    from gradatim.problems import Problems

    if task is not None:
        from gradatim.tasks.declared import declaration_of

        declaration_of(task)
    table = read_table(source)
    problems = Problems()
    found = infer_schema(
        table, target=target, task=task, id=id, group=group, time=time, ignore=ignore,
        kinds=pairs(kind, "--kind"), problems=problems,
    )
    lines = schema_lines(table, found)
    if output is not None:
        check_free(output, force)
        found.save(output)
    if json:
        print_json({"source": table.source, "rows": len(table), "notes": list(table.notes), "task": found.task,
                    "columns": lines, "problems": problems.to_json()})
        return
    show_table(
        f"{table.source}: {len(table):,} rows, {len(lines)} columns ({'; '.join(table.notes) or 'from memory'})",
        ["column", "kind", "role", "samples", "why"],
        [[row["name"], row["kind"], row["role"], " · ".join(row["samples"]), "; ".join(row["why"])] for row in lines],
    )
    for problem in list(problems)[:MOST_PROBLEMS]:
        say(f"{problem.code}: {problem}")
    if len(problems) > MOST_PROBLEMS:
        say(f"… and {len(problems) - MOST_PROBLEMS:,} more; --json lists them all")
    if output is not None:
        say(f"schema written to {output}; edit it and give it to `gradatim fit --schema {output}`")
