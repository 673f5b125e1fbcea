"""A pretrained text encoder in the main line: features, heads on them, explained, saved, trained on."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import gradatim as gd
from gradatim.data.codecs.text import TextCodec
from gradatim.errors import GradatimError
from gradatim.models.sequence.bert import bert
from gradatim.tasks import frozen
from gradatim.tasks.frozen import FrozenFeatures, length_batches

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sun", "warm", "sea", "sand", "snow", "cold", "ice", "wind", "the", "a",
         "##s"]
SUMMER, WINTER, BOTH = WORDS[4:8], WORDS[8:12], ["the", "a"]
TOKENIZER = {
    "normalizer": {"type": "BertNormalizer", "lowercase": True}, "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: place for place, word in enumerate(WORDS)}},
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A small BERT and its tokenizer side by side."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    network = bert(num_classes=0, vocabulary=len(WORDS))
    with torch.no_grad():
        network.embeddings.word_embeddings.weight.mul_(20)
    save_file(network.state_dict(), folder / "tiny.safetensors")
    (folder / "tiny.tokenizer.json").write_text(json.dumps(TOKENIZER))
    return folder / "tiny.safetensors"


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    chosen = np.random.default_rng(0)
    texts, labels = [], []
    for row in range(90):
        label = ("summer", "winter")[row % 2]
        words = chosen.choice((SUMMER if label == "summer" else WINTER) + BOTH, chosen.integers(2, 9)).tolist()
        texts.append(" ".join([*words, (SUMMER if label == "summer" else WINTER)[row % 4], f"n{row}"]))
        labels.append(label)
    return pl.DataFrame({"text": texts, "size": np.arange(90) % 7, "label": labels})


@pytest.fixture(autouse=True)
def features_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(frozen.FOLDER_VARIABLE, str(tmp_path / "features"))


def fitted(table: pl.DataFrame, weights: Path, **options) -> gd.Run:
    passes = {} if "estimator" in options else {"epochs": 1}  # of networks
    options = {**passes, "ledger": "none", "kinds": {"text": "text", "size": "number"}, **options}
    return gd.fit(table, target="label", encoders={"text": f"bert.bert:{weights}"}, minutes=0.1, **options)


@pytest.fixture(scope="module")
def run(table, weights, tmp_path_factory) -> gd.Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(frozen.FOLDER_VARIABLE, str(tmp_path_factory.mktemp("features")))
        return fitted(table, weights)


@pytest.fixture(scope="module")
def chosen(table, weights, tmp_path_factory) -> gd.Run:
    """Answered by one estimator on the frozen features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(frozen.FOLDER_VARIABLE, str(tmp_path_factory.mktemp("features")))
        return fitted(table, weights, estimator="svm.LinearSVC")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 60))
def test_batches_by_length_hold_every_row_once_within_the_bound(lengths, tokens):
    counts = np.array(lengths)
    parts = list(length_batches(counts, tokens))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(counts)))
    longest = [counts[part].max() for part in parts]
    assert longest == sorted(longest, reverse=True)
    assert all(len(part) == 1 or len(part) * most <= tokens for part, most in zip(parts, longest))


def extractor(weights: Path, dtype: str) -> tuple[FrozenFeatures, TextCodec]:
    codec = TextCodec.pretrained(weights.with_name("tiny.tokenizer.json"))
    features = FrozenFeatures("text", codec.describe(), {"address": "gradatim.models.sequence.bert.bert",
                                                         "arguments": {}})
    features.load(str(weights))
    features.dtype, features.cache_key = dtype, ""
    return features, codec


@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_features_are_those_of_each_text_alone_and_equal_texts_are_read_once(weights, table, dtype, error):
    features, codec = extractor(weights, dtype)
    texts = [*table["text"].to_list()[:20], *table["text"].to_list()[5:9]]
    field = codec.stack([codec.encode(text)[0] for text in texts])
    found = features.raw(field)
    assert found.shape == (24, 64) and len(features._known) == 20
    with torch.no_grad():
        for row, text in enumerate(texts):
            ids = torch.from_numpy(codec.encode(text)[0])[None].long()
            alone = features.network.network(ids, torch.tensor([ids.shape[1]]))[0].numpy()
            assert np.linalg.norm(found[row] - alone) <= error * np.linalg.norm(alone)
    features.network = None  # known texts need no network
    order = np.arange(24)[::-1].copy()
    assert np.array_equal(features.raw({name: tensor[order] for name, tensor in field.items()}), found[order])


def test_three_families_are_compared_and_the_network_is_from_scratch(run):
    names = [candidate["name"] for candidate in run.facts["candidates"]]
    assert "linear head on text" in names and "network" in names
    assert "linear head on frozen features of text" in names
    assert run.predict(pl.DataFrame({"text": ["warm sea"], "size": [1]})).frame["prediction"][0] == "summer"


def test_saved_and_loaded_elsewhere_it_says_the_same(chosen, tmp_path):
    run = chosen
    run.save(tmp_path / "run")
    again = gd.load(tmp_path / "run")
    asked = pl.DataFrame({"text": ["warm sea", "the ice", None, "zebra"], "size": [1, 2, 3, 4]})
    first, second = run.predict(asked).frame, again.predict(asked).frame
    assert first["prediction"].to_list() == second["prediction"].to_list()
    for name in first.columns:
        if name.startswith("probability"):
            np.testing.assert_allclose(first[name].to_numpy(), second[name].to_numpy(), atol=1e-6)
    with pytest.raises(GradatimError, match="export"):
        from gradatim.export.parts import check

        check(again.artifact.ensemble.members[0])


def test_a_chosen_estimator_reads_the_frozen_features(chosen, table):
    run = chosen
    (head,) = run.artifact.ensemble.members
    assert [block.kind for block in head.blocks] == ["frozen", "table"]
    (saliency,) = run.explain(table, [0], method="saliency")
    (whole,) = run.explain(table, [0], method="integrated_gradients")
    text, size = whole.parts
    assert "".join(word for word, _ in text.words) == table["text"][0] and size.note.startswith("not read")
    assert text.total == pytest.approx(whole.score - whole.reference, rel=0.05, abs=1e-3)
    assert {word for word, score in saliency.parts[0].words if score} & set(WORDS)
    (exact,) = run.explain(table, [0], method="exact")
    assert exact.score == pytest.approx(whole.score, abs=0.1)


def test_fine_tuning_trains_the_encoder_with_its_own_tokenizer(table, weights):
    run = fitted(table, weights, fine_tune=True, epochs=2)
    names = [candidate["name"] for candidate in run.facts["candidates"]]
    assert "network" in names
    assert any("network" in name for name in run.facts["history"])


def test_weights_without_a_tokenizer_are_refused(table, weights, tmp_path):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(weights.read_bytes())
    with pytest.raises(GradatimError, match="expected the tokenizer of a pretrained text encoder"):
        fitted(table, alone)
