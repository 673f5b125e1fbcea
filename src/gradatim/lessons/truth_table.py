"""Any truth table by two layers of threshold units — and what depth saves.

A row that is true becomes a unit that fires on that row alone: weight +1 where the input is 1, −1 where it is 0,
and a threshold just under the number of ones. An OR over those units is the table (disjunctive normal form).
Dually, a unit for each false row forbids it and an AND joins them (conjunctive form). So two layers compute
everything — Boolean.

What to notice: the number of units. Parity (is the number of ones odd?) has no two neighbouring true rows, so
nothing can be merged and two layers need 2ⁿ⁻¹ hidden units. A chain of XORs, each of 3 units, needs 3(n − 1): a
deep net says in 33 units what a flat one says in 2,048.
Figure: all 256 tables of three inputs are right in both forms; parity of 12 inputs takes 2,048 units flat, 33 deep.
"""

from itertools import product

import numpy as np
from matplotlib.figure import Figure

from gradatim.autodiff.expressiveness import all_inputs, conjunctive_network, disjunctive_network, formula
from gradatim.lessons.catalogue import Result
from gradatim.lessons.picture import BLUE, ORANGE, label, paper, plain, style

MAJORITY = (0, 0, 0, 1, 0, 1, 1, 1)


def lesson(*, quick: bool = False) -> Result:
    """All tables of three inputs, and parity flat and deep (up to 8 inputs built when quick, else 12)."""
    rows = all_inputs(3)
    tables = list(product((0, 1), repeat=8))
    right = sum(
        np.array_equal(disjunctive_network(table)(rows), table)
        and np.array_equal(conjunctive_network(table)(rows), table)
        for table in tables
    )
    built = range(2, 9 if quick else 13)
    flat = {count: disjunctive_network(parity(count).tolist()) for count in built}
    wrong = sum(int((net(all_inputs(count)) != parity(count)).sum()) for count, net in flat.items())
    wrong += sum(int((chain(all_inputs(count)) != parity(count)).sum()) for count in built)
    short = disjunctive_network(MAJORITY, simplify=True)
    figures = {
        "tables of 3 inputs right in both forms": right,
        "wrong rows of parity, flat and deep": wrong,
        "units for parity of 8, two layers": flat[8].units,
        "units for parity of 8, a chain": 3 * 7,
        "units for parity of 12, two layers": 2**11,
        "units for parity of 12, a chain": 3 * 11,
        "units for the majority of 3, a unit a row": disjunctive_network(MAJORITY).units,
        "units for the majority of 3, merged": short.units,
    }
    text = (
        f"The majority of three is {formula(short)}: rows that differ in one input merge. Rows of parity never do: "
        f"{2**11:,} units in two layers for 12 inputs, {3 * 11} in a chain."
    )
    return Result({name: float(value) for name, value in figures.items()}, draw(), text)


def parity(count: int) -> np.ndarray:
    """The truth table of 'an odd number of ones'."""
    return np.asarray(all_inputs(count).sum(axis=1) % 2)


def chain(inputs: np.ndarray) -> np.ndarray:
    """Parity by XOR upon XOR, each a small threshold net: (rows, inputs) → (rows,)."""
    exclusive_or = disjunctive_network([0, 1, 1, 0])
    answer = inputs[:, 0]
    for column in inputs.T[1:]:
        answer = exclusive_or(np.stack([answer, column], axis=1))
    return answer


@style()
def draw() -> Figure:
    """Units against inputs, flat and deep."""
    figure = paper(5.6, 3.7)
    axes = figure.subplots()
    counts = np.arange(2, 13)
    axes.plot(counts, 2.0 ** (counts - 1), "o-", color=ORANGE, markersize=5)
    axes.plot(counts, 3.0 * (counts - 1), "o-", color=BLUE, markersize=5)
    axes.set(yscale="log", xlabel="inputs n", ylabel="threshold units", title="Parity: two layers against a chain")
    axes.set_xticks(counts)
    axes.set_ylim(1.5, 5000)
    plain(axes.yaxis)
    label(axes, 10, 2.0**9, "two layers: 2ⁿ⁻¹", ORANGE, dx=-8, dy=10, ha="right")
    label(axes, 10, 27, "a chain of XORs: 3(n − 1)", BLUE, dx=0, dy=-15, ha="center")
    return figure
