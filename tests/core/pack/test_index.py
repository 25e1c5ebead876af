"""A graph from stored headers is the graph of the nodes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomlog.core.graph import Graph
from roomlog.core.node import Node
from roomlog.core.pack import Layout, PackBlocks, encode_pack
from roomlog.core.pack.index import add_headers
from roomlog.core.reject import Reject
from tests.core.building import change, node_lists

STRANGER = bytes(range(32))


def head_of(pack: bytes) -> bytes:
    """The frame and the headers block."""
    blocks = PackBlocks.parse(pack)
    return pack[: pack.index(blocks.headers) + len(blocks.headers)]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    node_lists(min_size=1, hostile=False),
    st.sampled_from(list(Layout)),
    st.booleans(),
    st.booleans(),
)
def test_headers_and_ids_are_enough_for_the_graph(
    nodes: list[Node], layout: Layout, signatures: bool, bodies: bool
) -> None:
    whole, stored = Graph(), Graph()
    for graph in (whole, stored):
        graph.add(STRANGER, b"s" * 32, 0, [])
    unique = list({node.id: node for node in nodes}.values())
    for node in unique:
        whole.add(node.id, node.author, node.clock, node.parents)
    pack = encode_pack(unique, signatures=signatures, bodies=bodies, layout=layout)
    ids = b"".join(node.id for node in unique)
    assert add_headers(stored, head_of(pack), ids) == len(unique)
    assert len(stored) == len(whole)
    assert stored.frontier == whole.frontier
    for lv in range(len(whole)):
        assert stored.id_of(lv) == whole.id_of(lv)
        assert stored.parents_of(lv) == whole.parents_of(lv)
        assert stored.clock_of(lv) == whole.clock_of(lv)
        assert stored.author_of(lv) == whole.author_of(lv)


@pytest.mark.parametrize("layout", list(Layout))
def test_what_does_not_belong_together_is_refused(layout: Layout) -> None:
    nodes = [change()]
    nodes.append(change(parents=nodes))
    head = head_of(encode_pack(nodes, layout=layout))
    ids = nodes[0].id + nodes[1].id
    for bad_head, bad_ids in [
        (b"", b""),
        (b"\x02" + head[1:], ids),
        (head, ids[:32]),
        (head, ids + ids),
        (head[:-1], ids),
        (head + b"\0", ids),
    ]:
        with pytest.raises(Reject):
            add_headers(Graph(), bad_head, bad_ids)


def test_an_unknown_parent_is_a_key_error() -> None:
    first = change()
    second = change(parents=[first])
    with pytest.raises(KeyError):
        add_headers(Graph(), head_of(encode_pack([second])), second.id)
