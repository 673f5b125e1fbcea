"""Which columns of a table hold the tokens and the tags, and their cells as text."""

import polars as pl

from gradatim.data.conll import TAGS, TOKENS
from gradatim.data.schema import Schema
from gradatim.data.table import Table
from gradatim.data.token_lists import parse_tokens, write_tokens
from gradatim.errors import CellError, SchemaError

TOKEN_NAMES = (TOKENS, "words", "token", "word", "text", "sentence")
TARGET_NAMES = (TAGS, "ner_tags", "ner", "labels", "upos", "pos")


def column_of_tags(schema: Schema) -> str:
    """The column that holds a tag a token. Errors: SchemaError where there is none."""
    if len(schema.targets) == 1:
        return schema.targets[0].name
    names = {column.name.lower(): column.name for column in schema.columns}
    found = next((names[name] for name in TARGET_NAMES if name in names), None)
    if found is None:
        raise SchemaError(f"--task tagging: expected a column of tags, found none among {', '.join(names.values())}; "
                          "name it with --target")
    return found


def column_of_tokens(table: Table, schema: Schema, target: str) -> str:
    """The column that is tagged. Errors: SchemaError where it cannot be told."""
    others = [column.name for column in schema.columns if column.name != target]
    lowered = {name.lower(): name for name in others}
    found = next((lowered[name] for name in TOKEN_NAMES if name in lowered), None)
    if found is None:
        texts = [c.name for c in schema.inputs if c.name != target and c.kind == "text"]
        lists = [name for name in others if table.frame.schema.get(name) == pl.List(pl.String)]
        if len({*texts, *lists}) != 1:
            raise SchemaError(f"--task tagging: expected a column of tokens, received {', '.join(others) or 'none'}; "
                              f"call it '{TOKENS}'")
        found = (texts + lists)[0]
    return found


def written(cell: object) -> str | None:
    """The cell as text that the codecs read; what cannot be read stays as it is, to be listed with its line."""
    try:
        entries = parse_tokens(cell)
    except CellError:
        return str(cell)
    return None if entries is None else write_tokens(entries)
