"""History on the server's word: what is bent in any bit is never built upon."""

from __future__ import annotations

import random

import pytest

from roomlog.client.engine import Engine
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.client_events import Received, ServerFault

LINEAGE = b"l" * 32
ADA = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)


def history() -> list[Node]:
    """Two who write at the same time and see each other now and then."""
    ada, bob = Replica("demo", ADA, LINEAGE), Replica("demo", BOB, LINEAGE)
    for number in range(12):
        for one, other in ((ada, bob), (bob, ada)):
            one.map("m")[str(number)] = number
            one.commit(1_000 + number)
            if number % 3 == 2:
                one.add_nodes(list(other.nodes()))
    ada.add_nodes(list(bob.nodes()))
    return list(ada.nodes())


def received(pack: bytes, nodes: list[Node]) -> Received:
    return Received(nodes=nodes, pack=pack, from_seq=1, to_seq=len(nodes), is_live=False)


@pytest.mark.parametrize("seed", range(4))
def test_a_bent_pack_of_history_adds_nothing_that_its_author_did_not_write(seed: int) -> None:
    choose = random.Random(seed)
    nodes = history()
    true_ids = {node.id for node in nodes}
    pack = encode_pack(nodes)
    faults = 0
    for _ in range(150):
        bent = bytearray(pack)
        bent[choose.randrange(len(bent))] ^= 1 << choose.randrange(8)
        try:
            decoded = decode_pack(bytes(bent), NodeHasher(LINEAGE))
        except Reject:
            continue
        engine = Engine("demo", BOB, LINEAGE, is_draft=False)
        try:
            engine.received(received(bytes(bent), decoded), None, 5_000, verify=False)
        except ServerFault:
            faults += 1
            assert engine.cursor is None
        assert {node.id for node in engine.replica.nodes()} <= true_ids
        # The next session brings the right ones.
        engine.received(received(pack, nodes), None, 5_000, verify=False)
        assert {node.id for node in engine.replica.nodes()} == true_ids
    assert faults


def test_a_pack_in_the_middle_of_history_may_end_with_any_node() -> None:
    nodes = history()
    engine = Engine("demo", BOB, LINEAGE, is_draft=False)
    for start in range(0, len(nodes), 5):
        part = nodes[start : start + 5]
        engine.received(received(encode_pack(part), part), None, 5_000, verify=False)
    assert len(engine.replica) == len(nodes)


def test_unsigned_history_is_believed() -> None:
    pack = encode_pack(history(), signatures=False)
    nodes = decode_pack(pack, NodeHasher(LINEAGE))
    engine = Engine("demo", BOB, LINEAGE, is_draft=False)
    engine.received(received(pack, nodes), None, 5_000, verify=False)
    assert len(engine.replica) == len(nodes)
