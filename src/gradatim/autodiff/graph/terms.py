"""How a node of the graph is called where it has no name: by what was done, as long as that is short."""

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 18
# operation → sign between its two parents, how tightly it binds; the right side of − and / needs brackets
SIGNS = {"+": (" + ", 1), "-": (" − ", 1), "*": ("·", 2), "/": (" / ", 2), "@": (" @ ", 2), "**": ("^", 4)}
NEGATE, ATOM = 3, 5
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True, slots=True)
class Term:
    """A text and how tightly it binds (an atom needs no brackets anywhere)."""

    text: str
    binds: int = ATOM


def joined(operation: str, parts: Sequence[Term], exponent: float | None = None) -> Term:
    """The term of an operation on others, with the brackets that it needs and no more.

    exponent: of a power by a plain number, where it is known.

    >>> joined("*", [Term("3"), joined("+", [Term("a"), Term("b")])]).text
    '3·(a + b)'
    >>> joined("-", [Term("a"), Term("−2", NEGATE)]).text
    'a − (−2)'
    """
    if operation == "**" and len(parts) == 1:
        if exponent is None:
            return Term(f"power({parts[0].text})")
        base = parts[0].text if parts[0].binds == ATOM else f"({parts[0].text})"
        whole = float(exponent).is_integer() and abs(exponent) < 100
        return Term(base + (str(int(exponent)).translate(_RAISED) if whole else f"^{exponent:.4g}"), 4)
    if operation == "**" and len(parts) == 2 and parts[1].text.isdigit() and len(parts[1].text) < 3:
        return joined("**", parts[:1], float(parts[1].text))
    if operation in SIGNS and len(parts) == 2:
        sign, binds = SIGNS[operation]
        left, right = parts
        left_text = f"({left.text})" if left.binds < binds or (operation == "**" and left.binds < ATOM) else left.text
        strict = operation in ("-", "/", "@")
        inside = right.binds < binds or (strict and right.binds == binds) or right.text.startswith("−")
        right_text = f"({right.text})" if inside else right.text
        return Term(f"{left_text}{sign}{right_text}", binds)
    if operation == "negate":
        return Term(f"−({parts[0].text})" if parts[0].binds <= 2 else f"−{parts[0].text}", NEGATE)
    return Term(f"{operation}({', '.join(part.text for part in parts)})")


def formula_of(operation: str, parents: Sequence[tuple[Term, int]], exponent: float | None = None) -> Term:
    """The operation in terms of its parents, with the longest of them as #number until it is short."""
    parts = [term for term, _ in parents]
    whole = joined(operation, parts, exponent)
    for place in sorted(range(len(parts)), key=lambda place: -len(parts[place].text)):
        if len(whole.text) <= LONGEST:
            break
        parts = [Term(f"#{number}") if number == parents[place][1] else part
                 for part, (_, number) in zip(parts, parents)]
        whole = joined(operation, parts, exponent)
    return whole if len(whole.text) <= LONGEST else Term(f"{operation}(…)")


def leaf_term(value: str, number: int) -> Term:
    """A leaf without a name: its value where that is short, else #number."""
    text = value.replace("-", "−")
    return Term(text, NEGATE if text.startswith("−") else ATOM) if len(text) <= LONGEST else Term(f"#{number}")
