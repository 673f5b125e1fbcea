"""Literals of catalogues: hidden, carried over, put back, and missed where they are lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.placeholders import MARKERS, difference, formats, hide, hide_known, restore

PIECES = st.sampled_from(["%s", "%d", "%1$s", "%-5.2f", "{name}", "${HOME}", "&amp;", "<b>", "</b>", "\n", " ", "Datei",
                          "100 %", "--force", "/etc/passwd", "GTK_PATH", "2023", "http://x.org/a?b=%s", "é", "%(n)d",
                          MARKERS[0], MARKERS[3], "%%", "a.b@c.org"])


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_is_hidden_comes_back(text):
    hidden = hide(text)
    assert restore(hidden.text, hidden.literals) == text
    assert len(set(hidden.literals)) == len(hidden.literals) <= len(MARKERS)
    assert hide_known(text, hidden.literals) == hidden.text
    assert difference(text, text) == ([], [])


@pytest.mark.parametrize(("text", "expected"), [
    ("Could not open %s: %m", ["%s", "%m"]),
    ("%1$s of %2$d (%.1f%%)", ["%1$s", "%2$d", "%.1f", "%%"]),
    ("Hello %(name)s, {count:,} files in ${DIR}", ["%(name)s", "{count:,}", "${DIR}"]),
    ("&lt;a&gt; <a href='x'>link</a> &amp;", ["&lt;", "&gt;", "<a href='x'>", "</a>", "&amp;"]),
    ("use --no-verify in /var/lib, see https://x.org/y.", ["--no-verify", "/var/lib", "https://x.org/y."]),
    ("50% done, 3 files", ["50"]),
    ("and/or, 5 % of it, a-b, x < y", []),
    ("%d%s", ["%d", "%s"]),
])
def test_what_counts_as_a_literal(text, expected):
    assert list(hide(text).literals) == expected


def test_placeholders_that_were_lost_or_made_up():
    assert difference("%s: %s", "%s") == (["%s"], [])
    assert difference("Größe 20", "Size 21 {x}") == ([], ["{x}"])
    assert formats("100%% of <b>{x}</b>") == ["<b>", "{x}", "</b>"]
    assert restore(f"{MARKERS[5]}!", ("a",)) == "!"
    many = " ".join(f"{{n{number}}}" for number in range(20))
    assert restore(hide(many).text, hide(many).literals) == many
