"""Own nodes that a server acknowledged, lost, and refuses for good when they are brought again."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import RejectedNode
from tests.client.model_server import ModelServer
from tests.client.stored_client import StoredClient

ADA = Identity.from_seed(b"a" * 32)
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


@pytest.mark.xfail(strict=True, reason="what was acknowledged once is not taken out of the store")
@pytest.mark.parametrize("others", ["nobody", "same key", "another key"])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_write_that_was_lost_and_then_refused_stays_away_after_a_restart(
    tmp_path: Path, kept: int, others: str
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
