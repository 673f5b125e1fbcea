"""The rules by which a column gets its kind and role, in order; each leaves its evidence in `why`.

A rule is a small function `rule(facts, draft, request)`. It may set `draft.kind` if no rule before it did, set the
column aside (role ignore) if the user gave it no role, and say what it counted. RULES at the end is the order.
"""

import re

import polars as pl

from gradatim.data.amounts import IDENTIFIER, amounts
from gradatim.data.dates import date_format, seconds_of
from gradatim.data.drafts import Draft, Request, Rule, shown
from gradatim.data.evidence import Facts
from gradatim.data.numbers import parse_numbers
from gradatim.data.rules_places import places
from gradatim.data.rules_series import series
from gradatim.data.rules_tags import tags
from gradatim.data.spelling import spelled, spelling_of
from gradatim.errors import SchemaError

FEW_TEXTS = 20
TEXT_WORDS = 3.0  # mean words from which texts are read as texts
SEQUENCE = 20  # rows from which unique whole numbers 1, 2, 3 … are row numbers
_ANY_CASE = re.compile(r"^(?:id|uuid|guid|index|rowid|rownames|unnamed: 0|key)$", re.IGNORECASE)
_RANDOM = re.compile(r"[0-9a-fA-F-]{8,}")
_MAGIC = {"image": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*"),
          "audio": (b"fLaC", b"OggS", b"ID3", b"\xff\xfb")}


def roles_named(facts: Facts, draft: Draft, request: Request) -> None:
    """The role that the user named."""
    role = request.roles.get(facts.name)
    if role is not None:
        draft.role = role
        draft.say(f"you named it the {role} column" if role != "ignore" else "you asked to ignore it")


def kind_named(facts: Facts, draft: Draft, request: Request) -> None:
    """The kind that the user named, or that the task asks of its target."""
    kind = request.kinds.get(facts.name)
    if kind is not None:
        draft.kind, draft.named = kind, True
        draft.say(f"you named its kind {kind}")
    elif draft.role == "target" and request.task in ("classification", "regression"):
        draft.kind = "category" if request.task == "classification" else "number"
        draft.say(f"the task {request.task} asks for a {draft.kind}")


def empty(facts: Facts, draft: Draft, request: Request) -> None:
    """A column without a single cell."""
    if facts.filled:
        return
    draft.kind = draft.kind or "category"
    draft.say(f"all {facts.rows:,} cells are missing")
    if draft.role in (None, "input"):
        draft.role = "ignore"


def constant(facts: Facts, draft: Draft, request: Request) -> None:
    """The same cell in every row teaches nothing; beside missing cells, being there does."""
    if facts.distinct != 1 or facts.rows < 2:
        return
    cell = shown(facts.cells.drop_nulls()[0])
    if not facts.missing:
        draft.say(f"the same cell in all {facts.rows:,} rows ({cell})")
        if draft.role in (None, "input"):
            draft.role, draft.kind = "ignore", draft.kind or "category"
    elif draft.kind is None and not facts.endings[0] and not facts.cells.dtype.is_nested():
        draft.kind = "category"
        draft.say(f"one value ({cell}) in {facts.filled:,} rows, missing in {facts.missing:,}: being there is the "
                  "information")


def files(facts: Facts, draft: Draft, request: Request) -> None:
    """File names of pictures or sounds, and whether the files exist."""
    kind, _, endings = facts.endings
    if kind is None or draft.kind not in (None, kind):
        return
    if any("://" in cell for cell in facts.sample):
        draft.kind = draft.kind or "text"
        draft.set_aside(f"addresses of {_plural(kind)} on the network, not fetched; save the files beside the table")
        return
    draft.kind = kind
    there, looked = facts.existing
    draft.say(f"file names ending in {', '.join(endings)}; {there:,} of {looked:,} sampled exist")
    if not there:
        place = facts.folder if facts.folder is not None else "the working directory"
        draft.set_aside(f"no such file under {place}, where names are looked up; put the files there or mend the names")


