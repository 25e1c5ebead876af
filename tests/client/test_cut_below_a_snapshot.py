"""A server that lost its log below the snapshot a client joined with: what the store has then."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from roomlog.client.engine import Engine
from roomlog.client.history_build import HistoryBuild
from roomlog.client.local_store import LocalStore
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.replica import Replica
from roomlog.core.snapshot.taking import take_snapshot
from roomlog.identity import Identity
from roomlog.protocol.client_events import HistoryPage, Opened, Received, SnapshotReceived
from roomlog.protocol.messages import Cursor

ADA = Identity.from_seed(b"a" * 32)
SERVER = Identity.from_seed(b"s" * 32)
LINEAGE = b"L" * 32
OLD, NEW = b"O" * 16, b"N" * 16
SNAPSHOT_SEQ = 4


def log_of(count: int, *, has_list: bool) -> list[Node]:
    replica = Replica("demo", ADA, LINEAGE)
    for number in range(count):
        if has_list:
            replica.list("l").append(number)
        else:
            replica.map("m")[str(number)] = number
        replica.commit(number)
    return list(replica.nodes())


def opened(epoch: bytes, log: list[Node], catch_up: str) -> Opened:
    return Opened(
        lineage=LINEAGE,
        epoch=epoch,
        seq=len(log),
        server_key=SERVER.public_key,
        server_name="",
        server_version="",
        session="",
        catch_up=catch_up,
        is_proven=True,
        frontier=(log[-1].id,),
    )


def receive(engine: Engine, epoch: bytes, node: Node, seq: int) -> None:
    """One node of the log, in a pack of its own."""
    received = Received(
        nodes=[node], pack=encode_pack([node]), from_seq=seq, to_seq=seq, is_live=True
    )
    engine.received(received, Cursor(epoch=epoch, seq=seq, id=node.id), seq, verify=True)


def written(store: LocalStore, engine: Engine) -> None:
    done = threading.Event()
    store.write(engine.take_writes(), done.set)
    assert done.wait(20)


def joined(path: Path, log: list[Node]) -> tuple[LocalStore, Engine]:
    """A client that began with a snapshot and has read on to the end of the log."""
    whole = Replica("demo", ADA, LINEAGE)
    whole.add_nodes(log[:SNAPSHOT_SEQ])
    taken = take_snapshot(whole, SNAPSHOT_SEQ)
    store = LocalStore(path, "demo", LINEAGE)
    engine = Engine("demo", None, LINEAGE, is_draft=False)
    # Joins by a snapshot, and reads on behind it.
    engine.opened(opened(OLD, log[:SNAPSHOT_SEQ], "snapshot"), 0)
    snapshot = SnapshotReceived(
        seq=SNAPSHOT_SEQ,
        frontier_pack=taken.frontier_pack,
        state=taken.data,
        state_hash=taken.state_hash,
        digest=taken.digest,
        signature=taken.sign(SERVER),
    )
    assert engine.snapshot_received(snapshot, SERVER.public_key)
    for seq in range(SNAPSHOT_SEQ + 1, len(log) + 1):
        receive(engine, OLD, log[seq - 1], seq)
    return store, engine


def complete(engine: Engine) -> None:
    """Let the whole history take the place of the snapshot."""
    build = HistoryBuild(engine, verify=False)
    for _ in build.steps():
        pass
    replica = build.finish()
    assert replica is not None
    assert engine.history_complete(replica, build.lone_heads)


def assert_stored(path: Path, engine: Engine, log: list[Node]) -> None:
    """Whoever opens the store has everything."""
    store = LocalStore(path, "demo", LINEAGE)
    restored = Engine.restored(None, store.document)
    store.close()
    here: set[bytes] = set()
    for node in store.document.nodes:
        # Or a long log would wait for what it stands on, more than may wait.
        assert here.issuperset(node.parents)
        here.add(node.id)
    assert restored.replica.frontier == [log[-1].id]
    assert restored.replica.state() == engine.replica.state()
    assert restored.replica.state_hash().complete


@pytest.mark.parametrize("has_list", [False, True])
def test_t22_everything_below_a_snapshot_is_kept_when_the_log_there_came_another_way(
    tmp_path: Path, has_list: bool
) -> None:
    log = log_of(SNAPSHOT_SEQ + 2, has_list=has_list)
    store, engine = joined(tmp_path / "store", log)
    # The server forgot all of it; others brought it back, a node a pack.
    engine.opened(opened(NEW, log, "cursor"), 0)
    for seq, node in enumerate(log, 1):
        receive(engine, NEW, node, seq)
    complete(engine)
    written(store, engine)
    store.close()
    assert_stored(tmp_path / "store", engine, log)


@pytest.mark.parametrize("is_changed", [False, True])
def test_history_below_a_snapshot_is_read_anew_when_a_walk_shows_the_log(
    tmp_path: Path, is_changed: bool
) -> None:
    log = log_of(SNAPSHOT_SEQ + 2, has_list=True)
    store, engine = joined(tmp_path / "store", log)
    # The server knows the heads: whatever is below them it does not send.
    if is_changed:
        engine.opened(opened(NEW, log, "cut"), 0)
        engine.catch_up_changed(NEW, "walk")
    else:
        engine.opened(opened(NEW, log, "walk"), 0)
    written(store, engine)
    store.close()
    store = LocalStore(tmp_path / "store", "demo", LINEAGE)
    engine = Engine.restored(None, store.document)
    assert engine.older is not None
    while not engine.older.is_complete:
        to_seq = engine.older.lowest_seq - 1
        node = log[to_seq - 1]
        page = HistoryPage(
            nodes=[node],
            pack=encode_pack([node]),
            from_seq=to_seq,
            to_seq=to_seq,
            is_signed=True,
            has_bodies=True,
        )
        engine.history_page(page)
        engine.history_page_end()
    complete(engine)
    written(store, engine)
    store.close()
    assert_stored(tmp_path / "store", engine, log)
