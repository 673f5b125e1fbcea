"""Language models: training tokens a second, generation, tokenising, n-grams, and how each grows.

    python -m bench language-model [--part training|generation|growth|text|tokens] [--threads N] [--turns N]
        [--file TEXT]

"plain loop" is nanoGPT's way on the CPU written out here: float32, torch's fused attention, learned positions, AdamW,
no settings of the machine. "ours" is the network and step of a run: bfloat16 autocast, products by oneDNN, scores of
attention written out. Both train the same shape on the same tokens. Generation is compared with transformers'
`generate` of a GPT-2 of the same shape with its cache, where it is installed, and with reading everything anew for
each token. tokens: megabytes of UTF-8 a second, of FILE or of words drawn at random, against transformers' fast
tokenizer with the same merges and against plain Python (a dictionary; GPT-2's own loop over merges).
"""

import argparse
import math
import os
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bench.side_by_side import paired_ratio, report, take_turns
from gradatim.data.batch import Batch
from gradatim.data.codecs.lossless import HALVES, KINDS, PIECES, LosslessTokens, byte_letters
from gradatim.device import Placement, native_bfloat16
from gradatim.estimators.ngram import KneserNey
from gradatim.models.sequence.causal_transformer import causal_transformer
from gradatim.models.sequence.recurrent_language_model import recurrent_language_model
from gradatim.tasks.generate import small_products
from gradatim.tasks.language_members import TransformerReader
from gradatim.tasks.language_stream import TEXT, NextTokenStep
from gradatim.train.plan import Plan

VOCABULARY = 96
SHAPE = {"width": 256, "heads": 8, "depth": 6, "context": 256}  # 4.75 million weights
Rows = list[dict[str, Any]]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parts: dict[str, Callable[[int], Rows]] = {
        "training": training, "generation": generation, "growth": growth, "text": text,
        "tokens": lambda turns: tokenising(turns, options.file)}
    parser = argparse.ArgumentParser(prog="python -m bench language-model")
    parser.add_argument("--part", choices=[*parts, "all"], default="all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--file", type=Path, help="the text that tokenising is timed on")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # of tokenizers, ours and transformers'
    rows: Rows = []
    for name, part in parts.items():
        if options.part in (name, "all"):
            rows += part(options.turns)
    command = (f"python -m bench language-model --part {options.part} --threads {options.threads} "
               f"--turns {options.turns}")
    note = "Tokens a second by the clock, medians of turns; the ratio is the median over turns of what took turns."
    print(report("language_model" if options.part == "all" else f"language_model_{options.part}", command, rows,
                 note=note))


class PlainBlock(nn.Module):
    """A block of GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        batch, length, width = values.shape
        query, key, value = self.attention(self.first(values)).split(width, dim=2)
        query, key, value = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        values = values + self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return values + self.narrow(F.gelu(self.widen(self.second(values))))


class PlainGPT(nn.Module):
    """GPT-2 as nanoGPT has it: learned positions, tied table."""

    def __init__(self, width: int, heads: int, depth: int, context: int, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.context, self.vocabulary = context, vocabulary
        self.table, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(PlainBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                ends = name.endswith(("output.weight", "narrow.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * depth) if ends else 0.02)

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores of the token after each place."""
        return self(ids)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        values = self.table(ids) + self.places.weight[: ids.shape[1]]
        return F.linear(self.norm(self.blocks(values)), self.table.weight)


