"""The graph against brute force."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from roomlog.core.graph import Graph
from tests.core.building import ancestor_sets, index_id, maximal, random_parents


def build(parents: Sequence[Sequence[int]]) -> Graph:
    graph = Graph()
    for index, of_node in enumerate(parents):
        lv = graph.add(
            index_id(index), bytes([index % 3]), index, [index_id(parent) for parent in of_node]
        )
        assert lv == index
    return graph


def lvs_of(ranges: Sequence[tuple[int, int]]) -> list[int]:
    return [lv for start, end in ranges for lv in range(start, end)]


@pytest.mark.parametrize("seed", range(150))
def test_every_question_is_answered_as_by_brute_force(seed: int) -> None:
    source = random.Random(seed)
    parents = random_parents(source, source.randint(1, 40))
    sets = ancestor_sets(parents)
    graph = build(parents)
    count = len(parents)
    assert len(graph) == count
    assert graph.frontier == maximal(set(range(count)), sets)
    assert graph.frontier_ids() == sorted(index_id(lv) for lv in graph.frontier)
    for lv in range(count):
        assert graph.parents_of(lv) == tuple(parents[lv])
        assert graph.index_of(index_id(lv)) == lv
        assert graph.id_of(lv) == index_id(lv)
        assert graph.clock_of(lv) == lv
        assert graph.author_of(lv) == bytes([lv % 3])
        start, end, of_start = graph.entry_of(lv)
        assert start <= lv < end
        assert of_start == tuple(parents[start])
        assert all(parents[inner] == [inner - 1] for inner in range(start + 1, end))
        assert end == count or parents[end] != [end - 1]
        for other in range(count):
            assert graph.is_ancestor(other, lv) is (other in sets[lv])
    for _ in range(40):
        a, b = versions(source, count)
        all_a = set().union(*[sets[lv] for lv in a])
        all_b = set().union(*[sets[lv] for lv in b])
        only_a, only_b = graph.diff(a, b)
        assert lvs_of(only_a) == sorted(all_a - all_b)
        assert lvs_of(only_b) == sorted(all_b - all_a)
        assert lvs_of(graph.ancestors(a)) == sorted(all_a)
        assert graph.heads_of(a) == maximal(set(a), sets)
        lv = source.randrange(count)
        assert graph.contains(a, lv) is (lv in all_a)
        walked = graph.contains_within(a, lv, source.randint(0, 3))
        assert walked == -1 or (walked == 1) is (lv in all_a)


def versions(source: random.Random, count: int) -> tuple[list[int], list[int]]:
    """Two versions, not reduced, with nodes in common now and then."""
    a = [source.randrange(count) for _ in range(source.randint(0, 4))]
    b = [source.randrange(count) for _ in range(source.randint(0, 4))]
    if a and source.random() < 0.3:
        b.append(a[0])
    return a, b


@pytest.mark.parametrize("count", [1, 300])
def test_a_linear_history_is_one_entry(count: int) -> None:
    graph = build([[], *[[index - 1] for index in range(1, count)]])
    assert graph.entry_of(0) == (0, count, ())
    assert graph.diff([count - 1], []) == ([(0, count)], [])
    assert graph.frontier == [count - 1]


def test_t62_many_heads_are_many_heads() -> None:
    graph = build([[], *[[0] for _ in range(1100)]])
    assert graph.frontier == list(range(1, 1101))
    assert graph.heads_of(range(1101)) == list(range(1, 1101))
    graph.add(index_id(5000), b"a", 1, graph.frontier_ids())
    assert graph.frontier == [1101]
    assert graph.is_ancestor(7, 1101)


def test_long_branches_are_walked_by_entry() -> None:
    # Two chains that arrive in turns never share an entry; merges tie them.
    parents: list[list[int]] = [[], [0], [0]]
    for index in range(3, 2001):
        parents.append([index - 2])
    parents.append([1999, 2000])
    graph = build(parents)
    assert not graph.is_ancestor(1, 2000)
    assert graph.is_ancestor(1, 1999)
    assert graph.contains_within([2000], 1, 5) == -1
    assert graph.diff([1999], [2000])[0][:2] == [(1, 2), (3, 4)]
    assert graph.heads_of([1999, 2000, 2001]) == [2001]


def test_the_frontier_is_a_copy() -> None:
    graph = build([[]])
    graph.frontier.append(7)
    assert graph.frontier == [0]


def test_a_node_that_is_known_already_keeps_its_place() -> None:
    graph = build([[], [0], [0]])
    assert graph.add(index_id(1), b"x", 9, [index_id(0)]) == 1
    assert graph.add(index_id(2), b"x", 9, [index_id(0)]) == 2
    assert graph.add(index_id(0), b"x", 9, [index_id(2)]) == 0
    assert len(graph) == 3
    assert graph.frontier == [1, 2]
    assert index_id(1) in graph
    assert index_id(9) not in graph
    assert graph.index_of(index_id(9)) == -1


def test_an_unknown_parent_is_the_callers_error_and_changes_nothing() -> None:
    graph = build([[], [0]])
    with pytest.raises(KeyError):
        graph.add(index_id(2), b"x", 1, [index_id(1), index_id(77)])
    assert len(graph) == 2
    assert graph.frontier == [1]
    assert graph.add(index_id(2), b"x", 1, [index_id(0)]) == 2
    assert graph.frontier == [1, 2]


def test_t15_any_clock_is_taken_when_history_is_replayed() -> None:
    graph = Graph()
    graph.add(index_id(0), b"a", (1 << 53) - (1 << 32) - 1, [])
    graph.add(index_id(1), b"a", 0, [])
    assert [graph.clock_of(lv) for lv in (0, 1)] == [(1 << 53) - (1 << 32) - 1, 0]
