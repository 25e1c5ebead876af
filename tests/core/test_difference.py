"""A difference in steps is that of `Graph.diff`, whatever happens between the steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.difference import Difference
from roomlog.core.graph import Graph


@st.composite
def histories(draw: st.DrawFn) -> tuple[Graph, int]:
    """A graph, and how many of its nodes are there at the beginning."""
    graph = Graph()
    count = draw(st.integers(1, 60))
    for lv in range(count):
        if lv and draw(st.booleans()):
            parents = [lv - 1]
        else:
            parents = draw(st.lists(st.integers(0, lv - 1), max_size=3, unique=True)) if lv else []
        add(graph, lv, graph.heads_of(parents))
    return graph, count


def add(graph: Graph, lv: int, parents: list[int]) -> None:
    graph.add(lv.to_bytes(32), bytes(32), lv + 1, [graph.id_of(parent) for parent in parents])


@given(history=histories(), data=st.data())
def test_a_difference_in_steps_is_the_difference(
    history: tuple[Graph, int], data: st.DataObject
) -> None:
    graph, count = history
    versions = st.lists(st.integers(0, count - 1), max_size=4)
    a, b = data.draw(versions), data.draw(versions)
    expected, _ = graph.diff(a, b)
    difference = Difference(graph, a, b)
    added = count
    while not difference.advance(data.draw(st.integers(1, 3))):
        assert not difference.is_complete
        # The log grows while somebody looks.
        add(graph, added, graph.frontier if added % 2 else [added - 1])
        added += 1
    assert difference.is_complete
    assert difference.ranges() == expected
    assert difference.advance(1)
    assert difference.ranges() == expected


def test_no_step_walks_more_chains_than_it_may() -> None:
    graph = Graph()
    add(graph, 0, [])
    # Two writers who never see each other's newest: every node is a chain of its own.
    for lv in range(1, 1_001):
        add(graph, lv, [max(0, lv - 2)])
    difference = Difference(graph, graph.frontier, [])
    steps = 0
    while not difference.advance(10):
        steps += 1
    assert steps >= 90
    assert difference.ranges() == [(0, 1_001)]


def test_what_is_shared_is_not_walked() -> None:
    graph = Graph()
    add(graph, 0, [])
    for lv in range(1, 1_001):
        add(graph, lv, [max(0, lv - 2)])
    difference = Difference(graph, graph.frontier, [999])
    assert difference.advance(4_000)
    assert Difference(graph, [], graph.frontier).advance(0)
    assert Difference(graph, graph.frontier, graph.frontier).advance(0)
