"""Where the nodes of a directed graph without cycles stand in a picture: a layered layout.

Sugiyama, Tagawa & Toda, "Methods for Visual Understanding of Hierarchical System Structures", 1981, in four steps:
each node gets a layer (longest path from the inputs); an edge over several layers gets a bend in each; the order within
a layer follows the barycentre of the neighbours until edges cross little; coordinates are the least-squares solution of
"near your neighbours, but not on top of each other". Layers are counted along the flow, ranks across it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]
SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Centre of each node as (along the flow, across it), the bends of each edge likewise, and the size of it all."""

    centres: dict[int, tuple[float, float]]
    bends: dict[Edge, list[tuple[float, float]]]
    layers: dict[int, int]
    length: float
    breadth: float
    crossings: int


@dataclass(slots=True)
class _Point:
    """A node, or the bend of a long edge in one layer."""

    layer: int
    size: float  # across the flow
    before: list[int]
    after: list[int]
    bend: bool = False


def layered(
    sizes: Mapping[int, tuple[float, float]], edges: Sequence[Edge], *, gap: float = 60.0, spacing: float = 16.0
) -> Layout:
    """The layout of a graph whose node numbers grow along its edges.

    sizes: node → (extent along the flow, extent across it); gap: room between layers; spacing: between neighbours in a
    layer. An edge that is named twice counts once.

    >>> layered({0: (10, 10), 1: (10, 10)}, [(0, 1)]).layers
    {0: 0, 1: 1}
    """
    edges = list(dict.fromkeys(edges))
    layers = layer_of_each(list(sizes), edges)
    points, chains = _with_bends(sizes, edges, layers)
    order = _ordered(points)
    across = _across(points, order, spacing)
    depth = max(layers.values(), default=-1) + 1
    thick = [max((sizes[n][0] for n in sizes if layers[n] == layer), default=0.0) for layer in range(depth)]
    along, place = [], 0.0
    for layer in range(depth):
        along.append(place + thick[layer] / 2)
        place += thick[layer] + gap
    low = min((across[n] - points[n].size / 2 for n in points), default=0.0)
    high = max((across[n] + points[n].size / 2 for n in points), default=0.0)
    at = {n: (along[point.layer], across[n] - low) for n, point in points.items()}
    return Layout(
        {n: at[n] for n in sizes}, {edge: [at[n] for n in chains[edge]] for edge in edges}, layers,
        max(place - gap, 0.0), high - low, crossing_count(points, order),
    )


def layer_of_each(nodes: Sequence[int], edges: Sequence[Edge]) -> dict[int, int]:
    """Node → layer: the longest path from the inputs, then each node as near to its readers as its own inputs allow.

    >>> layer_of_each([0, 1, 2, 3], [(0, 2), (2, 3), (1, 3)])
    {0: 0, 1: 1, 2: 1, 3: 2}
    """
    before: dict[int, list[int]] = {n: [] for n in nodes}
    after: dict[int, list[int]] = {n: [] for n in nodes}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    layers: dict[int, int] = {}
    for node in sorted(nodes):
        layers[node] = max((layers[parent] + 1 for parent in before[node]), default=0)
    for node in sorted(nodes, reverse=True):
        drags = sum(1 for parent in before[node] if before[parent])  # leaves follow by themselves
        if after[node] and len(after[node]) >= drags:
            layers[node] = min(layers[reader] for reader in after[node]) - 1
    return layers


def _with_bends(
    sizes: Mapping[int, tuple[float, float]], edges: Sequence[Edge], layers: Mapping[int, int]
) -> tuple[dict[int, _Point], dict[Edge, list[int]]]:
    points = {n: _Point(layers[n], sizes[n][1], [], []) for n in sizes}
    chains: dict[Edge, list[int]] = {}
    fresh = max(sizes, default=0) + 1
    for source, target in edges:
        chain, last = [], source
        for layer in range(layers[source] + 1, layers[target]):
            points[fresh] = _Point(layer, 2.0, [last], [], bend=True)
            points[last].after.append(fresh)
            chain.append(fresh)
            last, fresh = fresh, fresh + 1
        points[last].after.append(target)
        points[target].before.append(last)
        chains[source, target] = chain
    return points, chains


def _ordered(points: Mapping[int, _Point]) -> list[list[int]]:
    """The points of each layer in order, with the fewest crossings that the sweeps have met."""
    depth = max((point.layer for point in points.values()), default=-1) + 1
    order: list[list[int]] = [[] for _ in range(depth)]
    seen: set[int] = set()
    ends = [n for n, point in points.items() if not point.after]
    stack = sorted(ends, reverse=True)
    while stack:  # from the result back to the inputs, so that the inputs of one node start side by side
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        order[points[node].layer].append(node)
        stack.extend(reversed(points[node].before))
    best, fewest = [list(layer) for layer in order], crossing_count(points, order)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        forward = sweep % 2 == 0
        for layer in range(1, depth) if forward else range(depth - 2, -1, -1):
            rank = {n: i for i, n in enumerate(order[layer - 1 if forward else layer + 1])}
            order[layer] = _by_barycentre(points, order[layer], rank, forward)
        _swap_neighbours(points, order)
        count = crossing_count(points, order)
        if count < fewest:
            best, fewest = [list(layer) for layer in order], count
    return best


