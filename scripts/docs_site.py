"""What the site needs of the documents besides what mkdocs does: links to source files become their names.

The pages lie beside the source, and their links lead to it; the site does not hold the source. Called by mkdocs
(`hooks` in mkdocs.yml).
"""

import re
from typing import Any

SOURCE_LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)+((?:src|tests|scripts|bench)/[^)#]+|[A-Z]+\.md)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with each link that leaves docs/ as its text and the path in the repository.

    >>> on_page_markdown("Read [the engine](../src/gradatim/autodiff/engine/tensor.py).")
    'Read the engine (`src/gradatim/autodiff/engine/tensor.py`).'
    """
    return SOURCE_LINK.sub(lambda found: f"{found[1]} (`{found[2]}`)", markdown)
