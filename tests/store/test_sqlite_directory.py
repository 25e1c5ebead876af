"""The store's directory: who may write, what is durable by name, and who leaves no trace."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roomlog.identity import Identity
from roomlog.store.errors import (
    StoreCorrupt,
    StoreLocked,
    StoreNotFound,
    StoreUnavailable,
)
from roomlog.store.sqlite import SqliteStore, schema
from roomlog.store.sqlite.connection import connect_sqlite
from roomlog.store.sqlite.directory import StoreDirectory, fsync_path
from roomlog.store.sqlite.readers import IDLE_CONNECTIONS, Readers
from tests.store.chains import Chain, create_room, stored_appends, written


def open_store(path: Path) -> SqliteStore:
    return SqliteStore.open(path, store_id=os.urandom(16), now_ms=1)


class Recorder:
    """The order of what makes names and bytes durable, by monkeypatching `os`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, str]] = []
        self._record(monkeypatch, "fsync", lambda fd, *_: os.readlink(f"/proc/self/fd/{fd}"))
        self._record(monkeypatch, "rename", lambda _, target, *__: str(target))
        self._record(monkeypatch, "replace", lambda _, target, *__: str(target))
        self._record(monkeypatch, "link", lambda _, target, *__: str(target))

    def _record(self, monkeypatch: pytest.MonkeyPatch, name: str, what: Callable[..., str]) -> None:
        real = getattr(os, name)

        def recorded(*arguments: Any, **options: Any) -> Any:
            self.events.append((name, Path(what(*arguments)).name))
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, recorded)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads names from /proc")
def test_t27_a_new_database_is_fsynced_before_and_its_directory_after_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    open_store(tmp_path / "deep" / "store").close()
    assert recorder.events == [
        ("fsync", tmp_path.name),
        ("fsync", "deep"),
        ("fsync", "roomlog.sqlite3.new"),
        ("rename", "roomlog.sqlite3"),
        ("fsync", "store"),
        ("fsync", "roomlog.sqlite3-wal"),
        ("fsync", "store"),
    ]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads names from /proc")
def test_t27_the_key_file_is_fsynced_before_and_its_directory_after_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    recorder = Recorder(monkeypatch)
    identity = Identity.load_or_create(store.key_path)
    names = [name for name, _ in recorder.events]
    assert len(names) == 3
    assert names[0] == names[2] == "fsync"
    assert recorder.events[1][1] == "server.key"
    assert recorder.events[2] == ("fsync", "store")
    assert (store.key_path.stat().st_mode & 0o777) == 0o600
    assert Identity.load_or_create(store.key_path) == identity
    store.close()


@pytest.mark.parametrize("moment", ["fsync_path", "rename"])
def test_a_creation_that_dies_leaves_no_database_and_the_next_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "store"
    path.mkdir()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(schema if moment == "fsync_path" else os, moment, fail)
        with pytest.raises(StoreUnavailable, match="No space left"):
            open_store(path)
    assert not (path / "roomlog.sqlite3").exists()
    (path / "roomlog.sqlite3.new-journal").write_bytes(b"half a journal")
    store = open_store(path)
    assert store.rooms() == []
    assert not (path / "roomlog.sqlite3.new").exists()
    assert not (path / "roomlog.sqlite3.new-journal").exists()
    store.close()


def test_a_creation_whose_connection_fails_says_so(tmp_path: Path) -> None:
    def connect(path: Path, *, read_only: bool, is_quiet: bool = False) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    with pytest.raises(StoreUnavailable, match="unable to open"):
        SqliteStore.open(tmp_path / "store", store_id=bytes(16), now_ms=1, connect=connect)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_no_database_is_made_beside_the_remains_of_a_lost_one(tmp_path: Path, suffix: str) -> None:
    """SQLite would take them for those of the new one."""
    path = tmp_path / "store"
    open_store(path).close()
    (path / "roomlog.sqlite3").unlink()
    (path / f"roomlog.sqlite3{suffix}").write_bytes(b"what it had")
    with pytest.raises(StoreCorrupt, match=f"{suffix} is there"):
        open_store(path)
    assert not (path / "roomlog.sqlite3").exists()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "store" / "roomlog.sqlite3").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "store" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_second_writer_is_refused_naming_the_process_that_has_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    with pytest.raises(StoreLocked) as caught:
        open_store(tmp_path / "store")
    assert caught.value.pid == os.getpid()
    assert str(os.getpid()) in str(caught.value)
    store.close()
    store.close()
    open_store(tmp_path / "store").close()


