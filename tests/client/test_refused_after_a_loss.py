"""Own nodes that a server acknowledged, lost, and refuses for good when they are brought again."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomlog.client.local_store import LocalStore
from roomlog.client.store_writes import (
    LineageAdopted,
    LogCut,
    PendingAgain,
    ReceivedPack,
    Rewritten,
)
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import RejectedNode
from tests.client.model_server import ModelServer
from tests.client.stored_client import StoredClient

ADA = Identity.from_seed(b"a" * 32)
LINEAGE = b"L" * 32
BOB = Identity.from_seed(b"b" * 32)


def come_to_rest(*clients: StoredClient) -> None:
    for client in clients:
        client.flush()
        client.connect()
        client.pump()
    for _ in range(200):
        moved = [
            step()
            for client in clients
            for step in (client.write_to_disk, client.deliver_to_server, client.deliver_to_client)
        ]
        if not any(moved):
            return
    raise AssertionError("they never come to rest")


def lose(server: ModelServer, kept: int, *clients: StoredClient) -> None:
    """An older copy of the log is put back, under another epoch."""
    for client in clients:
        client.disconnect()
    for node in server.log[kept:]:
        del server.seqs[node.id]
    del server.log[kept:]
    server.epoch = b"F" * 16


def refuse_for_now(node: Node) -> RejectedNode:
    return RejectedNode(id=node.id, reject_class="store_unavailable")


@pytest.mark.parametrize("others", ["nobody", "same key", "another key"])
@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("restarts_between", [False, True])
def test_a_write_that_was_lost_and_then_refused_stays_away_after_a_restart(
    tmp_path: Path, kept: int, others: str, restarts_between: bool
) -> None:
    server = ModelServer()
    ada = StoredClient("ada", ADA, server, tmp_path / "ada", Codec.MSGPACK)
    writers = [ada, ada, ada]
    if others == "same key":
        # What that one wrote comes in packs of the log, and no other way.
        writers = [StoredClient("phone", ADA, server, tmp_path / "phone", Codec.MSGPACK)] * 3
    elif others == "another key":
        writers[2] = StoredClient("bob", BOB, server, tmp_path / "bob", Codec.MSGPACK)
    for writer, prefix in zip(writers, ("good", "bad", "above"), strict=True):
        come_to_rest(writer)
        writer.mark(prefix)
        come_to_rest(writer)
    come_to_rest(ada)
    good, bad, above = server.log
    lose(server, kept, ada, *writers)

    def refuse(node: Node) -> RejectedNode | None:
        is_bad = node.id == bad.id
        return RejectedNode(id=node.id, reject_class="write_forbidden") if is_bad else None

    if restarts_between:
        server.refuse = refuse_for_now
        come_to_rest(ada)
        ada.crash()
        assert bad.id in ada.engine.pending
    server.refuse = refuse
    come_to_rest(ada)
    assert [each.node_id for each in ada.rejections] == [bad.id]
    assert server.log[0].id == good.id
    ada.crash()
    here = {node.id for node in ada.store.document.nodes}
    assert here == {node.id for node in server.log}
    assert here.isdisjoint([bad.id, above.id])
    room = Replica("demo", None, server.lineage)
    room.add_nodes(server.log)
    assert ada.engine.replica.state_hash() == room.state_hash()
    come_to_rest(ada)
    assert not ada.faults
    for client in {ada, *writers}:
        client.close()


def a_log(count: int) -> list[Node]:
    replica = Replica("demo", ADA, LINEAGE)
    for index in range(count):
        replica.map("m")[str(index)] = index
        replica.commit(index)
    return list(replica.nodes())


@pytest.mark.parametrize("count", [5, 60])
@pytest.mark.parametrize("signatures", [False, True])
def test_nodes_leave_the_packs_that_hold_them_beside_others(
    tmp_path: Path, count: int, signatures: bool
) -> None:
    """`count` is below and above where a pack is written in columns."""
    log = a_log(2 * count)
    first, second = (
        encode_pack(each, signatures=signatures) for each in (log[:count], log[count:])
    )
    store = LocalStore(tmp_path / "s", "demo", LINEAGE)
    cut = LogCut(b"F" * 16, count + 2, None)
    gone = [node.id for node in log[count + 2 :]]
    writes = [
        LineageAdopted(LINEAGE, []),
        LogCut(b"E" * 16, 0, None),
        ReceivedPack(first, 1, count),
        ReceivedPack(second, count + 1, 2 * count),
        cut,
        PendingAgain(log[-1:]),
        Rewritten(gone[-1:], [], [], frozenset(gone)),
    ]
    store.write(writes)
    store.close()
    document = LocalStore(tmp_path / "s", "demo", LINEAGE)
    document.close()
    kept = log[: count + 2]
    assert [node.id for node in document.document.nodes] == [node.id for node in kept]
    assert [node.body for node in document.document.nodes] == [node.body for node in kept]
    has_signatures = {node.signature is not None for node in document.document.nodes}
    assert has_signatures == {signatures}
    assert document.document.places.last_seq == count + 2
    assert not document.document.pending


def test_a_pack_that_loses_a_node_with_a_place_has_none_any_more(tmp_path: Path) -> None:
    log = a_log(6)
    store = LocalStore(tmp_path / "s", "demo", LINEAGE)
    writes = [
        LineageAdopted(LINEAGE, []),
        LogCut(b"E" * 16, 0, None),
        ReceivedPack(encode_pack(log[:3]), 1, 3),
        ReceivedPack(encode_pack(log[3:]), 4, 6),
        PendingAgain(log[5:]),
        Rewritten([log[5].id], [], [], frozenset([log[5].id])),
    ]
    store.write(writes)
    store.close()
    store = LocalStore(tmp_path / "s", "demo", LINEAGE)
    store.close()
    assert [node.id for node in store.document.nodes] == [node.id for node in log[:5]]
    assert store.document.places.last_seq == 3
