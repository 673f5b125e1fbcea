"""The stem of an English word by Porter's rules: connected, connecting and connection become connect.

A word is read as [C](VC)…[V], runs of consonants C and vowels V; the measure m counts the VC. Each of the steps takes
the longest ending that fits and replaces it where what is left in front is long enough. A stem is no word of its own;
it is the same for the forms of a word, most of the time: university and universe meet too.
Source: Porter, An algorithm for suffix stripping (1980).
"""

from itertools import pairwise

VOWELS = "aeiou"

# Endings and what takes their place; of those that fit the longest counts.
STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def stem(word: str) -> str:
    """The stem of a word in lower case; words of one or two letters, and those with other signs than a–z, stay.

    >>> [stem(word) for word in ("connections", "relational", "hopping", "happy", "sky")]
    ['connect', 'relat', 'hop', 'happi', 'sky']
    """
    if len(word) <= 2 or not (word.isascii() and word.isalpha() and word.islower()):
        return word
    word = _plurals(word)
    word = _past_and_present(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(word, STEP_2)
    word = _replaced(word, STEP_3)
    word = _without_suffix(word)
    return _tidied(word)


def _consonant(word: str, place: int) -> bool:
    """Whether a letter sounds as a consonant: y does at the beginning and after a vowel."""
    letter = word[place]
    if letter == "y":
        return place == 0 or not _consonant(word, place - 1)
    return letter not in VOWELS


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    kinds = [_consonant(word, place) for place in range(len(word))]
    return sum(not first and second for first, second in pairwise(kinds))


def _has_vowel(word: str) -> bool:
    return not all(_consonant(word, place) for place in range(len(word)))


def _double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _consonant(word, len(word) - 1)


def _short_end(word: str) -> bool:
    """Consonant, vowel, consonant other than w, x, y at the end: hop, but not snow."""
    last = len(word) - 1
    return (
        last >= 2 and _consonant(word, last) and not _consonant(word, last - 1) and _consonant(word, last - 2)
        and word[last] not in "wxy"
    )  # fmt: skip


def _plurals(word: str) -> str:
    """Step 1a."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past_and_present(word: str) -> str:
    """Step 1b: agreed, hopping, filed; an e comes back where the rest needs one."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending):
            rest = word[: -len(ending)]
            if not _has_vowel(rest):
                return word
            if rest.endswith(("at", "bl", "iz")):
                return rest + "e"
            if _double(rest) and rest[-1] not in "lsz":
                return rest[:-1]
            return rest + "e" if _measure(rest) == 1 and _short_end(rest) else rest
    return word


def _replaced(word: str, endings: dict[str, str]) -> str:
    """Steps 2 and 3: the longest ending that fits gives way to its own where the measure before it is above 0."""
    for ending in sorted(endings, key=len, reverse=True):
        if word.endswith(ending):
            rest = word[: -len(ending)]
            return rest + endings[ending] if _measure(rest) > 0 else word
    return word


def _without_suffix(word: str) -> str:
    """Step 4: the suffix goes where the measure before it is above 1; -ion only after s or t."""
    for ending in sorted(STEP_4, key=len, reverse=True):
        if word.endswith(ending):
            rest = word[: -len(ending)]
            fits = _measure(rest) > 1 and (ending != "ion" or rest.endswith(("s", "t")))
            return rest if fits else word
    return word


def _tidied(word: str) -> str:
    """Step 5: a last e, and one of two l, go from long stems."""
    if word.endswith("e"):
        rest = word[:-1]
        if _measure(rest) > 1 or (_measure(rest) == 1 and not _short_end(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
