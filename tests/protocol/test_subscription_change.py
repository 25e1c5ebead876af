"""Bodies that follow a subscription: whole nodes of a stretch, not every one of it."""

from __future__ import annotations

import pytest

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.core.subscription import without_body
from roomlog.identity import Identity
from roomlog.protocol.client_events import ServerFault
from roomlog.protocol.messages import Pack, SubscribeAck
from roomlog.protocol.received_pack import PackOpener
from roomlog.protocol.subscription_change import SubscriptionChange

LINEAGE = bytes(range(32))
HASHER = NodeHasher(LINEAGE)
AUTHOR = Identity.from_seed(bytes(32))
NODES = [
    make_node(HASHER, AUTHOR, CHANGE, clock, [], [MapSet("k", clock)]) for clock in range(1, 4)
]


def acknowledged() -> tuple[SubscriptionChange, PackOpener, str | None]:
    opener = PackOpener(LINEAGE, 4096)
    change = SubscriptionChange(("a",), opener)
    asked = change.ask(("b",))
    assert asked is not None
    change.acknowledge(SubscribeAck(ref=asked.ref, patterns=["b"], seq=100))
    return change, opener, asked.ref


def pack_of(nodes: list[Node], first: int, last: int, ref: str | None) -> Pack:
    return Pack(ref=ref, lineage=LINEAGE, nodes=encode_pack(nodes), from_seq=first, to_seq=last)


def test_fewer_nodes_than_seqs_are_bodies_but_no_page_of_the_log() -> None:
    change, opener, ref = acknowledged()
    pack = pack_of(NODES, 10, 90, ref)
    filled = change.take(pack)
    assert (filled.nodes, filled.from_seq, filled.to_seq) == (NODES, 10, 90)
    with pytest.raises(ServerFault):
        opener.open(pack, may_be_unsigned=False)
    assert change.take(pack_of(NODES, 10, 12, ref)).nodes == NODES


@pytest.mark.parametrize(
    "nodes",
    [[], [*NODES], [without_body(NODES[0])]],
    ids=["none", "more than seqs", "one without its body"],
)
def test_no_nodes_more_than_seqs_or_none_of_whole_ones_are_a_fault(nodes: list[Node]) -> None:
    change, _, ref = acknowledged()
    with pytest.raises(ServerFault):
        change.take(pack_of(nodes, 10, 11, ref))
