"""BERT and its tokenizer: what transformers said (recorded by scripts/parity_transformers.sh); bad files refused."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from gradatim.data.codecs.bert_tokens import BertTokens, tokenizer_beside
from gradatim.data.codecs.text import TextCodec
from gradatim.errors import ArtifactError, GradatimError
from gradatim.models.address import load_weights
from gradatim.models.sequence.bert import bert, minilm
from gradatim.weights import find, path_of

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden" / "bert.json").read_text())
SMALL_TOKENIZER = {
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                   "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 100,
              "vocab": {w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s", "[", "]"])}},
}


@pytest.fixture(scope="module")
def parity():
    path = HERE.parents[1] / "scripts" / "parity_transformers.py"
    spec = importlib.util.spec_from_file_location("parity_transformers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("pooling", "name"), [("first", "pooled"), ("mean", "mean")])
def test_a_small_bert_says_what_transformers_says(parity, pooling, name):
    received = parity.small_ours(pooling)(*parity.small_inputs())
    torch.testing.assert_close(received, torch.tensor(GOLDEN["small"][name]), atol=2e-5, rtol=1e-4)


def test_minilm_gives_the_vectors_of_transformers():
    try:
        path = path_of(find("all-minilm-l6-v2"))
    except GradatimError as error:
        pytest.skip(str(error))
    network = minilm()
    (said,) = load_weights(network, path)
    assert "pooler" in said
    codec = TextCodec.pretrained(tokenizer_beside(path))
    for text, count, vector in zip(*(GOLDEN["minilm"][key] for key in ("texts", "tokens", "vectors"))):
        ids, extent = codec.encode(text)
        assert len(ids) == count and extent.cut == (text.startswith("word "))
        with torch.inference_mode():
            received = network.eval()(torch.from_numpy(ids)[None].long(), torch.tensor([count]))[0]
        torch.testing.assert_close(received[:12], torch.tensor(vector), atol=2e-5, rtol=1e-3)


def test_padding_and_neighbours_change_nothing():
    torch.manual_seed(0)
    network = bert(num_classes=0, vocabulary=30)
    network.eval()
    ids = torch.randint(1, 30, (2, 9))
    alone = network(ids[:1, :4], torch.tensor([4]))
    noisy = network(ids, torch.tensor([4, 9]))
    torch.testing.assert_close(noisy[:1], alone, atol=1e-6, rtol=1e-5)
    assert not network(ids, torch.tensor([0, 9]))[0].any()  # an empty text
    with pytest.raises(ValueError, match="at most 512 tokens"):
        network(torch.ones(1, 513, dtype=torch.long), torch.tensor([513]))


def test_unit_vectors_have_length_one():
    with torch.device("meta"):
        assert minilm(unit=True).unit
    network = bert(num_classes=0, vocabulary=30).eval()
    network.unit = True
    lengths = network(torch.randint(1, 30, (3, 5)), torch.tensor([5, 3, 1])).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


def written(folder: Path, **changes) -> Path:
    content = json.loads(json.dumps(SMALL_TOKENIZER))
    for place, value in changes.items():
        *parents, last = place.split("__")
        entry = content
        for parent in parents:
            entry = entry[parent]
        entry[last] = value
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content))
    return path


def test_a_tokenizer_is_read_as_a_list_of_words(tmp_path):
    codec = TextCodec.pretrained(written(tmp_path), max_length=6).fit(["x"])
    assert codec.encode("A CATS cat")[0].tolist() == [2, 4, 5, 6, 5, 3]
    ids, extent = codec.encode("a cats cat cat")
    assert ids.tolist() == [2, 4, 5, 6, 5, 3] and extent.cut and extent.tokens == 7
    assert codec.encode("[CLS]")[0].tolist() == [2, 7, 1, 8, 3]  # in a text it is text
    assert codec.encode("  ") == (None, None)
    again = TextCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again.encode("A CATS cat")[0].tolist() == [2, 4, 5, 6, 5, 3]
    assert again.describe() == codec.describe() == {"vocabulary": 9, "max_length": 6}
    assert codec.decode([2, 4, 5, 6, 3]) == "a cats"
    assert codec.encode("\ud800 cat")[0].tolist()[-2:] == [5, 3]


@pytest.mark.parametrize("changes", [
    {"normalizer__type": "Replace"}, {"normalizer__type": None}, {"pre_tokenizer__type": "Split"},
    {"model__type": "BPE"}, {"model__vocab": {"[PAD]": 0}}, {"model__vocab": {"[PAD]": 0, "[UNK]": 5}},
    {"model__vocab": [1, 2]}, {"normalizer__lowercase": "yes"}, {"post_processor": None},
    {"model__continuing_subword_prefix": "@@"}, {"model__max_input_chars_per_word": 10**9},
])  # fmt: skip
def test_other_tokenizers_are_refused_in_one_line(tmp_path, changes):
    with pytest.raises(ArtifactError, match=r"expected a tokenizer\.json of BERT's parts") as caught:
        BertTokens.read(written(tmp_path, **changes))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_damaged_large_and_missing_tokenizers_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    path.write_text("{")
    with pytest.raises(ArtifactError, match="expected a tokenizer"):
        BertTokens.read(path)
    path.write_text("[]")
    with pytest.raises(ArtifactError, match="expected a tokenizer"):
        BertTokens.read(path)
    monkeypatch.setattr("gradatim.data.codecs.bert_tokens.MOST_BYTES", 1)
    with pytest.raises(ArtifactError, match="at most"):
        BertTokens.read(path)
    assert tokenizer_beside(tmp_path / "model.safetensors") == path
    path.unlink()
    with pytest.raises(ArtifactError, match="found neither"):
        tokenizer_beside(tmp_path / "model.safetensors")
