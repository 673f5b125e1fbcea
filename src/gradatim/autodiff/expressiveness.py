"""What nets of two layers can express, built by hand: no training, every weight has a reason.

Any truth table is a disjunction of conjunctions (DNF) and a conjunction of disjunctions (CNF); a threshold unit
computes one conjunction or one disjunction, so two layers suffice for any table. Any continuous function of one
number is a row of narrow bumps, and a bump is the difference of two steep sigmoids (Cybenko 1989 proves the general
case). A stack of linear layers is one linear layer, however deep.
What to notice: two layers suffice, but the number of units may explode: parity of n inputs needs 2ⁿ⁻¹ of them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradatim.errors import GradatimError
from gradatim.randomness import Key, generator

Numbers = NDArray[np.float64]
Term = tuple[int | None, ...]  # one entry an input: 1 as it is, 0 negated, None absent
MOST_INPUTS = 12


@dataclass(frozen=True)
class ThresholdNetwork:
    """h = [W x + b > 0], y = [v·h + c > 0]: W (units, inputs), b (units,), v (units,), c a number."""

    hidden_weights: Numbers
    hidden_biases: Numbers
    output_weights: Numbers
    output_bias: float

    def hidden(self, inputs: ArrayLike) -> Numbers:
        """What the hidden units say, 0 or 1: inputs (…, inputs) → (…, units)."""
        return np.asarray(np.asarray(inputs) @ self.hidden_weights.T + self.hidden_biases > 0, dtype=np.float64)

    def __call__(self, inputs: ArrayLike) -> NDArray[np.int64]:
        """The answer, 0 or 1: inputs (…, inputs) → (…)."""
        return np.asarray(self.hidden(inputs) @ self.output_weights + self.output_bias > 0, dtype=np.int64)

    @property
    def units(self) -> int:
        """How many hidden units there are."""
        return len(self.hidden_biases)


@dataclass(frozen=True)
class SigmoidNetwork:
    """y = v·σ(w x + b) + c for one number x: w, b, v (units,), c a number."""

    hidden_weights: Numbers
    hidden_biases: Numbers
    output_weights: Numbers
    output_bias: float = 0.0

    def __call__(self, x: Numbers) -> Numbers:
        """x of any shape → y of the same shape."""
        inner = np.asarray(x, dtype=np.float64)[..., None] * self.hidden_weights + self.hidden_biases
        sigmoid = 0.5 * (1.0 + np.tanh(0.5 * inner))  # the same function, and it cannot overflow
        return np.asarray(sigmoid @ self.output_weights + self.output_bias)


def all_inputs(count: int) -> NDArray[np.int64]:
    """The rows of a truth table, the first input changing slowest: shape (2^count, count).

    >>> all_inputs(2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.array([[row >> place & 1 for place in reversed(range(count))] for row in range(2**count)])


def disjunctive_network(table: Sequence[int], *, simplify: bool = False) -> ThresholdNetwork:
    """The truth table as an OR of ANDs: a hidden unit for each row that is true.

    table: 2ⁿ values 0 or 1 in the order of `all_inputs`. The unit of a term with k plain and m negated inputs has
    weights +1 and −1 and bias ½ − k: above 0 only where all literals hold. The output is above 0 when one unit is on.
    simplify: merge terms first (Quine 1952, McCluskey 1956), for fewer units. Raises GradatimError on another length.

    >>> disjunctive_network([0, 1, 1, 0])(all_inputs(2)).tolist()
    [0, 1, 1, 0]
    """
    values, inputs = checked(table)
    terms = terms_of(values, inputs, simplify=simplify)
    weights = np.array([[0.0 if bit is None else 2.0 * bit - 1.0 for bit in term] for term in terms])
    weights = weights.reshape(len(terms), inputs)
    return ThresholdNetwork(weights, 0.5 - (weights > 0).sum(axis=1), np.ones(len(terms)), -0.5)


def conjunctive_network(table: Sequence[int], *, simplify: bool = False) -> ThresholdNetwork:
    """The truth table as an AND of ORs: a hidden unit for each row that is false.

    By De Morgan's law: negate the table, take its terms, negate each unit (weights and bias change sign), and let the
    output ask for all of them.

    >>> conjunctive_network([0, 1, 1, 0])(all_inputs(2)).tolist()
    [0, 1, 1, 0]
    """
    values, _ = checked(table)
    opposite = disjunctive_network([1 - value for value in values], simplify=simplify)
    units = opposite.units
    return ThresholdNetwork(-opposite.hidden_weights, -opposite.hidden_biases, np.ones(units), 0.5 - units)


def formula(network: ThresholdNetwork) -> str:
    """The net read back as logic; a DNF's output fires from one unit on, a CNF's when all are on.

    >>> formula(disjunctive_network([0, 1, 1, 0])), formula(conjunctive_network([0, 1, 1, 0]))
    ('(¬x1 ∧ x2) ∨ (x1 ∧ ¬x2)', '(x1 ∨ x2) ∧ (¬x1 ∨ ¬x2)')
    """
    if not network.units:
        return "true" if network.output_bias > 0 else "false"
    disjunctive = network.output_bias == -0.5 and bool(
        np.all(network.hidden_biases == 0.5 - (network.hidden_weights > 0).sum(axis=1))
    )
    inner, outer = (" ∧ ", " ∨ ") if disjunctive else (" ∨ ", " ∧ ")
    parts = []
    for row in network.hidden_weights:
        literals = [f"{'' if weight > 0 else '¬'}x{place}" for place, weight in enumerate(row, 1) if weight]
        empty = "true" if disjunctive else "false"  # a term without literals holds always, a clause never
        parts.append(f"({inner.join(literals)})" if len(literals) > 1 else literals[0] if literals else empty)
    return outer.join(parts)


def checked(table: Sequence[int]) -> tuple[list[int], int]:
    """The table as integers and its number of inputs."""
    values = [int(value) for value in table]
    inputs = len(values).bit_length() - 1
    if len(values) != 2**inputs or inputs > MOST_INPUTS or not set(values) <= {0, 1}:
        raise GradatimError(
            f"truth table: expected 2ⁿ values 0 or 1 for n up to {MOST_INPUTS} inputs, received {len(values)} values"
            f" {values[:8]}{' …' if len(values) > 8 else ''}; write the last column of the table from the top"
        )
    return values, inputs


def terms_of(values: Sequence[int], inputs: int, *, simplify: bool) -> list[Term]:
    """Conjunctions whose disjunction is the table: one a true row, or the merged ones that cover them all."""
    rows = [tuple(map(int, row)) for row, value in zip(all_inputs(inputs), values) if value]
    if not simplify:
        return list(rows)
    waiting = set(rows)
    chosen: list[Term] = []
    primes = prime_implicants(rows)
    while waiting:  # the term that covers most of what is left; few tables need more than this greedy choice
        best = max(primes, key=lambda term: (sum(covers(term, row) for row in waiting), [bit or 0 for bit in term]))
        chosen.append(best)
        waiting = {row for row in waiting if not covers(best, row)}
    return chosen


def prime_implicants(rows: Sequence[Term]) -> list[Term]:
    """Terms that cannot be made shorter: two that differ in one literal merge, until none do.

    >>> prime_implicants([(0, 1), (1, 1)])
    [(None, 1)]
    """
    level, primes = set(rows), set[Term]()
    while level:
        merged, used = set[Term](), set[Term]()
        for term in level:
            for place, bit in enumerate(term):
                partner = (*term[:place], None if bit is None else 1 - bit, *term[place + 1 :])
                if bit is not None and partner in level:
                    merged.add((*term[:place], None, *term[place + 1 :]))
                    used.add(term)
        primes |= level - used
        level = merged
    return sorted(primes, key=str)


def covers(term: Term, row: Term) -> bool:
    """Whether the conjunction holds on this row."""
    return all(bit is None or bit == value for bit, value in zip(term, row))


def bump_network(
    function: Callable[[Numbers], Numbers], low: float, high: float, *, bumps: int, steepness: float = 60.0
) -> SigmoidNetwork:
    """A function on [low, high] as a row of bumps, two steep sigmoids each: 2·bumps hidden units, no training.

    A bump of height h over [l, r] is h·σ(k(x − l)) − h·σ(k(x − r)); its height is the function's value at its middle.
    With slope at most L the error is at most L·(r − l), and half of that away from the edges of the bumps.
    steepness: k times the width of a bump. Raises GradatimError unless bumps ≥ 1, low < high, steepness > 0.

    >>> network = bump_network(np.sin, 0.0, 3.0, bumps=100)
    >>> bool(abs(network(np.array(1.0)) - np.sin(1.0)) < 0.02)
    True
    """
    if bumps < 1 or not low < high or steepness <= 0:
        raise GradatimError(
            f"expected bumps ≥ 1, low < high and steepness > 0, received {bumps}, {low}, {high} and {steepness}"
        )
    width = (high - low) / bumps
    edges = low + width * np.arange(bumps + 1)
    heights = np.asarray(function((edges[:-1] + edges[1:]) / 2), dtype=np.float64)
    left, right = edges[:-1].copy(), edges[1:].copy()
    left[0], right[-1] = low - width, high + width  # the outer steps lie outside: no half-high bump at the ends
    slope = steepness / width
    positions = np.stack([left, right], axis=1).ravel()
    signs = np.stack([heights, -heights], axis=1).ravel()
    return SigmoidNetwork(np.full(2 * bumps, slope), -slope * positions, signs)


def collapse(layers: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """The one linear layer (W, b) that equals a stack of linear layers y = W x + b, the first layer first.

    W₂(W₁x + b₁) + b₂ = (W₂W₁)x + (W₂b₁ + b₂). The rank is at most the narrowest layer's width.

    >>> W, b = collapse([(np.array([[2.0]]), np.array([1.0])), (np.array([[3.0]]), np.array([4.0]))])
    >>> W.item(), b.item()
    (6.0, 7.0)
    """
    if not layers:
        raise GradatimError("expected at least one layer (weight, bias), received none")
    weight, bias = (np.asarray(part, dtype=np.float64) for part in layers[0])
    for number, (upper, shift) in enumerate(layers[1:], 2):
        if np.shape(upper)[1] != weight.shape[0]:
            raise GradatimError(
                f"layer {number}: expected {weight.shape[0]} inputs, as layer {number - 1} has outputs, "
                f"received a weight of shape {np.shape(upper)}"
            )
        weight, bias = upper @ weight, upper @ bias + shift
    return weight, bias


def endless_samples(
    function: Callable[[Numbers], Numbers], low: float, high: float, *, batch_size: int, noise: float = 0.0,
    key: Key = 0,
) -> Iterator[tuple[Numbers, Numbers]]:
    """Fresh samples for ever: x uniform in [low, high], y = function(x) plus normal noise; each (batch_size,).

    No sample comes twice, so there is nothing to learn by heart. noise: its standard deviation. Equal keys give equal
    streams.

    >>> x, y = next(endless_samples(np.square, 0.0, 1.0, batch_size=3))
    >>> bool(np.allclose(y, x**2)), x.shape
    (True, (3,))
    """
    random = generator(key, "endless")
    while True:
        x = random.uniform(low, high, size=batch_size)
        y = np.asarray(function(x), dtype=np.float64)
        yield x, y + noise * random.standard_normal(batch_size) if noise else y
