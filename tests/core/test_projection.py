"""The projection on one key against brute force."""

from __future__ import annotations

import random

import pytest

from roomlog.core.graph import Graph
from roomlog.core.projection import KeyProjection
from tests.core.building import ancestor_sets, index_id, maximal, random_parents


@pytest.mark.parametrize("seed", range(150))
def test_parents_and_heads_are_those_of_brute_force(seed: int) -> None:
    source = random.Random(seed)
    parents = random_parents(source, source.randint(1, 80))
    sets = ancestor_sets(parents)
    density = source.random()
    graph = Graph()
    projection = KeyProjection()
    touched: set[int] = set()
    for lv, of_node in enumerate(parents):
        graph.add(index_id(lv), b"a", lv, [index_id(parent) for parent in of_node])
        if source.random() < 0.7:
            wanted = maximal((sets[lv] - {lv}) & touched, sets)
            assert projection.parents(graph, lv) == wanted
        version = [source.randrange(lv + 1) for _ in range(source.randint(0, 3))]
        history = set().union(*[sets[head] for head in version])
        assert projection.below(graph, version) == maximal(history & touched, sets)
        if source.random() < density:
            if seed % 2:
                wanted = maximal((sets[lv] - {lv}) & touched, sets)
                assert projection.touch(graph, lv) == wanted
            else:
                projection.add(graph, lv)
            touched.add(lv)
        assert projection.heads == maximal(touched, sets)
        assert len(projection) == len(touched)


def two_chains(length: int) -> list[list[int]]:
    """A root that a third author wrote, then two chains arriving in turns."""
    parents: list[list[int]] = [[], [0], [0], [0]]
    while len(parents) < length:
        parents.append([len(parents) - 2])
    return parents


def test_traffic_on_other_keys_never_makes_a_quiet_key_concurrent() -> None:
    graph = Graph()
    projection = KeyProjection()
    parents = two_chains(400)
    for lv, of_node in enumerate(parents):
        graph.add(index_id(lv), b"a", lv, [index_id(parent) for parent in of_node])
        if lv in (0, 3):
            projection.add(graph, lv)
    # The chain of even nodes never saw node 3; that of odd ones did.
    assert projection.parents(graph, 398) == [0]
    assert projection.parents(graph, 399) == [3]
    assert projection.below(graph, [398, 399]) == [3]
    assert projection.below(graph, [398, 0]) == [0]


def test_what_is_returned_is_the_callers_own() -> None:
    graph = Graph()
    projection = KeyProjection()
    graph.add(index_id(0), b"a", 0, [])
    projection.add(graph, 0)
    graph.add(index_id(1), b"a", 1, [index_id(0)])
    projection.parents(graph, 1).append(99)
    projection.heads.append(99)
    projection.add(graph, 1)
    assert projection.heads == [1]


def test_touching_nodes_are_added_in_order_of_arrival() -> None:
    graph = Graph()
    projection = KeyProjection()
    for lv in range(2):
        graph.add(index_id(lv), b"a", lv, [])
    projection.add(graph, 1)
    for lv in (0, 1):
        with pytest.raises(ValueError, match="ascending"):
            projection.add(graph, lv)


def test_a_reader_who_merges_again_and_again_builds_on_the_newest_touch_alone() -> None:
    graph = Graph()
    projection = KeyProjection()

    def add(*parents: int) -> int:
        lv = len(graph)
        return graph.add(index_id(lv), b"a", lv, [index_id(parent) for parent in parents])

    root = add()
    stranger = add(root)
    projection.add(graph, stranger)
    writer = reader = root
    for _ in range(100):
        writer = add(writer)
        projection.add(graph, writer)
        reader = add(reader, writer)
    assert projection.heads == [stranger, writer]
    assert projection.below(graph, [reader]) == [writer]
    assert projection.below(graph, [reader, stranger]) == [stranger, writer]
