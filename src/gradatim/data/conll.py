"""Files with a token a line and columns of labels beside it (CoNLL, BIO): one row a sentence, with lists in its cells.

An empty line ends a sentence. Columns are parted by tabs, or by spaces where no line has a tab. The first is `tokens`,
the last `tags`, those between `column2`, `column3` …; a file of one column has tokens alone. Lines `-DOCSTART-` begin
a document; sentences then have its number as `document`. Lines that begin with `#` and stand before a sentence are
comments where they do not have the columns of the other lines. `.conllu` files have the columns of Universal
Dependencies (https://universaldependencies.org/format.html): `tokens`, `lemmas`, `upos`, `xpos`; ranges such as 3-4 and
empty nodes such as 3.1 are no tokens.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from gradatim.data.encoding import read_text_file
from gradatim.data.table import Table
from gradatim.errors import DataError

TOKENS, TAGS, DOCUMENT = "tokens", "tags", "document"
_DOCUMENT_START = "-DOCSTART-"
_UNIVERSAL = {1: TOKENS, 2: "lemmas", 3: "upos", 4: "xpos"}
_UNIVERSAL_COLUMNS = 10
MOST_SHOWN = 5

Lines = list[tuple[int, list[str]]]  # line number, fields


def read_conll(path: Path) -> Table:
    """Read a CoNLL or BIO file.

    Raises DataError with the first lines whose number of columns differs from that of most lines.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "small.conll"
    ...     _ = file.write_text("Ada B-PER\\nslept O\\n\\nHi O\\n")
    ...     read_conll(file).frame.rows()
    [(['Ada', 'slept'], ['B-PER', 'O']), (['Hi'], ['O'])]
    """
    text = read_text_file(path)
    universal = ".conllu" in [suffix.lower() for suffix in path.suffixes]
    content = text.data.decode()
    separator = "\t" if "\t" in content else None
    sentences, documents = _sentences(content, separator, universal)
    if not sentences:
        raise DataError(f"{text.name}: expected a token a line and an empty line after each sentence, found none")
    width = _check_width(sentences, text.name, universal)
    names = _UNIVERSAL if universal else _names(width)
    columns: dict[str, pl.Series] = {}
    for place, name in names.items():
        cells = [[fields[place] for _, fields in sentence] for sentence in sentences]
        columns[name] = pl.Series(name, cells, dtype=pl.List(pl.String))
    if universal:  # a column that the treebank leaves out
        columns = {name: cells for name, cells in columns.items() if cells.explode().n_unique() > 1 or name == TOKENS}
    notes = [*text.notes, "columns parted by " + ("tabs" if separator else "spaces")]
    if max(documents):
        columns[DOCUMENT] = pl.Series(DOCUMENT, documents, dtype=pl.Int64)
        notes.append(f"{max(documents):,} documents, begun by {_DOCUMENT_START}")
    first = np.array([sentence[0][0] for sentence in sentences], dtype=np.int64)
    return Table(pl.DataFrame(columns), path.parent, first, text.name, tuple(notes))


def write_conll(tokens: list[list[str]], *columns: list[list[str]]) -> str:
    """Sentences as text, a token a line with its labels after tabs, an empty line after each sentence.

    >>> write_conll([["Ada", "slept"]], [["B-PER", "O"]])
    'Ada\\tB-PER\\nslept\\tO\\n\\n'
    """
    pieces = []
    for sentence in zip(tokens, *columns, strict=True):
        pieces += ["\t".join(line) + "\n" for line in zip(*sentence, strict=True)]
        pieces.append("\n")
    return "".join(pieces)


def _sentences(content: str, separator: str | None, universal: bool) -> tuple[list[Lines], list[int]]:
    """The lines of each sentence, and the number of its document (0 before the first)."""
    sentences: list[Lines] = []
    documents: list[int] = []
    current: Lines = []
    document = 0
    lines = [line.rstrip() for line in content.split("\n")]
    for number, line in enumerate([*lines, ""], start=1):
        fields = [field.strip() for field in line.split(separator)] if line else []
        if not fields:
            if current:
                sentences.append(current)
                documents.append(document)
            current = []
        elif fields[0] == _DOCUMENT_START:
            document += 1
        elif line.startswith("#") and not current and _is_comment(lines, number, separator):
            pass
        elif not universal or fields[0].isdigit():
            current.append((number, fields))
    return sentences, documents


def _is_comment(lines: list[str], number: int, separator: str | None) -> bool:
    """Whether the line of this number, which begins with #, has other columns than the next one that does not."""
    after = next((line for line in lines[number:] if not line.startswith("#")), "")
    return len(lines[number - 1].split(separator)) != len(after.split(separator))


def _names(width: int) -> dict[int, str]:
    if width == 1:
        return {0: TOKENS}
    return {0: TOKENS, **{place: f"column{place + 1}" for place in range(1, width - 1)}, width - 1: TAGS}


def _check_width(sentences: list[Lines], name: str, universal: bool) -> int:
    """How many columns most lines have; DataError where some have another number."""
    counts = Counter(len(fields) for sentence in sentences for _, fields in sentence)
    width = _UNIVERSAL_COLUMNS if universal else counts.most_common(1)[0][0]
    wrong = [(line, len(fields)) for sentence in sentences for line, fields in sentence if len(fields) != width]
    if wrong:
        shown = ", ".join(f"line {line} has {count}" for line, count in wrong[:MOST_SHOWN])
        more = f" and {len(wrong) - MOST_SHOWN:,} more" if len(wrong) > MOST_SHOWN else ""
        raise DataError(f"{name}: expected {width} columns in each line, a token and its labels; {shown}{more}; mend "
                        "these lines, or part the columns by tabs where tokens hold spaces")
    return width