@pytest.mark.parametrize("goes_away", [False, True])
def test_who_only_looks_at_the_lock_keeps_no_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_away: bool
) -> None:
    open_store(tmp_path / "store").close()
    looker = os.open(tmp_path / "store" / "lock", os.O_RDONLY)
    fcntl.flock(looker, fcntl.LOCK_SH)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if goes_away and len(waits) == 3:
            fcntl.flock(looker, fcntl.LOCK_UN)

    monkeypatch.setattr("roomlog.file_lock.time.sleep", sleep)
    if goes_away:
        open_store(tmp_path / "store").close()
        assert len(waits) == 3
    else:
        with pytest.raises(StoreLocked):
            open_store(tmp_path / "store")
        assert 0 < sum(waits) <= 2
    os.close(looker)


def test_a_lock_without_a_pid_is_still_a_lock(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "store" / "lock").write_text("?")
    with pytest.raises(StoreLocked) as caught:
        open_store(tmp_path / "store")
    assert caught.value.pid is None
    store.close()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from roomlog.store.sqlite import SqliteStore;"
        "s = SqliteStore.open(sys.argv[1], store_id=bytes(16), now_ms=1);"
        "print('open', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    with pytest.raises(StoreLocked) as caught:
        open_store(tmp_path / "store")
    assert caught.value.pid == child.pid
    child.kill()
    child.communicate()
    open_store(tmp_path / "store").close()


def test_a_directory_that_cannot_be_locked_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "lock").mkdir()
    with pytest.raises(StoreUnavailable, match="lock"):
        open_store(tmp_path / "store")


