"""`python -m bench text-encoder [speed|glosses|emoji]`: MiniLM as an encoder of texts, its pace and what it is worth.

speed: sentence vectors a second on one thread, ours (sorted by length, bfloat16 and float32) against transformers'
BertModel padded to the longest of each batch, in one run with turns; figures count processor seconds. glosses, emoji:
test accuracy of convex heads on features from scratch and on frozen ones, several splits, all on the same rows.
The weights must be in the cache (gradatim weights get all-minilm-l6-v2); transformers is left out where it is not.
Written to bench/results/text_encoder_TOPIC.{json,md}.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.quality import paired, split_rows
from bench.side_by_side import RESULTS, machine, paired_ratio, take_turns

BATCH = 32  # sentence-transformers' own


def main(arguments: list[str]) -> None:
    """Run one topic."""
    parser = argparse.ArgumentParser(prog="python -m bench text-encoder", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topic", choices=("speed", "glosses", "emoji"), nargs="?", default="speed")
    parser.add_argument("--data", type=Path, default=Path("data-real"))
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5000, help="of the glosses")
    parser.add_argument("--words", type=Path, help="word vectors to compare as well on the glosses; learn them without "
                                                   "the glosses, or they have read the test")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.topic == "speed":
        speed(chosen.data, chosen.texts, chosen.turns)
    elif chosen.topic == "glosses":
        glosses(chosen.data, chosen.seeds, chosen.rows, chosen.words)
    else:
        emoji(chosen.data, chosen.seeds)


def frozen_of(column: Any, address: str, name: str, describe: dict[str, Any]) -> Any:
    """A published network as an extractor of features."""
    from gradatim.tasks.frozen import FrozenFeatures
    from gradatim.weights import find, path_of

    known = find(name)
    features = FrozenFeatures(column.kind, describe, {"address": address, "arguments": {}, "pixels": known.pixels})
    features.load(str(path_of(known)))
    return features


def text_codec() -> Any:
    """MiniLM's own tokenizer."""
    from gradatim.data.codecs.bert_tokens import tokenizer_beside
    from gradatim.data.codecs.text import TextCodec
    from gradatim.weights import find, path_of

    return TextCodec.pretrained(tokenizer_beside(path_of(find("all-minilm-l6-v2"))))


def speed(data: Path, texts: int, turns: int) -> None:
    """Vectors a second, on texts of very unequal lengths: half glosses, half sayings."""
    from gradatim.data.readers import read_table
    from gradatim.data.schema import Column
    from gradatim.device import choose, pull_levers

    cells = read_table(data / "text" / "glosses.csv").cells("gloss")[: texts // 2]
    cells += read_table(data / "text" / "fortunes.csv").cells("saying")[: texts - len(cells)]
    said = pull_levers(choose(), memory=True)
    codec = text_codec()
    encoded = [codec.encode(cell)[0] for cell in cells]
    field = codec.stack(encoded)
    extractor = frozen_of(Column("text", "text", "input"), "gradatim.models.sequence.bert.minilm", "all-minilm-l6-v2",
                          codec.describe())

    def ours(dtype: str) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            extractor.dtype = dtype
            extractor._known.clear()
            return extractor._computed(field)

        return run

    contenders: dict[str, Callable[[], Any]] = {"ours, bfloat16": ours("bfloat16"), "ours, float32": ours("float32")}
    contenders |= in_order(extractor, encoded, codec) | theirs(extractor, encoded)
    vectors = {name: np.asarray(run()) for name, run in contenders.items()}
    timings = take_turns(contenders, turns=turns, budget_seconds=240)
    exact = vectors["ours, float32"]
    rows = [[name, f"{texts / timing.processor_median:.0f}",
             f"{paired_ratio(timing.processor_seconds, timings['ours, bfloat16'].processor_seconds):.2f}",
             f"{np.max(np.linalg.norm(vectors[name] - exact, axis=1) / np.linalg.norm(exact, axis=1)):.1e}"]
            for name, timing in timings.items()]
    lengths = [len(ids) for ids in encoded]
    note = (f"{texts} texts of {min(lengths)} to {max(lengths)} tokens, {np.mean(lengths):.0f} on average; one thread, "
            f"median of {len(next(iter(timings.values())).seconds)} turns")
    write("speed", f"MiniLM: {note}", ["who", "vectors a second", "times as long as ours, bfloat16",
                                       "largest relative difference to ours, float32"], rows,
          {"levers": said, "processor_seconds": {n: t.processor_seconds for n, t in timings.items()}})


def in_order(extractor: Any, encoded: list[np.ndarray], codec: Any) -> dict[str, Callable[[], Any]]:
    """Ours without sorting: batches as the texts come, padded to the longest of each."""
    def run() -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(encoded), BATCH):
                batch = codec.trim(codec.stack(encoded[start : start + BATCH]))
                parts.append(extractor._in_bfloat16(batch).float().numpy())
        return np.concatenate(parts)

    return {f"ours, bfloat16, in order by {BATCH}": run}


