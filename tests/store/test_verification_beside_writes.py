"""Proving a store while a server writes to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3

from roomlog.core.pack import encode_pack
from roomlog.store.interface import ReconcileWindow, StoredSnapshot
from roomlog.store.sqlite import SqliteStore
from roomlog.store.verification import PAGE_NODES, FaultFound, verify_room
from tests.store.chains import Chain, create_room


@pytest.mark.parametrize("nodes", [3, PAGE_NODES + 8])
def test_t45_a_room_that_grows_while_it_is_verified_is_right_up_to_the_head_it_had(
    nodes: int, tmp_path: Path
) -> None:
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    for start in range(0, nodes, 512):
        assert store.commit([chain.append(min(512, nodes - start))])[0].is_committed

    def write(_: int) -> None:
        assert store.commit([chain.append(2)])[0].is_committed

    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    report = verify_room(reader, room, on_signed=lambda _: None, on_nodes=write)
    assert report.nodes == nodes
    reader.close()
    store.close()


def test_a_room_that_gets_another_epoch_while_it_is_verified_is_right(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    store.commit([chain.append(3)])

    def renew(_: int) -> None:
        window = ReconcileWindow(chain.room.epoch, chain.room.epoch, b"e" * 16, 0, 0, 9, 1, 2)
        store.renew_epoch("room", window)

    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    assert verify_room(reader, room, on_signed=lambda _: None, on_nodes=renew).nodes == 3
    reader.close()
    store.close()


def test_snapshots_that_are_taken_while_a_room_is_verified_are_no_fault(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    store.commit([chain.append(3)])

    def snapshot(_: int) -> None:
        assert store.commit([chain.append(2)])[0].is_committed
        head = chain.nodes[-1]
        stored = StoredSnapshot(
            len(chain.nodes), 1, encode_pack([head]), bytes(32), blake3(b"s").digest(), bytes(64), 1
        )
        store.write_snapshot_chunks("room", stored.seq, 0, [b"s"])
        store.finish_snapshot("room", stored)

    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    assert verify_room(reader, room, on_signed=lambda _: None, on_nodes=snapshot).nodes == 3
    # One beyond the end of the log is none.
    connection = sqlite3.connect(tmp_path / "roomlog.sqlite3")
    connection.execute("DELETE FROM log WHERE from_seq > 3")
    connection.execute("DELETE FROM admission WHERE from_seq > 3")
    connection.execute("UPDATE room SET head_seq = 3")
    connection.commit()
    connection.close()
    (room,) = reader.rooms()
    with pytest.raises(FaultFound, match="snapshot at seq 5"):
        verify_room(reader, room, on_signed=lambda _: None)
    reader.close()
    store.close()


def test_packs_beyond_the_head_are_a_fault_unless_the_head_has_moved_on(tmp_path: Path) -> None:
    """The head is the one value that no checksum covers."""
    store = SqliteStore.open(tmp_path, store_id=bytes(16), now_ms=1)
    chain = Chain(create_room(store))
    for _ in range(4):
        assert store.commit([chain.append(2)])[0].is_committed
    store.close()
    connection = sqlite3.connect(tmp_path / "roomlog.sqlite3")
    connection.execute("UPDATE room SET head_seq = 4")
    connection.commit()
    connection.close()
    reader = SqliteStore.open_read_only(tmp_path)
    (room,) = reader.rooms()
    with pytest.raises(FaultFound, match="beyond the head 4"):
        verify_room(reader, room, on_signed=lambda _: None)
    reader.close()
