"""Word vectors of a text file as the encoder of a text column: read, compared, saved, refused."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import gradatim as gd
from gradatim.data.codecs import codec_from_json
from gradatim.data.codecs.text import TextCodec
from gradatim.data.schema import Column
from gradatim.errors import DataError, GradatimError
from gradatim.estimators.features.word_vectors import WordVectors
from gradatim.models.sequence.attention_pool import attention_pool
from gradatim.models.sequence.words import words
from gradatim.tasks import word_tables
from gradatim.tasks.heads import Head
from gradatim.tasks.network import NetworkMember
from gradatim.tasks.word_tables import begin_with, coverage, network_blueprint, network_codec, words_codec

SUMMER, WINTER, BOTH = ("sun", "warm", "sea", "sand"), ("snow", "cold", "ice", "wind"), ("the", "a")
UNSEEN = {"beach": "summer", "frost": "winter"}  # in the file, in no row
COLUMN = Column("text", "text", "input")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of ten numbers in which the two seasons lie apart."""
    random = np.random.default_rng(0)
    names = (*BOTH, *SUMMER, *WINTER, "beach", "frost")
    seasons = [0, 0, *[1] * 4, *[-1] * 4, 1, -1]
    numbers = random.normal(size=(len(names), 10)) * 0.3
    numbers[:, 0] += seasons
    numbers[-2:] = numbers[2:6].mean(0), numbers[6:10].mean(0)
    path = tmp_path_factory.mktemp("vectors") / "seasons.vec"
    WordVectors(names, numbers.astype(np.float32)).save(path)
    return path


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    random = np.random.default_rng(0)
    texts, labels = [], []
    for row in range(90):
        own = (SUMMER, WINTER)[row % 2]
        texts.append(" ".join([*random.choice(own + BOTH, random.integers(2, 9)), own[row % 4], f"n{row}"]))
        labels.append(("summer", "winter")[row % 2])
    return pl.DataFrame({"text": texts, "label": labels})


def fitted(table: pl.DataFrame, encoder: str, **options) -> gd.Run:
    passes = {} if "estimator" in options else {"epochs": 1}
    return gd.fit(table, target="label", encoders={"text": encoder}, minutes=0.1, ledger="none",
                  kinds={"text": "text"}, **passes, **options)


@pytest.fixture(scope="module")
def run(table: pl.DataFrame, vectors: Path) -> gd.Run:
    return fitted(table, f"words:{vectors}")


@pytest.fixture(scope="module")
def chosen(table: pl.DataFrame, vectors: Path) -> gd.Run:
    """Answered by one estimator on the mean of the vectors."""
    return fitted(table, f"words:{vectors}", estimator="logistic.LogisticRegression")


def test_the_mean_is_that_of_the_known_words() -> None:
    torch.manual_seed(0)
    network = words(num_classes=0, vocabulary=7, width=3)
    table = network.embedding.weight.detach()
    ids = torch.tensor([[2, 6, 1, 3, 0, 0], [1, 1, 0, 0, 0, 0]])  # 1 is an unknown word
    found = network(ids, torch.tensor([4, 2])).detach()
    torch.testing.assert_close(found[0], (table[2] + table[6] + table[3]) / 3)
    assert not found[1].any()


def test_heads_and_a_network_use_the_vectors_and_the_report_says_so(run: gd.Run) -> None:
    kinds = {one["name"] for one in run.facts["candidates"]}
    assert {"linear head on text", "linear head on frozen features of text", "network"} <= kinds
    note = next(note for note in run.facts["answer"]["notes"] if "seasons.vec" in note)
    assert "12 word vectors of 10 numbers" in note and "% of the words in training rows have one" in note


