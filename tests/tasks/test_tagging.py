"""The tagging task: the CRF against sums over all paths, scores against brute force, whole runs saved and loaded."""

import json
from itertools import product

import numpy as np
import polars as pl
import pytest
import torch

import gradatim as gd
from gradatim.data.codecs.tags import TagsCodec
from gradatim.data.conll import write_conll
from gradatim.errors import GradatimError
from gradatim.estimators.chains import best_paths, expectations
from gradatim.evaluate.tagging import Sentence, confusion, score_tagging
from gradatim.nn.crf import LinearChainCRF
from gradatim.problems import Problems
from gradatim.tasks.tagging import Tagging, list_faults
from gradatim.tasks.tagging_crf import ChainObjective, fit_crf
from gradatim.tasks.tagging_features import feature_keys, feature_matrix, features, shape
from gradatim.tasks.tagging_members import WordTable
from gradatim.tasks.tagging_network import batches_of
from gradatim.tasks.tagging_words import Words, offsets_of

NAMES = ["Ada", "Bob", "Cleo", "Dora", "Emil", "Fritz", "Gaia", "Hugo"]
PLACES = ["Rome", "Oslo", "Lima", "Bern", "Kyiv", "Cairo"]


def corpus(count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences whose entities are told by the word before them, some of names that come once."""
    random = np.random.default_rng(seed)
    tokens, tags = [], []
    for _ in range(count):
        who = [*random.choice(NAMES, 1 + int(random.random() < 0.3))]
        if random.random() < 0.2:
            who = [f"Zz{''.join(random.choice(list('aeiou'), 4))}"]
        where = str(random.choice(PLACES))
        parts = [(word, "O") for word in random.choice(["then", "now", "yesterday"], 1)]
        parts += [("mister", "O"), *[(str(word), "I-PER" if place else "B-PER") for place, word in enumerate(who)]]
        parts += [("went", "O"), ("to", "O"), (where, "B-LOC"), (".", "O")]
        tokens.append([str(word) for word, _ in parts])
        tags.append([tag for _, tag in parts])
    return tokens, tags


def test_compiled_recursions_equal_the_crf_of_torch():
    random = np.random.default_rng(0)
    lengths, classes = [4, 1, 3], 3
    offsets = offsets_of([[0] * length for length in lengths])
    scores = random.normal(size=(8, classes)) * 2
    crf = LinearChainCRF(classes).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.from_numpy(random.normal(size=tuple(parameter.shape))))
    parts = [parameter.detach().numpy() for parameter in (crf.transitions, crf.start, crf.end)]
    marginals, pairs = np.zeros_like(scores), np.zeros((classes, classes))
    firsts, lasts = np.zeros(classes), np.zeros(classes)
    total = expectations(scores, *parts, offsets, marginals, pairs, firsts, lasts)
    emissions = torch.zeros(3, 4, classes, dtype=torch.float64)
    for row, length in enumerate(lengths):
        emissions[row, :length] = torch.from_numpy(scores[offsets[row] : offsets[row + 1]])
    partition = crf.log_partition(emissions, torch.tensor(lengths)).sum()
    assert total == pytest.approx(float(partition.detach()))
    gradients = torch.autograd.grad(partition, [crf.transitions, crf.start, crf.end])
    for mine, other in zip((pairs, firsts, lasts), gradients):
        np.testing.assert_allclose(mine, other.numpy(), atol=1e-10)
    other = crf.log_marginals(emissions, torch.tensor(lengths)).exp().detach().numpy()
    np.testing.assert_allclose(marginals, np.concatenate([other[row, :n] for row, n in enumerate(lengths)]))
    best = crf.viterbi(emissions, torch.tensor(lengths))[0].numpy()
    path = best_paths(scores, *parts, offsets)
    assert path.tolist() == np.concatenate([best[row, :n] for row, n in enumerate(lengths)]).tolist()


def test_the_objective_of_the_crf_has_its_gradient():
    tokens, tags = corpus(6)
    codec = TagsCodec().fit(tags)
    numbers = [codec.encode(cell)[0] for cell in tags]
    keys = feature_keys(tokens)
    objective = ChainObjective(feature_matrix(tokens, keys), np.concatenate(numbers), offsets_of(tokens),
                               len(codec.tags), 0.5)
    random = np.random.default_rng(0)
    at, direction = random.normal(size=objective.size) * 0.1, random.normal(size=objective.size)
    slope = (objective(at + 1e-6 * direction)[0] - objective(at - 1e-6 * direction)[0]) / 2e-6
    assert objective(at)[1] @ direction == pytest.approx(slope, rel=1e-5)


def test_the_crf_reaches_the_optimum_of_its_convex_objective():
    tokens, tags = corpus(20)
    codec = TagsCodec().fit(tags)
    numbers = [codec.encode(cell)[0] for cell in tags]
    crf = fit_crf(tokens, numbers, len(codec.tags), strength=1.0, max_iter=500, tol=1e-6)
    objective = ChainObjective(feature_matrix(tokens, crf.keys), np.concatenate(numbers), offsets_of(tokens),
                               len(codec.tags), 1.0)
    assert np.linalg.norm(objective(objective.joined(crf))[1]) < 0.02
    said = [codec.decode(answer.argmax(1)) for answer in crf.marginals(corpus(10, seed=1)[0])]
    right = np.mean([said == true for said, true in zip(said, corpus(10, seed=1)[1])])
    assert right > 0.8


def test_features_tell_spelling_and_neighbours():
    found = features(["In", "Rome", "!"])
    assert {"w[0]=rome", "w[-1]=in", "end[0]=ome", "shape[0]=Xx", "begin1=r", "pair=in rome"} <= set(found[1])
    assert "first" in found[0] and "last" in found[2] and shape("3.5kg") == "9.9x"
    keys = feature_keys([["In", "Rome", "!"]])
    matrix = feature_matrix([["In", "Rome"], [], ["Paris"]], keys)
    assert matrix.shape == (3, len(keys)) and matrix[1].sum() > matrix[2].sum() > 0


def entity_f_by_hand(sentences: list[Sentence]) -> float:
    hits = said = true = 0
    for sentence in sentences:
        left, right = list(sentence.true), list(sentence.said)
        true, said = true + len(left), said + len(right)
        hits += sum(span in left for span in right)
    return 2 * hits / (said + true)


def test_scores_equal_counting_by_hand():
    codec = TagsCodec().fit(corpus(30)[1])
    random = np.random.default_rng(0)
    sentences = []
    for tags in corpus(30)[1]:
        truth = codec.encode(tags)[0]
        path = np.where(random.random(len(truth)) < 0.2, random.integers(0, len(codec.tags), len(truth)), truth)
        sentences.append(Sentence(tags, codec.decode(path), codec.spans(truth), codec.spans(path)))
    scores = score_tagging(sentences, codec.kinds)
    entry = scores["metrics"]["entity_f1"]
    assert entry["value"] == pytest.approx(entity_f_by_hand(sentences))
    assert entry["low"] < entry["value"] < entry["high"]
    assert sum(part["true"] for part in scores["per_type"]) == sum(len(s.true) for s in sentences)
    names, table = confusion(sentences, codec.kinds)
    assert table[:-1].sum() == sum(len(s.true) for s in sentences) and names[-1] == "none"
    plain = score_tagging([Sentence(["A", "B"], ["A", "A"], [], [])], [])
    assert "entity_f1" not in plain["metrics"] and plain["metrics"]["token_accuracy"]["value"] == 0.5


def test_answers_follow_the_rules_of_their_spelling():
    codec = TagsCodec().fit(["B-X I-X O B-Y I-Y"])
    task = Tagging("tags", codec, "tokens")
    random = np.random.default_rng(0)
    answer = np.empty(3, dtype=object)
    for row, length in enumerate((5, 1, 0)):
        answer[row] = random.dirichlet(np.full(len(codec.tags), 0.3), size=length)
    forbidden = codec.forbidden()
    for shares, path in zip(answer, task.decided(answer)):
        if not len(path):
            continue
        steps = list(zip([len(codec.tags), *path], [*path, len(codec.tags)]))
        assert not any(forbidden[a, b] for a, b in steps)
        scores = {}
        for tags in product(range(len(codec.tags)), repeat=len(path)):
            steps = list(zip([len(codec.tags), *tags], [*tags, len(codec.tags)]))
            if not any(forbidden[a, b] for a, b in steps):
                scores[tags] = np.log(shares[np.arange(len(tags)), list(tags)]).sum()
        assert tuple(path.tolist()) == max(scores, key=scores.__getitem__)
    said = task.predictions(answer, [0, 1, 2], sentences=[["a"] * 5, ["b"], []]).frame
    assert json.loads(said["prediction"][2]) == [] and len(json.loads(said["prediction"][0])) == 5


def test_faults_are_listed_by_line_and_rows_without_a_tag_a_token_are_not_learned_from():
    codec = TagsCodec().fit(["B-X I-X O", "O B-X"])
    problems = Problems()
    good = list_faults(codec, [["a", "b"], ["a", "b"], ["a"], ["a"], []], ["O I-X", "O", None, 3, "O"], problems,
                       column="tags", lines=np.array([10, 20, 30, 40, 50]))
    assert good.tolist() == [True, False, False, False, False]
    assert [(p.code, p.line) for p in problems] == [("tags-spelling", 11), ("tags-length", 20), ("tags-unreadable", 40)]


def test_words_and_tables_know_what_they_have_seen():
    words = Words.fit([["Rome", "1999"], ["rome"]])
    encoded = words.encode([["ROME", "2024", "new"], []])
    assert encoded["words"].tolist() == [[2, 3, 1], [0, 0, 0]] and encoded["lengths"].tolist() == [3, 0]
    assert Words.from_json(json.loads(json.dumps(words.to_json()))) == words
    table = WordTable.fit([["a", "b"], ["a"]], [np.array([0, 1]), np.array([1])], 2)
    answer = table.shares_of([["a", "new"], []])
    assert answer[0][0].tolist() == [0.5, 0.5] and answer[0][1, 1] > 0.9 and answer[1].shape == (0, 2)


def test_batches_of_answers_hold_each_row_once():
    lengths = np.array([3, 0, 50, 7, 7])
    assert sorted(row for batch in batches_of(lengths, 20) for row in batch.tolist()) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tagging")
    tokens, tags = corpus(150)
    (folder / "train.conll").write_text(write_conll(tokens, tags))
    more = corpus(20, seed=9)
    (folder / "test.conll").write_text(write_conll(*more))
    fitted = gd.fit(folder / "train.conll", task="tagging", epochs=2, output=folder / "run",
                    options={"hidden": "16", "strength": "1"})
    return folder, fitted


def test_a_run_says_what_it_found(run):
    folder, fitted = run
    facts = fitted.facts
    assert facts["score"]["metric"] == "entity_f1" and facts["score"]["value"] > 0.8
    names = [entry["name"] for entry in facts["candidates"]]
    assert names[:3] == ["most frequent tag of each word", "CRF on features", "recurrent tagger"]
    assert sum(entry["chosen"] for entry in facts["candidates"]) == 1
    page = (folder / "run" / "report.html").read_text()
    assert "Entities of known and of new words" in page and "What is taken for what" in page
    assert (folder / "run" / "predictions" / "test.csv").is_file()


def test_a_loaded_run_answers_bit_for_bit_and_scores(run):
    folder, fitted = run
    again = gd.load(folder / "run")
    mine, other = (r.predict(folder / "test.conll").frame for r in (fitted, again))
    assert mine.equals(other)
    assert again.evaluate(folder / "test.conll")["metrics"]["entity_f1"]["value"] > 0.8
    frame = pl.DataFrame({"tokens": ["now mister Ada went to Rome .", None, '["a b", "c"]']})
    said = again.predict(frame).frame
    assert json.loads(said["prediction"][0])[2] == "B-PER" and json.loads(said["prediction"][1]) == []
    assert len(json.loads(said["prediction"][2])) == 2


def test_lists_in_a_frame_and_plain_tags(tmp_path):
    tokens, tags = corpus(60)
    plain = [["NAME" if tag != "O" else "WORD" for tag in row] for row in tags]
    frame = pl.DataFrame({"tokens": tokens, "upos": plain})
    fitted = gd.fit(frame, target="upos", epochs=1, options={"model": "none", "strength": "1"})
    assert fitted.task.name == "tagging" and fitted.facts["score"]["metric"] == "token_accuracy"


def test_wrong_options_are_told(run):
    folder, _ = run
    for options in ({"model": "tree"}, {"hidden": "many"}, {"depth": "3"}):
        with pytest.raises(GradatimError, match="--option"):
            gd.fit(folder / "train.conll", task="tagging", options=options)
    with pytest.raises(GradatimError, match="--metric"):
        gd.fit(folder / "train.conll", task="tagging", metric="accuracy")


def test_a_handful_of_sentences_is_fitted_or_refused_in_one_line():
    tokens, tags = corpus(5)
    for count in (1, 2):
        with pytest.raises(GradatimError, match="at least 3 rows") as caught:
            gd.fit(pl.DataFrame({"tokens": tokens[:count], "tags": tags[:count]}), task="tagging", epochs=1)
        assert "\n" not in str(caught.value)
    for count in (3, 5):
        frame = pl.DataFrame({"tokens": tokens[:count], "tags": tags[:count]})
        fitted = gd.fit(frame, task="tagging", epochs=1, options={"hidden": "8"})
        assert [len(json.loads(said)) for said in fitted.predict(frame).frame["prediction"]] == [
            len(row) for row in tokens[:count]]
