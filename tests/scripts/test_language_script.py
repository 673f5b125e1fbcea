"""The script of sayings and glosses: how they are parted, on cases small enough to see."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_sayings_and_glosses_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    spec = importlib.util.spec_from_file_location("script_language", SCRIPTS / "language.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    (tmp_path / "law").write_text("One.\n%\nTwo,\n\t-- Somebody\n%\n%\nOne.\n")
    (tmp_path / "law.dat").write_bytes(b"\x00\x01")
    (tmp_path / "ascii-art").write_text("(o_o)\n%\n")
    for name, lines in (("noun", ["  1 licence", "0001 n cat | a small animal  ", "0002 n dog | a small animal"]),
                        ("verb", ["0003 v run | move fast"]), ("adj", []), ("adv", ["0004 r fast"])):
        (tmp_path / f"data.{name}").write_text("\n".join(lines))
    monkeypatch.setattr(script, "FORTUNES", tmp_path)
    monkeypatch.setattr(script, "WORDNET", tmp_path)
    monkeypatch.setattr(script, "LEFT_OUT", ("ascii-art",))
    assert script.sayings() == ["One.", "Two,\n\t-- Somebody"]
    assert script.glosses() == ["a small animal", "move fast"]