def test_words_that_no_row_has_are_understood_and_the_run_needs_no_file(
    table: pl.DataFrame, vectors: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.vec"
    copy.write_bytes(vectors.read_bytes())
    run = fitted(table, f"words:{copy}", estimator="logistic.LogisticRegression")
    copy.unlink()
    word_tables._read.cache_clear()
    run.save(tmp_path / "run")
    loaded = gd.load(tmp_path / "run")
    asked = pl.DataFrame({"text": [*UNSEEN, "the unheard", None, *table["text"].to_list()]})
    for one in (run, loaded):
        answers = one.predict(asked).frame
        assert answers["prediction"].to_list()[:2] == list(UNSEEN.values())
    columns = [name for name in run.predict(asked).frame.columns if name.startswith("probability")]
    np.testing.assert_array_equal(run.predict(asked).frame[columns], loaded.predict(asked).frame[columns])
    head = loaded.artifact.ensemble.members[0]
    assert isinstance(head, Head) and head.blocks[0].kind == "frozen"


def test_explained_word_by_word(chosen: gd.Run, table: pl.DataFrame) -> None:
    found = chosen.explain(table.head(1), method="integrated_gradients")
    assert found is not None


def test_a_network_begins_with_the_vectors(vectors: Path, table: pl.DataFrame) -> None:
    entry = {"address": word_tables.WORDS, "weights": str(vectors)}
    codec = network_codec(COLUMN, entry, table["text"].to_list())
    blueprint = network_blueprint(entry)
    assert blueprint["arguments"] == {"width": 16} and blueprint["address"].endswith("attention_pool")
    torch.manual_seed(0)
    network = attention_pool(num_classes=0, vocabulary=codec.describe()["vocabulary"], width=16)
    size = network.embedding.weight[1:].square().mean()
    begin_with(network, str(vectors), moving=False)
    table_, known = network.embedding.weight.detach(), word_tables.vectors_of(str(vectors)).vectors
    ratio = table_[2:, :10] / torch.from_numpy(known)
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))
    torch.testing.assert_close(table_[2:, :10].square().mean(), size)
    assert not table_[:2].any() and not table_[:, 10:].any()  # the unknown word, and what is wider than the vectors
    assert not network.embedding.weight.requires_grad
    begin_with(network, str(vectors), moving=True)
    assert network.embedding.weight.requires_grad
    with pytest.raises(GradatimError, match="an embedding of a `width`"):
        network_blueprint({"address": "gradatim.models.sequence.bert.minilm", "weights": str(vectors)})


def test_another_text_network_may_begin_with_them(table: pl.DataFrame, vectors: Path) -> None:
    run = fitted(table, f"recurrent_classifier:{vectors}")
    networks = [one for one in run.artifact.ensemble.members if isinstance(one, NetworkMember)]
    assert "network" in {one["name"] for one in run.facts["candidates"]}
    for member in networks:
        encoder = member.blueprint["arguments"]["inputs"]["text"]["encoder"]
        assert encoder["address"].endswith("recurrent_classifier") and encoder["arguments"]["width"] == 16


def test_words_of_the_codec_stay_and_come_back_from_json(vectors: Path) -> None:
    codec = words_codec(COLUMN, {"address": word_tables.WORDS, "weights": str(vectors)}).fit(["rain and rain"])
    assert codec.tokens.vocabulary[:3] == ("the", "a", "sun")
    again = codec_from_json(codec.to_json())
    assert isinstance(again, TextCodec)
    assert again.encode("The SUN, unheard")[0].tolist() == codec.encode("The SUN, unheard")[0].tolist() == [2, 4, 1, 1]
    assert coverage(codec, ["the sun", "unheard of", None]) == 0.5


def test_capitals_are_kept_where_the_file_tells_them_apart(tmp_path: Path) -> None:
    (tmp_path / "cased.vec").write_text("3 2\nTurkey 1 2\nturkey 3 4\nnew york 5 6\n")
    found = word_tables.vectors_of(str(tmp_path / "cased.vec"))
    assert found.words == ("Turkey", "turkey") and not word_tables.lowercase(found)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.vec", "2 3\nsun 1 2 3\n", "expected 2 words as its first line says, found 1"),
        ("a.txt", "A text of words. No numbers.\n", "a word and 1 to 4096 numbers"),
        ("a.vec", "sun 1 2\nsea 1 nan\n", "line 2"),
        ("a.vec", "", "found none"),
        ("a.bin", "2 3\n", "ends in .vec or .txt"),
        ("a.vec", "new york 1 2\nlos angeles 2 3\n", "vectors of single words"),
    ],
)
def test_other_files_are_refused_in_one_line(
    name: str, content: str, expected: str, table: pl.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(GradatimError, match=expected) as caught:
        fitted(table, f"words:{tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_what_is_too_wide_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tables, "MOST_WIDTH", 3)
    (tmp_path / "a.vec").write_text("sun 1 2 3 4\n")
    with pytest.raises(DataError, match="at most 3 numbers a word"):
        word_tables.vectors_of(str(tmp_path / "a.vec"))


def test_fine_tuning_trains_the_vectors_on(table: pl.DataFrame, vectors: Path) -> None:
    run = fitted(table, f"words:{vectors}", fine_tune=True)
    assert "network" in {one["name"] for one in run.facts["candidates"]}
    assert run.predict(table.head(2)).frame.height == 2