def typed(facts: Facts, draft: Draft, request: Request) -> None:
    """Cells that a frame brings in a type of their own: booleans, bytes, lists, dates."""
    dtype = facts.cells.dtype
    if draft.kind is not None or facts.is_text or dtype.is_numeric():
        return
    if dtype == pl.Boolean:
        draft.kind = "category"
        draft.say(f"booleans, {facts.distinct} different in {facts.filled:,} cells")
    elif dtype in (pl.Date, pl.Datetime):
        draft.kind = "text"
        draft.set_aside("dates: used only where you name it the time column (--time)")
    elif dtype in (pl.Binary, pl.Struct):
        draft.kind = _kind_of_bytes(facts)
        if draft.kind is None:
            draft.kind = "text"
            draft.set_aside(f"cells of type {dtype}, neither pictures nor sounds")
        else:
            draft.say(f"the bytes of {_plural(draft.kind)}")
    else:
        draft.kind = "labels"
        draft.set_aside(f"lists ({dtype}), which no task here reads yet")


def dates(facts: Facts, draft: Draft, request: Request) -> None:
    """Dates written as text are set aside unless they are the time column; a time column must order the rows."""
    form = date_format(facts.values) if draft.kind in (None, "text") and facts.is_text else None
    if form is not None:
        draft.kind = "text"
        draft.say(f"dates written {form}")
        if draft.role is None and not draft.named:
            draft.set_aside("dates tell when, not what: used only where you name it the time column (--time)")
    if draft.role == "time" and form is None and seconds_of(facts.cells) is None:
        raise SchemaError(f"column '{facts.name}': expected dates or numbers in the time column, received "
                          f"{shown(facts.sample[0]) if facts.sample else 'nothing'}; name another column")


def classes_or_texts(facts: Facts, draft: Draft, request: Request) -> None:
    """Texts that come back are categories, texts of several words or of many spellings are texts."""
    if draft.kind is not None or not facts.is_text:
        return
    distinct, filled, words = facts.distinct, facts.filled, facts.words
    counted = f"{distinct:,} different texts in {filled:,} cells, {words:.1f} words each on average"
    if distinct <= FEW_TEXTS and distinct <= filled / 2:
        kind, rule = "category", f"at most {FEW_TEXTS}, so a category"
    elif draft.role == "target" and distinct <= filled / 2:
        kind, rule = "category", "they repeat, so classes"
    elif words >= TEXT_WORDS:
        kind, rule = "text", f"{TEXT_WORDS:g} words or more, so text"
    elif distinct <= filled / 2:
        kind, rule = "category", "short and repeated, so a category"
    elif draft.role in ("id", "group"):
        kind, rule = "category", "names"
    else:
        kind, rule = "text", "too many for a category, so text"
    draft.kind = kind
    draft.say(f"{counted}: {rule}")


def row_names(facts: Facts, draft: Draft, request: Request) -> None:
    """Row numbers and identifiers are set aside: they tell rows apart, not what they are."""
    if draft.role is not None or draft.named or facts.rows < 2:
        return
    named = bool(IDENTIFIER.search(facts.name) or _ANY_CASE.match(facts.name))
    unique = facts.distinct == facts.rows
    keep = f"--id {facts.name} keeps it for the submission, --kind {facts.name}={draft.kind} makes it an input"
    whole = draft.numbers is not None and draft.numbers.share == 1.0 and draft.numbers.whole
    if draft.kind in ("number", "category", "text") and unique and whole and draft.numbers is not None:
        low, high = draft.numbers.range
        if draft.numbers.consecutive and (named or (facts.rows >= SEQUENCE and _in_row_order(facts))):
            draft.set_aside(f"counts the rows from {low:.0f} to {high:.0f}: it tells rows apart, no more; {keep}")
        elif named:
            draft.set_aside(f"all {facts.rows:,} whole numbers differ and the name says identifier; {keep}")
    elif draft.kind in ("category", "text") and facts.is_text and unique and _looks_coded(facts, named):
        code = shown(facts.sample[0])
        draft.set_aside(f"all {facts.rows:,} cells differ and are codes without words, as {code}; {keep}")


