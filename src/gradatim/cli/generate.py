"""`gradatim generate`: text from a fitted language model, as it is made."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gradatim.cli.console import print_json, visible


def generate(
    run: Path,
    *,
    prompt: str = "",
    strategy: str = "sample",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    beams: int = 4,
    length_penalty: float = 0.6,
    tokens: int = 200,
    count: int = 1,
    seed: int = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Continue a prompt with a language model; a single text is written as it is made. Equal seeds give equal texts.

    Parameters
    ----------
    run
        The folder of a run of `gradatim fit --task language-model`.
    prompt
        What the text begins with.
    strategy
        sample (draw by probability), greedy (always the likeliest token) or beam (search for the likeliest text).
    temperature
        Of sampling: under 1 bolder in the likely, over 1 freer.
    top_k
        Draw from this many of the likeliest tokens alone.
    top_p
        Draw from the likeliest tokens that together have this probability alone.
    beams
        Beginnings that the search keeps.
    length_penalty
        Of the search: 0 prefers short texts, 1 weighs by length.
    tokens
        Most tokens of a text.
    count
        How many texts.
    seed
        Of the drawing.
    json
        Print the texts as JSON with their log-probabilities.
    """
    import sys

    from gradatim.data.encoding import without_lone_surrogates
    from gradatim.run import load
    from gradatim.tasks.generate import Manner
    from gradatim.tasks.generate import generate as generate_texts

    manner = Manner(strategy=strategy, temperature=temperature, top_k=top_k, top_p=top_p, beams=beams,
                    length_penalty=length_penalty, tokens=tokens, count=count, seed=seed)
    ensemble = load(run).artifact.ensemble
    prompt = without_lone_surrogates(prompt)
    streamed = not json and count == 1 and strategy != "beam"

    def heard(row: int, text: str) -> None:
        sys.stdout.write(visible(text))
        sys.stdout.flush()

    if streamed:
        sys.stdout.write(visible(prompt))
    texts = generate_texts(ensemble, prompt, manner, heard=heard if streamed else None)
    if json:
        print_json([{"text": prompt + one.text, "log_probability": one.log_probability, "tokens": one.tokens,
                     "ended": one.ended} for one in texts])
    elif streamed:
        print()
    else:
        print("\n%\n".join(visible(prompt + one.text) for one in texts))
