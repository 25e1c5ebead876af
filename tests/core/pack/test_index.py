"""A graph built from stored headers is the one built from the nodes themselves."""

from __future__ import annotations

import random

import pytest

from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import Layout, PackBlocks, encode_pack
from roomlog.core.pack.index import add_headers
from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity

HASHER = NodeHasher(b"l" * 32)
AUTHORS = [Identity.from_seed(bytes([number]) * 32) for number in range(3)]
LAYOUTS = pytest.mark.parametrize("layout", list(Layout))


def history(seed: int, count: int) -> list[Node]:
    """A branching history in topological order."""
    chosen = random.Random(seed)
    nodes: list[Node] = []
    for clock in range(1, count + 1):
        known = min(len(nodes), chosen.choice([1, 1, 1, 2, 3]))
        parents = [node.id for node in chosen.sample(nodes[-6:], min(known, len(nodes[-6:])))]
        is_merge = len(parents) > 1 and chosen.random() < 0.5
        nodes.append(
            make_node(
                HASHER,
                chosen.choice(AUTHORS),
                MERGE if is_merge else CHANGE,
                clock * 5000,
                parents,
                [] if is_merge else [MapSet("k", clock)],
            )
        )
    return nodes


def head_of(pack: bytes) -> bytes:
    blocks = PackBlocks.parse(pack)
    behind = len(blocks.signatures or b"") + len(blocks.bodies or b"") + len(blocks.hashes or b"")
    return pack[: len(pack) - behind]


def ids_of(nodes: list[Node]) -> bytes:
    return b"".join(node.id for node in nodes)


def facts(graph: Graph) -> list[object]:
    return [
        (graph.id_of(lv), graph.author_of(lv), graph.clock_of(lv), graph.parents_of(lv))
        for lv in range(len(graph))
    ]


@LAYOUTS
@pytest.mark.parametrize("seed", range(8))
def test_headers_and_ids_alone_give_the_same_graph(layout: Layout, seed: int) -> None:
    nodes = history(seed, 60)
    expected, indexed = Graph(), Graph()
    for node in nodes:
        expected.add(node.id, node.author, node.clock, node.parents)
    start = 0
    while start < len(nodes):
        end = start + random.Random(seed + start).choice([1, 1, 2, 17])
        part = nodes[start:end]
        pack = encode_pack(part, layout=layout)
        assert add_headers(indexed, head_of(pack), ids_of(part)) == len(part)
        start = end
    assert facts(indexed) == facts(expected)
    assert indexed.frontier == expected.frontier


@LAYOUTS
@pytest.mark.parametrize("bodies", [True, False])
def test_the_blocks_behind_the_headers_do_not_matter(layout: Layout, bodies: bool) -> None:
    nodes = history(1, 5)
    pack = encode_pack(nodes, signatures=False, bodies=bodies, layout=layout)
    graph = Graph()
    assert add_headers(graph, head_of(pack), ids_of(nodes)) == 5


@LAYOUTS
def test_heads_that_do_not_belong_to_their_ids_are_refused(layout: Layout) -> None:
    nodes = history(2, 5)
    head, ids = head_of(encode_pack(nodes, layout=layout)), ids_of(nodes)
    for wrong_head, wrong_ids in (
        (head, ids[:-32]),
        (head, ids + ids[:32]),
        (head[:-1], ids),
        (head + b"\0", ids),
        (b"\x02" + head[1:], ids),
        (b"\x01", ids),
        (b"", ids),
    ):
        with pytest.raises(Reject) as refused:
            add_headers(Graph(), wrong_head, wrong_ids)
        assert refused.value.reject_class is RejectClass.INVALID_FIELD


@LAYOUTS
def test_an_unknown_parent_is_a_key_error(layout: Layout) -> None:
    nodes = history(3, 4)
    pack = encode_pack(nodes[1:], layout=layout)
    with pytest.raises(KeyError):
        add_headers(Graph(), head_of(pack), ids_of(nodes[1:]))
