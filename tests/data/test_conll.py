"""CoNLL and BIO files, spellings of entities, lists of tokens, the codec of tags."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.data.codecs import codec_for, codec_from_json
from gradatim.data.codecs.tags import TagsCodec
from gradatim.data.conll import read_conll, write_conll
from gradatim.data.readers import read_table
from gradatim.data.schema import Column
from gradatim.data.tag_schemes import SCHEMES, allowed, faults, find_scheme, parts, respell, spans, write_spans
from gradatim.data.token_lists import parse_tokens, write_tokens
from gradatim.errors import ArtifactError, CellError, DataError, SchemaError


def test_a_file_of_four_columns_with_documents(tmp_path):
    path = tmp_path / "news.conll"
    path.write_text(
        "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n"
        "-DOCSTART- -X- -X- O\n\nPeter NNP B-NP B-PER\n")
    table = read_table(path)
    assert table.frame.columns == ["tokens", "column2", "column3", "tags", "document"]
    assert table.cells("tokens") == [["EU", "rejects"], ["Peter"]]
    assert table.cells("tags") == [["B-ORG", "O"], ["B-PER"]]
    assert table.cells("document") == [1, 2]
    assert table.lines.tolist() == [3, 9]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_tabs_let_tokens_hold_spaces_and_a_token_may_be_a_hash(tmp_path, ending):
    path = tmp_path / "x.bio"
    path.write_bytes(ending.join(["# a comment", "New York\tB-LOC", "#\tO", "", "#\tO", "one\tO"]).encode())
    assert read_conll(path).cells("tokens") == [["New York", "#"], ["#", "one"]]


def test_one_column_is_tokens_alone(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("Hello\nworld\n")
    assert read_conll(path).frame.to_dicts() == [{"tokens": ["Hello", "world"]}]


def test_universal_dependencies(tmp_path):
    path = tmp_path / "x.conllu"
    rows = ["# sent_id = 1", "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_", "1\tdo\tdo\tAUX\tVB\t_\t0\troot\t_\t_",
            "2\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_", "2.1\tgo\t_\t_\t_\t_\t_\t_\t_\t_"]
    path.write_text("\n".join(rows) + "\n\n")
    assert read_conll(path).frame.to_dicts() == [
        {"tokens": ["do", "n't"], "lemmas": ["do", "not"], "upos": ["AUX", "PART"], "xpos": ["VB", "RB"]}]


def test_ragged_lines_are_named(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("a O\nb O\nc\n\nd O extra\n")
    with pytest.raises(DataError, match=r"expected 2 columns in each line.*line 3 has 1, line 5 has 3"):
        read_conll(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "x.conll"
    path.write_text("# only a comment\n\n")
    with pytest.raises(DataError, match=r"x\.conll"):
        read_conll(path)


def test_writing_is_read_back(tmp_path):
    tokens, tags = [["Ada Byron", "slept"], ["Hi"]], [["B-PER", "O"], ["O"]]
    path = tmp_path / "x.conll"
    path.write_text(write_conll(tokens, tags))
    table = read_conll(path)
    assert (table.cells("tokens"), table.cells("tags")) == (tokens, tags)


def test_json_lines_keep_their_lists(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"tokens": ["Hi", "Ada"], "tags": ["O", "B-PER"]}) + "\n")
    assert read_table(path).cells("tokens") == [["Hi", "Ada"]]


words = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6)


@settings(deadline=None)
@given(words)
def test_token_lists_survive_writing(entries):
    assert parse_tokens(write_tokens(entries)) == entries


def test_token_lists_refuse_what_is_none():
    assert parse_tokens("") is None and parse_tokens([]) is None and parse_tokens(float("nan")) is None
    assert parse_tokens("[ ] O") == ["[", "]", "O"]
    for cell in (3, [1, "a"], ["a", None], [""], ["a" * 3000], ["a"] * 30_000):
        with pytest.raises(CellError, match="expected"):
            parse_tokens(cell, "tags")


# A brute reading of CoNLL's scorer (conlleval): when does a chunk end, when does one begin.
def chunks(tags):
    def ends(p, q, tp, tq):
        return p in "ES" or (p in "BI" and q in "BSO") or (p != "O" and tp != tq)

    def begins(p, q, tp, tq):
        return q in "BS" or (p in "ESO" and q in "EI") or (q != "O" and tp != tq)

    found, start, before = [], None, ("O", "")
    for place, tag in enumerate([*tags, "O"]):
        now = parts(tag)
        if start is not None and ends(before[0], now[0], before[1], now[1]):
            found.append((before[1], start, place))
            start = None
        if begins(before[0], now[0], before[1], now[1]):
            start = place
        before = now
    return found


any_tags = st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y", "E-X", "S-X", "E-Y", "S-Y"]), max_size=8)


@settings(deadline=None)
@given(any_tags)
def test_entities_are_those_of_conlls_scorer(tags):
    assert spans(tags, "BIOES") == chunks(tags)


entities = st.lists(st.tuples(st.sampled_from("XY"), st.integers(1, 3), st.integers(0, 2)), max_size=4)


@settings(deadline=None)
@given(entities, st.sampled_from(SCHEMES[1:]), st.sampled_from(SCHEMES[1:]))
def test_spellings_say_the_same(drawn, first, second):
    place, found = 0, []
    for kind, size, gap in drawn:
        found.append((kind, place + gap, place + gap + size))
        place += gap + size
    tags = write_spans(found, place + 1, first)
    assert spans(tags, first) == found
    assert faults(tags, first) == []
    assert spans(respell(tags, first, second), second) == found
    steps = zip([None, *tags], [*tags, None])
    assert all(allowed(left, right, first) for left, right in steps)


def test_the_spelling_is_found():
    assert find_scheme([["O", "B-X", "I-X", "B-X"]]) == "BIO"
    assert find_scheme([["I-X", "B-X", "O", "I-Y"]]) == "IOB1"
    assert find_scheme([["B-X", "E-X"], ["S-X"]]) == find_scheme([["B-X", "L-X"], ["U-X"]]) == "BIOES"
    assert find_scheme([["NOUN", "VERB"]]) == find_scheme([["O"]]) == "plain"
    assert find_scheme([["B-X"] * 50 + ["PER"]]) == "BIO"  # one slip does not turn entities into labels


def test_faults_are_named():
    assert [place for place, _ in faults(["I-X", "O", "B-X", "I-Y", "PER"], "BIO")] == [0, 3, 4]
    assert [place for place, _ in faults(["B-X", "O", "I-X", "S-X"], "BIOES")] == [1, 2, 3]
    assert [place for place, _ in faults(["S-X", "B-X"], "BIOES")] == [1]
    assert faults(["B-X", "I-X"], "IOB1") == [(0, "'B-X' follows the start: B- only parts two entities of one type "
                                                  "that touch")]
    assert faults(["A", "B"], "plain") == []


def test_the_codec_learns_tags_and_gives_them_back():
    cells = ["I-X O I-Y", ["I-X", "B-X"], None, 3]
    codec = codec_for(Column("tags", "tags", "target"), target=True).fit(cells)
    assert isinstance(codec, TagsCodec)
    assert (codec.scheme, codec.kinds) == ("IOB1", ["X", "Y"])
    assert codec.tags == ["O", "B-X", "B-Y", "I-X", "I-Y"]
    for cell in cells[:2]:
        numbers, _ = codec.encode(cell)
        assert codec.decode(numbers) == codec.parse(cell)
    assert codec.encode(None) == (None, None)
    with pytest.raises(CellError):
        codec.encode(3)
    assert codec.encode("O I-NEW")[0].tolist() == [0, -1]
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    assert again.to_json() == codec.to_json() and again.encode(cells[0])[0].tolist() == [1, 0, 2]
    field = codec.trim(codec.stack([codec.encode("O")[0], None, codec.encode("O O")[0]]))
    assert field["lengths"].tolist() == [1, 0, 2] and torch.equal(field["tags"][1], torch.tensor([-1, -1]))


def test_forbidden_steps_are_those_of_the_spelling():
    codec = TagsCodec().fit(["B-X I-X O B-Y"])
    forbidden = codec.forbidden()
    at = {tag: number for number, tag in enumerate(codec.tags)}
    assert forbidden[at["O"], at["I-X"]] and forbidden[at["B-Y"], at["I-X"]] and forbidden[-1, at["I-X"]]
    assert not forbidden[at["B-X"], at["I-X"]] and not forbidden[at["B-X"], -1] and not forbidden[-1, at["O"]]


def test_damaged_codecs_are_refused():
    good = TagsCodec().fit(["B-X O"]).to_json()
    for fitted in ({"scheme": "BIO", "tags": []}, {"scheme": "x", "tags": ["O"]}, {"scheme": "BIO", "tags": [1]}, {}):
        with pytest.raises(ArtifactError):
            codec_from_json({**good, "fitted": fitted})
    with pytest.raises(SchemaError, match="received none"):
        TagsCodec().fit([None])
    with pytest.raises(SchemaError, match="different tags"):
        TagsCodec().fit([[f"T{number}" for number in range(6000)]])
