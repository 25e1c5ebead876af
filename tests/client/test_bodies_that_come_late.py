"""A subscriber that is given the body of a node with the log, after it had come without."""

from __future__ import annotations

import threading
from pathlib import Path

from roomlog.client.engine import Engine
from roomlog.client.local_store import LocalStore
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.client_events import Received
from roomlog.protocol.messages import Cursor

ADA = Identity.from_seed(b"a" * 32)
LINEAGE, EPOCH = b"L" * 32, b"E" * 16


def test_a_body_that_comes_with_the_log_is_stored_like_the_node(tmp_path: Path) -> None:
    author = Replica("demo", ADA, LINEAGE)
    author.map("m")["k"] = 1
    author.commit(1)
    (node,) = author.nodes()
    store = LocalStore(tmp_path / "s", "demo", LINEAGE)
    engine = Engine("demo", None, LINEAGE, is_draft=False)
    engine.set_patterns(["other"], 0)
    cursor = Cursor(epoch=EPOCH, seq=1, id=node.id)
    for bodies in (False, True):
        pack = encode_pack([node], bodies=bodies)
        received = Received(
            nodes=nodes_of(pack),
            pack=pack,
            from_seq=1,
            to_seq=1,
            is_live=True,
            has_bodies=bodies,
        )
        engine.received(received, cursor, 1, verify=True)
    assert engine.replica.node(node.id).body == node.body
    done = threading.Event()
    store.write(engine.take_writes(), done.set)
    assert done.wait(20)
    store.close()
    again = LocalStore(tmp_path / "s", "demo", LINEAGE)
    restored = Engine.restored(None, again.document)
    again.close()
    assert restored.replica.node(node.id).body == node.body


def nodes_of(pack: bytes) -> list[Node]:
    return decode_pack(pack, NodeHasher(LINEAGE))
