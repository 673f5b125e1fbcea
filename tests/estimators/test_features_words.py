"""Vectors of words: the step against autograd, what is learned, files of others, hostile files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradatim.errors import ArtifactError, DataError
from gradatim.estimators.features import word_vectors
from gradatim.estimators.features.word2vec import Word2Vec, _keep, _table, pair_step
from gradatim.estimators.features.word_vectors import WordVectors, is_vector_file, read_word_vectors
from gradatim.estimators.state import estimator_from_state, estimator_to_state

ROOMS = {"royal": ("king", "queen", "palace", "crown"), "kitchen": ("cook", "oven", "bread", "knife")}


def corpus(rows: int = 600) -> list[str]:
    """Sentences of five words of one room each."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(list(ROOMS.values())[row % 2], 5)) for row in range(rows)]


def test_one_pair_is_a_step_down_the_gradient_that_autograd_finds() -> None:
    random = np.random.default_rng(1)
    vectors, contexts = (random.normal(size=(4, 6)).astype(np.float32) for _ in range(2))
    v, u = torch.tensor(vectors, requires_grad=True), torch.tensor(contexts, requires_grad=True)
    loss = -torch.nn.functional.logsigmoid(v[1] @ u[2]) - torch.nn.functional.logsigmoid(-(v[1] @ u[3]))
    loss.backward()
    change, moved = np.zeros(6, np.float32), contexts.copy()
    ours = pair_step(1, 2, 1.0, 0.1, vectors, moved, change) + pair_step(1, 3, 0.0, 0.1, vectors, moved, change)
    assert ours == pytest.approx(loss.item(), rel=1e-6)
    np.testing.assert_allclose(moved - contexts, -0.1 * u.grad.numpy(), atol=1e-6)
    np.testing.assert_allclose(change, -0.1 * v.grad[1].numpy(), atol=1e-6)


def test_words_are_drawn_by_the_power_of_their_counts_and_kept_by_their_share() -> None:
    counts = np.array([1000, 100, 10])
    drawn = np.bincount(_table(counts), minlength=3) / len(_table(counts))
    np.testing.assert_allclose(drawn, counts**0.75 / (counts**0.75).sum(), atol=1e-5)
    share = counts / counts.sum()
    np.testing.assert_allclose(_keep(counts, 1e-2), np.minimum(1, np.sqrt(1e-2 / share) + 1e-2 / share))
    assert (_keep(counts, 0) == 1).all()


def test_words_of_one_room_end_up_together_and_the_loss_falls() -> None:
    model = Word2Vec(width=20, min_count=1, epochs=8, sample=0, window=4).fit(corpus())
    assert model.objective_[-1] < 0.96 * model.objective_[0]  # a drawn word is often a true neighbour here
    vectors = model.word_vectors()
    for room in ROOMS.values():
        assert {word for word, _ in vectors.nearest(room[0], count=3)} == set(room[1:])
    rows = model.transform(["king queen", "oven", None, "unheard"])
    assert rows.shape == (4, 20) and not rows[2:].any()


def test_same_seed_same_vectors_saved_and_loaded_equal() -> None:
    first, again, other = (Word2Vec(width=8, min_count=1, epochs=1, seed=s).fit(corpus(60)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.vectors_, again.vectors_)
    assert (first.vectors_ != other.vectors_).any()
    state, arrays = estimator_to_state(first)
    np.testing.assert_array_equal(estimator_from_state(state, arrays).transform(["king"]), first.transform(["king"]))
    with pytest.raises(ArtifactError, match="vectors_"):
        estimator_from_state(state, {**arrays, "vectors_": arrays["vectors_"][:2]})


def test_too_little_text_is_refused() -> None:
    with pytest.raises(ValueError, match="two words or more that occur 5 times"):
        Word2Vec().fit(["a b", None, ""])


def test_analogies_add_and_subtract() -> None:
    words = ("man", "woman", "king", "queen", "apple")
    vectors = WordVectors(words, np.float32([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [0.5, 0.5, -1]]))
    assert vectors.analogy("man", "king", "woman")[0][0] == "queen"
    assert vectors.similarity("man", "woman") == 0
    with pytest.raises(DataError, match="'kingg'; close ones are king"):
        vectors.vector("kingg")
    table, known = vectors.table(["queen", "unheard"])
    assert known.tolist() == [True, False] and table[0].tolist() == [0, 1, 1]


def test_files_round_trip_with_and_without_the_first_line(tmp_path: Path) -> None:
    words = ("naïve", "日本", "new york", "x")
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32))
    vectors.save(tmp_path / "a.vec")
    back = read_word_vectors(tmp_path / "a.vec")
    (tmp_path / "b.txt").write_text("".join((tmp_path / "a.vec").read_text().splitlines(keepends=True)[1:]))
    for found in (back, read_word_vectors(tmp_path / "b.txt")):
        assert found.words == words
        np.testing.assert_allclose(found.vectors, vectors.vectors, rtol=1e-5)
    assert is_vector_file(tmp_path / "a.vec") and is_vector_file(tmp_path / "b.txt")
    assert len(read_word_vectors(tmp_path / "a.vec", most=2).words) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "found none"),
        ("just words\nand more words\n", "a word and 1 to 4096 numbers"),
        ("a 1 2 3\nb 1 2\n", "line 2: expected a word and 3 finite numbers"),
        ("2 3\na 1 2 3\nb 1 2 3 4\nc 1 2\n", "line 4: expected a word and 3 finite numbers"),
        ("3 3\na 1 2 3\nb 1 2 3\n", "expected 3 words as its first line says, found 2"),
        ("5 0\na\n", "line 1: expected 1 word or more of 1 to 4096 numbers"),
        ("1 99999999999\na 1\n", "line 1"),
        ("a 1 2 3\nb 1 2 1e30\n", "line 2"),
        ("a 1 2 3\nb 1 2 -inf\n", "line 2"),
        ("a 1 2 3\nb 1 nan 2\n", "line 2"),
        ("a 1 2 3\nb 1 two 2\n", "line 2"),
        ("x" * 300_000, "lines of fewer than"),
    ],
)
def test_other_files_are_refused_in_one_line(content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=expected):
        read_word_vectors(tmp_path / "a.txt")


def test_of_a_word_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("3 2\na 1 2\nb 3 4\na 5 6\n")
    found = read_word_vectors(tmp_path / "a.vec")
    assert found.words == ("a", "b") and found.repeated == 1 and found.vectors.tolist() == [[1, 2], [3, 4]]


def test_what_would_take_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "MOST_NUMBERS", 5)
    (tmp_path / "a.vec").write_text("a 1 2\nb 3 4\nc 5 6\n")
    with pytest.raises(DataError, match="at most 5 numbers in all"):
        read_word_vectors(tmp_path / "a.vec")
