"""Which of a server's words on its log a client keeps, when the server says less than before."""

from __future__ import annotations

from roomlog.client.engine import Engine
from roomlog.client.store_writes import CheckpointKept
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.client_events import Received
from roomlog.protocol.messages import SignedCheckpoint

LINEAGE = b"l" * 32
ADA = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)


def history() -> list[Node]:
    replica = Replica("demo", ADA, LINEAGE)
    for number in range(6):
        replica.map("m")["k"] = number
        replica.commit(1_000 + number)
    return list(replica.nodes())


def checkpoint(seq: int, *frontier: bytes, epoch: bytes = b"e" * 16) -> SignedCheckpoint:
    return SignedCheckpoint(
        lineage=LINEAGE, epoch=epoch, seq=seq, frontier=list(frontier), signature=bytes(64)
    )


def engine_with(nodes: list[Node]) -> Engine:
    engine = Engine("demo", BOB, LINEAGE, is_draft=False)
    received = Received(
        nodes=nodes, pack=encode_pack(nodes), from_seq=1, to_seq=len(nodes), is_live=True
    )
    engine.received(received, None, 5_000, verify=True)
    return engine


def test_the_newest_is_kept_while_nothing_is_lost() -> None:
    nodes = history()
    engine = engine_with(nodes)
    for seq in (3, 6):
        newest = checkpoint(seq, nodes[seq - 1].id)
        engine.checkpoint_received(newest)
        assert engine.checkpoint == newest


def test_t22_a_proof_of_a_loss_is_kept_until_the_loss_is_made_good() -> None:
    nodes = history()
    engine = engine_with(nodes)
    proof = checkpoint(6, nodes[5].id)
    engine.checkpoint_received(proof)
    engine.disconnected()
    # The server was put back, and says what it has under a new epoch. It asks for the rest.
    weaker = checkpoint(2, nodes[1].id, epoch=b"f" * 16)
    engine.log.opened("cut", [nodes[1].id])
    engine.missing_asked()
    engine.checkpoint_received(weaker)
    assert engine.checkpoint == proof
    engine.caught_up()
    assert len(engine.log.push_back) == 4
    assert engine.checkpoint == proof
    # It is put back once more before it got anything: the proof is shown again.
    engine.disconnected()
    assert engine.checkpoint == proof
    kept = [each for each in engine.take_writes() if isinstance(each, CheckpointKept)]
    assert [each.checkpoint for each in kept] == [proof]
    # Given back, the log says no less than before.
    engine.log.opened("cut", [nodes[1].id])
    engine.missing_asked()
    engine.caught_up()
    engine.log.push_back.settle(node.id for node in nodes)
    again = checkpoint(6, nodes[5].id, epoch=b"f" * 16)
    engine.checkpoint_received(again)
    assert engine.checkpoint == again


def test_what_nobody_can_give_back_is_not_asked_for_for_ever() -> None:
    nodes = history()
    engine = engine_with(nodes)
    engine.checkpoint_received(checkpoint(6, nodes[5].id))
    engine.log.opened("cut", [nodes[1].id])
    weaker = checkpoint(2, nodes[1].id, epoch=b"f" * 16)
    engine.checkpoint_received(weaker)
    assert engine.checkpoint != weaker
    # Nothing is missed by the server and nothing is pending here: its word counts.
    engine.caught_up()
    assert engine.checkpoint == weaker


def test_a_word_about_what_has_not_come_yet_counts_when_it_has() -> None:
    nodes = history()
    engine = engine_with(nodes[:3])
    first = checkpoint(3, nodes[2].id)
    engine.checkpoint_received(first)
    engine.log.opened("cursor", [nodes[5].id])
    newest = checkpoint(6, nodes[5].id)
    engine.checkpoint_received(newest)
    assert engine.checkpoint == first
    rest = nodes[3:]
    received = Received(nodes=rest, pack=encode_pack(rest), from_seq=4, to_seq=6, is_live=True)
    engine.received(received, None, 5_000, verify=True)
    engine.caught_up()
    assert engine.checkpoint == newest
