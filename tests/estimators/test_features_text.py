"""TfidfFeatures against scikit-learn's vectoriser, value by value."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from gradatim.estimators.features.text import TfidfFeatures

SYLLABLES = ["ba", "Ko", "ri", "tu", "é", "x", "lo-mi", "σα", "9", "_a", "don't", "İ", "ß", "!!", "日本"]


def texts(count, seed=0):
    random = np.random.default_rng(seed)
    words = ["".join(random.choice(SYLLABLES, random.integers(1, 4))) for _ in range(80)]
    gaps = [" ", "  ", "\n", "\t ", "\u00a0"]
    out = []
    for _ in range(count):
        chosen = words[: random.integers(1, 80)]
        out.append("".join(random.choice(chosen) + random.choice(gaps) for _ in range(random.integers(0, 30))))
    return out


@pytest.mark.parametrize("min_texts", [1, 3])
def test_values_equal_those_of_scikit_learn(min_texts):
    training, others = texts(60), texts(40, seed=1)
    peers = [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=min_texts),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=min_texts),
    ]
    features = TfidfFeatures(min_texts=min_texts)
    fitted = features.fit_transform(training)
    expected = np.hstack([peer.fit_transform(training).toarray() for peer in peers])
    names = [list(peer.get_feature_names_out()) for peer in peers]
    assert features.words_ == names[0] and features.characters_ == names[1]
    np.testing.assert_allclose(fitted.toarray(), expected, atol=1e-6)
    expected = np.hstack([peer.transform(others).toarray() for peer in peers])
    np.testing.assert_allclose(features.transform(others).toarray(), expected, atol=1e-6)
    np.testing.assert_array_equal(features.transform(training).toarray(), fitted.toarray())


def test_runs_of_three_words_equal_those_of_scikit_learn():
    training = texts(50)
    peer = TfidfVectorizer(ngram_range=(1, 3), sublinear_tf=True)
    features = TfidfFeatures(word_ngrams=3, character_ngrams=None, min_texts=1)
    np.testing.assert_allclose(
        features.fit_transform(training).toarray(), peer.fit_transform(training).toarray(), atol=1e-6
    )
    assert features.words_ == list(peer.get_feature_names_out())
    others = texts(30, seed=5)
    np.testing.assert_allclose(features.transform(others).toarray(), peer.transform(others).toarray(), atol=1e-6)


def test_missing_and_empty_texts_are_empty_rows():
    features = TfidfFeatures(min_texts=1).fit(["one two", None, ""])
    rows = features.transform([None, "", "   ", "unheard"])
    assert rows.shape == (4, len(features.get_feature_names_out()))
    assert rows[:3].nnz == 0
    assert features.transform([]).shape[0] == 0


@pytest.mark.parametrize("training", [[], [None, None], ["!", "?"], ["a b c"]])
def test_nothing_to_learn_gives_no_columns_and_no_crash(training):
    features = TfidfFeatures(character_ngrams=None)
    assert features.fit_transform(training).shape == (len(training), 0)
    assert features.transform(["x", None]).shape == (2, 0)


def test_limits_keep_the_most_frequent():
    training = ["aa bb", "aa bb cc", "aa dd", "aa bb cc dd"]
    features = TfidfFeatures(word_ngrams=1, max_words=2, max_characters=3, min_texts=1).fit(training)
    assert features.words_ == ["aa", "bb"]
    assert len(features.characters_) == 3


@pytest.mark.parametrize("wrong", ["one text", [1, 2]])
def test_other_things_than_texts_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        TfidfFeatures().fit(wrong)
