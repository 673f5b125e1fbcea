"""Tokenizers as plain data: a list of tokens, for BPE also the merges; trained here, rebuilt here.

Nothing but strings is stored: normaliser, splitter and patterns are this module's own, so a file from a stranger
cannot bring a pattern or a component. No token is 'special': the placeholders for padding (0) and unknown (1) hold
a space, or are longer than the model's units, and so no user text can ever be read as one of them.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gradatim.data.codecs import checks
from gradatim.data.encoding import without_lone_surrogates
from gradatim.errors import SchemaError

MODELS = ("words", "characters", "wordpiece", "bpe")
PADDING, UNKNOWN = "padding of rows", "unknown token"  # ids 0 and 1; `characters` has only units of one character
UNREADABLE = "\ufffd"  # what an unknown token decodes to
MOST_TOKENS = 200_000
LONGEST_TOKEN = 400  # characters
WORD_START = "\ufdd0"  # set aside by Unicode for use inside programs: it marks the start of a word in training


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer: which model, its tokens (id − 2 is the place in the list), its merges, lower-casing.

    >>> tokens = train_tokens(["A cat. A dog."], "words", lowercase=True, vocabulary=100)
    >>> tokens.join(tokens.ids("a dog [PAD]."))
    'a � � � �.'
    """

    model: str
    lowercase: bool
    vocabulary: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    engine: Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "engine", _engine(self))

    def normalise(self, text: str) -> str:
        """NFKC, lower case when asked for, and no half of a surrogate pair."""
        return self.engine.normalizer.normalize_str(without_lone_surrogates(text))

    def ids(self, text: str) -> list[int]:
        """The ids of a text, each ≥ 1."""
        return self.engine.encode(without_lone_surrogates(text), add_special_tokens=False).ids

    def join(self, ids: Iterable[int]) -> str:
        """The text of ids; spaces are as usual around words and marks where the model does not keep them."""
        known = len(self.vocabulary) + 2
        pieces = [self.vocabulary[i - 2] if 2 <= i < known else UNREADABLE for i in ids if i != 0]
        if self.model == "characters":
            return "".join(pieces)
        if self.model == "bpe":
            return _join_bytes(pieces)
        if self.model == "wordpiece":
            words: list[str] = []
            for piece in pieces:
                if piece.startswith("##") and words:
                    words[-1] += piece[2:]
                else:
                    words.append(piece)
            pieces = words
        return _join_words(pieces)


def train_tokens(texts: Sequence[str], model: str, *, lowercase: bool, vocabulary: int) -> Tokens:
    """A tokenizer with at most `vocabulary` tokens from training texts; equal texts give equal tokenizers."""
    empty = Tokens("characters", lowercase, ())
    normalised = [empty.normalise(text) for text in texts]
    if model in ("words", "characters"):
        counts: Counter[str] = Counter()
        splitter = pre_tokenizers.BertPreTokenizer()
        for text in normalised:
            counts.update(text if model == "characters" else (w for w, _ in splitter.pre_tokenize_str(text)))
        return Tokens(model, lowercase, _frequent(counts, vocabulary))
    if model == "bpe":
        trained = _train_bpe(normalised, pre_tokenizers.ByteLevel(add_prefix_space=True), vocabulary,
                             pre_tokenizers.ByteLevel.alphabet())
        pieces = sorted(trained["vocab"], key=trained["vocab"].__getitem__)
        return Tokens(model, lowercase, tuple(pieces), tuple((left, right) for left, right in trained["merges"]))
    # WordPiece: pieces found by byte-pair merging over words with their start marked, matched longest first.
    split = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(WORD_START)])
    trained = _train_bpe([text.replace(WORD_START, "") for text in normalised], split, vocabulary, [])
    characters = {c for piece in trained["vocab"] for c in piece if c != WORD_START}
    whole = {piece[1:] for piece in trained["vocab"] if piece.startswith(WORD_START)} - {""}
    inner = {"##" + piece for piece in trained["vocab"] if WORD_START not in piece}
    both = characters | whole | inner | {"##" + c for c in characters}
    return Tokens(model, lowercase, tuple(sorted(piece for piece in both if len(piece) <= LONGEST_TOKEN)))


def _train_bpe(texts: list[str], splitter: pre_tokenizers.PreTokenizer, vocabulary: int,
               alphabet: list[str]) -> dict:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = splitter
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, min_frequency=2, initial_alphabet=alphabet,
                                  special_tokens=[], show_progress=False, max_token_length=50)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def _frequent(counts: Counter[str], most: int) -> tuple[str, ...]:
    # What occurs once teaches nothing, and turning it to 'unknown' teaches what unknown words look like.
    kept = [token for token, count in counts.items() if count >= 2] or list(counts)
    kept = [token for token in kept if len(token) <= LONGEST_TOKEN]
    return tuple(sorted(kept, key=lambda token: (-counts[token], token))[:most])


def _engine(tokens: Tokens) -> Tokenizer:
    ids = {PADDING: 0, UNKNOWN: 1, **{token: index + 2 for index, token in enumerate(tokens.vocabulary)}}
    if tokens.model == "bpe":
        engine = Tokenizer(models.BPE(vocab=ids, merges=list(tokens.merges)))
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif tokens.model == "wordpiece":
        engine = Tokenizer(models.WordPiece(vocab=ids, unk_token=UNKNOWN, max_input_chars_per_word=200))
        engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        engine = Tokenizer(models.WordLevel(vocab=ids, unk_token=UNKNOWN))
        characters = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
        engine.pre_tokenizer = characters if tokens.model == "characters" else pre_tokenizers.BertPreTokenizer()
    forms = [normalizers.NFKC()] + ([normalizers.Lowercase()] if tokens.lowercase else [])
    engine.normalizer = normalizers.Sequence(forms)
    return engine


def _check(tokens: Tokens) -> None:
    checks.choice(tokens.model, "tokenizer", MODELS)
    checks.truth(tokens.lowercase, "lowercase")
    vocabulary = set(checks.strings(list(tokens.vocabulary), "vocabulary", most=MOST_TOKENS, longest=LONGEST_TOKEN))
    if vocabulary & {PADDING, UNKNOWN, ""}:
        raise SchemaError("vocabulary: expected no empty token and no placeholder")
    if tokens.model == "characters" and any(len(token) != 1 for token in vocabulary):
        raise SchemaError("vocabulary: expected single characters")
    if tokens.model != "bpe":
        if tokens.merges:
            raise SchemaError("merges: expected none but with 'bpe'")
        return
    if not set(pre_tokenizers.ByteLevel.alphabet()) <= vocabulary:
        raise SchemaError("vocabulary: expected all 256 bytes")
    if len(tokens.merges) > MOST_TOKENS:
        raise SchemaError(f"merges: expected at most {MOST_TOKENS}")
    for pair in tokens.merges:
        good = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        if not good or not {pair[0], pair[1], pair[0] + pair[1]} <= vocabulary:
            raise SchemaError("merges: expected pairs of tokens whose union is a token")


def _join_bytes(pieces: list[str]) -> str:
    decoder = decoders.ByteLevel()
    runs: list[str] = []
    run: list[str] = []
    for piece in pieces:
        if piece == UNREADABLE:
            runs += [decoder.decode(run), piece]
            run = []
        else:
            run.append(piece)
    return "".join([*runs, decoder.decode(run)]).removeprefix(" ")


def _join_words(pieces: list[str]) -> str:
    text = ""
    for piece in pieces:
        tight = piece in ".,;:!?)]}%…" or text.endswith(("(", "[", "{")) or not text
        text += piece if tight else " " + piece
    return text
