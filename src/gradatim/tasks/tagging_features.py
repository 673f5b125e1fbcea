"""What a linear CRF looks at: a token's spelling, its beginnings and endings, its shape, and its neighbours'.

The usual features of named-entity tagging (Ratinov & Roth 2009, § 3; the tutorials of CRFsuite). A feature is a short
text such as 'w[-1]=new'; it is kept as a 64-bit hash of it, so that nothing from a file is ever interpreted.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from scipy import sparse

FAR, NEAR = 2, 1  # neighbours whose word is looked at, and whose shape and ending are


def features(tokens: Sequence[str]) -> list[list[str]]:
    """The features of each token of a sentence.

    >>> [feature for feature in features(["In", "Rome"])[1] if feature.startswith(("w", "shape["))]
    ['w[-1]=in', 'w[0]=rome', 'shape[-1]=Xx', 'shape[0]=Xx', 'written=Rome']
    """
    words = [token.lower() for token in tokens]
    shapes = [shape(token) for token in tokens]
    found = []
    for place, token in enumerate(tokens):
        own = ["bias"]
        for step in range(-FAR, FAR + 1):
            if 0 <= place + step < len(tokens):
                own.append(f"w[{step}]={words[place + step]}")
        for step in range(-NEAR, NEAR + 1):
            if 0 <= place + step < len(tokens):
                own.append(f"shape[{step}]={shapes[place + step]}")
                own.append(f"end[{step}]={words[place + step][-3:]}")
        word = words[place]
        own.append(f"written={token}")
        own += [f"end{size}={word[-size:]}" for size in (1, 2, 4)]
        own += [f"begin{size}={word[:size]}" for size in (1, 2, 3)]
        if place == 0:
            own.append("first")
        if place == len(tokens) - 1:
            own.append("last")
        if place:
            own.append(f"pair={words[place - 1]} {word}")
        own.append(f"shapes={'|'.join(shapes[max(0, place - 1) : place + 2])}")
        found.append(own)
    return found


@lru_cache(maxsize=65536)
def shape(token: str) -> str:
    """Kinds of characters, each run once: X upper, x lower, 9 digits, scripts without case by their own sign.

    >>> shape("McDonald's"), shape("B-52"), shape("東京タワー")
    ("XxXx'x", 'X-9', '漢ア')
    """
    signs: list[str] = []
    for character in token:
        sign = _sign(character)
        if not signs or signs[-1] != sign:
            signs.append(sign)
    return "".join(signs)


@lru_cache(maxsize=4096)
def _sign(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Lu", "Lt"):
        return "X"
    if category == "Ll":
        return "x"
    if category.startswith("N"):
        return "9"
    if category in ("Lo", "Lm"):
        name = unicodedata.name(character, "")
        return "漢" if name.startswith("CJK") else "ア" if "KATAKANA" in name else "あ" if "HIRAGANA" in name else "o"
    return character


def hashed(feature: str) -> int:
    """A feature's number, the same on every machine."""
    return int.from_bytes(blake2b(feature.encode("utf-8", "replace"), digest_size=8).digest(), "big", signed=True)


def feature_keys(sentences: Sequence[Sequence[str]], *, least: int = 1) -> np.ndarray:
    """The features that `least` tokens or more have, int64, ascending."""
    cache: dict[str, int] = {}
    seen = [cache.setdefault(f, hashed(f)) for s in sentences for token in features(s) for f in token]
    keys, counts = np.unique(np.array(seen, dtype=np.int64), return_counts=True)
    return keys[counts >= least]


def feature_matrix(sentences: Sequence[Sequence[str]], keys: np.ndarray) -> sparse.csr_matrix:
    """1 where a token has a feature: float64 (tokens of all sentences, keys); others are left out."""
    cache: dict[str, int] = {}
    numbers: list[int] = []
    ends = [0]
    for sentence in sentences:
        for token in features(sentence):
            numbers += [cache.setdefault(feature, hashed(feature)) for feature in token]
            ends.append(len(numbers))
    wanted = np.array(numbers, dtype=np.int64)
    places = np.searchsorted(keys, wanted)
    known = np.zeros(len(wanted), dtype=bool)
    inside = places < len(keys)
    known[inside] = keys[places[inside]] == wanted[inside]
    pointers = np.concatenate([[0], np.cumsum(known)])[np.array(ends, dtype=np.int64)]
    return sparse.csr_matrix((np.ones(int(known.sum())), places[known], pointers), shape=(len(ends) - 1, len(keys)))
