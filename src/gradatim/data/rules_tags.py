"""The rule that takes lists of texts for tokens and tags: as a target, or beside one where the task is tagging."""

import polars as pl

from gradatim.data.drafts import Draft, Request
from gradatim.data.evidence import Facts

TOKEN_NAMES = ("tokens", "words", "token", "word", "text", "sentence")


def tags(facts: Facts, draft: Draft, request: Request) -> None:
    """Lists of texts: tags where they are the target, tokens where their name says so and there is such a target."""
    listed = facts.cells.dtype == pl.List(pl.String)
    tagging = request.task == "tagging"
    if draft.role == "target" and draft.kind is None and (tagging or (listed and request.task is None)):
        draft.kind = "tags"
        draft.say("a list of tags, one for each token" if listed else "the task tagging asks for tags")
    elif (listed and draft.kind is None and draft.role in (None, "input") and facts.name.lower() in TOKEN_NAMES
          and (tagging or _beside_lists(request))):
        draft.kind, draft.role = "text", "input"
        draft.say("a list of tokens, which are tagged")


def _beside_lists(request: Request) -> bool:
    """Whether the user named a target and no task: lists of tokens are kept for the kind of that target to decide."""
    return request.task is None and "target" in request.roles.values()
