"""`gradatim audit`: what is wrong with the data, before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradatim.audit.finding import Finding

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def audit(
    source: str,
    *,
    test: str | None = None,
    target: str | None = None,
    schema: Path | None = None,
    task: str | None = None,
    id: str | None = None,
    group: str | None = None,
    time: str | None = None,
    ignore: Repeated = (),
    kind: Repeated = (),
    strict: Flag = False,
    json: Flag = False,
    seed: int = 0,
) -> None:
    """Look for leakage, duplicates, shortcuts, contradictory labels and unreadable cells.

    Nothing is trained and nothing is written. Every finding has a code that does not change, the evidence, what it
    leads to, and what to do. Exit code 1 with --strict when an error or a warning was found; notes never fail.

    Parameters
    ----------
    source
        A CSV, TSV, Parquet or JSON-lines file, or a folder of class folders.
    test
        A second table to compare with: the same content on both sides, rows that can be told apart.
    target
        The column to predict; a folder of class folders needs none.
    schema
        A schema file written by `gradatim schema`; then the options about columns are not needed.
    task
        What to do, where the target leaves a choice.
    id
        The column that names the rows.
    group
        Rows with the same cell here belong together.
    time
        The column that orders the rows.
    ignore
        A column to leave out; repeat for more.
    kind
        COLUMN=KIND overrules the guess (number, category, text, image, audio, series); repeat for more.
    strict
        Exit with code 1 when there is an error or a warning.
    json
        Print the findings as JSON.
    seed
        Rows and folds of the probes are drawn from it.
    """
    from gradatim.audit.audit import audit_table
    from gradatim.cli.console import pairs, print_json, refuse_idle
    from gradatim.data.infer import infer_schema
    from gradatim.data.readers import read_table
    from gradatim.data.schema import Schema

    if schema is not None:
        refuse_idle("no --schema with it, which says what each column is", target=target is not None,
                    task=task is not None, id=id is not None, group=group is not None, time=time is not None,
                    ignore=bool(ignore), kind=bool(kind))
    if task is not None:
        from gradatim.tasks.declared import declaration_of

        declaration_of(task)
    table = read_table(source)
    found = Schema.load(schema) if schema is not None else infer_schema(
        table, target=target, task=task, id=id, group=group, time=time, ignore=ignore, kinds=pairs(kind, "--kind"),
    )
    _check(found, table.frame.columns, table.source)
    other = None if test is None else read_table(test)
    findings = audit_table(table, found, test=other, seed=seed, progress=None if json else _progress())
    if json:
        print_json({"source": table.source, "rows": len(table), "test": None if other is None else other.source,
                    "findings": [finding.to_json() for finding in findings]})
    else:
        count = len(found.inputs)
        _show(findings, f"{table.source}: {len(table):,} rows, {count} input{'' if count == 1 else 's'}")
    if strict and any(finding.severity != "note" for finding in findings):
        raise SystemExit(1)


def _check(schema: Any, columns: list[str], source: str) -> None:
    from gradatim.errors import SchemaError

    missing = [column.name for column in schema.columns if column.name not in columns]
    if missing:
        raise SchemaError(
            f"{source}: the schema names columns that the table lacks: {', '.join(missing)}; "
            "write a new one with `gradatim schema`"
        )


def _progress() -> "Callable[[int, int], None] | None":
    """Cells read so far, on one line of a terminal; nothing when piped."""
    import sys

    if not sys.stderr.isatty():
        return None

    def tell(done: int, total: int) -> None:
        sys.stderr.write("\r\x1b[K" if done >= total else f"\rreading {done:,} of {total:,} cells")
        sys.stderr.flush()

    return tell


def _show(findings: "list[Finding]", title: str) -> None:
    """Errors and warnings in full, then notes; coloured on a terminal, plain when piped."""
    import sys
    from collections import Counter

    counts = Counter(finding.severity for finding in findings)
    words = [f"{counts[name]} {name}{'s' if counts[name] > 1 else ''}" for name in ("error", "warning", "note")
             if counts[name]]
    lines: list[tuple[str, str]] = [(f"{title}: {', '.join(words) or 'nothing found'}", "bold")]
    colours = {"error": "red", "warning": "yellow", "note": "blue"}
    for finding in findings:
        lines.append(("", ""))
        place = f" [{finding.column}]" if finding.columns else ""
        lines.append((f"{finding.severity} {finding.code}{place}", f"bold {colours[finding.severity]}"))
        lines.append((f"  {finding.evidence}", ""))
        lines.append((f"  leads to: {finding.consequence}", ""))
        lines.append((f"  do: {finding.remedy}", ""))
    if not sys.stdout.isatty():
        print("\n".join(text for text, _ in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for text, style in lines:
        console.print(Text(text, style=style), soft_wrap=False)
