"""Snapshots and renewals on a disk that fails: whole or absent, at every step."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from roomlog.core.pack import encode_pack
from roomlog.store.errors import RoomExists, StoreCorrupt, StoreUnavailable
from roomlog.store.interface import (
    SNAPSHOT_CHUNK_BYTES,
    Append,
    NewRoom,
    NodeStore,
    ReconcileWindow,
    StoredRoom,
    snapshot_chunks,
)
from roomlog.store.sqlite import SqliteStore, migrate
from roomlog.store.sqlite.checksums import admission_checksum
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.migrations import MIGRATIONS
from roomlog.store.verification import ADMISSION_MISMATCH, FaultFound, verify_room
from tests.store.chains import AUTHOR, Chain, create_room, new_room, stored_appends, written
from tests.store.faults import Faults
from tests.store.snapshot_conformance import a_snapshot, a_window, save, state_of

STATE = os.urandom(2 * SNAPSHOT_CHUNK_BYTES + 100)


@pytest.fixture
def faults() -> Faults:
    return Faults()


def opened(path: Path, faults: Faults | None = None) -> SqliteStore:
    if faults is None:
        return SqliteStore.open(path, store_id=bytes(16), now_ms=1)
    return SqliteStore.open(path, store_id=bytes(16), now_ms=1, connect=faults.connect)


def copied(path: Path, to: Path) -> SqliteStore:
    """The store as its files are at this moment: what a crash or a raw copy leaves."""
    to.mkdir()
    for name in ("roomlog.sqlite3", "roomlog.sqlite3-wal"):
        if (path / name).exists():
            shutil.copy(path / name, to / name)
    return opened(to)


def the_room(store: NodeStore) -> StoredRoom:
    room = store.open_room("room")
    assert room is not None
    return room


def test_a_copy_of_the_files_between_any_two_steps_has_the_snapshot_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path / "store")
    create_room(store)
    older = save(store, 1, b"older")
    snapshot = a_snapshot(2, STATE)
    steps: list[Callable[[], None]] = [
        lambda each=each, data=data: store.write_snapshot_chunks("room", 2, each, [data])  # type: ignore[misc]
        for each, data in enumerate(snapshot_chunks(STATE))
    ]
    steps.append(lambda: store.finish_snapshot("room", snapshot))
    for number, step in enumerate(steps):
        copy = copied(tmp_path / "store", tmp_path / f"before-{number}")
        assert copy.newest_snapshots("room") == [older]
        assert state_of(copy, older) == b"older"
        # What was left half done there is no hindrance.
        assert state_of(copy, save(copy, 2, STATE[::-1])) == STATE[::-1]
        copy.close()
        step()
    copy = copied(tmp_path / "store", tmp_path / "after")
    assert copy.newest_snapshots("room") == [snapshot, older]
    assert state_of(copy, snapshot) == STATE
    copy.close()
    store.close()


@pytest.mark.parametrize("statement", ["INSERT INTO snapshot_chunk", "DELETE FROM snapshot"])
def test_a_statement_that_fails_leaves_the_snapshots_as_they_were(
    tmp_path: Path, faults: Faults, statement: str
) -> None:
    store = opened(tmp_path / "store", faults)
    create_room(store)
    older = save(store, 1, b"older")
    faults.failing[statement] = 1
    with pytest.raises(StoreUnavailable):
        save(store, 2, STATE)
    assert store.newest_snapshots("room") == [older]
    snapshot = save(store, 2, STATE)
    assert store.newest_snapshots("room") == [snapshot, older]
    store.close()


@pytest.mark.parametrize("is_written", [False, True])
def test_a_renewal_whose_commit_failed_happened_wholly_or_not_at_all(
    tmp_path: Path, faults: Faults, is_written: bool
) -> None:
    store = opened(tmp_path / "store", faults)
    chain = Chain(create_room(store))
    store.commit([chain.append(2)])
    asked = a_window(chain.room)
    faults.failing["COMMIT"] = 1
    faults.committing_first = is_written
    with pytest.raises(StoreUnavailable):
        store.renew_epoch("room", asked)
    window = msgspec.structs.replace(asked, head_seq=2)
    assert store.reconcile_windows("room") == ([window] if is_written else [])
    assert the_room(store).epoch == (asked.new_epoch if is_written else asked.old_epoch)
    assert store.renew_epoch("room", asked) == window
    # The writer knows the new epoch as well.
    (outcome,) = store.commit([msgspec.structs.replace(chain.append(), epoch=asked.new_epoch)])
    assert outcome.is_committed
    store.close()


def test_a_renewal_that_cannot_be_written_changes_nothing(tmp_path: Path, faults: Faults) -> None:
    store = opened(tmp_path / "store", faults)
    room = create_room(store)
    faults.failing["INSERT INTO reconcile_window"] = 1
    with pytest.raises(StoreUnavailable):
        store.renew_epoch("room", a_window(room))
    assert the_room(store) == room
    assert store.reconcile_windows("room") == []
    (outcome,) = store.commit([Chain(room).append()])
    assert outcome.is_committed
    store.close()


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("UPDATE snapshot SET frontier = x'00'", "newest_snapshots"),
        ("UPDATE snapshot SET size_bytes = size_bytes + 1", "newest_snapshots"),
        ("UPDATE snapshot SET taken_ms = 'soon'", "newest_snapshots"),
        ("UPDATE snapshot_chunk SET data = x'00' WHERE chunk = 1", "state"),
        ("DELETE FROM snapshot_chunk WHERE chunk = 2", "state"),
        ("UPDATE snapshot_chunk SET data = 7 WHERE chunk = 0", "state"),
        ("UPDATE reconcile_window SET closes_ms = closes_ms + 1", "reconcile_windows"),
        ("UPDATE reconcile_window SET lost_epoch = zeroblob(16)", "reconcile_windows"),
    ],
)
def test_damage_is_a_refusal_that_names_the_room(tmp_path: Path, statement: str, read: str) -> None:
    store = opened(tmp_path / "store")
    room = create_room(store)
    snapshot = save(store, 9, STATE)
    store.renew_epoch("room", a_window(room))
    store.close()
    connection = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()
    store = opened(tmp_path / "store")
    reads: dict[str, Callable[[], object]] = {
        "newest_snapshots": lambda: store.newest_snapshots("room"),
        "state": lambda: state_of(store, snapshot),
        "reconcile_windows": lambda: store.reconcile_windows("room"),
    }
    for name, call in reads.items():
        if name == read:
            with pytest.raises(StoreCorrupt) as caught:
                call()
            assert caught.value.room == "room"
        else:
            call()
    store.close()


def test_a_chunk_at_the_place_of_another_is_damage(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    create_room(store)
    snapshot = save(store, 9, STATE)
    store.close()
    connection = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3")
    for old, new in ((0, 7), (1, 0), (7, 1)):
        connection.execute("UPDATE snapshot_chunk SET chunk = ? WHERE chunk = ?", (new, old))
    connection.commit()
    connection.close()
    store = opened(tmp_path / "store")
    with pytest.raises(StoreCorrupt, match="chunk 0"):
        state_of(store, snapshot)
    store.close()


def test_a_store_without_these_tables_is_read_as_having_none(tmp_path: Path) -> None:
    path = tmp_path / "store"
    old = Build("0.0.1", 1, 1, 1, MIGRATIONS[:1])
    store = SqliteStore.open(path, store_id=bytes(16), now_ms=1, build=old)
    create_room(store)
    store.close()
    store = SqliteStore.open_read_only(path)
    assert store.newest_snapshots("room") == []
    assert store.reconcile_windows("room") == []
    store.close()
    assert migrate.apply(path, now_ms=2) == ["0002_snapshots_and_windows"]
    store = opened(path)
    save(store, 3, b"three")
    assert len(store.newest_snapshots("room")) == 1
    store.close()


def refounding() -> tuple[NewRoom, list[Append], ReconcileWindow]:
    """What a room of three packs is made of again."""
    room = new_room("room")
    stored = StoredRoom(room.room_id, room.lineage, room.epoch, 0, room.created_ms)
    chain = Chain(stored)
    appends = [msgspec.structs.replace(chain.append(count), reinstated=True) for count in (3, 1, 2)]
    return (
        room,
        appends,
        ReconcileWindow(b"the lost epoch..", room.epoch, room.epoch, 0, 0, 9, 1, 2),
    )


def test_a_room_that_is_founded_again_has_its_history_and_a_window(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    create_room(store, "other")
    room, appends, window = refounding()
    stored = store.found_room(room, appends, window)
    assert stored == the_room(store)
    assert stored.head_seq == 6
    assert (stored.lineage, stored.epoch) == (room.lineage, room.epoch)
    assert stored_appends(store, "room") == written(appends)
    assert store.reconcile_windows("room") == [msgspec.structs.replace(window, head_seq=6)]
    assert all(record.reinstated for record in store.admissions("room"))
    report = verify_room(store, stored, on_signed=lambda _: None)
    assert (report.nodes, report.admission_records) == (6, 3)
    # The numbers of admissions go on behind it.
    chain = Chain(create_room(store, "third"))
    assert store.commit([chain.append(1)])[0].is_committed
    with pytest.raises(RoomExists):
        store.found_room(room, appends, window)
    store.close()


def test_a_refounding_that_fails_leaves_no_room(tmp_path: Path, faults: Faults) -> None:
    store = opened(tmp_path / "store", faults)
    room, appends, window = refounding()

    def interrupted() -> Iterator[Append]:
        yield appends[0]
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        store.found_room(room, interrupted(), window)
    gap = [appends[0], appends[2]]
    foreign = [msgspec.structs.replace(appends[0], epoch=bytes(16))]
    broken = [msgspec.structs.replace(appends[0], ids=b"")]
    for wrong in (gap, foreign, broken):
        with pytest.raises(ValueError, match=r"seq|epoch|ids"):
            store.found_room(room, wrong, window)
    other_epoch = msgspec.structs.replace(window, old_epoch=bytes(16))
    with pytest.raises(ValueError, match="epoch"):
        store.found_room(room, appends, other_epoch)
    faults.failing["INSERT INTO reconcile_window"] = 1
    with pytest.raises(StoreUnavailable):
        store.found_room(room, appends, window)
    assert store.rooms() == []
    assert store.found_room(room, appends, window).head_seq == 6
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        None,
        "UPDATE admission SET epoch = zeroblob(16), checksum = {0}",
        "DELETE FROM reconcile_window",
    ],
)
def test_verification_follows_a_room_through_its_epochs(
    tmp_path: Path, statement: str | None
) -> None:
    path = tmp_path / "store"
    store = opened(path)
    chain = Chain(create_room(store))
    epoch = chain.room.epoch
    for _ in range(3):
        store.commit([msgspec.structs.replace(chain.append(2), epoch=epoch) for _ in range(2)])
        epoch = store.renew_epoch("room", a_window(the_room(store))).new_epoch
    store.commit([msgspec.structs.replace(chain.append(1), epoch=epoch)])
    store.close()
    if statement is not None:
        connection = sqlite3.connect(path / "roomlog.sqlite3")
        (row,) = connection.execute(
            "SELECT room, from_seq, to_seq, admitted_ms, reinstated FROM admission "
            "WHERE from_seq = 3"
        ).fetchall()
        blobs = (bytes(16), AUTHOR.public_key, chain.room.lineage)
        checksum = admission_checksum(row, blobs, None)
        connection.execute(statement.format(f"{checksum} WHERE from_seq = 3"))
        connection.commit()
        connection.close()
    store = opened(path)
    if statement is None:
        report = verify_room(store, the_room(store), on_signed=lambda _: None)
        assert report.nodes == 13
    else:
        with pytest.raises(FaultFound) as caught:
            verify_room(store, the_room(store), on_signed=lambda _: None)
        assert caught.value.fault.fault_class == ADMISSION_MISMATCH
    store.close()


@pytest.mark.parametrize(
    ("statement", "is_right"),
    [("SELECT 1", True), ("UPDATE snapshot_chunk SET data = x'00'", False)],
)
def test_verification_reads_every_byte_of_the_snapshots(
    tmp_path: Path, statement: str, is_right: bool
) -> None:
    path = tmp_path / "store"
    store = opened(path)
    chain = Chain(create_room(store))
    store.commit([chain.append(5)])
    snapshot = msgspec.structs.replace(a_snapshot(3, STATE), frontier=encode_pack(chain.nodes[2:3]))
    store.write_snapshot_chunks("room", 3, 0, snapshot_chunks(STATE))
    store.finish_snapshot("room", snapshot)
    store.close()
    connection = sqlite3.connect(path / "roomlog.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()
    store = opened(path)
    if is_right:
        assert verify_room(store, the_room(store), on_signed=lambda _: None).snapshots == 1
    else:
        with pytest.raises(FaultFound):
            verify_room(store, the_room(store), on_signed=lambda _: None)
    store.close()


@pytest.mark.parametrize("wrong", ["digest", "frontier"])
def test_verification_finds_a_snapshot_that_is_not_of_its_log(tmp_path: Path, wrong: str) -> None:
    store = opened(tmp_path / "store")
    chain = Chain(create_room(store))
    store.commit([chain.append(5)])
    # The head of a later place, or bytes of another state.
    heads = encode_pack(chain.nodes[4:5] if wrong == "frontier" else chain.nodes[2:3])
    snapshot = msgspec.structs.replace(a_snapshot(3, STATE), frontier=heads)
    if wrong == "digest":
        snapshot = msgspec.structs.replace(snapshot, digest=bytes(32))
    store.write_snapshot_chunks("room", 3, 0, snapshot_chunks(STATE))
    store.finish_snapshot("room", snapshot)
    with pytest.raises(FaultFound, match="snapshot"):
        verify_room(store, the_room(store), on_signed=lambda _: None)
    store.close()
