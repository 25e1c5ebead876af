"""The SQLite store when the disk, the commit or a row fails."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomlog.store.errors import RoomExists, StoreCorrupt, StoreUnavailable
from roomlog.store.interface import AppendStatus
from roomlog.store.sqlite import SqliteStore
from tests.store.chains import Chain, create_room, new_room, stored_appends, written
from tests.store.faults import Faults


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def store(tmp_path: Path, faults: Faults) -> Iterator[SqliteStore]:
    store = open_store(tmp_path, faults)
    yield store
    store.close()


def open_store(tmp_path: Path, faults: Faults) -> SqliteStore:
    return SqliteStore.open(
        tmp_path / "store", store_id=os.urandom(16), now_ms=1, connect=faults.connect
    )


def statuses(store: SqliteStore, *appends: object) -> list[str]:
    return [outcome.status.value for outcome in store.commit(appends)]  # type: ignore[arg-type]


def test_a_batch_that_fits_takes_a_handful_of_statements_whatever_its_size(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    store.commit([chain.append()])
    faults.statements.clear()
    store.commit([chain.append() for _ in range(16)])
    assert [statement.split(" ")[0] for statement in faults.statements] == [
        "BEGIN",
        "UPDATE",
        "INSERT",
        "INSERT",
        "COMMIT",
    ]


@pytest.mark.parametrize("committing_first", [False, True])
def test_t59_an_ambiguous_commit_is_reported_as_such_and_then_decided_for_every_room(
    store: SqliteStore, faults: Faults, committing_first: bool
) -> None:
    chains = [Chain(create_room(store, f"room-{index}")) for index in range(3)]
    first = [chain.append(2) for chain in chains]
    assert statuses(store, *first) == ["committed"] * 3
    second = [chain.append(1) for chain in chains]
    faults.failing["COMMIT"] = 1
    faults.committing_first = committing_first
    outcomes = store.commit(second)
    assert {outcome.status for outcome in outcomes} == {AppendStatus.AMBIGUOUS}
    assert all("commit failed" in outcome.reason for outcome in outcomes)
    # Decided at once, the same way for all of them, and each log goes on from what was decided.
    for chain, before, lost in zip(chains, first, second, strict=True):
        room = store.open_room(chain.room.room_id)
        assert room is not None
        assert room.head_seq == (3 if committing_first else 2)
        kept = [before, lost] if committing_first else [before]
        assert stored_appends(store, chain.room.room_id) == written(kept)
        again = chain.append(1) if committing_first else lost
        assert statuses(store, again) == ["committed"]


def test_after_an_ambiguous_commit_nobody_reads_until_the_store_is_known_again(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    first, second = chain.append(), chain.append()
    store.commit([first])
    faults.failing["COMMIT"] = 1
    faults.connect_fails = 2
    assert statuses(store, second) == ["ambiguous"]
    with pytest.raises(StoreUnavailable):
        store.open_room("room")
    with pytest.raises(StoreUnavailable):
        list(store.load_index("room"))
    assert statuses(store, second) == ["failed"]
    with pytest.raises(StoreUnavailable):
        store.rooms()
    assert statuses(store, second) == ["committed"]
    assert stored_appends(store, "room") == written([first, second])


def test_an_empty_batch_finds_out_whether_the_store_can_be_read_again(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    first = chain.append()
    store.commit([first])
    faults.failing["COMMIT"] = 1
    faults.connect_fails = 2
    assert statuses(store, chain.append()) == ["ambiguous"]
    assert store.commit([]) == []
    with pytest.raises(StoreUnavailable):
        store.rooms()
    assert store.commit([]) == []
    assert stored_appends(store, "room") == written([first])


def test_a_commit_that_was_denied_is_not_found_by_a_later_recovery(
    tmp_path: Path, faults: Faults
) -> None:
    store = open_store(tmp_path, faults)
    chain = Chain(create_room(store))
    first = chain.append()
    store.commit([first])
    faults.failing["COMMIT"] = 1
    assert statuses(store, chain.append()) == ["ambiguous"]
    head = store.open_room("room")
    assert head is not None
    wal = tmp_path / "store" / "roomlog.sqlite3-wal"
    assert wal.stat().st_size == 0
    store.close()
    again = open_store(tmp_path, faults)
    assert again.open_room("room") == head
    assert stored_appends(again, "room") == written([first])
    again.close()


def test_settling_waits_for_readers_that_are_in_the_way(
    tmp_path: Path, store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    first, second = chain.append(), chain.append()
    store.commit([first])
    reader = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM log").fetchone()
    faults.failing["COMMIT"] = 1
    assert statuses(store, second) == ["ambiguous"]
    with pytest.raises(StoreUnavailable):
        store.open_room("room")
    reader.execute("COMMIT")
    reader.close()
    assert statuses(store, second) == ["committed"]
    assert stored_appends(store, "room") == written([first, second])


@pytest.mark.parametrize("committing_first", [False, True])
def test_creating_a_room_under_a_failing_commit_is_unavailable_and_then_decided(
    store: SqliteStore, faults: Faults, committing_first: bool
) -> None:
    create_room(store, "old")
    faults.failing["COMMIT"] = 1
    faults.committing_first = committing_first
    asked = new_room("fresh")
    result, existing = store.create_rooms([asked, new_room("old")])
    assert isinstance(result, StoreUnavailable)
    assert isinstance(existing, RoomExists)
    found = store.open_room("fresh")
    assert (found is not None) == committing_first
    if found is not None:
        assert found.lineage == asked.lineage


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO room"])
def test_creating_a_room_on_a_failing_disk_is_unavailable_and_leaves_nothing(
    store: SqliteStore, faults: Faults, statement: str
) -> None:
    faults.failing[statement] = 1
    (result,) = store.create_rooms([new_room("fresh")])
    assert isinstance(result, StoreUnavailable)
    assert store.open_room("fresh") is None
    assert create_room(store, "fresh").head_seq == 0


@pytest.mark.parametrize(
    "statement", ["BEGIN", "UPDATE", "INSERT INTO admission", "INSERT INTO log"]
)
def test_t19_a_write_that_fails_fails_the_pack_and_nothing_of_it_is_ever_there(
    tmp_path: Path, store: SqliteStore, faults: Faults, statement: str
) -> None:
    chain = Chain(create_room(store))
    first, second = chain.append(2), chain.append(2)
    assert statuses(store, first) == ["committed"]
    faults.failing[statement] = 2
    (outcome,) = store.commit([second])
    assert outcome.status is AppendStatus.FAILED
    assert "disk I/O error" in outcome.reason
    assert stored_appends(store, "room") == written([first])
    faults.failing.clear()
    assert statuses(store, second) == ["committed"]
    assert stored_appends(store, "room") == written([first, second])
    assert [each.from_seq for each in store.admissions("room")] == [1, 3]


def test_a_fault_that_passes_while_writing_together_costs_nothing(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    batch = [chain.append() for _ in range(3)]
    faults.failing["INSERT INTO log"] = 1
    assert statuses(store, *batch) == ["committed"] * 3
    assert stored_appends(store, "room") == written(batch)


def test_a_rollback_that_fails_is_survived_with_a_new_connection(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    append = chain.append()
    faults.failing.update({"INSERT INTO log": 2, "ROLLBACK TO": 1, "ROLLBACK": 1})
    assert statuses(store, append) == ["failed"]
    faults.failing.clear()
    assert statuses(store, append) == ["committed"]
    assert stored_appends(store, "room") == written([append])


def test_t19_on_a_read_only_disk_every_append_fails_and_reading_goes_on(
    tmp_path: Path, faults: Faults
) -> None:
    store = open_store(tmp_path, faults)
    chain = Chain(create_room(store))
    first, second = chain.append(), chain.append()
    store.commit([first])
    store.close()
    faults.pragmas = ("query_only = ON",)
    store = open_store(tmp_path, faults)
    (outcome,) = store.commit([second])
    assert outcome.status is AppendStatus.FAILED
    assert "readonly" in outcome.reason
    assert stored_appends(store, "room") == written([first])
    (refused,) = store.create_rooms([new_room("other")])
    assert isinstance(refused, StoreUnavailable)
    store.close()


def test_t19_on_a_full_disk_what_does_not_fit_fails_and_what_fits_is_kept(
    tmp_path: Path, faults: Faults
) -> None:
    faults.pragmas = ("max_page_count = 60",)
    store = open_store(tmp_path, faults)
    big, small = Chain(create_room(store, "big")), Chain(create_room(store, "small"))
    huge = big.append(2, value="x" * 200_000)
    little = [small.append() for _ in range(3)]
    outcomes = store.commit([little[0], huge, little[1], little[2]])
    assert [outcome.status.value for outcome in outcomes] == [
        "committed",
        "failed",
        "committed",
        "committed",
    ]
    assert "full" in outcomes[1].reason
    assert stored_appends(store, "small") == written(little)
    assert stored_appends(store, "big") == []
    acknowledged = list(little)
    while True:
        append = small.append(20)
        if statuses(store, append) == ["failed"]:
            break
        acknowledged.append(append)
    assert stored_appends(store, "small") == written(acknowledged)
    store.close()
    faults.pragmas = ()
    store = open_store(tmp_path, faults)
    assert stored_appends(store, "small") == written(acknowledged)
    assert statuses(store, append) == ["committed"]
    store.close()


def test_when_every_pack_takes_the_transaction_down_all_fail_after_few_tries(
    tmp_path: Path, faults: Faults
) -> None:
    faults.pragmas = ("max_page_count = 30",)
    store = open_store(tmp_path, faults)
    chains = [Chain(create_room(store, f"room-{index}")) for index in range(8)]
    batch = [chain.append(1, value="x" * 150_000) for chain in chains]
    faults.statements.clear()
    assert set(statuses(store, *batch)) == {"failed"}
    assert faults.statements.count("BEGIN IMMEDIATE") <= 16
    assert all(room.head_seq == 0 for room in store.rooms())
    store.close()


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_t19_nothing_is_acknowledged_into_a_file_that_the_stores_name_does_not_lead_to(
    tmp_path: Path, store: SqliteStore, how: str
) -> None:
    chain = Chain(create_room(store))
    first, second = chain.append(), chain.append()
    assert statuses(store, first) == ["committed"]
    here, there = tmp_path / "store", tmp_path / "elsewhere"
    here.rename(there)
    if how == "deleted":
        (there / "roomlog.sqlite3").rename(tmp_path / "deleted")
    elif how == "replaced":
        open_store(tmp_path, Faults()).close()
    assert statuses(store, second) == ["failed"]
    (unavailable,) = store.create_rooms([new_room("new")])
    assert isinstance(unavailable, StoreUnavailable)
    if how == "moved":
        there.rename(here)
        assert statuses(store, second) == ["committed"]
        assert stored_appends(store, "room") == written([first, second])


def test_a_store_that_another_writer_holds_fails_the_batch(
    tmp_path: Path, store: SqliteStore
) -> None:
    chain = Chain(create_room(store))
    append = chain.append()
    other = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert statuses(store, append) == ["failed"]
    other.execute("ROLLBACK")
    other.close()
    assert statuses(store, append) == ["committed"]


def test_a_writer_that_cannot_connect_refuses_to_open_and_frees_the_lock(
    tmp_path: Path, faults: Faults
) -> None:
    open_store(tmp_path, faults).close()
    faults.connect_fails = 1
    with pytest.raises(StoreUnavailable):
        open_store(tmp_path, faults)
    faults.failing["PRAGMA journal_mode"] = 1
    with pytest.raises(StoreUnavailable):
        open_store(tmp_path, faults)
    open_store(tmp_path, faults).close()


def test_a_file_system_without_a_write_ahead_log_is_refused(tmp_path: Path, faults: Faults) -> None:
    open_store(tmp_path, faults).close()
    path = tmp_path / "store" / "roomlog.sqlite3"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("PRAGMA journal_mode = DELETE")
    blocker.execute("BEGIN")
    blocker.execute("SELECT * FROM store_meta").fetchall()
    with pytest.raises(StoreUnavailable):
        open_store(tmp_path, faults)
    blocker.close()
    open_store(tmp_path, faults).close()


def test_damage_found_while_connecting_is_called_damage(tmp_path: Path, faults: Faults) -> None:
    open_store(tmp_path, faults).close()
    faults.error_code = sqlite3.SQLITE_NOTADB
    faults.failing["SELECT max(admission)"] = 1
    with pytest.raises(StoreCorrupt):
        open_store(tmp_path, faults)


def test_a_database_whose_tables_are_gone_is_refused(tmp_path: Path, faults: Faults) -> None:
    open_store(tmp_path, faults).close()
    connection = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3")
    connection.execute("DROP TABLE admission")
    connection.commit()
    connection.close()
    with pytest.raises(StoreCorrupt, match="admission"):
        open_store(tmp_path, faults)


def test_a_connection_lost_to_a_failed_rollback_is_not_used_again(
    store: SqliteStore, faults: Faults
) -> None:
    chain = Chain(create_room(store))
    append = chain.append()
    faults.failing.update({"UPDATE": 1, "ROLLBACK": 2})
    assert statuses(store, append) == ["failed"]
    assert statuses(store, append) == ["committed"]
    assert stored_appends(store, "room") == written([append])