def _by_barycentre(points: Mapping[int, _Point], layer: list[int], rank: Mapping[int, int], forward: bool) -> list[int]:
    """The layer sorted by the mean rank of each point's neighbours; those without any keep their place."""
    wanted = {}
    for place, node in enumerate(layer):
        near = points[node].before if forward else points[node].after
        wanted[node] = sum(rank[n] for n in near) / len(near) if near else float(place)
    return sorted(layer, key=wanted.__getitem__)


def _swap_neighbours(points: Mapping[int, _Point], order: list[list[int]]) -> None:
    """Exchange neighbours in a layer while that takes crossings away."""
    for layer, nodes in enumerate(order):
        rank_before = {n: i for i, n in enumerate(order[layer - 1])} if layer else {}
        rank_after = {n: i for i, n in enumerate(order[layer + 1])} if layer + 1 < len(order) else {}
        better = True
        rounds = 0
        while better and rounds < 8:
            better, rounds = False, rounds + 1
            for place in range(len(nodes) - 1):
                one, two = points[nodes[place]], points[nodes[place + 1]]
                pairs = [(one.before, two.before, rank_before), (one.after, two.after, rank_after)]
                now = sum(_crossed(first, second, rank) for first, second, rank in pairs)
                then = sum(_crossed(second, first, rank) for first, second, rank in pairs)
                if then < now:
                    nodes[place], nodes[place + 1] = nodes[place + 1], nodes[place]
                    better = True


def _crossed(first: Sequence[int], second: Sequence[int], rank: Mapping[int, int]) -> int:
    return sum(rank[a] > rank[b] for a in first for b in second)


def crossing_count(points: Mapping[int, _Point], order: Sequence[Sequence[int]]) -> int:
    """How many pairs of edges between neighbouring layers cross, by inversions."""
    total = 0
    for layer, nodes in enumerate(order[:-1]):
        rank = {n: i for i, n in enumerate(order[layer + 1])}
        ends = [end for node in nodes for end in sorted(rank[n] for n in points[node].after)]
        seen: list[int] = []
        for end in ends:
            total += sum(1 for other in seen if other > end)
            seen.append(end)
    return total


def _across(points: Mapping[int, _Point], order: Sequence[Sequence[int]], spacing: float) -> dict[int, float]:
    """Coordinate of each point across the flow: near the mean of its neighbours, long edges straight."""
    place: dict[int, float] = {}
    for nodes in order:
        here = 0.0
        for node in nodes:
            place[node] = here + points[node].size / 2
            here += points[node].size + spacing
        for node in nodes:
            place[node] -= here / 2
    for sweep in range(2 * SWEEPS):
        forward, late = sweep % 2 == 0, sweep >= SWEEPS  # first by one side, which straightens chains; then by both
        for nodes in order if forward else reversed(order):
            wanted, weights = [], []
            for node in nodes:
                point = points[node]
                near = [*(point.before if forward or late else ()), *(point.after if late or not forward else ())]
                pulls = [_pull(points, node, n) for n in near]
                total = sum(pulls)
                wanted.append(sum(p * place[n] for p, n in zip(pulls, near)) / total if total else place[node])
                weights.append(total or 0.1)
            apart = [(points[a].size + points[b].size) / 2 + spacing for a, b in pairwise(nodes)]
            for node, value in zip(nodes, separated(wanted, weights, apart)):
                place[node] = value
    return place


def _pull(points: Mapping[int, _Point], node: int, other: int) -> float:
    """How strongly two neighbours want to be level: bends most, an input of one reader least, since it can follow."""
    bends = points[node].bend + points[other].bend
    if bends:
        return 8.0 if bends == 2 else 2.0
    follows = any(not points[n].before and len(points[n].after) == 1 for n in (node, other))
    return 0.05 if follows else 1.0


def separated(wanted: Sequence[float], weights: Sequence[float], apart: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones, in weighted least squares, with x[i+1] − x[i] ≥ apart[i].

    Less the running sum of `apart` this is isotonic regression, solved exactly by pooling adjacent violators.

    >>> separated([0, 0], [1, 1], [10])
    [-5.0, 5.0]
    """
    shifts = [0.0]
    for distance in apart:
        shifts.append(shifts[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for want, weight, shift in zip(wanted, weights, shifts):
        mean, mass, count = float(want) - shift, float(weight), 1
        while pools and pools[-1][0] > mean:
            other, other_mass, other_count = pools.pop()
            mean = (mean * mass + other * other_mass) / (mass + other_mass)
            mass, count = mass + other_mass, count + other_count
        pools.append((mean, mass, count))
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + shift for mean, shift in zip(means, shifts)]
