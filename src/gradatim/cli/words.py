"""`gradatim words`: vectors of words: learn them from texts, look at neighbours and analogies."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gradatim.cli.console import check_free, print_json, refuse_idle, say, show_table, silent

Repeated = Annotated[tuple[str, ...], Parameter(negative="")]
COUNT, WIDTH, WINDOW, EPOCHS, MIN_COUNT = 8, 100, 5, 5, 5
Flag = Annotated[bool, Parameter(negative="")]


def words(
    source: Path,
    *,
    column: str | None = None,
    near: Repeated = (),
    analogy: Repeated = (),
    count: int = COUNT,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    width: int = WIDTH,
    window: int = WINDOW,
    epochs: int = EPOCHS,
    min_count: int = MIN_COUNT,
    seed: int = 0,
    force: Flag = False,
    json: Flag = False,
    quiet: Flag = False,
) -> None:
    """Vectors of words, from a text file of vectors (GloVe, word2vec) or learned here from texts by word2vec.

    Parameters
    ----------
    source
        A file of vectors (.vec, or .txt whose lines end in numbers), or what to learn from: a text file, or a table
        with --column.
    column
        The column of texts of a table.
    near
        Show the nearest words to this one; repeat for more.
    analogy
        A,B,C: what is to C as B is to A, as man,king,woman; repeat for more.
    count
        How many words to show.
    output
        Write the vectors here, in word2vec's text format.
    width
        Numbers of a vector, when learned.
    window
        How far apart words may stand to count as neighbours.
    epochs
        Passes over the texts.
    min_count
        Rarer words get no vector.
    seed
        Same seed, same texts: same vectors.
    force
        Replace the output file when it exists.
    json
        Print JSON.
    quiet
        Say nothing but the answers and errors.
    """
    from gradatim.errors import GradatimError, shown

    check_free(output, force)
    refuse_idle("--near WORD or --analogy A,B,C to show them for", count=count != COUNT and not (near or analogy))
    speak = silent if quiet or json else say
    vectors = known_or_learned(source, column, speak, width=width, window=window, epochs=epochs, min_count=min_count,
                               seed=seed)
    if output is not None:
        vectors.save(output)
        speak(f"{len(vectors.words):,} vectors of {vectors.vectors.shape[1]} numbers: {output}")
    found: dict[str, Any] = {"words": len(vectors.words), "width": int(vectors.vectors.shape[1]), "near": {},
                             "analogies": {}}
    for word in near:
        found["near"][word] = vectors.nearest(word, count=count)
    for asked in analogy:
        parts = [part.strip() for part in asked.split(",")]
        if len(parts) != 3:
            raise GradatimError(f"--analogy: expected three words with commas between, received '{shown(asked)}'")
        found["analogies"][asked] = vectors.analogy(parts[0], parts[1], parts[2], count=count)
    if json:
        print_json(found)
        return
    for word, answer in found["near"].items():
        show_table(f"Nearest to {word}", ("word", "cosine"), [(other, f"{cosine:.3f}") for other, cosine in answer])
    for asked, answer in found["analogies"].items():
        first, second, third = asked.split(",")
        title = f"{second.strip()} is to {first.strip()} as … to {third.strip()}"
        show_table(title, ("word", "cosine"), [(other, f"{cosine:.3f}") for other, cosine in answer])
    if not near and not analogy and output is None:
        print(f"{len(vectors.words):,} words, {vectors.vectors.shape[1]} numbers each; look with --near WORD, keep "
              "with --output FILE")


def known_or_learned(source: Path, column: str | None, speak: Any, **options: Any) -> Any:
    """The vectors of a file, or those learned from its texts."""
    from gradatim.errors import DataError
    from gradatim.estimators.features.word2vec import Word2Vec
    from gradatim.estimators.features.word_vectors import is_vector_file, read_word_vectors

    if column is None and is_vector_file(source):
        usual = {"width": WIDTH, "window": WINDOW, "epochs": EPOCHS, "min_count": MIN_COUNT}
        refuse_idle(f"texts to learn from; {source} holds vectors already",
                    **{name: options[name] != value for name, value in usual.items()})
        return read_word_vectors(source)
    texts = texts_of(source, column)
    speak(f"{source}: learning from {len(texts):,} texts")
    try:
        return Word2Vec(**options).fit(texts).word_vectors()
    except ValueError as error:
        raise DataError(f"{source}: {error}; take more text, or a lower --min-count") from None


def texts_of(source: Path, column: str | None) -> list[str | None]:
    """The cells of a column, or the paragraphs of a text file."""
    from gradatim.data.readers import read_table
    from gradatim.errors import DataError

    table = read_table(source)
    names = table.frame.columns
    if column is None and len(names) == 1:
        column = names[0]
    if column is None or column not in names:
        raise DataError(f"{source}: expected --column with a column of texts among {', '.join(names[:10])}")
    return [None if cell is None else str(cell) for cell in table.cells(column)]