def test_reading_where_there_is_no_store_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="no store at"):
        SqliteStore.open_read_only(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def bytes_of(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(path.iterdir())
    }


def test_reading_a_quiet_store_changes_no_byte_and_makes_no_file(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    chain = Chain(create_room(store))
    append = chain.append(3)
    store.commit([append])
    store.close()
    before = bytes_of(tmp_path / "store")
    reader = SqliteStore.open_read_only(tmp_path / "store")
    assert stored_appends(reader, "room") == written([append])
    assert len(list(reader.load_index("room"))) == 1
    reader.check()
    assert bytes_of(tmp_path / "store") == before
    reader.close()
    assert bytes_of(tmp_path / "store") == before


def test_a_read_only_store_refuses_to_write(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    append = Chain(create_room(store)).append()
    store.close()
    reader = SqliteStore.open_read_only(tmp_path / "store")
    with pytest.raises(TypeError):
        reader.commit([append])
    with pytest.raises(TypeError):
        reader.create_rooms([])
    reader.close()


def test_a_reader_beside_a_running_writer_sees_what_is_committed(tmp_path: Path) -> None:
    writer = open_store(tmp_path / "store")
    chain = Chain(create_room(writer))
    reader = SqliteStore.open_read_only(tmp_path / "store")
    appends = []
    for _ in range(5):
        appends.append(chain.append(2))
        writer.commit(appends[-1:])
        assert stored_appends(reader, "room") == written(appends)
    writer.close()
    assert stored_appends(reader, "room") == written(appends)
    reader.close()


def test_a_server_starts_while_somebody_reads_at_length(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    create_room(first, "before")
    reader = connect_sqlite(tmp_path / "roomlog.sqlite3", read_only=True)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM room").fetchone() == (1,)
    create_room(first, "meanwhile")
    assert first._lock is not None
    first._lock.release()
    second = open_store(tmp_path)
    create_room(second, "after")
    assert reader.execute("SELECT count(*) FROM room").fetchone() == (1,)
    reader.close()
    assert {room.room_id for room in second.rooms()} == {"before", "meanwhile", "after"}
    second.close()


def test_a_reader_of_a_quiet_store_follows_when_a_writer_starts_and_checkpoints(
    tmp_path: Path,
) -> None:
    writer = open_store(tmp_path / "store")
    chain = Chain(create_room(writer))
    appends = [chain.append(2)]
    writer.commit(appends)
    writer.close()
    reader = SqliteStore.open_read_only(tmp_path / "store")
    assert stored_appends(reader, "room") == written(appends)
    for _ in range(3):
        writer = open_store(tmp_path / "store")
        appends.append(chain.append(2))
        writer.commit(appends[-1:])
        assert stored_appends(reader, "room") == written(appends)
        checkpoint(tmp_path / "store" / "roomlog.sqlite3")
        assert stored_appends(reader, "room") == written(appends)
        writer.close()
        assert stored_appends(reader, "room") == written(appends)
    reader.close()


def checkpoint(database: Path) -> None:
    """Move the write-ahead log into the database, as a commit does now and then."""
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[0] == 0
    connection.close()


@pytest.mark.parametrize("outcome", ["answer", "damage", "sqlite error"])
def test_an_answer_read_while_the_quiet_file_changed_is_thrown_away_and_read_again(
    tmp_path: Path, outcome: str
) -> None:
    open_store(tmp_path / "store").close()
    directory = StoreDirectory(tmp_path / "store")
    readers = Readers(directory, connect_sqlite, beside_writer=False)
    calls = 0

    def query(_: object) -> str:
        nonlocal calls
        calls += 1
        if calls > 1:
            return "second"
        os.utime(directory.database, ns=(1, 1))
        if outcome == "damage":
            raise StoreCorrupt(None, "torn")
        if outcome == "sqlite error":
            raise sqlite3.DatabaseError("torn")
        return "first"

    assert readers.run(query) == "second"
    readers.close()


def test_no_more_idle_connections_are_kept_than_allowed(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    opened = []

    def connect(path: Path, *, read_only: bool, is_quiet: bool = False) -> Any:
        opened.append(path)
        return connect_sqlite(path, read_only=read_only, is_quiet=is_quiet)

    readers = Readers(StoreDirectory(tmp_path / "store"), connect, beside_writer=False)

    def nested(depth: int) -> int:
        return readers.run(lambda _: depth if depth == 0 else nested(depth - 1))

    nested(IDLE_CONNECTIONS + 3)
    assert len(opened) == IDLE_CONNECTIONS + 4
    nested(IDLE_CONNECTIONS - 1)
    assert len(opened) == IDLE_CONNECTIONS + 4
    nested(IDLE_CONNECTIONS)
    assert len(opened) == IDLE_CONNECTIONS + 5
    readers.close()


def test_fsync_of_a_path_closes_what_it_opened(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    fsync_path(tmp_path)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after == before


def test_a_database_that_vanishes_under_a_reader_is_unavailable_not_empty(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    create_room(store)
    store.close()
    reader = SqliteStore.open_read_only(tmp_path / "store")
    (tmp_path / "store" / "roomlog.sqlite3").unlink()
    with pytest.raises(StoreUnavailable):
        reader.rooms()
    reader.close()


def test_a_reader_whose_settings_fail_is_unavailable(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()

    class Broken:
        def execute(self, *_: object) -> None:
            raise sqlite3.OperationalError("out of memory")

        def close(self) -> None:
            pass

    def connect(path: Path, *, read_only: bool, is_quiet: bool = False) -> Any:
        return Broken()

    with pytest.raises(StoreUnavailable, match="out of memory"):
        SqliteStore.open_read_only(tmp_path / "store", connect=connect)
