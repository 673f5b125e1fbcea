"""CSV and TSV against what csv.writer wrote, against pandas, and the one line that each defect gets."""

import csv
import gzip
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.delimited import (
    Dialect,
    _parse_fast,
    find_separator,
    parse_delimited,
    parse_strict,
    read_delimited,
)
from gradatim.data.encoding import TextFile, read_text_file
from gradatim.errors import DataError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
RISKY = st.text(alphabet=' ab,;|\t"\n\r\\\'é', max_size=6)


def written(rows: list[list[str]], separator: str, quoting: int = csv.QUOTE_MINIMAL) -> tuple[str, list[int]]:
    """The text that csv.writer makes of a header and rows, and the line on which each row begins."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting)
    writer.writerow([f"c{i}" for i in range(len(rows[0]))])
    lines = []
    for row in rows:
        lines.append(len(re.findall(r"\r\n|\r|\n", out.getvalue())) + 1)
        writer.writerow(row)
    return out.getvalue(), lines


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> list[list[str]]:
    width = draw(st.integers(2, 4))
    return draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))


@settings(deadline=None)
@given(tables(CELLS | RISKY), st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_the_csv_module_writes_is_read_back(rows: list[list[str]], separator: str, quoting: int) -> None:
    text, lines = written(rows, separator, quoting)
    table = parse_delimited(TextFile("t.csv", text.encode(), ()))
    assert [list(row) for row in table.frame.rows()] == [[cell or None for cell in row] for row in rows]
    assert table.lines is not None and table.lines.tolist() == lines
    assert table.frame.columns == [f"c{i}" for i in range(len(rows[0]))]


@settings(deadline=None)
@given(tables(st.text(alphabet="ab é0.'\\#-\x0b\x1c\x85\u2028;", max_size=5)), st.sampled_from("\t|,"), st.booleans())
def test_the_fast_path_equals_the_strict_one(rows: list[list[str]], separator: str, returns: bool) -> None:
    header = separator.join(f"c{i}" for i in range(len(rows[0])))
    end = "\r\n" if returns else "\n"
    text = TextFile("t.csv", end.join([header, *(separator.join(row) for row in rows)]).encode() + end.encode(), ())
    dialect = Dialect(separator)
    fast, strict = _parse_fast(text, dialect, 1), parse_strict(text, dialect)
    assert fast is not None
    assert fast[0].equals(strict[0]) and fast[1].tolist() == strict[1].tolist() and fast[2] == strict[2]


@settings(deadline=None, max_examples=50)
@given(tables(st.text(alphabet="ab\n\r,\"", max_size=4)))
def test_a_text_with_quotes_never_takes_the_fast_path_wrongly(rows: list[list[str]]) -> None:
    text = TextFile("t.csv", written(rows, ",")[0].encode(), ())
    fast = _parse_fast(text, Dialect(","), 1)
    assert fast is None or fast[0].equals(parse_strict(text, Dialect(","))[0])


@settings(deadline=None, max_examples=50)
@given(tables(CELLS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_encodings_with_a_mark(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], encoding: str) -> None:
    printable = [[re.sub(r"[\x00-\x08\x0b-\x1f]", "", cell) for cell in row] for row in rows]
    path = tmp_path_factory.getbasetemp() / "encoded.csv"
    path.write_bytes(written(printable, ",")[0].encode(encoding))
    table = read_delimited(path)
    assert [list(row) for row in table.frame.rows()] == [[cell or None for cell in row] for row in printable]


@pytest.mark.parametrize(
    ("encoding", "note"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8 with byte order mark"), ("utf-16-le", "UTF-16 LE (no byte order mark)"),
     ("utf-16-be", "UTF-16 BE (no byte order mark)"), ("utf-16", "UTF-16 LE with byte order mark"),
     ("cp1252", "cp1252 (Western European; not valid UTF-8)"),
     ("latin-1", "cp1252 (Western European; not valid UTF-8)")],
)
def test_the_encoding_is_found_and_said(tmp_path: Path, encoding: str, note: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("name,city\nZoë,Köln\nRenée,Málaga\n".encode(encoding))
    table = read_delimited(path)
    assert table.cells("name") == ["Zoë", "Renée"] and f"encoding {note}" in table.notes


def test_pandas_reads_the_same_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["x, y", 'he said "no"', "", "two\nlines"], "b": ["1,5", "é", "?", "NULL"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    table = read_delimited(tmp_path / "a.csv")
    again = pd.read_csv(tmp_path / "a.csv", dtype=str, keep_default_na=False)
    assert table.frame.fill_null("").to_dict(as_series=False) == again.to_dict(orient="list")
    assert table.lines is not None and table.lines.tolist() == [2, 3, 4, 5]
    assert "1 record over more than one line" in table.notes


@pytest.mark.parametrize(
    ("text", "separator"),
    [("a,b\n1,2\n", ","), ("a;b\n1,5;2,5\n", ";"), ("a\tb\n1\t2\n", "\t"), ("a|b\n1|2\n", "|"), ("text\nhello\n", ","),
     ("name;price,eur\nx;1,5\ny;2,5\n", ";"), ('a,b\n"x;y;z",1\n"p;q;r",2\n', ","), ("a;b\n", ";")],
)
def test_separators(text: str, separator: str) -> None:
    assert find_separator(text.encode()) == separator


def read(text: str | bytes, name: str = "t.csv") -> object:
    return parse_delimited(TextFile(name, text if isinstance(text, bytes) else text.encode(), ()))


@pytest.mark.parametrize(
    ("text", "words"),
    [("a,a\n1,2\n", ["line 1", "'a' 2 times", "rename"]),
     ("a,,c\n1,2,3\n", ["line 1", "column 2", "name"]),
     (",a\n0,1\n", ["line 1", "index=False"]),
     ("a,b,\n1,2,\n", ["line 1", "remove the ','"]),
     ("5,0,0,1\n3,0,0,2\n", ["looks like data", "header line"]),
     ("a,b\n1,2\n3\n4\n", ["line 3", "expected 2 cells", "found 1 (2 such lines)", "add"]),
     ("a,b\n1,2\n3,4,5\n", ["line 3", "found 3", "quote"]),
     ('a,b\n"x\ny",2\n1,2,3\n', ["line 4", "found 3"]),
     ('a,b\n1,2\n3,"x\n4,5\n', ["line 3", "quote", "end of the file"]),
     ('a,b\n1,"x"y\n', ["line 2", "closing quote"]),
     ('a,"b\n1,2\n', ["line 1", "quote"]),
     ('{"a": 1}\n{"a": 2}\n', ["JSON", ".jsonl"]),
     ("a,b\n", ["header alone"]),
     ("a,b\n\n \n", ["header alone"])],
)
def test_defects_name_line_and_remedy(text: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith("t.csv") and "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", ["empty file"]), (b" \n\n", ["blank space"]), (b"a,b\n1,\x002\n", ["line 2", "NUL"]),
     (b"a,b\n\x00\x002,3\nx,y\n", ["line 2", "NUL"]),
     (b"\x89PNG\r\n\x1a\n" + bytes(50), ["PNG picture"]), (b"PK\x03\x04" + bytes(50), ["Excel", "CSV"]),
     (b"%PDF-1.4", ["PDF"]), (bytes(range(1, 256)) * 9, ["binary"]), (b"<!DOCTYPE html><html>", ["web page"]),
     (b"PAR1" + bytes(20) + b"PAR1", ["Parquet", ".parquet"]), (b"\xff\xfea\x00,\x00b\x00", ["header alone"]),
     ("a,b\né,ü\nö,ß\nä,".encode() + b"\xe9\n", ["line 4", "0xe9", "UTF-8"]),
     (b"\xef\xbb\xbfa,b\n\xe9,1\n", ["line 2", "0xe9"]), (b"\xff\xfea\x00,\x00b\x00\n\x00\x00\xd8", ["UTF-16"]),
     (b"\x1f\x8bnonsense", ["gzip"]), (b"version https://git-lfs.github.com/spec/v1\n", ["git lfs pull"])],
)
def test_files_that_are_no_tables(tmp_path: Path, data: bytes, words: list[str]) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_delimited(tmp_path / "t.csv")
    assert str(caught.value).startswith("t.csv") and all(word in str(caught.value) for word in words), str(caught.value)


def test_gzip_is_unpacked_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 100_000))
    assert len(read_delimited(path)) == 100_000
    with pytest.raises(DataError, match="after unpacking"):
        read_text_file(path, max_bytes=10_000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        read_delimited(path)


def test_blank_lines_are_said_and_lines_kept() -> None:
    table = parse_delimited(TextFile("t.csv", b"a,b\n1,2\n\n  \n3,4\n\n", ()))
    assert table.lines is not None and table.lines.tolist() == [2, 5]
    assert "3 blank lines skipped (line 3, 4, 6)" in table.notes
    single = parse_delimited(TextFile("t.csv", b'text\nx\n\n""\ny\n\n', ()))
    assert single.cells("text") == ["x", None, None, "y"]
    assert any("kept as missing cells (line 3)" in note for note in single.notes)


def test_other_quotings_are_found_and_said() -> None:
    escaped = parse_delimited(TextFile("t.csv", b'a,b\n"he said \\"hi\\"",1\n', ()))
    assert escaped.cells("a") == ['he said "hi"'] and any("written" in note for note in escaped.notes)
    spaced = parse_delimited(TextFile("t.csv", b'a, b\n1, "x, y"\n', ()))
    assert spaced.cells("b") == ["x, y"] and "spaces after separators skipped" in spaced.notes
    with pytest.raises(DataError):  # a backslash that escapes nothing: no quoting explains this file
        read('a,b\n"c:\\temp \\"x",1\n')


def test_excel_first_line_old_mac_lines_and_long_cells() -> None:
    assert parse_delimited(TextFile("t.csv", b"sep=|\na|b\n1|2\n", ())).frame.to_dicts() == [{"a": "1", "b": "2"}]
    assert parse_delimited(TextFile("t.csv", b"a,b\r1,2\r3,4\r", ())).cells("b") == ["2", "4"]
    long = "x" * 300_000
    assert parse_delimited(TextFile("t.csv", f'a,b\n"{long},",2\n'.encode(), ())).cells("a") == [long + ","]
    assert csv.field_size_limit() == 131_072


def test_names_lose_the_spaces_around_them_and_numbers_as_names_are_doubted() -> None:
    table = parse_delimited(TextFile("t.csv", b" a ,b\n1,2\n", ()))
    assert table.frame.columns == ["a", "b"] and any("spaces around" in note for note in table.notes)
    assert any("header" in note for note in parse_delimited(TextFile("t.csv", b"5.1,3.5\n4.9,3.0\n", ())).notes)
    assert not any("header" in note for note in parse_delimited(TextFile("t.csv", b"0,1\n4.9,3.0\n", ())).notes)
