"""The audit of pictures and sounds: shortcuts in how files are stored, the same content twice, unreadable cells."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from gradatim.audit.audit import audit_table
from gradatim.audit.finding import Finding
from gradatim.data.duplicates import find_ties
from gradatim.data.schema import Column, Schema
from gradatim.data.table import Table

SCHEMA = Schema((Column("picture", "image", "input"), Column("y", "category", "target")))
SOUNDS = Schema((Column("sound", "audio", "input"), Column("y", "category", "target")))
LABELS = np.array(["cat", "dog"] * 60)


def drawing(seed: int, size: tuple[int, int] = (24, 24)) -> Image.Image:
    """Soft blobs: like a photograph in that copies stay alike and others differ."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def table_in(folder: Path, names: list[str], labels=LABELS) -> Table:
    return Table(pl.DataFrame({"picture": names, "y": list(labels)[: len(names)]}), folder)


def plain_names(count: int) -> list[str]:
    order = np.random.default_rng(7).permutation(count)
    return [f"{number:05d}.png" for number in order]


def shortcuts(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.code.startswith("shortcut")}


def test_clean_pictures_are_left_in_peace(tmp_path):
    names = plain_names(120)
    for row, name in enumerate(names):
        drawing(row).save(tmp_path / name)
    table = table_in(tmp_path, names)
    findings = audit_table(table.take(np.arange(80)), SCHEMA, test=table.take(np.arange(80, 120)))
    assert findings == []


def test_file_names(tmp_path):
    names = []
    for row, label in enumerate(LABELS):
        names.append(f"{label}_{row:03d}.png")
        drawing(row).save(tmp_path / names[-1])
    assert shortcuts(audit_table(table_in(tmp_path, names), SCHEMA)) == {"shortcut-file-name"}
    for row, name in enumerate(names):
        (tmp_path / name).rename(tmp_path / f"{row + (LABELS[row] == 'dog') * 500:05d}.png")
    numbered = [f"{row + (LABELS[row] == 'dog') * 500:05d}.png" for row in range(len(names))]
    assert shortcuts(audit_table(table_in(tmp_path, numbered), SCHEMA)) == {"shortcut-file-name"}


def test_class_folders_are_how_labels_are_told_but_other_folders_are_not(tmp_path):
    for folder in ("cat", "dog", "site 1", "site 2"):
        (tmp_path / folder).mkdir()
    base = plain_names(120)
    own, sites = [], []
    for row, label in enumerate(LABELS):
        own.append(f"{label}/{base[row]}")
        sites.append(f"site {1 + (label == 'cat')}/{base[row]}")
        drawing(row).save(tmp_path / own[-1])
        drawing(row).save(tmp_path / sites[-1])
    assert shortcuts(audit_table(table_in(tmp_path, own), SCHEMA)) == set()
    assert shortcuts(audit_table(table_in(tmp_path, sites), SCHEMA)) == {"shortcut-file-name"}


def test_formats_sizes_and_bytes(tmp_path):
    (tmp_path / "data").mkdir()
    formats, sizes, heavy = [], [], []
    base = plain_names(120)
    for row, label in enumerate(LABELS):
        cat = label == "cat"
        formats.append(f"f{base[row][:5]}.{'jpg' if cat else 'png'}")
        drawing(row).save(tmp_path / formats[-1])
        sizes.append(f"s{base[row]}")
        drawing(row, (24, 24) if cat else (26, 24)).save(tmp_path / sizes[-1])
        heavy.append(f"h{base[row][:5]}.jpg")
        drawing(row, (64, 64)).save(tmp_path / heavy[-1], quality=95 if cat else 30)
    assert "shortcut-file-format" in shortcuts(audit_table(table_in(tmp_path, formats), SCHEMA))
    assert "shortcut-picture-size" in shortcuts(audit_table(table_in(tmp_path, sizes), SCHEMA))
    assert shortcuts(audit_table(table_in(tmp_path, heavy), SCHEMA)) == {"shortcut-file-size"}


def test_the_same_picture_in_both_tables_and_under_two_labels(tmp_path):
    (tmp_path / "test").mkdir()
    names = plain_names(120)
    for row, name in enumerate(names):
        drawing(row, (48, 48)).save(tmp_path / name)
        drawing(row + 500, (48, 48)).save(tmp_path / "test" / name)
    for row in (3, 4, 5, 6):
        drawing(row, (48, 48)).save(tmp_path / "test" / f"copy {row}.jpg", quality=80)
    drawing(7, (48, 48)).save(tmp_path / "twin.png")
    table = table_in(tmp_path, [*names, "twin.png"], [*LABELS, "cat" if LABELS[7] == "dog" else "dog"])
    test = Table(pl.DataFrame({"picture": names + [f"copy {row}.jpg" for row in (3, 4, 5, 6)]}), tmp_path / "test")
    findings = {finding.code: finding for finding in audit_table(table, SCHEMA, test=test)}
    assert findings["duplicate-across-files"].severity == "error"
    assert findings["duplicate-across-files"].rows == (120, 121, 122, 123)
    assert findings["label-conflict"].rows == (7, 120)


def test_a_test_table_of_darker_pictures(tmp_path):
    names = plain_names(120)
    for row, name in enumerate(names):
        picture = drawing(row)
        (picture if row < 80 else Image.eval(picture, lambda value: value // 2)).save(tmp_path / name)
    table = table_in(tmp_path, names)
    findings = audit_table(table.take(np.arange(80)), SCHEMA, test=table.take(np.arange(80, 120)))
    assert [finding.code for finding in findings] == ["shift-train-test"]


def test_unreadable_pictures_by_row_and_line(tmp_path):
    names = plain_names(60)
    for row, name in enumerate(names):
        drawing(row).save(tmp_path / name)
    (tmp_path / names[4]).write_bytes(b"nothing")
    names[9] = "absent.png"
    table = Table(pl.DataFrame({"picture": names, "y": list(LABELS[:60])}), tmp_path, lines=np.arange(2, 62))
    finding = next(f for f in audit_table(table, SCHEMA) if f.code == "cell-unreadable")
    assert finding.rows == (4, 9) and "line 6" in finding.evidence


def test_ties_found_before_are_not_found_again(tmp_path):
    names = plain_names(60)
    for row, name in enumerate(names):
        drawing(row).save(tmp_path / name)
    table = table_in(tmp_path, names)
    ties = find_ties(table, SCHEMA)
    for name in names:
        (tmp_path / name).unlink()
    assert audit_table(table, SCHEMA, ties=ties) == []


@pytest.mark.parametrize("fault", ["none", "duration", "rate"])
def test_sounds(tmp_path, fault):
    soundfile = pytest.importorskip("soundfile")
    random = np.random.default_rng(0)
    names = [name.replace("png", "wav") for name in plain_names(120)]
    for row, name in enumerate(names):
        dog = LABELS[row] == "dog"
        hertz = 22_050 if fault == "rate" and dog else 16_000
        seconds = random.uniform(0.3, 0.6) + (0.5 if fault == "duration" and dog else 0)
        time = np.arange(int(hertz * seconds)) / hertz
        pitch = random.uniform(200, 900) + 300 * np.sin(random.uniform(3, 9) * time)
        wave = np.sin(2 * np.pi * np.cumsum(pitch) / hertz)
        soundfile.write(tmp_path / name, 0.3 * wave + 0.05 * random.normal(size=len(time)), hertz)
    findings = audit_table(Table(pl.DataFrame({"sound": names, "y": LABELS}), tmp_path), SOUNDS)
    if fault == "none":
        assert findings == []
    else:
        assert shortcuts(findings) >= {"shortcut-duration"}