def theirs(extractor: Any, encoded: list[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """transformers with the same weights and ids: as the texts come, and sorted as sentence-transformers does."""
    try:
        import transformers
    except ImportError:
        print("transformers is not installed: left out")
        return {}
    from gradatim.weights import find, path_of

    path = path_of(find("all-minilm-l6-v2"))
    config = transformers.BertConfig.from_json_file(path.with_name(f"{path.stem}.config.json"))
    network = transformers.BertModel(config).eval()
    network.load_state_dict(extractor.network.network.state_dict(), strict=False)

    def vectors(order: np.ndarray) -> np.ndarray:
        found = np.zeros((len(encoded), 384), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                longest = max(len(encoded[row]) for row in rows)
                ids = torch.zeros(len(rows), longest, dtype=torch.long)
                for place, row in enumerate(rows):
                    ids[place, : len(encoded[row])] = torch.from_numpy(encoded[row])
                mask = ids != 0
                hidden = network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
                found[rows] = ((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
        return found

    order, by_length = np.arange(len(encoded)), np.argsort([-len(ids) for ids in encoded], kind="stable")
    return {f"transformers, in order by {BATCH}": lambda: vectors(order),
            f"transformers, sorted, by {BATCH}": lambda: vectors(by_length)}


def heads(
    table: Any, target: str, variants: dict[str, tuple[list[Any], dict[str, Any]]], codecs: dict[str, Any],
    seeds: int, group: str | None = None, own: dict[str, dict[str, Any]] | None = None,
) -> dict[str, list[float]]:
    """Test accuracy of a convex head by variant, (columns, frozen extractors), on the same splits.

    own: codecs of a variant that reads the columns otherwise than the others.
    """
    from gradatim.data.schema import Column
    from gradatim.tasks.classification import Classification
    from gradatim.tasks.heads import Head
    from gradatim.tasks.source import Source

    own = own or {}
    shared = Source(table)
    sources = {name: Source(table) if name in own else shared for name in variants}
    cells = table.cells(target)
    task = Classification.fit(Column(target, "category", "target"), cells)
    truth = np.array([task.codec.encode(cell)[0] for cell in cells])
    scores: dict[str, list[float]] = {name: [] for name in variants}
    for seed in range(seeds):
        rows, test = split_rows([str(c) for c in cells], seed, 0.2, table.cells(group) if group else None)
        for name, (columns, frozen) in variants.items():
            head = Head.fit(sources[name], columns, own.get(name, codecs), np.sort(rows), truth, task, frozen)
            answers = head.answer_rows(sources[name], test)
            scores[name].append(float((answers.argmax(1) == truth[test]).mean()))
            print(f"split {seed} {name}: {scores[name][-1]:.4f}", flush=True)
    return scores


def glosses(data: Path, seeds: int, rows: int, words: Path | None = None) -> None:
    """Definitions → class: TF-IDF against MiniLM, and against the mean of word vectors."""
    from gradatim.data.readers import read_table
    from gradatim.data.schema import Column
    from gradatim.tasks.frozen import FrozenFeatures
    from gradatim.tasks.word_tables import WORDS, words_blueprint, words_codec

    table = read_table(data / "text" / "glosses.csv")
    table = table.take(np.arange(min(rows, len(table))))
    column, codec = Column("gloss", "text", "input"), text_codec()
    minilm = frozen_of(column, "gradatim.models.sequence.bert.minilm", "all-minilm-l6-v2", codec.describe())
    variants: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "MiniLM": ([column], {"gloss": minilm}), "TF-IDF": ([column], {})}
    own = {}
    if words is not None:
        chosen = {"address": WORDS, "weights": str(words)}
        reader = words_codec(column, chosen)
        mean = FrozenFeatures("text", reader.describe(), words_blueprint(chosen))
        mean.load(str(words))
        variants["word vectors"] = ([column], {"gloss": mean})
        own = {"word vectors": {"gloss": reader}}
    write_scores("glosses", heads(table, "class", variants, {"gloss": codec}, seeds, own=own))


def emoji(data: Path, seeds: int) -> None:
    """Picture, name and tags → group, families on one side: each pretrained network, both, neither."""
    from gradatim.data.codecs import codec_for
    from gradatim.data.readers import read_table
    from gradatim.data.schema import Column

    table = read_table(data / "emoji" / "emoji.csv")
    picture, name, tags = (Column(n, k, "input") for n, k in (("picture", "image"), ("name", "text"), ("tags", "text")))
    pixels = codec_for(picture).fit(table.cells("picture")[:400], table.folder)
    codecs = {"picture": pixels, "name": text_codec(), "tags": text_codec()}
    lite = frozen_of(picture, "gradatim.models.vision.efficientnet_lite.efficientnet_lite0", "efficientnet-lite0",
                     pixels.describe())
    minilm = frozen_of(name, "gradatim.models.sequence.bert.minilm", "all-minilm-l6-v2", codecs["name"].describe())
    texts = {"name": minilm, "tags": minilm}
    every = [picture, name, tags]
    variants = {
        "MiniLM and Lite0": (every, {"picture": lite, **texts}), "Lite0": (every, {"picture": lite}),
        "MiniLM": (every, texts), "neither": (every, {}), "MiniLM, no picture": ([name, tags], texts),
        "Lite0, no text": ([picture], {"picture": lite}),
    }
    write_scores("emoji", heads(table, "group", variants, codecs, seeds, "family"))


def write_scores(topic: str, scores: dict[str, list[float]]) -> None:
    """Means, and paired differences to the first."""
    first = np.array(next(iter(scores.values())))
    rows = [[name, f"{np.mean(values):.4f}", f"{min(values):.4f}", f"{max(values):.4f}",
             "" if place == 0 else paired(first, np.array(values))]
            for place, (name, values) in enumerate(scores.items())]
    write(topic, f"{topic}: test accuracy of convex heads, {len(first)} splits",
          ["features", "mean", "least", "most", "paired difference to the first"], rows, {"scores": scores})


def write(topic: str, title: str, columns: list[str], rows: list[list[str]], about: dict[str, Any]) -> None:
    """Print, and write JSON and Markdown."""
    lines = [f"# {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"text_encoder_{topic}.json").write_text(json.dumps({"machine": machine(), **about}, indent=1) + "\n")
    (RESULTS / f"text_encoder_{topic}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
