"""`gradatim score`: how probable a language model holds given texts."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, refuse_idle


def score(
    run: Path,
    source: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    column: str | None = None,
    texts: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Log-probability, perplexity and bits per character of each line of a text file, or each row of a table, as CSV.

    The end of each text is predicted too: it is one of the tokens, and counts as one character.

    Parameters
    ----------
    run
        The folder of a run of `gradatim fit --task language-model`.
    source
        A text file, a line a text; '-' for standard input; or a table with a column of texts.
    column
        The column of the texts in a table; default: as in training.
    texts
        Add the texts themselves as a last column.
    json
        Print JSON in place of CSV.
    """
    import sys

    from gradatim.errors import DataError
    from gradatim.run import load
    from gradatim.tasks.generate import language_task
    from gradatim.tasks.generate import score as score_texts

    ensemble = load(run).artifact.ensemble
    lines = read_lines(source, column, language_task(ensemble).column)
    if not any(lines):
        raise DataError(f"{source}: expected texts to score, found none")
    frame = score_texts(ensemble, lines).frame
    if texts:
        import polars as pl

        frame = frame.with_columns(pl.Series("text", lines, dtype=pl.String))
    if json:
        print_json(frame.to_dicts())
    else:
        sys.stdout.write(frame.write_csv())


def read_lines(source: str, asked: str | None, column: str) -> list[str]:
    """The texts to score: the lines of a text file or of standard input, or the cells of a table's column."""
    import sys

    from gradatim.data.documents import TEXT_ENDINGS, unified
    from gradatim.data.encoding import read_text_file
    from gradatim.data.readers import no_such_column, read_table
    from gradatim.errors import DataError

    path = Path(source).expanduser()
    is_text = path.is_file() and Path(path.name.lower().removesuffix(".gz")).suffix in TEXT_ENDINGS
    if source == "-" or is_text:
        refuse_idle("a table; each line is a text here", column=asked is not None)
    column = asked or column
    if source == "-":
        return unified(sys.stdin.buffer.read().decode(errors="replace")).removesuffix("\n").split("\n")
    if is_text:
        return unified(read_text_file(path).data.decode()).removesuffix("\n").split("\n")
    table = read_table(source)
    if column not in table.frame.columns:
        raise DataError(f"{table.source}: {no_such_column(column, table.frame.columns)}; pass --column NAME")
    return ["" if cell is None else str(cell) for cell in table.cells(column)]
