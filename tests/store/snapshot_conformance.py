"""What every backend promises of snapshots and of rooms whose log was lost.

A backend's test module subclasses `SnapshotConformance`, a durable one `DurableSnapshotConformance`
too, and gives the fixtures that `conformance.py` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
import pytest
from blake3 import blake3

from roomlog.store.errors import (
    EpochMismatch,
    RoomUnknown,
    SnapshotExists,
    SnapshotUnknown,
    StoreUnavailable,
)
from roomlog.store.interface import (
    SNAPSHOT_CHUNK_BYTES,
    NodeStore,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    snapshot_chunks,
)
from tests.store.chains import Chain, create_room


def a_snapshot(seq: int, state: bytes, taken_ms: int = 7) -> StoredSnapshot:
    digest = blake3(state).digest()
    return StoredSnapshot(
        seq, taken_ms, b"frontier at %d" % seq, b"h" * 32, digest, b"s" * 64, len(state)
    )


def save(store: NodeStore, seq: int, state: bytes, room_id: str = "room") -> StoredSnapshot:
    """Write a snapshot as the server does, a chunk at a time."""
    snapshot = a_snapshot(seq, state)
    for number, chunk in enumerate(snapshot_chunks(state)):
        store.write_snapshot_chunks(room_id, seq, number, [chunk])
    store.finish_snapshot(room_id, snapshot)
    return snapshot


def state_of(store: NodeStore, snapshot: StoredSnapshot, room_id: str = "room") -> bytes:
    chunks = range(snapshot.chunks)
    return b"".join(store.read_snapshot(room_id, snapshot.seq, each) for each in chunks)


def a_window(room: StoredRoom, lost_epoch: bytes | None = None) -> ReconcileWindow:
    lost = room.epoch if lost_epoch is None else lost_epoch
    return ReconcileWindow(lost, room.epoch, os.urandom(16), 0, 3, 900, 1_000, 2_000)


def reopened(store: NodeStore, room_id: str = "room") -> StoredRoom:
    room = store.open_room(room_id)
    assert room is not None
    return room


class SnapshotConformance:
    """What holds for every backend."""

    @pytest.mark.parametrize("size", [1, SNAPSHOT_CHUNK_BYTES, 2 * SNAPSHOT_CHUNK_BYTES + 1])
    def test_a_finished_snapshot_is_read_back_byte_for_byte(
        self, store: NodeStore, size: int
    ) -> None:
        create_room(store)
        state = os.urandom(size)
        snapshot = save(store, 12, state)
        assert store.newest_snapshots("room") == [snapshot]
        assert state_of(store, snapshot) == state

    def test_nobody_sees_a_snapshot_that_is_not_finished(self, store: NodeStore) -> None:
        create_room(store)
        store.write_snapshot_chunks("room", 12, 0, [b"half"])
        assert store.newest_snapshots("room") == []
        with pytest.raises(SnapshotUnknown):
            store.read_snapshot("room", 12, 0)

    def test_a_snapshot_with_a_missing_or_a_short_chunk_cannot_be_finished(
        self, store: NodeStore
    ) -> None:
        create_room(store)
        state = os.urandom(2 * SNAPSHOT_CHUNK_BYTES)
        first, second = snapshot_chunks(state)
        snapshot = a_snapshot(5, state)
        store.write_snapshot_chunks("room", 5, 1, [second])
        with pytest.raises(ValueError, match="chunks"):
            store.finish_snapshot("room", snapshot)
        store.write_snapshot_chunks("room", 5, 0, [first[:-1]])
        with pytest.raises(ValueError, match="chunks"):
            store.finish_snapshot("room", snapshot)
        store.write_snapshot_chunks("room", 5, 0, [first])
        store.finish_snapshot("room", snapshot)
        assert state_of(store, snapshot) == state

    def test_what_an_unfinished_attempt_left_is_never_part_of_a_later_one(
        self, store: NodeStore
    ) -> None:
        create_room(store)
        store.write_snapshot_chunks("room", 5, 0, [b"x" * 10, b"y" * 10, b"z" * 10])
        store.write_snapshot_chunks("room", 4, 0, [b"w" * 10])
        snapshot = save(store, 5, b"a" * 7)
        assert state_of(store, snapshot) == b"a" * 7
        store.write_snapshot_chunks("room", 4, 1, [b"v" * 10])
        with pytest.raises(ValueError, match="chunks"):
            store.finish_snapshot("room", a_snapshot(4, b"w" * 10))

    def test_the_two_taken_last_are_kept_whatever_their_seq(self, store: NodeStore) -> None:
        create_room(store)
        for seq in (10, 30, 20):
            save(store, seq, b"state %d" % seq)
        kept = store.newest_snapshots("room")
        assert [each.seq for each in kept] == [20, 30]
        assert [state_of(store, each) for each in kept] == [b"state 20", b"state 30"]
        with pytest.raises(SnapshotUnknown):
            store.read_snapshot("room", 10, 0)

    def test_a_dropped_snapshot_leaves_its_place_to_an_older_one(self, store: NodeStore) -> None:
        create_room(store)
        save(store, 10, b"ten")
        save(store, 30, b"thirty")
        store.drop_snapshots("room", [30, 31])
        with pytest.raises(SnapshotUnknown):
            store.read_snapshot("room", 30, 0)
        save(store, 20, b"twenty")
        assert [each.seq for each in store.newest_snapshots("room")] == [20, 10]
        store.drop_snapshots("room", [20])
        again = save(store, 20, b"another")
        assert state_of(store, again) == b"another"

    def test_a_finished_snapshot_is_never_written_over(self, store: NodeStore) -> None:
        create_room(store)
        snapshot = save(store, 10, b"ten")
        with pytest.raises(SnapshotExists):
            store.write_snapshot_chunks("room", 10, 0, [b"TEN"])
        with pytest.raises(SnapshotExists):
            store.finish_snapshot("room", snapshot)
        assert state_of(store, snapshot) == b"ten"

    def test_snapshots_of_one_room_are_not_those_of_another(self, store: NodeStore) -> None:
        create_room(store, "a")
        create_room(store, "b")
        save(store, 1, b"of a", room_id="a")
        save(store, 1, b"of b", room_id="b")
        for room_id in "ab":
            (snapshot,) = store.newest_snapshots(room_id)
            assert state_of(store, snapshot, room_id) == b"of " + room_id.encode()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"seq": 0},
            {"seq": 1 << 63},
            {"size_bytes": 0},
            {"taken_ms": -1},
            {"state_hash": b"h" * 31},
            {"digest": b""},
            {"signature": b"s" * 63},
        ],
    )
    def test_what_is_no_snapshot_is_refused_as_a_fault_of_the_caller(
        self, store: NodeStore, wrong: dict[str, object]
    ) -> None:
        create_room(store)
        store.write_snapshot_chunks("room", 1, 0, [b"state"])
        snapshot = msgspec.structs.replace(a_snapshot(1, b"state"), **wrong)
        with pytest.raises(ValueError, match=r"snapshot|bytes|seq|time"):
            store.finish_snapshot("room", snapshot)
        assert store.newest_snapshots("room") == []

    def test_a_renewed_room_has_the_new_epoch_and_a_window_with_the_head_of_that_moment(
        self, store: NodeStore
    ) -> None:
        chain = Chain(create_room(store))
        store.commit([chain.append(3)])
        room = reopened(store)
        asked = a_window(room)
        window = store.renew_epoch("room", asked)
        assert window == msgspec.structs.replace(asked, head_seq=3)
        assert store.reconcile_windows("room") == [window]
        renewed = reopened(store)
        assert renewed == msgspec.structs.replace(room, epoch=window.new_epoch)
        assert [each for each in store.rooms() if each.room_id == "room"] == [renewed]

    def test_after_a_renewal_only_appends_of_the_new_epoch_are_written(
        self, store: NodeStore
    ) -> None:
        chain = Chain(create_room(store))
        store.commit([chain.append(1)])
        old = chain.append(1)
        window = store.renew_epoch("room", a_window(chain.room))
        new = msgspec.structs.replace(old, epoch=window.new_epoch)
        outcomes = store.commit([old, new])
        assert [each.is_committed for each in outcomes] == [False, True]
        assert [each.epoch for each in store.admissions("room")] == [
            window.old_epoch,
            window.new_epoch,
        ]

    def test_t63_the_same_loss_renews_only_once_however_often_it_is_shown(
        self, store: NodeStore
    ) -> None:
        room = create_room(store)
        first = store.renew_epoch("room", a_window(room))
        assert store.renew_epoch("room", a_window(room)) == first
        assert store.renew_epoch("room", a_window(reopened(store), room.epoch)) == first
        assert reopened(store).epoch == first.new_epoch
        second = store.renew_epoch("room", a_window(reopened(store), b"another epoch 16"))
        assert store.reconcile_windows("room") == [first, second]
        assert reopened(store).epoch == second.new_epoch

    def test_a_room_of_another_epoch_is_not_renewed(self, store: NodeStore) -> None:
        room = create_room(store)
        asked = msgspec.structs.replace(a_window(room), old_epoch=bytes(16), lost_epoch=b"?" * 16)
        with pytest.raises(EpochMismatch):
            store.renew_epoch("room", asked)
        assert reopened(store) == room
        assert store.reconcile_windows("room") == []

    @pytest.mark.parametrize(
        "wrong",
        [
            {"lost_epoch": b""},
            {"new_epoch": b"x" * 15},
            {"old_epoch": b"x" * 17},
            {"after_seq": -1},
            {"checkpoint_seq": 1 << 63},
            {"closes_ms": -5},
        ],
    )
    def test_what_is_no_window_is_refused_as_a_fault_of_the_caller(
        self, store: NodeStore, wrong: dict[str, object]
    ) -> None:
        room = create_room(store)
        with pytest.raises(ValueError, match=r"epoch|seqs"):
            store.renew_epoch("room", msgspec.structs.replace(a_window(room), **wrong))
        assert store.reconcile_windows("room") == []

    def test_an_unknown_room_has_neither_snapshots_nor_windows_but_a_typed_error(
        self, store: NodeStore
    ) -> None:
        room = StoredRoom("nowhere", bytes(32), bytes(16), 0, 1)
        calls: list[Callable[[], object]] = [
            lambda: store.newest_snapshots("nowhere"),
            lambda: store.read_snapshot("nowhere", 1, 0),
            lambda: store.write_snapshot_chunks("nowhere", 1, 0, [b"x"]),
            lambda: store.finish_snapshot("nowhere", a_snapshot(1, b"x")),
            lambda: store.drop_snapshots("nowhere", [1]),
            lambda: store.reconcile_windows("nowhere"),
            lambda: store.renew_epoch("nowhere", a_window(room)),
        ]
        for call in calls:
            with pytest.raises(RoomUnknown):
                call()

    def test_a_closed_store_refuses_snapshots_and_windows(self, store: NodeStore) -> None:
        room = create_room(store)
        snapshot = save(store, 1, b"one")
        store.close()
        calls: list[Callable[[], object]] = [
            lambda: store.newest_snapshots("room"),
            lambda: store.read_snapshot("room", 1, 0),
            lambda: store.write_snapshot_chunks("room", 2, 0, [b"x"]),
            lambda: store.finish_snapshot("room", snapshot),
            lambda: store.drop_snapshots("room", [1]),
            lambda: store.reconcile_windows("room"),
            lambda: store.renew_epoch("room", a_window(room)),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call()


class DurableSnapshotConformance:
    """What holds for a backend whose commits outlive the process."""

    def test_snapshots_and_windows_are_there_after_reopening(
        self, store: NodeStore, reopen: Callable[[], NodeStore]
    ) -> None:
        room = create_room(store)
        state = os.urandom(SNAPSHOT_CHUNK_BYTES + 1)
        snapshot = save(store, 9, state)
        window = store.renew_epoch("room", a_window(room))
        again = reopen()
        assert again.newest_snapshots("room") == [snapshot]
        assert state_of(again, snapshot) == state
        assert again.reconcile_windows("room") == [window]
        assert reopened(again).epoch == window.new_epoch
