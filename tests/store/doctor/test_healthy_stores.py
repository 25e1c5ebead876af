"""A healthy store is not touched: not a byte, not a time, not a name."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from roomlog.store.doctor.examination import examine
from roomlog.store.doctor.finding import Severity
from roomlog.store.sqlite import SqliteStore
from tests.store.chains import Chain, create_room
from tests.store.doctor.rich_store import (
    DATABASE,
    fingerprint,
    make_rich_store,
    nodes_in,
    repaired,
)


@pytest.mark.parametrize(
    "state", ["closed", "killed", "killed without index", "empty log", "index"]
)
def test_neither_a_look_nor_a_repair_touches_a_healthy_store(state: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    rooms = make_rich_store(store, keep_log=state.startswith("killed"))
    log, index = store / f"{DATABASE}-wal", store / f"{DATABASE}-shm"
    assert log.exists() == state.startswith("killed")
    if state == "killed without index":
        index.unlink()
    elif state == "empty log":
        log.touch()
    elif state == "index":
        index.write_bytes(bytes(32_768))
    before = fingerprint(store)
    found = examine(store)
    assert found.findings == ()
    assert found.is_healthy
    assert {room.room_id: room.head_seq for room in found.rooms} == {
        "empty": 0,
        **{name: len(tangle.nodes) for name, tangle in rooms.items()},
    }
    assert fingerprint(store) == before
    done = repaired(store, tmp_path / "backup")
    assert (done.done, done.backup, done.saved) == ((), "", ())
    assert fingerprint(store) == before
    assert not (tmp_path / "backup").exists()


def test_a_store_that_a_server_writes_to_meanwhile_is_healthy_at_every_look(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_rich_store(path)
    store = SqliteStore.open(path, store_id=bytes(16), now_ms=1)
    try:
        chain = Chain(create_room(store, "live"))
        looks = 0

        def write_and_count(_: int) -> None:
            # The store goes on between two pages of the look.
            nonlocal looks
            looks += 1
            assert store.commit([chain.append(3)])[0].is_committed

        for _ in range(3):
            before = {
                k: v for k, v in fingerprint(path).items() if not k.endswith(("-shm", "-wal"))
            }
            found = examine(path, on_nodes=write_and_count)
            assert found.findings == ()
            assert found.holder is not None
            assert found.holder.pid == os.getpid()
            now = {k: v for k, v in fingerprint(path).items() if not k.endswith(("-shm", "-wal"))}
            assert now == before
        assert looks > 3
        assert repaired(path, tmp_path / "backup").done == ()
    finally:
        store.close()
    assert len(nodes_in(path)["live"]) == 3 * looks


def test_a_torn_last_commit_is_what_a_loss_of_power_leaves_and_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_rich_store(path, keep_log=True)
    log = path / f"{DATABASE}-wal"
    with log.open("r+b") as file:
        # The first page of the last commit: the log's last frame is its commit.
        file.seek(-(4_096 + 24) + 100, os.SEEK_END)
        file.write(b"torn")
    before = fingerprint(path)
    assert examine(path).is_healthy
    assert repaired(path, tmp_path / "backup").done == ()
    assert fingerprint(path) == before


def test_pending_migrations_are_a_note_and_nothing_to_repair(tmp_path: Path) -> None:
    from roomlog.store.sqlite.migration import Build
    from roomlog.store.sqlite.migrations import MIGRATIONS

    path = tmp_path / "store"
    old = Build("0.0.9", 1, 1, 1, MIGRATIONS[:1])
    SqliteStore.open(path, store_id=bytes(16), now_ms=1, build=old).close()
    found = examine(path)
    assert [(each.code, each.severity) for each in found.findings] == [
        ("migrations_pending", Severity.NOTE)
    ]
    assert found.is_healthy
    assert repaired(path, tmp_path / "backup").done == ()


def test_an_old_schema_stays_the_old_one_when_its_store_is_repaired(tmp_path: Path) -> None:
    from roomlog.store.sqlite import migrate
    from roomlog.store.sqlite.migration import Build
    from roomlog.store.sqlite.migrations import MIGRATIONS

    path = tmp_path / "store"
    old = Build("0.0.9", 1, 1, 1, MIGRATIONS[:1])
    store = SqliteStore.open(path, store_id=bytes(16), now_ms=1, build=old)
    chain = Chain(create_room(store))
    store.commit([chain.append(2), chain.append(2)])
    store.close()
    connection = sqlite3.connect(path / DATABASE)
    connection.execute("DELETE FROM admission WHERE from_seq = 1")
    connection.commit()
    connection.close()
    (path / "server.key").touch(0o600)
    done = repaired(path, tmp_path / "backup")
    assert {each.code for each in done.after.findings} == {"key_damaged", "migrations_pending"}
    assert migrate.status(path).store.schema_version == 1
    migrate.apply(path, now_ms=5)
    assert [node.id for node in nodes_in(path)["room"]] == [node.id for node in chain.nodes]
