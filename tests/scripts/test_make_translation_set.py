"""Catalogues are read, cleaned and written as pairs."""

import csv
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_translation_set.py"
SPEC = importlib.util.spec_from_file_location("make_translation_set", SCRIPT)
assert SPEC and SPEC.loader
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)


def catalogue(pairs: dict[str, str], order: str = "<") -> bytes:
    """A .mo file as the gettext manual lays it out."""
    entries = sorted((source.encode(), target.encode()) for source, target in pairs.items())
    start, tables, content = 28, [], b""
    for side in (0, 1):
        for entry in entries:
            tables.append((len(entry[side]), start + 16 * len(entries) + len(content)))
            content += entry[side] + b"\0"
    head = struct.pack(order + "7I", 0x950412DE, 0, len(entries), start, start + 8 * len(entries), 0, 0)
    return head + b"".join(struct.pack(order + "2I", *table) for table in tables) + content


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_what_gettext_reads(tmp_path, order):
    import gettext

    pairs = {"": "Content-Type: text/plain; charset=UTF-8\n", "File": "Datei", "menu\4Open": "Öffnen",
             "%d file\0%d files": "%d Datei\0%d Dateien"}
    path = tmp_path / "x.mo"
    path.write_bytes(catalogue(pairs, order))
    assert sorted(MODULE.read_catalogue(path)) == [("%d file", "%d Datei"), ("File", "Datei"), ("Open", "Öffnen")]
    with path.open("rb") as file:
        known = gettext.GNUTranslations(file)
    assert known.gettext("File") == "Datei" and known.pgettext("menu", "Open") == "Öffnen"
    path.write_bytes(b"no catalogue")
    assert list(MODULE.read_catalogue(path)) == []


def test_cleans():
    def clean(source: str, target: str, accelerators: bool = False) -> object:
        return MODULE.cleaned(source, target, longest=100, accelerators=accelerators)

    assert clean("_Open %s…", "&Öffnen: %s") == ("Open %s…", "Öffnen: %s")
    assert clean("_Open", "_Öffnen", accelerators=True) == ("_Open", "_Öffnen")
    assert clean("R&D &amp; more", "F&E &amp; mehr") == ("R&D &amp; more", "F&E &amp; mehr")
    assert clean("Sa_ve", "S&peichern") == ("Save", "Speichern")
    assert clean("set the file_name", "setze file_name") == ("set the file_name", "setze file_name")
    assert clean("Same", "Same") is None and clean("42 %", "42 %!") is None and clean("x" * 101, "yy") is None
    assert MODULE.without_context("ctx|Save", Path("libreoffice/x.mo")) == "Save"


def test_writes_the_commonest_translation_once(tmp_path, monkeypatch):
    for name, target in (("a", "Datei"), ("b", "Datei"), ("c", "Feile")):
        folder = tmp_path / "de" / "LC_MESSAGES"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.mo").write_bytes(catalogue({"File": target, "Page": "Seite"}))
    assert [path.stem for path in MODULE.catalogues([tmp_path], "de")] == ["a", "b", "c"]
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "out.csv"), "--language", "de"])
    monkeypatch.setattr(MODULE, "catalogues", lambda folders, language: sorted((tmp_path / "de").rglob("*.mo")))
    MODULE.main()
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["english"], row["german"]) for row in rows] == [("File", "Datei"), ("Page", "Seite")]
    assert subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, check=True).stdout
