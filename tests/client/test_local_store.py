"""The local store: what it remembers, in which order, and which files it refuses."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from roomlog.client.errors import (
    LocalStoreError,
    LocalStoreLockedError,
    LocalStoreRoomError,
    LocalStoreTooNewError,
)
from roomlog.client.local_schema import APPLICATION_ID, MIGRATIONS
from roomlog.client.local_store import LocalStore, read_nodes, read_stored
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import (
    Admitted,
    CheckpointKept,
    CursorMoved,
    HistoryComplete,
    HistoryDropped,
    HistoryPack,
    LineageAdopted,
    LogCut,
    OwnNodes,
    PatternsChanged,
    PendingAgain,
    ReceivedPack,
    Rewritten,
    ServerPinned,
    SnapshotKept,
    StoreWrite,
)
from roomlog.client.stored_document import StoredDocument
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.replica import Replica
from roomlog.file_lock import is_lock_free
from roomlog.identity import Identity
from roomlog.protocol.messages import Cursor, SignedCheckpoint

ADA = Identity.from_seed(b"a" * 32)
DRAFT = b"D" * 32
LINEAGE = b"L" * 32


def some_nodes(count: int, lineage: bytes = LINEAGE) -> list[Node]:
    replica = Replica("demo", ADA, lineage)
    for index in range(count):
        replica.map("m")[str(index)] = index
        replica.commit(index)
    return list(replica.nodes())


def some_snapshot(nodes: list[Node]) -> SnapshotKept:
    """One of these nodes, that proves nothing: a store keeps what it is given."""
    return SnapshotKept(
        seq=len(nodes),
        frontier_pack=encode_pack(nodes[-1:]),
        state=b"state",
        state_hash=b"h" * 32,
        digest=b"d" * 32,
        signature=b"s" * 64,
        server_key=b"k" * 32,
        history_seq=len(nodes),
    )


def opened(path: Path, room_id: str = "demo", lineage: bytes = LINEAGE) -> LocalStore:
    return LocalStore(path, room_id, lineage)


def written(store: LocalStore, *writes: StoreWrite) -> None:
    done = threading.Event()
    store.write(writes, done.set)
    assert done.wait(20)


def ids(nodes: list[Node]) -> list[bytes]:
    return [node.id for node in nodes]


def test_everything_comes_back_in_the_order_in_which_it_arrived(tmp_path: Path) -> None:
    nodes = some_nodes(6)
    store = opened(tmp_path / "s")
    cursor = Cursor(epoch=b"E" * 16, seq=4, id=nodes[3].id)
    written(
        store,
        ReceivedPack(encode_pack(nodes[:2])),
        OwnNodes(nodes[2:5]),
        Admitted({nodes[2].id: 3}),
        # Own nodes may come back in a pack of the log.
        ReceivedPack(encode_pack(nodes[2:4])),
        Admitted({nodes[3].id: 4}),
        CursorMoved(cursor),
        OwnNodes(nodes[5:]),
        ServerPinned("ws://one", b"1" * 32),
        ServerPinned("ws://one", b"2" * 32),
        ServerPinned("ws://two", b"3" * 32),
    )
    store.close()
    store.close()
    again = opened(tmp_path / "s", lineage=b"other".ljust(32))
    document = again.document
    assert (document.room_id, document.lineage, document.is_draft) == ("demo", LINEAGE, True)
    assert ids(document.nodes) == ids(nodes)
    assert document.pending == [nodes[4].id, nodes[5].id]
    assert document.cursor == cursor
    assert document.server_keys == {"ws://one": b"2" * 32, "ws://two": b"3" * 32}
    written(again, CursorMoved(None))
    again.close()
    assert opened(tmp_path / "s").document.cursor is None


def test_adopting_a_lineage_replaces_the_draft_in_one_step(tmp_path: Path) -> None:
    store = opened(tmp_path / "s", lineage=DRAFT)
    draft = Replica("demo", ADA, DRAFT)
    draft.map("m")["a"] = 1
    draft.commit(1)
    written(store, OwnNodes(list(draft.nodes())))
    adoption = draft.adopt(LINEAGE)
    written(store, LineageAdopted(LINEAGE, adoption.nodes))
    store.close()
    document = opened(tmp_path / "s", lineage=b"x" * 32).document
    assert (document.lineage, document.is_draft) == (LINEAGE, False)
    assert ids(document.nodes) == ids(adoption.nodes)
    assert document.pending == ids(adoption.nodes)


def test_refused_nodes_are_replaced_and_kept_as_evidence(tmp_path: Path) -> None:
    nodes = some_nodes(3)
    replica = Replica("demo", ADA, LINEAGE)
    replica.add_nodes(nodes)
    rebase = replica.without({nodes[1].id: None})
    rejection = Rejection(
        node_id=nodes[1].id,
        reject_class="write_forbidden",
        kind="rebase",
        message="no",
        detail={"ops": [0], "by": b"bytes"},
        node=nodes[1],
        operation_indexes=(0,),
    )
    store = opened(tmp_path / "s")
    written(
        store,
        OwnNodes(nodes),
        Admitted({nodes[0].id: 1}),
        Rewritten(ids(nodes[1:]), rebase.nodes, [rejection]),
        # A late acknowledgment of what is gone, and of nothing at all, does no harm.
        Admitted({nodes[1].id: 9, bytes(32): 10}),
    )
    store.close()
    document = opened(tmp_path / "s").document
    assert ids(document.nodes) == [nodes[0].id, *ids(rebase.nodes)]
    assert document.pending == ids(rebase.nodes)
    assert document.rejections == [rejection]
    assert document.rejections[0].keys == ["m/1"]


def test_nodes_can_be_read_beside_a_running_document(tmp_path: Path) -> None:
    nodes = some_nodes(3)
    store = opened(tmp_path / "s")
    written(store, OwnNodes(nodes))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert read_nodes(tmp_path / "s") == ("demo", LINEAGE, nodes)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    store.close()
    assert read_nodes(str(tmp_path / "s")) == ("demo", LINEAGE, nodes)
    with pytest.raises(LocalStoreError, match="no such file"):
        read_nodes(tmp_path / "none")


def test_one_at_a_time_and_one_room_a_store(tmp_path: Path) -> None:
    store = opened(tmp_path / "s")
    with pytest.raises(LocalStoreLockedError):
        opened(tmp_path / "s")
    store.close()
    with pytest.raises(LocalStoreRoomError, match="demo"):
        opened(tmp_path / "s", "other")
    # A refused opening leaves no lock behind.
    opened(tmp_path / "s").close()


def test_t42_an_older_build_refuses_what_it_would_misread(tmp_path: Path) -> None:
    path = tmp_path / "s"
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = 99 WHERE key = 'compat_version'")
    connection.execute("UPDATE meta SET value = '9.9' WHERE key = 'written_by'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LocalStoreTooNewError, match=r"99.*9\.9"):
        opened(path)
    with pytest.raises(LocalStoreTooNewError):
        read_nodes(path)
    assert path.read_bytes() == before


def test_a_newer_store_that_says_it_may_be_read_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s"
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO schema_migration VALUES (3, 'later', 'x', 0)")
    connection.execute("UPDATE meta SET value = 3 WHERE key = 'schema_version'")
    connection.commit()
    connection.close()
    opened(path).close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE schema_migration SET checksum = 'other'",
        "DELETE FROM meta WHERE key = 'compat_version'",
        "DELETE FROM meta WHERE key = 'lineage'",
        "UPDATE meta SET value = 3 WHERE key = 'room_id'",
        "PRAGMA application_id = 7",
        "DROP TABLE meta",
        "UPDATE node_pack SET pack = x'0102'",
        "UPDATE node_pack SET own_id = zeroblob(32)",
    ],
)
def test_t21_a_damaged_store_is_refused_and_never_taken_for_an_empty_one(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "s"
    store = opened(path)
    written(store, OwnNodes(some_nodes(1)))
    store.close()
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    for _ in range(2):
        with pytest.raises(LocalStoreError):
            opened(path)
    with pytest.raises(LocalStoreError):
        read_nodes(path)


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look at" * 10)
    with pytest.raises(LocalStoreError):
        opened(path)
    assert path.read_text().startswith("not a database")
    with pytest.raises(LocalStoreError):
        opened(tmp_path / "no" / "directory")


def test_t19_what_could_not_be_written_is_never_called_durable(tmp_path: Path) -> None:
    store = opened(tmp_path / "s")
    called: list[str] = []
    batches: list[int] = []
    failed = threading.Event()

    def on_batch(callbacks: list) -> None:  # type: ignore[type-arg]
        batches.append(len(callbacks))
        for callback in callbacks:
            callback()
        if store.failure is not None:
            failed.set()

    store.deliver_with(on_batch)
    store._connection.execute("PRAGMA max_page_count = 1")
    big = Replica("demo", ADA, LINEAGE)
    big.text("t").append("x" * 200_000)
    big.commit(1)
    store.write([OwnNodes(list(big.nodes()))], lambda: called.append("first"))
    assert failed.wait(20)
    store.write([CursorMoved(None)], lambda: called.append("second"))
    store.close()
    assert called == []
    assert isinstance(store.failure, LocalStoreError)
    assert set(batches) == {0}
    assert store.queued_bytes == 0
    assert opened(tmp_path / "s").document.nodes == []


def places(document: StoredDocument) -> dict[int, bytes]:
    return {
        first + index: node_id
        for first, node_ids in document.places.stretches()
        for index, node_id in enumerate(node_ids)
    }


def test_places_in_the_log_are_remembered_and_cut(tmp_path: Path) -> None:
    nodes = some_nodes(8)
    epoch, other = b"E" * 16, b"F" * 16
    store = opened(tmp_path / "s")
    written(
        store,
        LogCut(epoch, 0, None),
        ReceivedPack(encode_pack(nodes[:3]), 1, 3),
        OwnNodes(nodes[3:6]),
        Admitted({nodes[3].id: 4, nodes[4].id: 5}),
        # A place that nothing was said about is not known.
        ReceivedPack(encode_pack(nodes[6:7])),
    )
    store.close()
    store = opened(tmp_path / "s")
    document = store.document
    assert document.places.epoch == epoch
    assert places(document) == {seq: nodes[seq - 1].id for seq in range(1, 6)}
    cursor = Cursor(epoch=other, seq=2, id=nodes[1].id)
    written(
        store,
        LogCut(other, 2, cursor),
        # Both were acknowledged, and are not in the log that there is now.
        PendingAgain(nodes[3:5]),
    )
    store.close()
    store = opened(tmp_path / "s")
    document = store.document
    assert document.places.epoch == other
    assert places(document) == {1: nodes[0].id, 2: nodes[1].id}
    assert document.cursor == cursor
    assert ids(document.nodes) == ids(nodes[:7])
    # Parents first, although the last of them was pending all the time.
    assert document.pending == ids(nodes[3:6])
    written(store, Admitted({nodes[3].id: 3, nodes[4].id: 4}))
    store.close()
    document = opened(tmp_path / "s").document
    expected = [nodes[0], nodes[1], nodes[3], nodes[4]]
    assert places(document) == {seq: node.id for seq, node in enumerate(expected, 1)}
    assert document.pending == [nodes[5].id]


def test_a_store_says_that_older_history_is_not_here(tmp_path: Path) -> None:
    nodes = some_nodes(8)
    snapshot = some_snapshot(nodes[:5])
    older = [HistoryPack(encode_pack(nodes[at : at + 2]), at + 1, at + 2) for at in (3, 1)]
    store = opened(tmp_path / "s")
    written(
        store,
        LogCut(b"E" * 16, 0, None),
        snapshot,
        ReceivedPack(encode_pack(nodes[5:7]), 6, 7),
        *older,
        OwnNodes(nodes[7:]),
    )
    with pytest.raises(LocalStoreError, match="seq 5"):
        read_nodes(tmp_path / "s")
    store.close()
    store = opened(tmp_path / "s")
    document = store.document
    assert document.snapshot == snapshot
    assert document.history == older[::-1]
    assert ids(document.nodes) == ids(nodes[5:])
    assert places(document) == {6: nodes[5].id, 7: nodes[6].id}
    first = HistoryPack(encode_pack(nodes[:1]), 1, 1)
    written(store, first, HistoryComplete())
    store.close()
    document = opened(tmp_path / "s").document
    assert document.snapshot is None
    assert document.history == []
    assert ids(document.nodes) == ids(nodes)
    assert places(document) == {seq: nodes[seq - 1].id for seq in range(1, 8)}
    assert read_nodes(tmp_path / "s")[2] == nodes


def test_what_comes_behind_a_snapshot_is_no_history_when_history_came_first(tmp_path: Path) -> None:
    nodes = some_nodes(7)
    snapshot = some_snapshot(nodes[:5])
    store = opened(tmp_path / "s")
    page = HistoryPack(encode_pack(nodes[1:5]), 2, 5)
    live = ReceivedPack(encode_pack(nodes[5:6]), 6, 6)
    written(store, LogCut(b"E" * 16, 0, None), snapshot, page, live, OwnNodes(nodes[6:]))
    store.close()
    store = opened(tmp_path / "s")
    document = store.document
    assert document.history == [page]
    assert ids(document.nodes) == ids(nodes[5:])
    assert document.pending == [nodes[6].id]
    # History that has to be read anew takes nothing else with it.
    written(store, HistoryDropped())
    store.close()
    assert ids(opened(tmp_path / "s").document.nodes) == ids(nodes[5:])


def test_what_0_1_0_filed_as_history_is_found_where_it_belongs(tmp_path: Path) -> None:
    nodes = some_nodes(8)
    snapshot = some_snapshot(nodes[:5])
    page = HistoryPack(encode_pack(nodes[1:5]), 2, 5)
    store = opened(tmp_path / "s")
    written(store, LogCut(b"E" * 16, 0, None), snapshot, page, OwnNodes([nodes[7]]))
    store.close()
    with sqlite3.connect(tmp_path / "s") as connection:
        for node, seq in ((nodes[5], 6), (nodes[6], None)):
            connection.execute(
                "INSERT INTO node_pack (position, pack, from_seq, to_seq) VALUES"
                " ((SELECT max(position) + 1 FROM node_pack WHERE position < 0), ?, ?, ?)",
                (encode_pack([node]), seq, seq),
            )
        connection.execute(
            "UPDATE node_pack SET position = (SELECT max(position) + 1 FROM node_pack"
            " WHERE position < 0) WHERE own_id IS NOT NULL"
        )
    beside = read_stored(tmp_path / "s")
    assert beside.history == [page]
    assert ids(beside.nodes) == ids(nodes[5:])
    assert beside.pending == [nodes[7].id]
    for _ in range(2):
        store = opened(tmp_path / "s")
        assert store.document.history == [page]
        assert ids(store.document.nodes) == ids(nodes[5:])
        assert store.document.pending == [nodes[7].id]
        store.close()


def test_history_beyond_a_cut_is_read_anew(tmp_path: Path) -> None:
    nodes = some_nodes(6)
    store = opened(tmp_path / "s")
    snapshot = some_snapshot(nodes)
    packs = [HistoryPack(encode_pack(nodes[at : at + 2]), at + 1, at + 2) for at in (4, 2, 0)]
    written(store, snapshot, *packs, LogCut(b"F" * 16, 3, None))
    store.close()
    document = opened(tmp_path / "s").document
    history = document.history
    assert document.snapshot is not None
    assert (document.snapshot.seq, document.snapshot.history_seq) == (6, 3)
    assert [(each.from_seq, each.to_seq) for each in history] == [(1, 2), (3, 3)]


def test_the_server_s_word_and_the_patterns_are_remembered(tmp_path: Path) -> None:
    checkpoint = SignedCheckpoint(
        lineage=LINEAGE, epoch=b"E" * 16, seq=3, frontier=[b"f" * 32], signature=b"s" * 64
    )
    store = opened(tmp_path / "s")
    assert store.document.checkpoint is None
    assert store.document.patterns == ()
    written(store, CheckpointKept(checkpoint), PatternsChanged(("a/**", "b"), ()))
    store.close()
    store = opened(tmp_path / "s")
    assert store.document.checkpoint == checkpoint
    assert store.document.patterns == ("a/**", "b")
    assert store.document.patterns_before == ()
    written(store, PatternsChanged((), None))
    store.close()
    document = opened(tmp_path / "s").document
    assert document.patterns == ()
    assert document.patterns_before is None


def test_a_store_of_the_first_schema_is_read_and_then_grows(tmp_path: Path) -> None:
    nodes = some_nodes(4)
    path = tmp_path / "s"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(
        "CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " checksum TEXT NOT NULL, applied_ms INTEGER NOT NULL)"
    )
    first = MIGRATIONS[0]
    for statement in first.statements:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO schema_migration VALUES (1, ?, ?, 0)", (first.name, first.checksum)
    )
    connection.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("compat_version", 1), ("room_id", "demo"), ("lineage", LINEAGE), ("is_draft", 0)],
    )
    connection.execute("INSERT INTO node_pack (pack) VALUES (?)", (encode_pack(nodes[:2]),))
    connection.executemany(
        "INSERT INTO node_pack (own_id, seq, pack) VALUES (?, ?, ?)",
        [(node.id, seq, encode_pack([node])) for node, seq in ((nodes[2], 3), (nodes[3], None))],
    )
    connection.close()
    before = path.read_bytes()
    assert read_nodes(path)[2] == nodes
    assert path.read_bytes() == before
    document = opened(path).document
    assert ids(document.nodes) == ids(nodes)
    assert document.pending == [nodes[3].id]
    assert places(document) == {}
    assert document.snapshot is None


def test_t19_a_write_that_cannot_be_written_is_a_failure_and_not_the_end_of_the_writer(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path / "s")
    (node,) = some_nodes(1)
    rejection = Rejection(
        node_id=node.id,
        reject_class="write_forbidden",
        kind="rebase",
        message="no",
        detail={"n": 1 << 64},
        node=node,
        operation_indexes=(0,),
    )
    told = threading.Event()
    store.deliver_with(lambda callbacks: told.set())
    store.write([Rewritten([], [], [rejection])])
    assert told.wait(20)
    assert store.failure is not None
    store.close()


def test_who_only_looks_at_the_lock_keeps_no_application_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path / "s").close()
    looker = os.open(tmp_path / "s.lock", os.O_RDONLY)
    assert is_lock_free(looker)
    monkeypatch.setattr("roomlog.file_lock.time.sleep", lambda _: os.close(looker))
    opened(tmp_path / "s").close()
