"""Damaged databases: a room is refused, never empty, never changed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from roomlog.store.errors import StoreCorrupt, StoreError
from roomlog.store.sqlite import SqliteStore
from tests.store.chains import Chain, create_room, stored_appends

FLIPS = 300
Content = dict[str, tuple[object, ...]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    """A closed store with three rooms, and everything in it."""
    path = tmp_path_factory.mktemp("sound") / "store"
    store = SqliteStore.open(path, store_id=bytes(16), now_ms=1)
    for index in range(3):
        chain = Chain(create_room(store, f"room-{index}"))
        for count in (1, 5, 2, 20, 1, 1):
            store.commit([chain.append(count, value="text " * 40)])
    content = content_of(store)
    store.close()
    return path, content


def content_of(store: SqliteStore) -> Content:
    return {
        room.room_id: (
            room,
            tuple(store.load_index(room.room_id)),
            tuple(stored_appends(store, room.room_id)),
            tuple(store.admissions(room.room_id)),
        )
        for room in store.rooms()
    }


def copy_of(sound: tuple[Path, Content], tmp_path: Path) -> Path:
    target = tmp_path / "damaged"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sound[0], target)
    return target


def flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def test_t21_a_flipped_bit_refuses_or_changes_nothing_but_never_loses_or_alters_a_room(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    generator = random.Random(20)
    refused = 0
    for _ in range(FLIPS):
        path = copy_of(sound, tmp_path)
        database = path / "roomlog.sqlite3"
        flip(database, generator.randrange(database.stat().st_size), generator.randrange(8))
        try:
            store = SqliteStore.open(path, store_id=b"n" * 16, now_ms=9)
        except StoreError:
            refused += 1
            continue
        for room_id, expected in sound[1].items():
            try:
                room = store.open_room(room_id)
                assert room is not None, f"{room_id} looks as if it had never been created"
                found = (
                    room,
                    tuple(store.load_index(room_id)),
                    tuple(stored_appends(store, room_id)),
                    tuple(store.admissions(room_id)),
                )
                assert found == expected
            except StoreError:
                refused += 1
        store.close()
    assert refused > FLIPS // 3


@pytest.mark.parametrize(
    ("word", "read"),
    [
        (b"head_seq", lambda store: store.rooms()),
        (b"tail_checksum", lambda store: store.read_log("room-1", 0, 9)),
        (b"snapshot INTEGER", lambda store: store.newest_snapshots("room-1")),
    ],
)
def test_t21_a_schema_with_a_flipped_bit_is_damage_and_nothing_that_passes(
    sound: tuple[Path, Content],
    tmp_path: Path,
    word: bytes,
    read: Callable[[SqliteStore], object],
) -> None:
    path = copy_of(sound, tmp_path)
    database = path / "roomlog.sqlite3"
    offset = database.read_bytes().index(word)
    flip(database, offset, 0)
    store = SqliteStore.open_read_only(path)
    with pytest.raises(StoreCorrupt, match="no such column"):
        read(store)
    store.close()


@pytest.mark.parametrize("pages", [0, 1, 2, 5, -1])
def test_t21_a_truncated_database_is_refused_and_not_replaced_by_an_empty_one(
    sound: tuple[Path, Content], tmp_path: Path, pages: int
) -> None:
    path = copy_of(sound, tmp_path)
    database = path / "roomlog.sqlite3"
    size = database.stat().st_size
    cut = size + pages * 4096 if pages < 0 else pages * 4096
    with database.open("r+b") as file:
        file.truncate(cut)
    with pytest.raises(StoreCorrupt):
        SqliteStore.open(path, store_id=bytes(16), now_ms=9)
    assert database.stat().st_size == cut
    with pytest.raises(StoreCorrupt):
        SqliteStore.open_read_only(path)


def test_t21_a_lost_database_beside_its_write_ahead_log_is_not_made_anew(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "store", store_id=bytes(16), now_ms=1)
    create_room(store)
    wal = (tmp_path / "store" / "roomlog.sqlite3-wal").read_bytes()
    store.close()
    (tmp_path / "store" / "roomlog.sqlite3").unlink()
    (tmp_path / "store" / "roomlog.sqlite3-wal").write_bytes(wal)
    with pytest.raises(StoreCorrupt, match="sqlite3-wal is there"):
        SqliteStore.open(tmp_path / "store", store_id=bytes(16), now_ms=2)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    other = sqlite3.connect(path / "roomlog.sqlite3")
    other.execute("CREATE TABLE room (x)")
    other.commit()
    other.close()
    with pytest.raises(StoreCorrupt, match="not a roomlog database"):
        SqliteStore.open(path, store_id=bytes(16), now_ms=1)
    (path / "roomlog.sqlite3").write_bytes(b"not SQLite at all" * 300)
    with pytest.raises(StoreCorrupt):
        SqliteStore.open(path, store_id=bytes(16), now_ms=1)


def edit(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path / "roomlog.sqlite3")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM log WHERE room = 2 AND from_seq = 1",
        "DELETE FROM log WHERE room = 2 AND from_seq = 2",
        "DELETE FROM log WHERE room = 2 AND from_seq = 30",
        "DELETE FROM log WHERE room = 2",
        "UPDATE log SET from_seq = 31, to_seq = 31 WHERE room = 2 AND from_seq = 30",
        "UPDATE log SET ids = zeroblob(32) WHERE room = 2 AND from_seq = 1",
        "UPDATE log SET head = zeroblob(9) WHERE room = 2 AND from_seq = 30",
        "UPDATE room SET head_seq = 40 WHERE room = 2",
        "UPDATE room SET epoch = zeroblob(16) WHERE room = 2",
    ],
)
def test_t21_missing_or_altered_rows_refuse_their_room_by_name_and_no_other(
    sound: tuple[Path, Content], tmp_path: Path, statement: str
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, statement)
    store = SqliteStore.open(path, store_id=bytes(16), now_ms=9)
    with pytest.raises(StoreCorrupt) as caught:
        list(store.load_index("room-1"))
    assert caught.value.room == "room-1"
    assert "room-1" in str(caught.value)
    assert list(store.load_index("room-0")) == list(sound[1]["room-0"][1])  # type: ignore[call-overload]
    store.close()


def test_damaged_bodies_are_found_when_they_are_read_though_the_index_is_sound(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "UPDATE log SET tail = zeroblob(length(tail)) WHERE room = 1 AND from_seq = 2")
    store = SqliteStore.open_read_only(path)
    assert len(list(store.load_index("room-0"))) == 6
    assert len(store.read_log("room-0", 0, 1)) == 1
    with pytest.raises(StoreCorrupt, match="bodies at seq 2"):
        store.read_log("room-0", 1, 1)
    with pytest.raises(StoreCorrupt):
        store.read_log("room-0", 0, 100)
    store.close()


def test_a_gap_is_found_by_whoever_reads_across_it(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "DELETE FROM log WHERE room = 1 AND from_seq = 2")
    store = SqliteStore.open_read_only(path)
    with pytest.raises(StoreCorrupt, match="seq 2"):
        store.read_log("room-0", 0, 100)
    with pytest.raises(StoreCorrupt, match="seq 3"):
        store.read_log("room-0", 2, 1)
    store.close()


def test_an_altered_admission_record_is_refused(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "UPDATE admission SET admitted_ms = admitted_ms + 1 WHERE admission = 3")
    store = SqliteStore.open_read_only(path)
    with pytest.raises(StoreCorrupt, match="admission"):
        list(store.admissions("room-0"))
    store.close()


def test_the_check_reads_everything_and_names_what_is_wrong(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    store = SqliteStore.open_read_only(path)
    store.check()
    store.close()
    database = path / "roomlog.sqlite3"
    root = page_of_table(path, "log")
    for offset in range(8):
        flip(database, root + 12 + offset, 3)
    store = SqliteStore.open_read_only(path)
    with pytest.raises(StoreCorrupt):
        store.check()
    store.close()


def page_of_table(path: Path, table: str) -> int:
    connection = sqlite3.connect(f"file:{path / 'roomlog.sqlite3'}?immutable=1", uri=True)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
    ).fetchone()
    connection.close()
    return (int(page) - 1) * 4096


def test_a_missing_entry_of_store_meta_is_damage(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "DELETE FROM store_meta WHERE key = 'feature_level'")
    with pytest.raises(StoreCorrupt, match="feature_level"):
        SqliteStore.open(path, store_id=bytes(16), now_ms=1)


def test_a_version_that_is_no_number_is_damage(sound: tuple[Path, Content], tmp_path: Path) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "UPDATE store_meta SET value = 'one' WHERE key = 'compat_version'")
    with pytest.raises(StoreCorrupt, match="no number as compat_version"):
        SqliteStore.open(path, store_id=bytes(16), now_ms=1)


def test_a_room_that_its_index_has_lost_is_damage_and_not_a_room_to_create(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    database = path / "roomlog.sqlite3"
    index = page_of_table(path, "sqlite_autoindex_room_1")
    content = database.read_bytes()[index : index + 4096]
    at = index + content.index(b"room-1")
    flip(database, at + 5, 3)
    with pytest.raises(StoreCorrupt, match="room"):
        SqliteStore.open(path, store_id=bytes(16), now_ms=1)


def test_admission_records_that_end_early_are_damage(
    sound: tuple[Path, Content], tmp_path: Path
) -> None:
    path = copy_of(sound, tmp_path)
    edit(path, "DELETE FROM log WHERE room = 1 AND from_seq > 6")
    store = SqliteStore.open_read_only(path)
    with pytest.raises(StoreCorrupt, match="seq 7 has no admission record"):
        list(store.admissions("room-0"))
    store.close()
