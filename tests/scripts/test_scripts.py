"""The scripts that bring real data: their rules, on cases small enough to see; nothing is fetched."""

import csv
import gzip
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.datasets import __file__ as datasets_file

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> object:
    """A script as a module, by its name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_emoji_families_hold_skins_genders_and_clocks_together(script) -> None:
    emoji = script("emoji")
    firefighters = [("1F9D1-200D-1F692", "firefighter"), ("1F469-200D-1F692", "woman firefighter"),
                    ("1F468-1F3FD-200D-1F692", "man firefighter: medium skin tone")]
    clocks = [("1F550", "one o’clock"), ("1F55C", "one-thirty"), ("1F551", "two o’clock")]
    others = [("1F436", "dog face"), ("1F415", "dog"), ("1F692", "fire engine")]
    keys = [emoji.family_keys(code, label, "other") for code, label in firefighters + clocks + others]
    families = emoji.united(keys)
    assert len(set(families[:3])) == 1
    assert len(set(families[3:6])) == 1
    assert len(set(families)) == 5


def test_families_join_through_others(script) -> None:
    emoji = script("emoji")
    assert emoji.united([{"a"}, {"b"}, {"c"}, {"a", "b"}]) == [0, 0, 1, 0]


def test_emoji_words_of_the_taxonomy_are_taken_out(script) -> None:
    emoji = script("emoji")
    meta = {"groups": {"0": "animals-nature"}, "subgroups": {"0": "animal-mammal", "1": "food-fruit"}}
    words = emoji.taxonomy_words(meta)
    assert {"animal", "animals", "nature", "mammal", "fruit", "fruits"} <= words
    assert emoji.without(["animal face", "dog", "Fruit", "dog"], words, ", ") == "face, dog"


def test_held_out_families_are_a_fifth_and_depend_on_the_seed(script) -> None:
    emoji = script("emoji")
    families = {f"family-{i:04d}" for i in range(100)}
    assert len(emoji.held_out(families, 0)) == 20
    assert emoji.held_out(families, 0) == emoji.held_out(families, 0) != emoji.held_out(families, 1)


def test_titanic_equals_what_scikit_learn_reads(script) -> None:
    from sklearn.externals._arff import load as load_arff

    titanic = script("titanic")
    path = next((Path(datasets_file).parent / "tests/data/openml/id_40945").glob("data-*.arff.gz"))
    rows = titanic.read_arff(path)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        content = load_arff(file)
    names = [name for name, _ in content["attributes"]]
    assert len(rows) == len(content["data"]) == 1309
    for row, expected in zip(rows, content["data"]):
        for name, value in zip(names, expected):
            cell = row[name]
            if isinstance(value, float):
                assert float(str(cell)) == value
            else:
                assert cell == value


def test_fashion_reader_takes_the_published_format(script, tmp_path: Path) -> None:
    fashion = script("fashion_mnist")
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    (tmp_path / "array.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x03" + sizes + array.tobytes()))
    assert np.array_equal(fashion.read_idx(tmp_path / "array.gz"), array)


def test_takes_of_one_voice_stay_together(script) -> None:
    klettres = script("klettres")
    assert klettres.voice_name("Steph2") == klettres.voice_name("Steph3") == "steph"
    assert klettres.voice_name("m1") != klettres.voice_name("m2")


def test_glosses_are_cut_before_their_examples_and_shared_ones_left_out(script, tmp_path: Path) -> None:
    text = script("text")
    lines = [
        "  1 the licence",
        '00000001 05 n 01 dog 0 000 | a domestic animal that barks; "the dog barked"',
        "00000002 13 n 01 apple 0 000 | a round fruit with a core; widely grown",
        "00000003 05 n 01 x 0 000 | something that two classes share",
        "00000004 20 n 01 y 0 000 | something that two classes share",
        "00000005 03 n 01 z 0 000 | a class that is not asked for",
    ]
    (tmp_path / "data.noun").write_text("\n".join(lines))
    rows = text.read_glosses(tmp_path / "data.noun", 10, 0)
    assert sorted((row["gloss"], row["class"]) for row in rows) == [
        ("a domestic animal that barks", "animal"),
        ("a round fruit with a core; widely grown", "food"),
    ]


def test_a_filled_folder_is_kept_unless_forced(script, tmp_path: Path) -> None:
    folder = script("dataset_folder")
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(SystemExit, match="somebody else"):
        folder.DatasetFolder(tmp_path, force=True)
    assert (tmp_path / "mine.txt").exists()
    folder.DatasetFolder(tmp_path / "new").write_table("a.csv", [{"x": 0}])
    with pytest.raises(SystemExit, match="--force"):
        folder.DatasetFolder(tmp_path / "new")
    again = folder.DatasetFolder(tmp_path / "new", force=True)
    again.write_table("a.csv", [{"x": 1, "y": None}, {"x": 'say "a, b"', "y": 2}])
    with (tmp_path / "new/a.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"x": "1", "y": ""}, {"x": 'say "a, b"', "y": "2"}]


def test_missing_packages_are_named(script, tmp_path: Path) -> None:
    folder = script("dataset_folder")
    with pytest.raises(SystemExit, match="apt-get install klettres-data"):
        folder.needs(tmp_path / "nothing", "klettres-data")
