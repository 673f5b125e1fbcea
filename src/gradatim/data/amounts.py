"""The rule for numbers: which columns are amounts, which are codes and classes written in digits."""

import re

from gradatim.data.drafts import Draft, Request, shown
from gradatim.data.evidence import Facts, Numbers
from gradatim.data.numbers import DecimalEvidence
from gradatim.errors import SchemaError

ENOUGH = 0.95  # of the cells must be numbers for a number column
FEW_INPUT = 5  # an input of at most so many whole numbers is a category …
FEW_TARGET = 20  # … and a target of at most so many
MOST_CLASSES = 1000
EXACT = 2.0**53  # whole numbers beyond are not told apart as floats
ROWS_PER_INPUT_CLASS = 10
ROWS_PER_CLASS = 3
MOST_LISTED = 1000  # unreadable cells of one column
IDENTIFIER = re.compile(r"(?:^|[ _.-])(?:id|ids|uuid|guid|index|key|rowid|row|rownames|nr)$|[a-z](?:Id|ID|Uuid|UUID)$")
_LABEL = re.compile(r"^(?:label|labels|class|target|category|y)$", re.IGNORECASE)


def amounts(facts: Facts, draft: Draft, request: Request) -> None:
    """Numbers and numbers written as text; few whole numbers are names of classes."""
    if draft.kind not in (None, "number", "category") or not facts.filled:
        return
    if not facts.looks_numeric:
        if draft.kind == "number":
            raise SchemaError(f"column '{facts.name}': expected numbers, received texts such as "
                              f"{shown(facts.sample[0])}; leave its kind open or choose another column")
        return
    decimal, why = _decimal(facts, request)
    numbers = draft.numbers = facts.numbers(decimal)
    if draft.kind == "category" or not numbers.readable:
        return
    counted = f"{numbers.readable:,} of {numbers.readable + numbers.unreadable:,} cells are numbers"
    if draft.kind is None and numbers.share < ENOUGH:
        draft.say(f"{counted}, fewer than {ENOUGH:.0%}; --kind {facts.name}=number reads them and lists the others")
        return
    draft.say(counted)
    if draft.kind is None:
        draft.kind = _class_or_amount(facts, draft, numbers, request)
    if draft.kind == "number":
        if why:
            draft.say(why)
        if decimal == ",":
            draft.options["decimal"] = ","
        _list_unreadable(facts, draft, numbers, request)


def _class_or_amount(facts: Facts, draft: Draft, numbers: Numbers, request: Request) -> str:
    """Category for codes and few whole numbers, else number; says the rule that decided."""
    codes = _leading_zeros(facts)
    if codes:
        draft.say(f"{codes[0]:,} of them begin with 0 as codes do ('{codes[1]}'), so a category")
        return "category"
    if draft.role in ("id", "group"):
        return "category" if numbers.whole else "number"
    if draft.role == "time" or not numbers.whole:
        return "number"
    distinct, (low, high) = numbers.distinct, numbers.range
    if max(-low, high) > EXACT and facts.distinct > distinct:
        draft.say(f"whole numbers of so many digits that only {distinct:,} of {facts.distinct:,} differ as amounts, so "
                  "names")
        if 2 * facts.distinct > facts.filled:
            draft.set_aside(f"{facts.distinct:,} names in {facts.filled:,} cells, too many for a category")
        return "category"
    if draft.role == "target":
        return _target_kind(facts, draft, numbers)
    if distinct <= FEW_INPUT and numbers.readable >= ROWS_PER_INPUT_CLASS * distinct:
        if request.family_is_number(facts.name):
            draft.say(f"{distinct} different whole numbers, but most columns of its numbered family are amounts")
            return "number"
        draft.say(f"{distinct} different whole numbers ({low:g}…{high:g}), at most {FEW_INPUT}: a category")
        return "category"
    if IDENTIFIER.search(facts.name) and distinct <= numbers.readable / 2:
        draft.say(f"the name says identifier and {distinct:,} values repeat: a category; --group {facts.name} "
                  "keeps the rows of one together")
        return "category"
    draft.say(f"{distinct:,} different {'whole ' if numbers.whole else ''}numbers ({low:g}…{high:g})")
    return "number"


