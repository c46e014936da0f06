import networkx as nx
import numpy as np
import pytest

from src.duplicates.union_find import find, unite


@pytest.mark.parametrize("seed", range(20))
def test_sets_are_the_connected_components_of_the_graph(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    edges = rng.integers(0, count, (rng.integers(0, count + 1), 2))
    parents = np.arange(count)
    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    for one, other in edges.tolist():
        joined = nx.has_path(graph, one, other)
        assert unite(parents, one, other) is not joined
        graph.add_edge(one, other)
    roots = find(parents, np.arange(count))
    for component in nx.connected_components(graph):
        assert {int(roots[thing]) for thing in component} == {min(component)}


def test_a_long_chain_is_one_set():
    parents = np.arange(1000)
    for thing in range(999, 0, -1):
        assert unite(parents, thing, thing - 1)
    assert find(parents, np.array([999, 500, 0])).tolist() == [0, 0, 0]
    assert not unite(parents, 3, 3)


def test_nothing_is_in_no_set():
    assert find(np.arange(0), np.arange(0)).tolist() == []
