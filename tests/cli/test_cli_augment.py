"""`gradatim augment`: a sheet of pictures; options and errors in one line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from gradatim.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("augment")
    random = np.random.default_rng(0)
    lines = ["picture,box,kind,words"]
    for row in range(12):
        Image.fromarray(random.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(folder / f"{row}.png")
        lines.append(f'{row}.png,"[[3, 4, 20, 18]]",{"ab"[row % 2]},some words number {row}')
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def call(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["gradatim", "augment", *words])
    code = 0
    try:
        main()
    except SystemExit as caught:
        code = int(caught.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_sheet_is_drawn(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    words = [
        str(table),
        "--target",
        "box",
        "--rows",
        "3",
        "--variants",
        "2",
        "-o",
        str(sheet),
        "--options",
        "none,rotate=20,colour=0.2",
        "--json",
    ]
    code, out, _ = call(words, monkeypatch, capsys)
    assert code == 0
    said = json.loads(out)
    assert len(said["rows"]) == 3 and said["options"]["rotate"] == 20 and said["options"]["shift"] == 0
    image = Image.open(sheet)
    assert image.width > 3 * 120 and image.height > 3 * 120
    before = sheet.read_bytes()
    assert call(words, monkeypatch, capsys)[0] == 2  # it stands already
    code, _, _ = call([*words, "--force"], monkeypatch, capsys)
    assert code == 0 and sheet.read_bytes() == before  # the same seed, the same sheet


def test_mixing_writes_the_shares(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, said = call(
        [str(table), "--target", "kind", "--options", "mixup=1,cutmix=1", "-o", str(tmp_path / "m.png")],
        monkeypatch,
        capsys,
    )
    assert code == 0, said
    assert "mixup 1, cutmix 1" in out and "6 pictures" in out


@pytest.mark.parametrize(
    "words, said",
    [
        (["--options", "spin=1"], "expected options among flip"),
        (["--rows", "0"], "--rows: expected 1 to 50"),
        (["-o", "sheet.jpg"], "ending in .png"),
        (["--column", "words"], "--column"),
        (["--options", "word_dropout=0.1"], "kind text"),
    ],
)
def test_errors_are_one_line(
    table: Path,
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = call([str(table), *words], monkeypatch, capsys)
    assert code == 2 and len(error.strip().splitlines()) == 1 and said in error


def test_a_sheet_of_sounds_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["voice,kind"]
    for row in range(10):
        wave = 0.3 * np.sin(np.arange(3000 + 300 * row) * (0.2 + 0.2 * (row % 2)))
        soundfile.write(tmp_path / f"{row}.wav", wave, 8000)
        lines.append(f"{row}.wav,{'ab'[row % 2]}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    sheet = tmp_path / "sheet.png"
    words = [str(tmp_path / "table.csv"), "--target", "kind", "--rows", "2", "--variants", "2", "-o", str(sheet)]
    code, out, _ = call([*words, "--options", "none,gain=6,snr=5,shift=0.2,speed=0.1"], monkeypatch, capsys)
    assert code == 0 and "snr 5" in out and "2 sounds of table.csv" in out
    picture = np.asarray(Image.open(sheet))
    assert picture.shape[1] > 3 * 168 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    code, _, error = call([*words, "--force", "--options", "rotate=5"], monkeypatch, capsys)
    assert code == 2 and "rotate: expected an input of kind image, found audio" in error
