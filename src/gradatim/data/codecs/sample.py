"""A fixed choice of cells to measure a codec on."""

from collections.abc import Sequence

from gradatim.randomness import generator


def sample_of(cells: Sequence[object], count: int) -> list[object]:
    """At most `count` filled cells, chosen at random but always the same ones of equally many, in their order.

    >>> sample_of(["a", None, "b"], 5)
    ['a', 'b']
    """
    filled = [cell for cell in cells if cell is not None]
    if len(filled) <= count:
        return filled
    chosen = generator("codec sample", len(filled)).choice(len(filled), count, replace=False)
    return [filled[index] for index in sorted(chosen)]