def _target_kind(facts: Facts, draft: Draft, numbers: Numbers) -> str:
    distinct, (low, high) = numbers.distinct, numbers.range
    counted = f"{distinct:,} different whole numbers ({low:g}…{high:g}) in {numbers.readable:,} rows"
    contiguous = low in (0, 1) and high - low + 1 == distinct
    if distinct <= FEW_TARGET and numbers.readable >= ROWS_PER_CLASS * distinct:
        draft.say(f"{counted}, at most {FEW_TARGET}: classes; --task regression predicts the number")
        return "category"
    if contiguous and distinct <= MOST_CLASSES and numbers.readable >= 10 * distinct and _LABEL.match(facts.name):
        draft.say(f"{counted}, without a gap, and the name says label: classes; --task regression predicts the number")
        return "category"
    draft.say(f"{counted}: amounts; --task classification predicts them as classes")
    return "number"


def _decimal(facts: Facts, request: Request) -> tuple[str, str]:
    """The decimal mark of a column, and a sentence where there was something to decide."""
    evidence = facts.decimals
    decimal = evidence.decide(request.decimal)
    if evidence.point != evidence.comma:
        why = _counted_marks(evidence) if evidence.comma else ""
    elif evidence.ambiguous and ("," in (evidence.example or "") or request.decimal == ","):
        reading = "decimals" if (decimal in (evidence.example or "")) else "thousands"
        other = "." if decimal == "," else ","
        why = (f"'{evidence.example}' has two readings and no cell decides: read as {reading}{request.decimal_why}; "
               f'set the option "decimal": "{other}" in the schema file for the other')
    else:
        why = ""
    return decimal, why


def _counted_marks(evidence: DecimalEvidence) -> str:
    mark, most, least = "'.'", evidence.point, evidence.comma
    if least > most:
        mark, most, least = "','", least, most
    against = f", against it {least:,}" if least else ""
    example = f"; {evidence.ambiguous:,} with two readings ('{evidence.example}') follow" if evidence.ambiguous else ""
    return f"{mark} marks decimals: {most:,} cells allow no other reading{against}{example}"


def _list_unreadable(facts: Facts, draft: Draft, numbers: Numbers, request: Request) -> None:
    if not numbers.unreadable:
        return
    wrong = facts.values.filter(numbers.column.unreadable)
    rows = facts.cells.is_in(wrong.implode()).fill_null(False).arg_true().to_list()
    first = facts.cells[rows[0]]
    line = request.line(rows[0])
    place = f"line {line}" if line is not None else f"row {rows[0]}"
    counted = f"{numbers.unreadable:,} cells are no numbers"
    if numbers.infinite:
        counted += f", {numbers.infinite:,} of them infinite or a failed calculation,"
    draft.say(f"{counted} and count as missing (first: {shown(first)} in {place})")
    if request.problems is not None:
        infinite = set(facts.values.filter(numbers.column.infinite).to_list())
        for row in rows[:MOST_LISTED]:
            code, what = (("number-infinite", "a finite number, received none") if facts.cells[row] in infinite
                          else ("number-unreadable", "a number, received text"))
            request.problems.add(code, f"{shown(facts.cells[row])}: expected {what}",
                                 column=facts.name, row=row, line=request.line(row))


def _leading_zeros(facts: Facts) -> tuple[int, str] | None:
    """How many whole numbers are written with a leading zero, and one of them."""
    if not facts.is_text:
        return None
    coded = facts.values.str.contains(r"^0[0-9]+$")
    return (int(facts.counts.filter(coded).sum()), facts.values.filter(coded)[0]) if coded.any() else None