def with_products(precision: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """Run with float32 products by MKL ("ieee") or by oneDNN ("bf16", which on this kind of processor is float32)."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

    def chosen() -> Any:
        before, products.fp32_precision = products.fp32_precision, precision
        try:
            return run()
        finally:
            products.fp32_precision = before

    return chosen


def plain_step(network: nn.Module, ids: torch.Tensor) -> Callable[[], Any]:
    """A step of the plain loop."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def run() -> None:
        loss = F.cross_entropy(network(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return with_products("ieee", run)


def own_step(network: nn.Module, ids: torch.Tensor) -> Callable[[], Any]:
    """A step of a run."""
    dtype = "bfloat16" if native_bfloat16("cpu")[0] else "float32"
    plan = Plan(1, 10**6, len(ids), learning_rate=1e-3, weight_decay=0.1, placement=Placement("cpu", dtype))
    step = NextTokenStep(network, plan)
    batch = Batch(np.arange(len(ids)), {TEXT: ids[:, :-1]}, {TEXT: ids[:, 1:]})
    return with_products("bf16", lambda: step(batch))


def training(turns: int) -> Rows:
    """A step of 16 × 256 tokens through 4.75 million weights; nanoGPT's CPU setting; an LSTM."""
    rows = []
    for title, shape, batch in (("GPT 4.75 M", SHAPE, 16),
                                ("nanoGPT's CPU setting", {"width": 128, "heads": 4, "depth": 4, "context": 64}, 12)):
        ids = torch.randint(0, VOCABULARY, (batch, shape["context"] + 1))
        contenders = {
            "plain loop": plain_step(PlainGPT(**shape), ids),
            "ours": own_step(causal_transformer(vocabulary=VOCABULARY, **shape), ids),
            "ours, learned positions": own_step(
                causal_transformer(vocabulary=VOCABULARY, positions="learned", **shape), ids),
        }
        rows += compared(f"train {title}", contenders, "plain loop", batch * shape["context"], turns)
    ids = torch.randint(0, VOCABULARY, (32, 65))
    network = recurrent_language_model(vocabulary=VOCABULARY, width=128, hidden=256)
    contenders = {
        "nn.LSTM, float32": plain_step(PlainLSTM(), ids),
        "ours": own_step(network, ids),
    }
    return rows + compared("train LSTM 128–256", contenders, "nn.LSTM, float32", 32 * 64, turns)


class PlainLSTM(nn.Module):
    """nn.LSTM between a table and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.recurrent = nn.Embedding(VOCABULARY, 128), nn.LSTM(128, 256, batch_first=True)
        self.head = nn.Linear(256, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrent(self.table(ids))[0])


def compared(what: str, contenders: dict[str, Callable[[], Any]], base: str, tokens: int, turns: int) -> Rows:
    """A row a contender."""
    timings = take_turns(contenders, turns=turns, budget_seconds=40)
    return [{"what": what, "contender": name, "tokens a second": tokens / timing.median,
             "ratio": paired_ratio(timings[base].seconds, timing.seconds), "against": base}
            for name, timing in timings.items()]


def generation(turns: int, tokens: int = 200) -> Rows:
    """200 tokens greedily after 16, batches of 1 and 16."""
    rows = []
    network = causal_transformer(vocabulary=VOCABULARY, **SHAPE).eval()
    peer = gpt2()
    for batch in (1, 16):
        prompt = np.random.default_rng(0).integers(1, VOCABULARY, (batch, 16))
        contenders: dict[str, Callable[[], Any]] = {"ours": lambda p=prompt: own_tokens(network, p, tokens)}
        base = "everything read anew"
        if peer is not None:
            base = "transformers generate"
            contenders[base] = lambda p=prompt: peer_tokens(peer, p, tokens)
        if batch == 1:
            contenders["everything read anew"] = lambda p=prompt: uncached_tokens(network, p, tokens)
        if base in contenders:
            rows += compared(f"generate {tokens}, batch {batch}", contenders, base, batch * tokens, turns)
    return rows


def own_tokens(network: nn.Module, prompt: np.ndarray, tokens: int) -> None:
    """Greedy tokens with the cache of a run."""
    with torch.inference_mode(), small_products():
        reader = TransformerReader(network, "cpu", np.zeros((len(prompt), 0), np.int64), None)
        given = reader.read(prompt)
        for _ in range(tokens - 1):
            given = reader.read(given.argmax(1)[:, None])


def uncached_tokens(network: nn.Module, prompt: np.ndarray, tokens: int) -> None:
    """Greedy tokens, all that is there read anew for each."""
    ids = torch.from_numpy(prompt)
    with torch.inference_mode(), small_products():
        for _ in range(tokens):
            ids = torch.cat([ids, network.logits(ids)[:, -1:].argmax(2)], dim=1)  # type: ignore[operator]


def gpt2() -> Any:
    """A GPT-2 of the same shape by transformers; None where it is not installed."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=SHAPE["context"], n_embd=SHAPE["width"],
                        n_layer=SHAPE["depth"], n_head=SHAPE["heads"], bos_token_id=0, eos_token_id=None,
                        pad_token_id=0)
    return GPT2LMHeadModel(config).eval()


def peer_tokens(peer: Any, prompt: np.ndarray, tokens: int) -> None:
    """Greedy tokens by transformers."""
    ids = torch.from_numpy(prompt)
    with torch.inference_mode(), small_products():
        peer.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
                      do_sample=False, use_cache=True)


def growth(turns: int) -> Rows:
    """Training tokens a second by width, batch and length."""
    rows = []
    base = {"width": 128, "heads": 4, "depth": 4, "context": 128}
    for what, shapes, batches in (
        ("width", [{**base, "width": width} for width in (64, 128, 256, 512)], [16] * 4),
        ("length", [{**base, "context": length} for length in (64, 128, 256, 512)], [32, 16, 8, 4]),
        ("batch", [base] * 4, [1, 4, 16, 64]),
    ):
        for shape, batch in zip(shapes, batches):
            ids = torch.randint(0, VOCABULARY, (batch, shape["context"] + 1))
            step = own_step(causal_transformer(vocabulary=VOCABULARY, **shape), ids)
            timing = take_turns({"ours": step}, turns=turns, budget_seconds=6)["ours"]
            size = {"width": shape["width"], "length": shape["context"], "batch": batch}[what]
            rows.append({"what": f"train, {what} {size}", "contender": "ours",
                         "tokens a second": batch * shape["context"] / timing.median})
    return rows


def text(turns: int) -> Rows:
    """N-grams of a million characters."""
    texts, rows = drawn_texts(), []
    characters = sum(map(len, texts))
    tokens = LosslessTokens.train(texts, "characters")
    ids = [tokens.ids(text) for text in texts]
    for order in (3, 6, 9):
        model = KneserNey.fit(ids, order=order, vocabulary=len(tokens))
        timing = take_turns({
            "count and smooth": lambda n=order: KneserNey.fit(ids, order=n, vocabulary=len(tokens)),
            "score": lambda m=model: [m.probabilities(one) for one in ids],
        }, turns=turns)
        rows += [{"what": f"{order}-grams", "contender": name, "characters a second": characters / one.median}
                 for name, one in timing.items()]
    return rows


def drawn_texts() -> list[str]:
    """4,000 texts, about a million characters, of 3,000 words by Zipf's law."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("etaoinshrdlu"), size)) for size in random.integers(2, 9, 3000)]
    shares = 1 / np.arange(1, 3001)
    drawn = random.choice(words, 180_000, p=shares / shares.sum())
    return [" ".join(part) for part in np.array_split(drawn, 4000)]


def tokenising(turns: int, file: Path | None) -> Rows:
    """Megabytes of UTF-8 turned into ids a second; all give the same ids."""
    texts = drawn_texts() if file is None else [part for part in file.read_text().split("\n%\n") if part.strip()]
    size = sum(len(text.encode()) for text in texts) / 1e6
    rows: Rows = []
    for kind in KINDS:
        tokens = LosslessTokens.train(texts, kind)
        contenders: dict[str, Callable[[], Any]] = {"ours": lambda t=tokens: t.many(texts),
                                                    "plain Python": plain_tokens(tokens, texts)}
        if kind == "subwords":
            contenders["ours, a text at a time"] = lambda t=tokens: [t.ids(text) for text in texts]
            try:
                from transformers import PreTrainedTokenizerFast
            except ImportError:
                pass
            else:
                peer = PreTrainedTokenizerFast(tokenizer_object=tokens.engine)
                contenders["transformers, fast"] = lambda p=peer: p(texts, add_special_tokens=False)["input_ids"]
        expected = [list(ids) for ids in contenders["ours"]()]
        for name, run in contenders.items():
            shift = int(name.startswith("transformers"))  # 0 is our boundary
            assert all([i + shift for i in ids] == own for ids, own in zip(run(), expected)), name
        timings = take_turns(contenders, turns=turns)
        rows += [{"what": f"tokenise {kind}", "contender": name, "MB a second": size / timing.median,
                  "ratio": paired_ratio(timings["plain Python"].seconds, timing.seconds), "against": "plain Python"}
                 for name, timing in timings.items()]
    return rows


def plain_tokens(tokens: LosslessTokens, texts: list[str]) -> Callable[[], list[list[int]]]:
    """The same ids by dictionaries and loops."""
    index = {token: place + 1 + (tokens.kind != "subwords") * HALVES for place, token in enumerate(tokens.vocabulary)}

    def spelled(text: str) -> list[int]:
        return [i for letter in text for i in (
            [index[letter]] if letter in index else [1 + h for b in letter.encode() for h in (b >> 4, b & 15)])]

    if tokens.kind == "characters":
        return lambda: [spelled(text) for text in texts]
    if tokens.kind == "words":
        return lambda: [[i for piece in PIECES.findall(text) for i in (
            [index[piece]] if piece in index else spelled(piece))] for text in texts]
    ranks, letters = {pair: rank for rank, pair in enumerate(tokens.merges)}, byte_letters()
    # GPT-2's pattern, written for Python's own expressions
    pattern = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")

    def run() -> list[list[int]]:
        merged = cache(lambda piece: [index[part] for part in merge([letters[b] for b in piece.encode()], ranks)])
        return [[i for piece in pattern.findall(text) for i in merged(piece)] for text in texts]

    return run


def merge(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding of one word as GPT-2's encoder.py does it: the earliest merge first, everywhere at once."""
    while len(parts) > 1:
        first = min(pairwise(parts), key=lambda pair: ranks.get(pair, math.inf))
        if first not in ranks:
            break
        joined: list[str] = []
        for part in parts:
            if joined and (joined[-1], part) == first:
                joined[-1] += part
            else:
                joined.append(part)
        parts = joined
    return parts


if __name__ == "__main__":
    main()
