"""Entities written as a tag a token: the spellings IOB1, BIO, BIOES, what they say, what breaks their rules.

* BIO (IOB2): every entity begins with B-TYPE and goes on with I-TYPE (Ratnaparkhi 1998).
* IOB1: entities are I-TYPE; B-TYPE only parts an entity from one of the same type before it (Ramshaw & Marcus 1995).
* BIOES: as BIO, but the last token is E-TYPE and an entity of one token is S-TYPE; BILOU spells them L- and U-.
* plain: the tags are no entities but a label for each token, as parts of speech are.

Entities are read as CoNLL's scorer reads them: a tag that breaks the rules still says something, and an inside tag
that follows nothing of its type begins an entity.
"""

from collections.abc import Iterable, Sequence

SCHEMES = ("plain", "BIO", "IOB1", "BIOES")
OUTSIDE = "O"
MOST_STRANGE = 0.05  # of the tags may be no entity's before the spelling is taken for plain
_SPELLED = {"L": "E", "U": "S"}  # BILOU → BIOES

Span = tuple[str, int, int]  # type, first token, one past the last


def parts(tag: str) -> tuple[str, str]:
    """Prefix and type: 'B-PER' → ('B', 'PER'); a bare 'B' has the type ''; ('O', '') outside, ('', tag) if neither.

    >>> parts("B-PER"), parts("O"), parts("NN"), parts("U-LOC")
    (('B', 'PER'), ('O', ''), ('', 'NN'), ('S', 'LOC'))
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if prefix in ("B", "I", "E", "S", "L", "U") and (kind if dash else len(tag) == 1):
        return _SPELLED.get(prefix, prefix), kind
    return "", tag


def find_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """Which spelling the tags have: 'plain' unless nearly all are entities', then by how entities begin and end.

    >>> find_scheme([["O", "B-PER", "I-PER"]]), find_scheme([["I-PER", "O"]]), find_scheme([["DT", "NN"]])
    ('BIO', 'IOB1', 'plain')
    """
    started_inside = started_begin = ended = strange = inside = 0
    for tags in sentences:
        before = (OUTSIDE, "")
        for tag in tags:
            prefix, kind = parts(tag)
            strange += prefix == ""
            inside += prefix not in ("", OUTSIDE)
            ended += prefix in ("E", "S")
            if before[0] == OUTSIDE or before[1] != kind:
                started_inside += prefix == "I"
                started_begin += prefix == "B"
            before = (prefix, kind)
    if strange > MOST_STRANGE * inside:
        return "plain"
    if ended:
        return "BIOES"
    if started_inside > started_begin:
        return "IOB1"
    return "BIO" if started_begin else "plain"


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The entities of a sentence, in their order; none where the scheme is 'plain'.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"], "BIO")
    [('PER', 0, 2), ('LOC', 3, 4)]
    """
    if scheme == "plain":
        return []
    found: list[Span] = []
    start, open_kind, before = 0, None, OUTSIDE
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = parts(tag)
        goes_on = open_kind is not None and kind == open_kind and prefix in ("I", "E") and before not in ("E", "S")
        if open_kind is not None and not goes_on:
            found.append((open_kind, start, place))
            open_kind = None
        if open_kind is None and prefix not in (OUTSIDE, ""):
            start, open_kind = place, kind
        before = prefix
    return found


def write_spans(entities: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence of `length` tokens that spell these entities, which must not overlap.

    >>> write_spans([("PER", 0, 2), ("LOC", 2, 3)], 3, "BIOES")
    ['B-PER', 'E-PER', 'S-LOC']
    """
    tags = [OUTSIDE] * length
    before: Span | None = None
    for kind, start, stop in sorted(entities, key=lambda span: span[1]):
        for place in range(start, stop):
            tags[place] = _tag("I", kind)
        if scheme == "BIOES":
            tags[stop - 1] = _tag("E", kind)
            tags[start] = _tag("S" if stop - start == 1 else "B", kind)
        elif scheme == "BIO" or (before is not None and before[0] == kind and before[2] == start):
            tags[start] = _tag("B", kind)
        before = (kind, start, stop)
    return tags


def respell(tags: Sequence[str], scheme: str, to: str) -> list[str]:
    """The same entities in another spelling; plain tags stay as they are.

    >>> respell(["I-PER", "I-PER", "B-PER"], "IOB1", "BIO")
    ['B-PER', 'I-PER', 'B-PER']
    """
    if scheme == "plain" or to == "plain":
        return list(tags)
    return write_spans(spans(tags, scheme), len(tags), to)


def faults(tags: Sequence[str], scheme: str) -> list[tuple[int, str]]:
    """(token number, what breaks the rules of the scheme) for each tag that does.

    >>> faults(["O", "I-PER"], "BIO")
    [(1, "'I-PER' follows 'O': an entity begins with B-")]
    """
    if scheme == "plain":
        return []
    found = []
    before = (OUTSIDE, "")
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = parts(tag)
        last = place == len(tags)
        previous = tags[place - 1] if place else "the start"
        shown = f"'{previous}'" if place else previous
        said = _fault(before, (prefix, kind), scheme)
        if said:
            what = f"the sentence ends after {shown}" if last else f"'{tag}' follows {shown}"
            found.append((min(place, len(tags) - 1), f"{what}: {said}"))
        before = (prefix, kind)
    return found


def allowed(before: str | None, after: str | None, scheme: str) -> bool:
    """Whether one tag may follow another; None stands for the sentence's start (before) and end (after).

    >>> allowed("O", "I-PER", "BIO"), allowed("B-PER", "I-PER", "BIO"), allowed("B-PER", None, "BIOES")
    (False, True, False)
    """
    if scheme == "plain":
        return True
    left = parts(OUTSIDE if before is None else before)
    return not _fault(left, parts(OUTSIDE if after is None else after), scheme)


def _fault(before: tuple[str, str], now: tuple[str, str], scheme: str) -> str:
    """What is wrong with `now` after `before`, both as `parts` gives them; empty where nothing is."""
    (last, last_kind), (prefix, kind) = before, now
    if prefix == "":
        return "it is neither O nor an entity's tag"
    if scheme == "IOB1":
        parted = last in ("B", "I") and last_kind == kind
        return "B- only parts two entities of one type that touch" if prefix == "B" and not parted else ""
    if scheme == "BIO":
        fits = last in ("B", "I") and last_kind == kind
        return "an entity begins with B-" if prefix == "I" and not fits else ""
    within = last in ("B", "I")
    if within and (prefix not in ("I", "E") or kind != last_kind):
        return "an entity that was begun ends with E-"
    return "an entity begins with B- or S-" if not within and prefix in ("I", "E") else ""


def _tag(prefix: str, kind: str) -> str:
    return f"{prefix}-{kind}" if kind else prefix
