"""The layered layout against networkx, scikit-learn and geometry."""

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from gradatim.autodiff.drawing.layout import layer_of_each, layered, separated

GRAPHS = st.lists(st.tuples(st.integers(0, 18), st.integers(0, 18)), max_size=40).map(
    lambda pairs: sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
)


def crossings_by_geometry(layout, edges) -> int:
    """Count pairs of straight pieces between the same two layers whose ends are in opposite order."""
    pieces = []
    for edge in edges:
        points = [layout.centres[edge[0]], *layout.bends[edge], layout.centres[edge[1]]]
        pieces += list(itertools.pairwise(points))
    return sum(
        1 for (a, b), (c, d) in itertools.combinations(pieces, 2)
        if a[0] == c[0] and b[0] == d[0] and (a[1] - c[1]) * (b[1] - d[1]) < -1e-9
    )


@settings(max_examples=60, deadline=None)
@given(GRAPHS, st.integers(0, 10))
def test_any_graph_is_laid_out_without_overlap(edges, seed):
    random = np.random.default_rng(seed)
    sizes = {n: (float(random.uniform(20, 90)), float(random.uniform(20, 60))) for n in range(19)}
    layout = layered(sizes, edges, gap=40, spacing=10)
    assert all(layout.layers[source] < layout.layers[target] for source, target in edges)
    graph = networkx.DiGraph(edges)
    longest = networkx.dag_longest_path_length(graph) if edges else 0
    assert max(layout.layers.values()) == longest
    for one, two in itertools.combinations(sizes, 2):
        if layout.layers[one] == layout.layers[two]:
            across = abs(layout.centres[one][1] - layout.centres[two][1])
            assert across >= (sizes[one][1] + sizes[two][1]) / 2 + 10 - 1e-6
        else:
            along = abs(layout.centres[one][0] - layout.centres[two][0])
            assert along >= (sizes[one][0] + sizes[two][0]) / 2 + 40 - 1e-6
    for n, (along, across) in layout.centres.items():
        assert along - sizes[n][0] / 2 >= -1e-6 and across - sizes[n][1] / 2 >= -1e-6
        assert along + sizes[n][0] / 2 <= layout.length + 1e-6 and across + sizes[n][1] / 2 <= layout.breadth + 1e-6
    assert crossings_by_geometry(layout, edges) == layout.crossings


def test_trees_and_ladders_are_drawn_without_a_crossing():
    tree = [(child, parent) for parent in range(8, 15) for child in ((parent - 8) * 2, (parent - 8) * 2 + 1)]
    sizes = dict.fromkeys(range(15), (30.0, 20.0))
    assert layered(sizes, tree).crossings == 0
    ladder = [(a, a + 2) for a in range(12)]
    assert layered(sizes, ladder).crossings == 0


def test_a_chain_is_straight_even_beside_its_inputs():
    edges = [(n, n + 1) for n in range(0, 18, 2)] + [(n + 1, n + 2) for n in range(0, 16, 2)]
    chain = [(0, 2), (2, 4), (4, 6), (6, 8), (1, 2), (3, 4), (5, 6), (7, 8)]
    layout = layered(dict.fromkeys(range(9), (30.0, 20.0)), chain)
    places = [layout.centres[n][1] for n in (2, 4, 6, 8)]
    assert max(places) - min(places) < 20.0
    straight = layered(dict.fromkeys(range(18), (30.0, 20.0)), edges)
    assert straight.breadth == pytest.approx(20.0)


def test_inputs_stand_beside_their_readers():
    assert layer_of_each(list(range(5)), [(0, 1), (1, 2), (2, 4), (3, 4)]) == {0: 0, 1: 1, 2: 2, 3: 2, 4: 3}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 10), st.floats(0, 30)), min_size=1, max_size=12))
def test_separation_is_the_least_squares_solution(rows):
    wanted, weights = [row[0] for row in rows], [row[1] for row in rows]
    apart = [row[2] for row in rows[1:]]
    shifts = np.concatenate([[0.0], np.cumsum(apart)])
    places = np.arange(len(rows))
    fitted = IsotonicRegression().fit(places, np.array(wanted) - shifts, weights)
    expected = fitted.predict(places) + shifts
    np.testing.assert_allclose(separated(wanted, weights, apart), expected, atol=1e-8)
