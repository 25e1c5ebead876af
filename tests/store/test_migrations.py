"""Schema versions: who may open what, in which order migrations run, and what looking costs."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from roomlog import __version__
from roomlog.store.errors import (
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreNeedsMigration,
    StoreNotFound,
    StoreTooNew,
    StoreUnavailable,
)
from roomlog.store.levels import BUILD_COMPAT_VERSION, BUILD_FEATURE_LEVEL, BUILD_SCHEMA_VERSION
from roomlog.store.sqlite import SqliteStore, migrate
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.migration import Build, Migration, Phase
from roomlog.store.sqlite.migrations import MIGRATIONS
from tests.store.chains import Chain, create_room, stored_appends, written

INITIAL = MIGRATIONS[0]
SECOND = Migration(
    version=2,
    name="room_label",
    phase=Phase.EXPAND,
    compat_version=1,
    statements=("ALTER TABLE room ADD COLUMN label TEXT", "CREATE TABLE extra (x INTEGER)"),
)
# A change that old code would misread: it raises the compat version.
THIRD = Migration(
    version=3,
    name="other_log",
    phase=Phase.EXPAND,
    compat_version=3,
    statements=("CREATE TABLE segment (x INTEGER)",),
)
OLD = Build("0.1.0", 1, 1, 1, (INITIAL,))
NEWER = Build("0.2.0", 2, 1, 2, (INITIAL, SECOND))
NEWEST = Build("0.3.0", 3, 3, 3, (INITIAL, SECOND, THIRD))


def make(path: Path, build: Build) -> None:
    SqliteStore.open(path, store_id=bytes(range(16)), now_ms=100, build=build).close()


def open_with(path: Path, build: Build) -> SqliteStore:
    return SqliteStore.open(path, store_id=os.urandom(16), now_ms=100, build=build)


def edit(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path / "roomlog.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_the_released_migrations_are_what_they_were_when_they_were_released() -> None:
    # Whoever edits a released migration breaks every store that has it. Before 0.1.0 is released
    # they may still change: then these figures change with them.
    assert {each.file_name: each.checksum.hex()[:16] for each in MIGRATIONS} == CHECKSUMS


CHECKSUMS = {
    "0001_initial": "a42bcf6d839c9fc1",
    "0002_snapshots_and_windows": "f43c60ec2b8dcf00",
}


def test_this_build_is_what_its_migrations_and_levels_say() -> None:
    assert THIS_BUILD.release == __version__
    assert THIS_BUILD.schema_version == BUILD_SCHEMA_VERSION == len(MIGRATIONS)
    assert THIS_BUILD.compat_version == BUILD_COMPAT_VERSION
    assert THIS_BUILD.feature_level == BUILD_FEATURE_LEVEL


def test_a_new_store_starts_at_the_levels_of_its_build(tmp_path: Path) -> None:
    make(tmp_path, NEWEST)
    store = SqliteStore.open_read_only(tmp_path, build=NEWEST)
    identity = store.identity
    assert identity.store_id == bytes(range(16))
    assert (identity.schema_version, identity.compat_version, identity.feature_level) == (3, 3, 3)
    assert identity.created_ms == 100
    store.close()


def test_pending_migrations_refuse_to_serve_and_name_the_command(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    with pytest.raises(StoreNeedsMigration) as caught:
        open_with(tmp_path, NEWER)
    assert caught.value.pending == ("0002_room_label",)
    assert "roomlog migrate up" in str(caught.value)


def test_an_old_store_can_be_read_by_a_newer_build(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    store = SqliteStore.open_read_only(tmp_path, build=NEWEST)
    assert store.rooms() == []
    store.close()


def test_apply_runs_what_is_pending_in_order_and_keeps_the_data_and_the_feature_level(
    tmp_path: Path,
) -> None:
    store = open_with(tmp_path, OLD)
    chain = Chain(create_room(store))
    first = chain.append(2)
    store.commit([first])
    store.close()
    seen: list[str] = []
    names = migrate.apply(tmp_path, now_ms=200, build=NEWEST, on_applied=seen.append)
    assert names == seen == ["0002_room_label", "0003_other_log"]
    assert migrate.apply(tmp_path, now_ms=300, build=NEWEST) == []
    status = migrate.status(tmp_path, build=NEWEST)
    assert [(each.version, each.applied_ms) for each in status.applied] == [
        (1, 100),
        (2, 200),
        (3, 200),
    ]
    assert status.store.feature_level == 1
    assert status.can_finalize
    store = open_with(tmp_path, NEWEST)
    second = chain.append(1)
    store.commit([second])
    assert stored_appends(store, "room") == written([first, second])
    store.close()


def test_finalize_raises_the_feature_level_once_nothing_is_pending(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    with pytest.raises(StoreNeedsMigration):
        migrate.finalize(tmp_path, build=NEWER)
    migrate.apply(tmp_path, now_ms=200, build=NEWER)
    assert migrate.finalize(tmp_path, build=NEWER) == (1, 2)
    assert migrate.finalize(tmp_path, build=NEWER) == (2, 2)
    status = migrate.status(tmp_path, build=NEWER)
    assert status.store.feature_level == 2
    assert not status.can_finalize


def test_an_older_build_may_open_what_a_newer_one_only_expanded(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    migrate.apply(tmp_path, now_ms=200, build=NEWER)
    store = open_with(tmp_path, OLD)
    chain = Chain(create_room(store))
    append = chain.append()
    store.commit([append])
    assert stored_appends(store, "room") == written([append])
    store.close()


def test_finalize_by_an_older_build_never_lowers_the_feature_level(tmp_path: Path) -> None:
    make(tmp_path, NEWER)
    assert migrate.finalize(tmp_path, build=OLD) == (2, 2)


def test_t42_an_old_build_refuses_a_newer_store_and_names_the_release_that_can_open_it(
    tmp_path: Path,
) -> None:
    make(tmp_path, OLD)
    migrate.apply(tmp_path, now_ms=200, build=NEWEST)
    for build in (OLD, NEWER):
        with pytest.raises(StoreTooNew) as caught:
            open_with(tmp_path, build)
        assert caught.value.release == "0.3.0"
        assert "roomlog 0.3.0" in str(caught.value)
        for refused in (
            lambda build=build: SqliteStore.open_read_only(tmp_path, build=build),
            lambda build=build: migrate.apply(tmp_path, now_ms=1, build=build),
            lambda build=build: migrate.finalize(tmp_path, build=build),
        ):
            with pytest.raises(StoreTooNew):
                refused()


def test_status_of_a_store_that_is_too_new_is_told_all_the_same(tmp_path: Path) -> None:
    make(tmp_path, NEWEST)
    status = migrate.status(tmp_path, build=OLD)
    assert status.is_too_new
    assert not status.can_finalize
    assert status.pending == ()
    assert status.compat_release == "0.3.0"


def bytes_of(path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        each.name: (each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(path.iterdir())
    }


def test_t41_status_writes_not_a_byte(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    before = bytes_of(tmp_path)
    status = migrate.status(tmp_path, build=NEWEST)
    assert status.pending == ("0002_room_label", "0003_other_log")
    assert bytes_of(tmp_path) == before


def test_status_needs_no_lock_and_apply_and_finalize_do(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    store = open_with(tmp_path, OLD)
    assert migrate.status(tmp_path, build=NEWER).pending == ("0002_room_label",)
    with pytest.raises(StoreLocked):
        migrate.apply(tmp_path, now_ms=1, build=NEWER)
    with pytest.raises(StoreLocked):
        migrate.finalize(tmp_path, build=NEWER)
    store.close()


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        migrate.status(tmp_path)
    with pytest.raises(StoreNotFound):
        migrate.apply(tmp_path, now_ms=1)
    with pytest.raises(StoreNotFound):
        migrate.finalize(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_migration_that_fails_leaves_no_trace_and_those_before_it_stay(tmp_path: Path) -> None:
    make(tmp_path, OLD)
    broken = msgspec.structs.replace(
        THIRD, statements=("CREATE TABLE half (x INTEGER)", "CREATE TABLE room (x INTEGER)")
    )
    build = Build("0.3.0", 3, 3, 3, (INITIAL, SECOND, broken))
    with pytest.raises(StoreError, match="room"):
        migrate.apply(tmp_path, now_ms=200, build=build)
    status = migrate.status(tmp_path, build=NEWEST)
    assert status.store.schema_version == 2
    assert status.store.compat_version == 1
    assert status.pending == ("0003_other_log",)
    connection = sqlite3.connect(tmp_path / "roomlog.sqlite3")
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall() == []
    connection.close()
    assert migrate.apply(tmp_path, now_ms=300, build=NEWEST) == ["0003_other_log"]


def test_a_migration_whose_text_changed_after_it_was_applied_is_refused(tmp_path: Path) -> None:
    make(tmp_path, NEWER)
    edited = msgspec.structs.replace(SECOND, statements=(*SECOND.statements, "SELECT 1"))
    build = Build("0.2.1", 2, 1, 2, (INITIAL, edited))
    with pytest.raises(StoreCorrupt, match="room_label"):
        open_with(tmp_path, build)


def test_layout_of_the_text_is_no_change_but_everything_else_is() -> None:
    base = SECOND.checksum
    spaced = tuple(f"\n  {statement.replace(' ', '   ')}\n" for statement in SECOND.statements)
    assert msgspec.structs.replace(SECOND, statements=spaced).checksum == base
    changes: list[dict[str, object]] = [
        {"version": 3},
        {"name": "other"},
        {"compat_version": 2},
        {"statements": SECOND.statements[:1]},
        {"statements": ("".join(SECOND.statements),)},
    ]
    for change in changes:
        assert msgspec.structs.replace(SECOND, **change).checksum != base


def test_a_gap_in_the_list_of_applied_migrations_is_refused(tmp_path: Path) -> None:
    make(tmp_path, NEWER)
    edit(tmp_path, "DELETE FROM schema_migration WHERE version = 1")
    with pytest.raises(StoreCorrupt, match="gaps"):
        open_with(tmp_path, NEWER)


@pytest.mark.parametrize(
    ("schema_version", "compat_version", "migrations"),
    [(2, 1, (INITIAL,)), (1, 2, (INITIAL,)), (2, 1, (SECOND, INITIAL)), (1, 1, (SECOND,))],
)
def test_a_build_whose_numbers_do_not_fit_its_migrations_is_refused(
    schema_version: int, compat_version: int, migrations: tuple[Migration, ...]
) -> None:
    with pytest.raises(ValueError, match="migration"):
        Build("0", schema_version, compat_version, 1, migrations)


def test_a_full_disk_stops_a_migration_as_unavailable(tmp_path: Path) -> None:
    from tests.store.faults import Faults

    make(tmp_path, OLD)
    faults = Faults()
    faults.failing["COMMIT"] = 1
    with pytest.raises(StoreUnavailable):
        migrate.apply(tmp_path, now_ms=1, build=NEWER, connect=faults.connect)
    assert migrate.status(tmp_path, build=NEWER).store.schema_version == 1
