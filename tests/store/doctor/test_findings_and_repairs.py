"""What each kind of damage is called, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from roomlog.identity import Identity
from roomlog.store.doctor import swapping
from roomlog.store.doctor.examination import Examination, examine
from roomlog.store.errors import StoreLocked, StoreNotFound, StoreUnavailable
from roomlog.store.sqlite import SqliteStore
from tests.store.doctor.rich_store import (
    DATABASE,
    NOW_MS,
    Tangle,
    fingerprint,
    make_rich_store,
    nodes_in,
    nodes_saved,
    repaired,
)


def sql(store: Path, *statements: str) -> None:
    connection = sqlite3.connect(store / DATABASE)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        assert connection.execute(statement).rowcount > 0, statement
    connection.commit()
    connection.close()


def codes(found: Examination) -> dict[str, str]:
    """The rooms by code of finding."""
    return {each.code: each.room for each in found.findings}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def rooms(store: Path) -> dict[str, Tangle]:
    """`ada` is room 2, `bob` room 3, `big one` room 4; `bob` had two windows."""
    return make_rich_store(store)


def third_pack(tangle: Tangle, store: Path) -> tuple[int, int]:
    opened = SqliteStore.open_read_only(store)
    rows = list(opened.load_index(tangle.room.room_id))
    opened.close()
    return rows[2].from_seq, rows[2].to_seq


def test_a_gap_keeps_the_log_before_it_and_every_node_behind_that_stands_without_it(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    ada = rooms["ada"]
    first, last = third_pack(ada, store)
    sql(store, f"DELETE FROM log WHERE room = 2 AND from_seq = {first}")
    found = examine(store)
    assert codes(found)["log_gap"] == "ada"
    (picture,) = (room for room in found.rooms if room.room_id == "ada")
    assert picture.head_seq == len(ada.nodes)
    assert [(each.first, each.last, each.fate) for each in picture.stretches[:2]] == [
        (1, first - 1, "kept"),
        (first, last, "lost"),
    ]
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    gone = {node.id for node in ada.nodes[first - 1 : last]}
    orphans = set(gone)
    for node in ada.nodes:
        if orphans & set(node.parents):
            orphans.add(node.id)
    kept = nodes_in(store)["ada"]
    assert [node.id for node in kept[: first - 1]] == [node.id for node in ada.nodes[: first - 1]]
    assert {node.id for node in kept} == {node.id for node in ada.nodes} - orphans
    assert nodes_saved(done, rooms).keys() == orphans - gone
    opened = SqliteStore.open_read_only(store)
    room = opened.open_room("ada")
    assert room is not None
    assert room.epoch != ada.epoch
    assert room.lineage == ada.room.lineage
    window = opened.reconcile_windows("ada")[-1]
    assert (window.lost_epoch, window.new_epoch) == (ada.epoch, room.epoch)
    assert (window.head_seq, window.after_seq) == (first - 1, first - 1)
    assert window.checkpoint_seq == len(ada.nodes)
    assert (window.opened_ms, window.closes_ms) == (NOW_MS, NOW_MS + 86_400_000)
    records = list(opened.admissions("ada", first - 1))
    assert all(each.reinstated and each.epoch == room.epoch for each in records)
    assert all(each.submitter == b"" or len(each.submitter) == 32 for each in records)
    others = [opened.open_room(name) for name in ("bob", "big one")]
    assert [room.epoch for room in others if room] == [rooms["bob"].epoch, rooms["big one"].epoch]
    opened.close()
    assert (tmp_path / "backup" / DATABASE).exists()
    assert (tmp_path / "backup" / "server.key").read_text() == (store / "server.key").read_text()


def test_a_log_that_ends_early_gets_a_new_epoch_and_asks_for_the_rest(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    bob = rooms["bob"]
    first, _ = third_pack(bob, store)
    sql(
        store,
        f"DELETE FROM log WHERE room = 3 AND from_seq >= {first}",
        f"DELETE FROM admission WHERE room = 3 AND from_seq >= {first}",
    )
    found = examine(store)
    # Its epochs were renewed behind what is left, and its snapshot is of what is gone.
    assert set(codes(found)) == {"log_cut_short", "epochs_damaged", "snapshot_damaged"}
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    assert done.saved == ()
    assert [n.id for n in nodes_in(store)["bob"]] == [n.id for n in bob.nodes[: first - 1]]
    opened = SqliteStore.open_read_only(store)
    *before, last = opened.reconcile_windows("bob")
    assert [each.head_seq for each in before] == [first - 1, first - 1]
    assert (last.old_epoch, last.checkpoint_seq) == (bob.epoch, len(bob.nodes))
    opened.close()


SAME_LOG: dict[str, tuple[str, str]] = {
    "UPDATE room SET head_seq = 3 WHERE room = 2": ("head_behind", "ada"),
    "UPDATE log SET room = 9 WHERE room = 2 AND from_seq = 1": ("log_numbers_damaged", "ada"),
    "UPDATE log SET to_seq = to_seq + 1 WHERE room = 2 AND from_seq = 1": (
        "log_numbers_damaged",
        "ada",
    ),
    "UPDATE log SET admission = 4000 WHERE room = 2 AND from_seq = 1": ("log_recoverable", "ada"),
    "DELETE FROM admission WHERE room = 3 AND from_seq > 4": ("admission_damaged", "bob"),
    "UPDATE admission SET admitted_ms = 7 WHERE room = 3 AND from_seq = 1": (
        "admission_damaged",
        "bob",
    ),
    "DELETE FROM reconcile_window WHERE reconcile_window = 1": ("epochs_damaged", "bob"),
    "DELETE FROM reconcile_window": ("epochs_damaged", "bob"),
    "UPDATE reconcile_window SET opened_ms = 6": ("epochs_damaged", "bob"),
    "UPDATE snapshot SET taken_ms = 9 WHERE room = 2": ("log_recoverable", "ada"),
    "DELETE FROM snapshot_chunk WHERE room = 2 AND chunk = 1": ("snapshot_damaged", "ada"),
    "UPDATE snapshot_chunk SET data = zeroblob(9) WHERE room = 3": ("snapshot_damaged", "bob"),
    "DELETE FROM schema_migration WHERE version = 1": ("database_unreadable", ""),
    "DELETE FROM store_meta WHERE key = 'feature_level'": ("database_unreadable", ""),
    "UPDATE store_meta SET value = 77 WHERE key = 'compat_version'": ("database_unreadable", ""),
    "PRAGMA application_id = 5": ("database_unreadable", ""),
}


@pytest.mark.parametrize("statement", SAME_LOG)
def test_what_leaves_the_log_whole_is_mended_without_losing_or_renewing_anything(
    statement: str, store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    connection = sqlite3.connect(store / DATABASE)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute(statement)
    connection.commit()
    connection.close()
    code, room = SAME_LOG[statement]
    found = examine(store)
    assert codes(found).get(code) == room, found.findings
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy, done.after.findings
    assert done.saved == ()
    kept = nodes_in(store)
    for name, tangle in rooms.items():
        assert [node.id for node in kept[name]] == [node.id for node in tangle.nodes]
    opened = SqliteStore.open_read_only(store)
    for name, tangle in rooms.items():
        stored = opened.open_room(name)
        assert stored is not None
        assert (stored.epoch, stored.lineage) == (tangle.epoch, tangle.room.lineage)
    assert opened.identity.store_id == b"i" * 16
    assert opened.identity.compat_version == 1
    opened.close()


def test_a_room_whose_row_is_gone_is_made_again_from_its_records(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    sql(store, "UPDATE room SET lineage = zeroblob(32) WHERE room = 4")
    assert codes(examine(store))["room_row_damaged"] == "big one"
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    big = rooms["big one"]
    assert [n.id for n in nodes_in(store)["big one"]] == [n.id for n in big.nodes]
    opened = SqliteStore.open_read_only(store)
    room = opened.open_room("big one")
    assert room is not None
    assert room.lineage == big.room.lineage
    assert room.epoch != big.epoch
    assert opened.reconcile_windows("big one")[-1].lost_epoch == big.epoch
    opened.close()


def test_nodes_of_a_room_that_nobody_can_name_are_kept_beside_the_store(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    sql(store, "DELETE FROM room WHERE room = 4")
    found = examine(store)
    assert "room_unknown" in codes(found)
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    assert set(nodes_in(store)) == {"empty", "ada", "bob"}
    assert nodes_saved(done, rooms).keys() == {node.id for node in rooms["big one"].nodes}


def test_a_damaged_body_costs_its_own_node_and_no_other_of_its_pack(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    big = rooms["big one"]
    (row,) = sqlite3.connect(store / DATABASE).execute(
        "SELECT from_seq, to_seq, tail FROM log WHERE room = 4 AND to_seq > from_seq "
        "ORDER BY from_seq LIMIT 1"
    )
    first, last, tail = row
    # Of rows the last byte belongs to the last body.
    changed = tail[:-1] + bytes([tail[-1] ^ 1])
    connection = sqlite3.connect(store / DATABASE)
    connection.execute("UPDATE log SET tail = ? WHERE room = 4 AND from_seq = ?", (changed, first))
    connection.commit()
    connection.close()
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    here = {node.id for node in nodes_in(store)["big one"]} | nodes_saved(done, rooms).keys()
    missing = {node.id for node in big.nodes} - here
    assert missing == {big.nodes[last - 1].id}


def test_a_lost_database_is_mended_from_what_its_log_has(store: Path, tmp_path: Path) -> None:
    rooms = make_rich_store(store, keep_log=True)
    (store / DATABASE).unlink()
    assert "database_missing" in codes(examine(store))
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    assert not (store / f"{DATABASE}-wal").exists()
    kept = nodes_in(store)
    assert {name: len(nodes) for name, nodes in kept.items() if nodes} == {
        name: len(tangle.nodes) for name, tangle in rooms.items()
    }


def test_commits_behind_a_fault_of_the_log_are_brought_back(store: Path, tmp_path: Path) -> None:
    rooms = make_rich_store(store, keep_log=True)
    log = store / f"{DATABASE}-wal"
    with log.open("r+b") as file:
        file.seek(32 + (4_096 + 24) * 40 + 500)
        file.write(b"\xff\xff")
    assert "write_ahead_log_damaged" in codes(examine(store))
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    kept, saved = nodes_in(store), nodes_saved(done, rooms)
    written = {node.id for tangle in rooms.values() for node in tangle.nodes}
    here = {node.id for nodes in kept.values() for node in nodes} | saved.keys()
    # A page of the log is written again with every commit that adds to it.
    assert len(written - here) < 60


@pytest.mark.parametrize("content", [b"", b"garbage" * 4_000, bytes(40_000)])
def test_of_nothing_nothing_is_made_and_nothing_is_touched(
    content: bytes, store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    (store / DATABASE).write_bytes(content)
    before = fingerprint(store)
    found = examine(store)
    assert found.is_lost
    (finding,) = (each for each in found.findings if each.code == "database_unreadable")
    assert "Everything" in finding.lost
    assert "refound" in finding.remedy
    done = repaired(store, tmp_path / "backup")
    assert done.done == ()
    assert not (tmp_path / "backup").exists()
    assert fingerprint(store) == before


def test_the_server_key_is_looked_at_and_only_its_mode_is_mended(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    key = store / "server.key"
    whole = key.read_bytes()
    key.chmod(0o644)
    assert codes(examine(store)) == {"key_readable_by_others": ""}
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    assert key.stat().st_mode & 0o777 == 0o600
    # The database was not touched, so there is no copy of it.
    assert done.backup == ""
    key.write_bytes(whole[:20])
    assert codes(examine(store)) == {"key_damaged": ""}
    key.unlink()
    assert codes(examine(store)) == {"key_missing": ""}
    Identity.generate().save(key)
    assert set(codes(examine(store))) == {"key_foreign"}
    before = fingerprint(store)
    assert repaired(store, tmp_path / "backup").done == ()
    assert fingerprint(store) == before


def test_leftovers_are_named_and_removed(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    (store / f"{DATABASE}.new").write_bytes(b"half")
    (store / "doctor.work").mkdir()
    (store / "doctor.work" / DATABASE).write_bytes(b"half")
    assert codes(examine(store)) == {"leftover_files": ""}
    assert repaired(store, tmp_path / "backup").after.is_healthy
    assert sorted(each.name for each in store.iterdir()) == ["lock", DATABASE, "server.key"]


def test_a_store_of_a_newer_release_is_left_to_it(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    sql(
        store,
        "INSERT INTO schema_migration VALUES (3, 'of_tomorrow', 'expand', zeroblob(32), 5)",
        "UPDATE store_meta SET value = 3 WHERE key IN ('schema_version', 'compat_version')",
        "UPDATE store_meta SET value = '9.1.0' WHERE key = 'compat_release'",
    )
    found = examine(store)
    assert codes(found) == {"store_too_new": ""}
    assert "9.1.0" in found.findings[0].remedy
    before = fingerprint(store)
    assert repaired(store, tmp_path / "backup").done == ()
    assert fingerprint(store) == before


def test_a_disk_that_is_almost_full_is_a_warning_and_too_small_for_a_repair(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    assert codes(examine(store)) == {"disk_almost_full": ""}
    sql(store, "UPDATE room SET head_seq = 3 WHERE room = 2")
    before = fingerprint(store)
    with pytest.raises(StoreUnavailable, match="--backup"):
        repaired(store, tmp_path / "backup")
    after = fingerprint(store)
    assert {k: v for k, v in after.items() if k != "lock"} == {
        k: v for k, v in before.items() if k != "lock"
    }


def test_no_store_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        examine(tmp_path)
    with pytest.raises(StoreNotFound):
        examine(tmp_path / "none")


def test_a_key_without_its_database_is_one_and_nothing_is_made_of_it(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    (store / DATABASE).unlink()
    found = examine(store)
    assert codes(found) == {"database_missing": ""}
    assert not found.is_healthy
    assert not repaired(store, tmp_path / "backup").done
    assert not (store / DATABASE).exists()


def test_a_repair_needs_the_store_for_itself(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    sql(store, "UPDATE snapshot_chunk SET data = zeroblob(9) WHERE room = 3")
    opened = SqliteStore.open(store, store_id=bytes(16), now_ms=1)
    try:
        found = examine(store)
        assert found.holder is not None
        assert codes(found) == {"room_unprovable": "bob"}
        with pytest.raises(StoreLocked):
            repaired(store, tmp_path / "backup")
    finally:
        opened.close()


def test_an_existing_directory_is_no_place_for_a_copy(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    sql(store, "UPDATE room SET head_seq = 3 WHERE room = 2")
    with pytest.raises(StoreUnavailable, match="is there already"):
        repaired(store, tmp_path)


STEPS = ("rename", "unlink", "fsync", "pwrite", "mkdir")
PAGES_A_STEP = 40


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do `work` in a process that dies before its so-manyth call of the system; whether it did."""
    process = os.fork()
    if process == 0:
        count = pages = 0

        def counted(name: str) -> None:
            original = getattr(os, name)

            def call(*arguments: object, **options: object) -> object:
                nonlocal count, pages
                pages += name == "pwrite"
                # There is a page for each frame of the log: one of many stands for all.
                count += name != "pwrite" or pages % PAGES_A_STEP == 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **options)

            setattr(os, name, call)

        for name in STEPS:
            counted(name)
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_repair_killed_at_any_step_leaves_the_old_store_or_the_new_one(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    make_rich_store(origin, keep_log=True, steps=4)
    first = 2
    # A fault in the database below the log: both have to be right together.
    connection = sqlite3.connect(f"file:{origin / DATABASE}", uri=True)
    connection.execute("PRAGMA locking_mode = NORMAL")
    connection.execute(f"DELETE FROM log WHERE room = 2 AND from_seq > {first}")
    connection.commit()
    # The log stays, as the process that wrote it is killed.
    swapping.copy_files(sorted(origin.iterdir()), tmp_path / "damaged")
    connection.close()
    damaged = tmp_path / "damaged"
    assert (damaged / f"{DATABASE}-wal").stat().st_size > 0
    old = codes(examine(damaged))
    assert old
    number = ended_old = ended_new = unfinished = 0
    while True:
        number += 1
        store, backup = tmp_path / f"store-{number}", tmp_path / f"backup-{number}"
        swapping.copy_files(sorted(damaged.iterdir()), store)
        if not killed_at(number, lambda: repaired(store, backup)):  # noqa: B023
            assert examine(store).is_healthy
            break
        left = examine(store)
        found = {code: room for code, room in codes(left).items() if code != "leftover_files"}
        if "repair_unfinished" in found:
            # The new one is proven, and only has to take its place; the old one may look worse.
            unfinished += 1
            assert repaired(store, tmp_path / f"again-{number}").after.is_healthy
            found = {}
        assert found in (old, {}), number
        ended_old += found == old
        ended_new += found == {}
        if number % 7 == 0:
            again = repaired(store, tmp_path / f"again-{number}")
            assert again.after.is_healthy
        # What was there before is in the copy, as soon as anything is touched.
        if found == {}:
            assert codes(examine(backup)) == old
    assert ended_old > 5
    assert ended_new > 0
    assert unfinished > 0


def test_a_journal_beside_a_damaged_database_is_not_played_into_the_repaired_one(
    store: Path, rooms: dict[str, Tangle], tmp_path: Path
) -> None:
    # A transaction that the power ended: the pages as they were before it are in the journal.
    copy = tmp_path / "copy"
    shutil.copyfile(store / DATABASE, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE log SET head = head || head")
    sql(store, "UPDATE room SET head_seq = head_seq - 1 WHERE head_seq > 0")
    shutil.copyfile(f"{copy}-journal", store / f"{DATABASE}-journal")
    connection.close()
    done = repaired(store, tmp_path / "backup")
    assert done.after.is_healthy
    opened = SqliteStore.open(store, store_id=bytes(16), now_ms=1)
    opened.check()
    heads = {room.room_id: room.head_seq for room in opened.rooms() if room.head_seq}
    opened.close()
    assert heads == {name: len(tangle.nodes) for name, tangle in rooms.items()}
    assert examine(store).is_healthy
