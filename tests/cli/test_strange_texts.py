"""Translation and tagging met by a stranger: one plain line and exit code 2, or a run that lists what was wrong."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradatim.cli import main
from killing import done, killed, same_files

PAIRS = [(f"{verb} the {kind} {thing}", f"{ding} {art} {tu}") for verb, tu in
         (("open", "öffne"), ("close", "schließe"), ("save", "sichere"))
         for kind, art in (("red", "rot"), ("small", "klein"), ("new", "neu"), ("old", "alt"))
         for thing, ding in (("file", "Datei"), ("page", "Seite"), ("song", "Lied"), ("letter", "Brief"))]
GOOD = "english,german\n" + "".join(f"{a},{b}\n" for a, b in PAIRS)
NAMES = ("Ada", "Bob", "Cleo", "Dora", "Emil", "Fritz")
SENTENCES = [[("mister", "O"), (a, "B-PER"), ("met", "O"), (b, "B-PER"), ("here", "O")]
             for a in NAMES for b in NAMES if a != b]


def conll(sentences: Any = SENTENCES, *, end: str = "\n", gap: str = "\t") -> str:
    return "".join("".join(f"{token}{gap}{tag}{end}" for token, tag in one) + end for one in sentences)


TRANSLATE = ["fit", "pairs.csv", "--target", "german", "--task", "translation", "--option", "network=none"]
TAG = ["fit", "train.conll", "--task", "tagging", "--option", "model=none"]


def say(words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of a command run in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["gradatim", *words])
    code: Any = 0
    try:
        main()
    except SystemExit as stopped:
        code = stopped.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def fit_words(words: list[str]) -> list[str]:
    return [*words, "--minutes", "1", "-o", "run", "--ledger", "none"]


@pytest.mark.parametrize(("name", "content", "words", "says"), [
    ("other.csv", GOOD, TRANSLATE, "pairs.csv"),
    ("pairs.csv", "", TRANSLATE, "pairs.csv"),
    ("pairs.csv", "english,german\n", TRANSLATE, "row"),
    ("pairs.csv", "english,german\nopen,öffne\n", TRANSLATE, "expected"),
    ("pairs.csv", "english,german\n" + "open it,\n" * 30, TRANSLATE, "expected"),
    ("pairs.csv", "english,german\n" + ",öffne es\n" * 30, TRANSLATE, "expected"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "colour=red"], "colour"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "network=attention"], "network"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "source=../../etc/passwd"], "source"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "beams"], "beams"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "phrases=perhaps"], "phrases"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--option", "width=1e9"], "width"),
    ("pairs.csv", GOOD, [*TRANSLATE, "--metric", "accuracy"], "chrf"),
    ("pairs.csv", GOOD, ["fit", "pairs.csv", "--target", "french", "--task", "translation"], "french"),
    ("other.conll", conll(), TAG, "train.conll"),
    ("train.conll", "", TAG, "train.conll"),
    ("train.conll", "\n\n\n", TAG, "train.conll"),
    ("train.conll", "Ada\tB-PER\n", TAG, "expected"),
    ("train.conll", conll() + "alone\n", TAG, "column"),
    ("train.conll", conll().replace("Ada\tB-PER", "Ada\tB-PER\tmore", 1), TAG, "column"),
    ("train.conll", conll(), [*TAG, "--option", "hidden=wide"], "hidden"),
    ("train.conll", conll(), [*TAG, "--option", "layers=2.5"], "layers"),
    ("train.conll", conll(), [*TAG, "--option", "strength=-1"], "strength"),
    ("train.conll", conll(), [*TAG, "--option", "model=none"], "model"),
    ("train.conll", conll(), [*TAG, "--metric", "chrf"], "metric"),
    ("train.conll", b"\x00\xff\xfe" * 99, TAG, "train.conll"),
])
def test_refused_in_one_line(name, content, words, says, tmp_path, monkeypatch, capsys):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code, _, said = say(fit_words(words), tmp_path, monkeypatch, capsys)
    last = said.strip().splitlines()[-1]
    assert code == 2 and says in last and last.startswith("gradatim"), said
    assert "Traceback" not in said
    assert not (tmp_path / "run" / "artifact.json").exists()


@pytest.mark.parametrize("content", [
    conll(end="\r\n"), "\ufeff" + conll(), "# a comment\n" + conll(), conll(gap=" "), "\n\n" + conll() + "\n\n\n",
    conll([[(token, tag.replace("B-", "I-")) for token, tag in one] for one in SENTENCES]),
    "-DOCSTART-\tO\n\n" + conll(),
], ids=["crlf", "bom", "comment", "spaces", "blank lines", "without B-", "docstart"])
def test_ways_to_write_conll_are_read(content, tmp_path, monkeypatch, capsys):
    (tmp_path / "train.conll").write_bytes(content.encode())
    code, _, said = say(fit_words(TAG), tmp_path, monkeypatch, capsys)
    assert code == 0, said
    (tmp_path / "new.conll").write_text("mister\tO\nEmil\tO\nmet\tO\nAda\tO\nhere\tO\n")
    code, _, said = say(["predict", "run", "new.conll", "-o", "said.conll"], tmp_path, monkeypatch, capsys)
    assert code == 0, said
    tags = [line.split()[-1][-3:] for line in (tmp_path / "said.conll").read_text().splitlines() if line.strip()]
    assert tags == ["O", "PER", "O", "PER", "O"]


def test_unequal_numbers_of_words_and_tags_are_listed(tmp_path, monkeypatch, capsys):
    rows = [{"tokens": [token for token, _ in one], "tags": [tag for _, tag in one]} for one in SENTENCES]
    rows[3]["tags"] = rows[3]["tags"][:-1]
    rows[5]["tokens"] = []
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["fit", "train.jsonl", *TAG[2:]]
    code, out, said = say(fit_words(words), tmp_path, monkeypatch, capsys)
    assert code == 0, said
    assert "faults listed" in out + said


def spoil(text: str, change: Callable[[dict[str, Any]], Any]) -> str:
    held = json.loads(text)
    change(held)
    return json.dumps(held)


def test_a_run_folder_of_a_stranger_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "pairs.csv").write_text(GOOD)
    code, _, said = say(fit_words(TRANSLATE), tmp_path, monkeypatch, capsys)
    assert code == 0, said
    held = (tmp_path / "run" / "artifact.json").read_text()
    whole = json.dumps(json.loads(held))

    def members(value: Any) -> list[dict[str, Any]]:
        """Every state of a member in the artefact."""
        if isinstance(value, dict):
            own = [value] if isinstance(value.get("member"), str) else []
            return own + [one for part in value.values() for one in members(part)]
        return [one for part in value for one in members(part)] if isinstance(value, list) else []

    kinds = {one["member"] for one in members(json.loads(whole))}
    assert kinds == {"phrases"}
    changes: list[Callable[[dict[str, Any]], Any]] = [
        lambda state: state.update(member="os.system"), lambda state: state.update(member="translator"),
        lambda state: state.pop("weights"), lambda state: state.update(weights=[1, 2]),
        lambda state: state["weights"].update(language=1e400), lambda state: state["weights"].update(reach=-3),
        lambda state: state.update(column=["x"]), lambda state: state.pop("column"),
    ]
    for change in changes:
        shutil.copytree(tmp_path / "run", tmp_path / "bad")
        spoiled = spoil(whole, lambda value, change=change: change(members(value)[0]))  # type: ignore[misc]
        (tmp_path / "bad" / "artifact.json").write_text(spoiled)
        code, _, said = say(["predict", "bad", "pairs.csv"], tmp_path, monkeypatch, capsys)
        assert code == 2 and "Traceback" not in said and len(said.strip().splitlines()) == 1, said
        shutil.rmtree(tmp_path / "bad")
    code, _, said = say(["predict", "run", "pairs.csv", "-o", "said.csv"], tmp_path, monkeypatch, capsys)
    assert code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize(("words", "name", "content", "stage"), [
    ([*TRANSLATE[:6], "--option", "width=32", "--option", "phrases=no", "--option", "network=attention"], "pairs.csv",
     GOOD, "translator"),
    ([*TAG[:4], "--option", "hidden=32"], "train.conll", conll(), "recurrent tagger"),
])
def test_killed_while_the_network_learns_it_ends_with_the_same_bits(words, name, content, stage, tmp_path):
    fit = [*words, "--epochs", "12", "--seed", "1", "--ledger", "none", "-o", "run"]
    whole, broken = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, broken):
        folder.mkdir()
        (folder / name).write_text(content)
    done(fit, whole)
    killed(fit, broken, f"*{stage.split()[0]}*")
    done(["fit", "--resume", "run"], broken)
    same_files(whole / "run", broken / "run", ("weights.safetensors", "predictions/test.csv"))
