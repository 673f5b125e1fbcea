"""Our BERT, rotary positions and WordPiece and transformers', with the same weights and texts: do they say the same?

Run by scripts/parity_transformers.sh. A small BERT has weights drawn from each tensor's name, so it needs no file; the
published MiniLM is compared where its weights are in the cache. What the reference answers is recorded in
tests/models/golden/bert.json, which the test suite holds ours to without transformers.
"""

import argparse
import json
import math
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradatim.data.codecs.text import TextCodec
from gradatim.errors import GradatimError
from gradatim.models.address import load_weights
from gradatim.models.sequence.bert import BertEncoder, bert, minilm
from gradatim.nn.attention.mask import length_mask
from gradatim.nn.attention.positions import RotaryPositions
from gradatim.weights import find, path_of

GOLDEN = Path(__file__).resolve().parents[1] / "tests/models/golden/bert.json"
SEED = 7
SMALL = {"vocabulary": 40, "width": 24, "depth": 2, "heads": 3, "hidden": 48, "places": 12}
TEXTS = (
    "A man is eating food.", "Someone is having a meal.", "The stock market fell by 3.5 % today!",
    "Café naïve über 東京 don't", "[CLS] and 🙂 in a text", "word " * 300,
)


def drawn(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state of these names and shapes, every number drawn from its tensor's name; whole numbers stay."""
    filled = {}
    for name, tensor in state.items():
        generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
        uniform = torch.from_numpy(generator.random(math.prod(tensor.shape), dtype=np.float32)).reshape(tensor.shape)
        scale = 2 * uniform - 1
        filled[name] = tensor if not tensor.is_floating_point() else scale + 1 if "LayerNorm.weight" in name else scale
    return filled


def small_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (3, 9), lengths, segments."""
    lengths = torch.tensor([9, 4, 1])
    ids = torch.tensor(np.random.default_rng(SEED).integers(1, SMALL["vocabulary"], (3, 9)))
    return ids * length_mask(lengths, 9), lengths, (torch.arange(9) > 4).long().expand(3, 9)


def small_ours(pooling: str) -> BertEncoder:
    """The small BERT with drawn weights."""
    network = bert(num_classes=0, pooling=pooling, **SMALL)
    network.load_state_dict(drawn(network.state_dict()))
    return network.eval()


def compare_small(transformers: Any) -> dict[str, Any]:
    """Values and gradients of the small BERT; returns what the reference said."""
    config = transformers.BertConfig(
        vocab_size=SMALL["vocabulary"], hidden_size=SMALL["width"], num_hidden_layers=SMALL["depth"],
        num_attention_heads=SMALL["heads"], intermediate_size=SMALL["hidden"],
        max_position_embeddings=SMALL["places"], hidden_act="gelu", layer_norm_eps=1e-12,
    )
    theirs, ours = transformers.BertModel(config).eval(), small_ours("first")
    state = ours.state_dict()
    missing, surplus = theirs.load_state_dict(state, strict=False)
    assert not missing and set(surplus) <= {"embeddings.position_ids"}, (missing, surplus)
    ids, lengths, segments = small_inputs()
    mask = length_mask(lengths, ids.shape[1])
    expected = theirs(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments)
    tokens, pooled = ours.tokens(ids, lengths, segments), ours(ids, lengths, segments)
    report("small: tokens", tokens[mask], expected.last_hidden_state[mask])
    report("small: pooled class token", pooled, expected.pooler_output)
    pooled.square().sum().backward()
    expected.pooler_output.square().sum().backward()
    reference = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        report(f"small: gradient of {name}", parameter.grad, reference[name].grad, quiet=True)
    mean = (expected.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    report("small: mean", small_ours("mean")(ids, lengths, segments), mean)
    return {"pooled": expected.pooler_output.tolist(), "mean": mean.tolist()}


def compare_minilm(transformers: Any) -> dict[str, Any] | None:
    """Ids and sentence vectors of the published MiniLM; None where its weights are not here."""
    try:
        path = path_of(find("all-minilm-l6-v2"))
    except GradatimError as error:
        print(f"MiniLM: left out, {error}")
        return None
    ours = minilm()
    load_weights(ours, path)
    tokenizer = str(path.with_name(f"{path.stem}.tokenizer.json"))
    codec = TextCodec.pretrained(tokenizer)
    theirs = transformers.BertModel(transformers.BertConfig.from_json_file(
        path.with_name(f"{path.stem}.config.json"))).eval()
    theirs.load_state_dict({n: t for n, t in ours.state_dict().items() if "position_ids" not in n}, strict=False)
    wordpiece = transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer)
    vectors, counts = [], []
    for text in TEXTS:
        ids = torch.from_numpy(codec.encode(text)[0])[None].long()
        if "[CLS]" not in text:  # to us it is text, to them a mark
            known = wordpiece.backend_tokenizer
            known.no_padding()
            known.enable_truncation(256)
            assert known.encode(text).ids == ids[0].tolist(), text
        with torch.no_grad():
            reference = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1)
            report(f"MiniLM: {text[:30]!r}", ours.eval()(ids, torch.tensor([ids.shape[1]])), reference)
        vectors.append([round(float(number), 6) for number in reference[0, :12]])
        counts.append(ids.shape[1])
    return {"texts": list(TEXTS), "tokens": counts, "vectors": vectors}


def compare_rotary(transformers: Any) -> None:
    """Rotations as LLaMA's."""
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    values = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(SEED))
    config = transformers.LlamaConfig(hidden_size=24, num_attention_heads=3, max_position_embeddings=16)
    cosine, sine = LlamaRotaryEmbedding(config)(values, torch.arange(7)[None])
    expected, _ = apply_rotary_pos_emb(values, values, cosine, sine)
    report("rotary positions", RotaryPositions(16, 8)(values), expected)


def report(name: str, ours: torch.Tensor, theirs: torch.Tensor, *, quiet: bool = False) -> None:
    """Stop where two tensors differ by more than rounding."""
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    if not quiet:
        print(f"{name}: largest difference {float((ours - theirs).abs().max()):.1e}")


def main() -> int:
    """Compare, and record where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="folder with transformers")
    parser.add_argument("--record", action="store_true", help="write tests/models/golden/bert.json")
    options = parser.parse_args()
    sys.path.append(str(options.reference))
    import transformers

    found: dict[str, Any] = {"reference": f"transformers {transformers.__version__}"}
    found["small"] = compare_small(transformers)
    compare_rotary(transformers)
    found["minilm"] = compare_minilm(transformers)
    if options.record and found["minilm"] is not None:
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"written: {GOLDEN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