def gaps(facts: Facts, draft: Draft, request: Request) -> None:
    """How many cells are missing, and which spellings say so."""
    spelled = facts.spelled_missing if draft.kind in ("number", "category", "text") else {}
    if facts.missing and facts.filled:
        draft.say(f"{facts.missing:,} of {facts.rows:,} cells are empty")
    if spelled:
        seen = ", ".join(f"'{text}' {count:,} times" for text, count in list(spelled.items())[:3])
        if draft.kind == "number":
            draft.say(f"{seen}: taken as missing")
        elif draft.role == "target":
            sentence = f"{seen}: a class of its own; empty those cells if they mean that the label is missing"
            draft.say(sentence)
            if request.problems is not None:
                request.problems.add("label-missing", sentence, column=facts.name)
        else:
            draft.say(f"{seen}: kept as it is written")


def spellings(facts: Facts, draft: Draft, request: Request) -> None:
    """One value is one category however it is written; labels that differ by case or spaces are counted apart."""
    if draft.kind != "category" or facts.cells.dtype.is_nested() or draft.role == "ignore":
        return
    form = draft.options.setdefault("spelling", spelling_of(facts.values))
    if not facts.is_text or facts.distinct > 10_000:
        return
    one = {False: "differ only by case or spaces and count as different; make them one if they are",
           True: f"are written differently and are one {form.partition(':')[0]}"}
    groups: dict[str, list[tuple[str, int, str]]] = {}
    keys = spelled(facts.values, form)
    for text, count, key in zip(facts.values, facts.counts, keys, strict=True):
        groups.setdefault(" ".join(key.split()).casefold(), []).append((text, count, key))
    for variants in [group for group in groups.values() if len(group) > 1][:5]:
        seen = " and ".join(f"'{text}' ({count:,} times)" for text, count, _ in variants[:4])
        joined = len({key for _, _, key in variants}) == 1
        draft.say(f"{seen} {one[joined]}")
        if request.problems is not None and not joined:
            request.problems.add("label-spelling", f"{seen} {one[joined]}", column=facts.name)


RULES: tuple[Rule, ...] = (
    roles_named,
    kind_named,
    empty,
    constant,
    files,
    places,
    series,
    tags,
    typed,
    dates,
    amounts,
    classes_or_texts,
    row_names,
    gaps,
    spellings,
)


def _in_row_order(facts: Facts) -> bool:
    """Whether each number is one more, or one less, than that of the row before; ranks in disorder are amounts."""
    steps = parse_numbers(facts.cells).values.diff().drop_nulls().unique().to_list()
    return steps in ([1.0], [-1.0])


def _looks_coded(facts: Facts, named: bool) -> bool:
    """Unique texts without spaces that share a pattern of letters and digits, or whose column is named as an id."""
    if any(" " in cell.strip() for cell in facts.sample):
        return False
    if named:
        return True
    if facts.rows < SEQUENCE:
        return False
    if all(_RANDOM.fullmatch(cell) for cell in facts.sample):
        return True
    shapes = [re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", cell)) for cell in facts.sample]
    common = max(set(shapes), key=shapes.count)
    return "9" in common and shapes.count(common) >= 0.9 * len(shapes)


def _kind_of_bytes(facts: Facts) -> str | None:
    cells = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in facts.sample[:20]]
    data = [cell for cell in cells if isinstance(cell, bytes)]
    for kind, signatures in _MAGIC.items():
        if data and all(cell.startswith(signatures) for cell in data):
            return kind
    if data and all(cell[:4] == b"RIFF" for cell in data):
        return "image" if data[0][8:12] == b"WEBP" else "audio"
    return None


def _plural(kind: str) -> str:
    return "pictures" if kind == "image" else "sounds"
