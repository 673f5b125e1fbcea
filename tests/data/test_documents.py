"""Plain text files: how they are parted, what is said of it, folders of them."""

import gzip
from pathlib import Path

import pytest

from gradatim.data.documents import parted
from gradatim.data.readers import read_table
from gradatim.errors import DataError


def test_texts_are_parted_by_what_the_file_has(tmp_path: Path) -> None:
    cases = {
        "One.\n\nTwo,\nstill two.\n \t\n\n  Three\n": (["One.", "Two,\nstill two.", "  Three"], [1, 3, 7]),
        "a\nb\n%\nc\n\nd\n%\n": (["a\nb", "c\n\nd"], [1, 4]),
        "one\r\ntwo\rthree": (["one", "two", "three"], [1, 2, 3]),
        "100 %\n50 %\n": (["100 %", "50 %"], [1, 2]),
    }
    for text, (texts, lines) in cases.items():
        assert parted(text)[:2] == (texts, lines), text
    (tmp_path / "a.txt").write_text("Eins.\n\nZwei: für\n", encoding="cp1252")
    table = read_table(tmp_path / "a.txt")
    assert table.cells("text") == ["Eins.", "Zwei: für"] and table.line(1) == 3
    assert "2 texts, parted at blank lines" in table.notes
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"x\ny"))
    assert read_table(tmp_path / "b.txt.gz").cells("text") == ["x", "y"]


def test_columns_parted_by_tabs_stay_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word\tsize\ncat\t3\ndog\t4\n")
    assert read_table(tmp_path / "a.txt").frame.columns == ["word", "size"]


def test_folders_of_texts(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat/b.txt").write_text("One.\n\nTwo.")
    (tmp_path / "flat/a.txt").write_text("Zero.")
    (tmp_path / "flat/.hidden.txt").write_text("never")
    (tmp_path / "flat/empty.txt").write_text("")
    table = read_table(tmp_path / "flat")
    assert table.cells("text") == ["Zero.", "One.", "Two."] and table.cells("file") == ["a.txt", "b.txt", "b.txt"]
    for name in ("good/1.txt", "good/2.txt", "bad/1.txt"):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / name).write_text(f"Text\n\nof {name}\n")
    table = read_table(tmp_path / "classes")
    assert table.cells("label") == ["bad", "good", "good"] and table.cells("text")[0] == "Text\n\nof bad/1.txt"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for name, data in {"empty.txt": b"", "blank.txt": b" \n\n", "binary.txt": bytes(range(256)) * 40}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            read_table(tmp_path / name)
