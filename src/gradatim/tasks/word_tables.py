"""Word vectors from a text file as the encoder of a text column: `--encoder text=words:vectors.vec`.

They serve twice. Their mean (`gradatim.models.sequence.words`) is what the convex head reads; and a network
from scratch begins with them in place of random vectors: the default one, or that of another address,
`text=recurrent_classifier:vectors.vec`. They stay as they are; --fine-tune trains them on in the network. Both are
saved with the run, which needs the file no more.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradatim.data.codecs import Codec
from gradatim.data.codecs.text import TextCodec
from gradatim.data.codecs.tokens import LONGEST_TOKEN, Tokens
from gradatim.data.schema import Column
from gradatim.errors import CellError, DataError, GradatimError
from gradatim.estimators.features.word_vectors import WordVectors, read_word_vectors
from gradatim.models.address import resolve

WORDS = "gradatim.models.sequence.words.words"
SUFFIXES = (".vec", ".txt")
MOST_WORDS = 100_000  # of the file, the most frequent; with 300 numbers each they take 120 MB
MOST_WIDTH = 1024  # numbers of a vector
LONGEST = 4096  # tokens of a text whose mean is taken
WIDTH_STEP = 8  # a network's width is a multiple, so that heads part it
CASED = 0.02  # share of words with capitals from which on a file tells them apart


def is_words(column: Column, chosen: Mapping[str, Any] | None) -> bool:
    """Whether the weights that the user named for a column are word vectors."""
    if column.kind != "text" or not chosen or not chosen.get("weights"):
        return False
    return chosen["address"] == WORDS or Path(chosen["weights"]).suffix.lower() in SUFFIXES


def vectors_of(path: str) -> WordVectors:
    """The most frequent words of a file as the tokenizer spells them; DataError where it is none of vectors."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: expected word vectors in a text file, a line a word, with a name that ends in "
                        f"{' or '.join(SUFFIXES)}")
    state = file.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _read(path: str, changed: int, size: int) -> WordVectors:
    found = read_word_vectors(path, most=MOST_WORDS)
    if found.vectors.shape[1] > MOST_WIDTH:
        raise DataError(f"{path}: expected at most {MOST_WIDTH} numbers a word, received {found.vectors.shape[1]}")
    spelled = Tokens("characters", lowercase(found), ())
    places: dict[str, int] = {}
    for place, word in enumerate(found.words):
        known = spelled.normalise(word)
        if known and len(known) <= LONGEST_TOKEN and " " not in known:
            places.setdefault(known, place)
    if not places:
        raise DataError(f"{path}: expected vectors of single words, found none")
    return WordVectors(tuple(places), found.vectors[list(places.values())])


def lowercase(vectors: WordVectors) -> bool:
    """Whether the words are in small letters, so that texts are to be."""
    return sum(word != word.lower() for word in vectors.words) < CASED * len(vectors.words)


def words_codec(column: Column, chosen: Mapping[str, Any]) -> TextCodec:
    """The codec whose tokens are the words of the file."""
    vectors = vectors_of(chosen["weights"])
    most = min(int(column.options.get("max_length") or LONGEST), LONGEST)
    return TextCodec.of_words(vectors.words, lowercase=lowercase(vectors), max_length=most)


def words_blueprint(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Address and arguments of the network whose features are frozen."""
    return {"address": WORDS, "arguments": {"width": int(vectors_of(chosen["weights"]).vectors.shape[1])}}


def network_blueprint(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Of the network that begins with the vectors: the user's address, or the default one as wide as the vectors."""
    address = chosen["address"]
    if address == WORDS:
        address = "gradatim.models.sequence.attention_pool.attention_pool"
    if "width" not in inspect.signature(resolve(address)).parameters:
        raise GradatimError(f"{address}: expected a text network that word vectors can begin, with an embedding of a "
                            "`width`; take words, bag_of_embeddings, attention_pool, recurrent_classifier or "
                            "transformer_encoder")
    width = int(vectors_of(chosen["weights"]).vectors.shape[1])
    return {"address": address, "arguments": {"width": -(-width // WIDTH_STEP) * WIDTH_STEP}}


def network_codec(column: Column, chosen: Mapping[str, Any], cells: Sequence[Any]) -> TextCodec:
    """The codec of the network that begins with the vectors: the words of the file, length fitted on training cells."""
    vectors = vectors_of(chosen["weights"])
    most = column.options.get("max_length")
    return TextCodec.of_words(vectors.words, lowercase=lowercase(vectors), max_length=most).fit(cells)


def begin_with(network: nn.Module, path: str, *, moving: bool) -> None:
    """Fill a network's embedding, whose tokens are the file's words, with their vectors.

    They are scaled to the mean square of the numbers they replace; what is wider than they are is zero. moving: whether
    they are trained on. Where they stay, words that no training row has keep their meaning beside the others: on 800
    definitions of 10 classes 73.1 % against 72.8 % when they move, 64.6 % when only the words of training rows have
    vectors, and 52.7 % without any.
    """
    table = getattr(network, "embedding", None)
    if not isinstance(table, nn.Embedding):
        raise GradatimError(f"{type(network).__name__}: expected a text network with an embedding, found none")
    given = torch.from_numpy(vectors_of(path).vectors)
    with torch.no_grad():
        scale = table.weight[1:].square().mean().sqrt() / given.square().mean().sqrt().clamp(min=1e-9)
        table.weight.zero_()
        table.weight[2:, : given.shape[1]] = given * scale
    table.weight.requires_grad_(moving)


def fill(network: nn.Module, path: str) -> list[str]:
    """Put all vectors of the file, as they are, into the network whose features are frozen; what was done."""
    vectors = vectors_of(path)
    table: Any = network.embedding
    with torch.no_grad():
        table.weight.zero_()
        table.weight[2:] = torch.from_numpy(vectors.vectors)
    return [f"{Path(path).name}: {len(vectors.words):,} word vectors of {vectors.vectors.shape[1]} numbers"]


def coverage(codec: Codec, cells: Sequence[Any]) -> float:
    """The share of the words in the cells that have a vector."""
    known = total = 0
    for cell in cells:
        try:
            ids, _ = codec.encode(cell)
        except CellError:
            continue  # the loader names it
        if ids is not None:
            known, total = known + int((ids > 1).sum()), total + len(ids)
    return known / max(total, 1)
