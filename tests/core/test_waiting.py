"""The waiting place."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from roomlog.core import canonical
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.core.waiting import WaitingNodes
from tests.core.building import index_id, random_parents, raw_node


def nodes_of(parents: list[list[int]]) -> list[Node]:
    nodes: list[Node] = []
    for index, of_node in enumerate(parents):
        ids = sorted(nodes[parent].id for parent in of_node)
        nodes.append(raw_node(b"\x91\x92\x02\xa1k", clock=index, parents=ids))
    return nodes


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_arrival_comes_out_parents_first_and_whole(seed: int) -> None:
    source = random.Random(seed)
    nodes = nodes_of(random_parents(source, source.randint(1, 30)))
    arriving = [*nodes, *source.sample(nodes, len(nodes) // 3)]
    source.shuffle(arriving)
    waiting = WaitingNodes()
    known: dict[bytes, Node] = {}
    for node in arriving:
        if node.id in known:
            continue
        missing = [parent for parent in node.parents if parent not in known]
        if missing:
            assert waiting.add(node, missing)
            assert node.id in waiting
            continue
        accepted = [node]
        while accepted:
            each = accepted.pop()
            assert all(parent in known for parent in each.parents)
            known[each.id] = each
            assert each.id not in waiting
            accepted += waiting.resolve(each.id)
    assert set(known.values()) == set(nodes)
    assert len(waiting) == 0
    assert waiting.size_bytes == 0
    assert waiting.missing_ids() == []


def test_a_node_waits_for_each_of_its_parents() -> None:
    a, b, both = nodes_of([[], [], [0, 1]])
    waiting = WaitingNodes()
    assert waiting.add(both, [a.id, b.id])
    assert set(waiting.missing_ids()) == {a.id, b.id}
    assert waiting.resolve(b.id) == []
    assert waiting.resolve(b.id) == []
    assert waiting.resolve(a.id) == [both]
    assert waiting.resolve(index_id(3)) == []


def test_what_waits_here_itself_is_not_to_be_asked_for() -> None:
    a, b, c = nodes_of([[], [0], [1]])
    waiting = WaitingNodes()
    assert waiting.add(c, [b.id])
    assert waiting.missing_ids() == [b.id]
    assert waiting.add(b, [a.id])
    assert waiting.missing_ids() == [a.id]
    assert list(waiting) == [c, b]


def test_the_place_is_bounded_by_nodes_and_by_bytes() -> None:
    a, *others = nodes_of([[], [0], [0], [0]])
    by_nodes = WaitingNodes(max_nodes=2)
    assert [by_nodes.add(node, [a.id]) for node in others] == [True, True, False]
    assert by_nodes.add(others[0], [a.id])
    assert len(by_nodes) == 2
    by_nodes.resolve(a.id)
    assert by_nodes.add(others[2], [a.id])

    probe = WaitingNodes()
    probe.add(others[0], [a.id])
    by_bytes = WaitingNodes(max_bytes=2 * probe.size_bytes)
    assert [by_bytes.add(node, [a.id]) for node in others] == [True, True, False]
    bodiless = raw_node(None, parents=[a.id])
    assert by_bytes.resolve(a.id) == others[:2]
    assert by_bytes.add(bodiless, [a.id])
    assert by_bytes.size_bytes < probe.size_bytes


def test_a_refused_node_takes_its_descendants_with_it_and_nothing_else() -> None:
    parents: list[list[int]] = [[], [], [0], [0, 1], [2, 3], [1], [4, 5]]
    nodes = nodes_of(parents)
    waiting = WaitingNodes()
    for node in reversed(nodes[2:]):
        waiting.add(node, list(node.parents))
    dropped = waiting.drop_descendants(nodes[0].id)
    assert set(dropped) == {nodes[2], nodes[3], nodes[4], nodes[6]}
    assert len(dropped) == 4
    assert list(waiting) == [nodes[5]]
    assert waiting.missing_ids() == [nodes[1].id]
    assert waiting.resolve(nodes[1].id) == [nodes[5]]
    assert waiting.size_bytes == 0
    assert waiting.drop_descendants(nodes[0].id) == []


def test_a_cleared_place_is_empty() -> None:
    nodes = nodes_of([[], [0], [1]])
    waiting = WaitingNodes()
    for node in nodes[1:]:
        waiting.add(node, list(node.parents))
    waiting.clear()
    assert (len(waiting), waiting.size_bytes, waiting.missing_ids()) == (0, 0, [])
    assert waiting.resolve(nodes[0].id) == []


def test_a_node_that_misses_nothing_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="misses nothing"):
        WaitingNodes().add(raw_node(b""), [])


def test_what_waits_takes_about_the_memory_that_is_counted() -> None:
    source = random.Random(1)
    operations = [[2, "k"]] * 2000
    body = canonical.encode(operations)
    nodes = [
        change_of_bytes(body if index % 2 else b"\x91\x92\x02\xa1k", source) for index in range(200)
    ]
    waiting = WaitingNodes()
    replica = Replica("room", waiting=waiting)
    tracemalloc.start()
    try:
        result = replica.add_nodes(nodes, verify=False)
        del result
        memory_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(waiting) == 200
    assert memory_bytes < 1.5 * waiting.size_bytes


def change_of_bytes(body: bytes, source: random.Random) -> Node:
    """A node that lacks 64 parents which no other lacks."""
    return raw_node(body, parents=sorted(source.randbytes(32) for _ in range(64)))
