"""What a translation carries over as it is: %s, {name}, <b>, &amp;, --option, /a/path, links, long numbers.

Such literals are taken out of the source and stand there as markers, one for each different literal in the order of
their first appearance; the same literals in the target get the same markers. A model so learns once and for all that
a marker is to be copied, whatever it stands for, and the literals are put back into what it writes (the idea of the
placeholders of Luong et al. 2015, "Addressing the Rare Word Problem in Neural Machine Translation").
"""

import re
from collections import Counter
from dataclasses import dataclass

MARKERS = tuple(chr(0xE000 + number) for number in range(16))  # private characters of Unicode
LITERAL = re.compile(
    r"[\ue000-\ue00f]"  # a marker in a text is text
    r"|%(?:\d+\$)?[-+0#']*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|L|q|j|z|t|I64)?[diouxXeEfFgGcCsSpnm%](?![a-z]{2})"
    r"|%\(\w+\)[-+0#.\d]*[a-z]|%L?\d+"  # Python's and Qt's
    r"|\$?\{[^{}\s]{0,60}\}|\$\(\w+\)|@\w+@"
    r"|&(?:[A-Za-z]{2,8}|#\d{1,6});"
    r"|</?[A-Za-z][^<>\n]{0,120}>"
    r"|(?:https?|ftp|file)://[^\s<>\"']+|[\w.+-]+@[\w-]+\.[\w.-]*\w"
    r"|(?<![\w-])--[A-Za-z][\w-]*"
    r"|(?<![\w/.])~?/[\w.-]+(?:/[\w.-]+)*/?"
    r"|\b\w+_\w+\b"
    r"|\d{2,}"
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """A source text with markers in place of its literals, and the literals in the markers' order."""

    text: str
    literals: tuple[str, ...]


def hide(source: str) -> Hidden:
    r"""Take the literals out of a source text; those beyond the last marker stay where they are.

    >>> hide("Cannot open '%s' in /etc/fonts: %s").literals
    ('%s', '/etc/fonts')
    """
    numbers: dict[str, int] = {}

    def marked(found: re.Match[str]) -> str:
        literal = found.group()
        if literal not in numbers and len(numbers) == len(MARKERS):
            return literal
        return MARKERS[numbers.setdefault(literal, len(numbers))]

    text = LITERAL.sub(marked, source)
    return Hidden(text, tuple(numbers))


def hide_known(target: str, literals: tuple[str, ...]) -> str:
    """Put the markers of a source's literals into its translation, where these stand there as literals too.

    >>> hide_known("Kann '%s' nicht öffnen", ("%s",)) == f"Kann '{MARKERS[0]}' nicht öffnen"
    True
    """
    numbers = {literal: number for number, literal in enumerate(literals)}

    def marked(found: re.Match[str]) -> str:
        number = numbers.get(found.group())
        return found.group() if number is None else MARKERS[number]

    return LITERAL.sub(marked, target)


def restore(text: str, literals: tuple[str, ...]) -> str:
    """Put the literals back; a marker that stands for none is dropped.

    >>> restore(f"'{MARKERS[0]}' fehlt", ("%s",))
    "'%s' fehlt"
    """
    if not any(marker in text for marker in MARKERS):
        return text
    return "".join(
        text_of(character, literals) if "\ue000" <= character <= "\ue00f" else character for character in text
    )


def text_of(marker: str, literals: tuple[str, ...]) -> str:
    """The literal that a marker stands for; nothing where there is none."""
    number = ord(marker) - 0xE000
    return literals[number] if number < len(literals) else ""


def difference(source: str, target: str) -> tuple[list[str], list[str]]:
    """The placeholders of programs that a translation lost, and those that it made up.

    Only what a program fills in or reads counts: formats, braces, entities and tags, not numbers, paths or links.

    >>> difference("%s of {total} <b>done</b>", "%s von {gesamt} <b>fertig")
    (['{total}', '</b>'], ['{gesamt}'])
    """
    before, after = Counter(formats(source)), Counter(formats(target))
    return list((before - after).elements()), list((after - before).elements())


def formats(text: str) -> list[str]:
    """The literals that a program fills in or reads, in order."""
    return [found for found in LITERAL.findall(text) if found[0] in "%{$@&<" and found != "%%"]
