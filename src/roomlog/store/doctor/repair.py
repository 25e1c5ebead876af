"""Repairing a store: all of it or nothing, with a copy of what was there before.

A healthy store is not touched, not even its lock. A new database is built from what can be proven,
proven again as `verify` does, and takes the place of the old one by its name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from roomlog.store.doctor.examination import Examination, examine, verified_rooms
from roomlog.store.doctor.file_findings import (
    READY_NAME,
    WORK_NAME,
    leftovers_of,
    read_key,
    unfinished_repair,
)
from roomlog.store.doctor.mending import MendedRoom
from roomlog.store.doctor.rebuilding import Rebuilding, rebuild
from roomlog.store.doctor.saved_packs import SavedPacks
from roomlog.store.doctor.survey import Survey
from roomlog.store.doctor.swapping import (
    copy_files,
    put_in_place,
    remove,
    require_space,
    store_files,
)
from roomlog.store.errors import StoreCorrupt, StoreError, StoreUnavailable
from roomlog.store.sqlite import SqliteStore
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.connection import store_error
from roomlog.store.sqlite.directory import StoreDirectory, fsync_path
from roomlog.store.sqlite.migration import Build

SAVED_NAME: Final = "saved"


class Repair(Struct, frozen=True):
    """What a repair did.

    `before` and `after` are looks at the store. `done` are sentences; `backup` the copy of the old
    store ("" when the database was not touched), `saved` the pack files beside it.
    """

    before: Examination
    after: Examination
    done: tuple[str, ...]
    backup: str
    saved: tuple[str, ...]


def repair(
    path: str | Path,
    *,
    backup: Path,
    now_ms: int,
    window_ms: int,
    fresh_bytes: Callable[[int], bytes],
    build: Build = THIS_BUILD,
) -> Repair:
    """Repair the store at `path` as far as it can be; a healthy one is left alone.

    `backup` must not exist. Clients may bring back what was lost for `window_ms` (milliseconds);
    `fresh_bytes` gives so many random bytes. Raises `StoreLocked` while a server runs,
    `StoreUnavailable` without space and when the disk refuses, `StoreCorrupt` when what was built
    does not prove itself; then the store is as it was. Raises what `examine` raises.
    """
    before = examine(path, build=build)
    if not any(each.is_repairable for each in before.findings):
        return Repair(before, before, (), "", ())
    directory = StoreDirectory(Path(path))
    lock = directory.lock()
    try:
        # Somebody may have been faster.
        before = examine(path, build=build, has_lock=True)
        done: list[str] = []
        saved: list[Path] = []
        unfinished = unfinished_repair(directory)
        if unfinished is not None:
            _prove(unfinished, build)
            put_in_place(unfinished.database, directory.database)
            remove(unfinished.path)
            done.append("put the database in place that an interrupted repair had made")
            before = examine(path, build=build, has_lock=True)
        has_backup = before.needs_rebuild and not before.is_newer
        if has_backup:
            if backup.exists():
                raise StoreUnavailable(f"{backup} is there already; name another --backup")
            require_space(store_files(directory), directory.database, backup)
        done += _repair_files(directory, before)
        if has_backup:
            copy_files(store_files(directory), backup)
            done.append(f"copied the store to {backup}")
            task_bytes = (now_ms, window_ms, fresh_bytes, build)
            rooms, saved = _rebuild(directory, backup, *task_bytes)
            done += [sentence for room in rooms for sentence in _said(room)]
            done.append("wrote the database anew, proved it, and put it in place")
        after = examine(path, build=build, has_lock=True)
    except sqlite3.Error as error:
        raise store_error(error) from error
    except OSError as error:
        raise StoreUnavailable(f"the repair was given up: {error}") from error
    finally:
        lock.release()
    return Repair(
        before, after, tuple(done), str(backup) if has_backup else "", tuple(map(str, saved))
    )


def _repair_files(directory: StoreDirectory, before: Examination) -> list[str]:
    done: list[str] = []
    codes = {each.code for each in before.findings}
    for path in leftovers_of(directory):
        remove(path)
        done.append(f"removed {path.name}, which was left behind")
    if "key_readable_by_others" in codes:
        directory.key.chmod(0o600)
        done.append("set the mode of server.key to 600")
    return done


def _rebuild(  # noqa: PLR0917
    directory: StoreDirectory,
    backup: Path,
    now_ms: int,
    window_ms: int,
    fresh_bytes: Callable[[int], bytes],
    build: Build,
) -> tuple[list[MendedRoom], list[Path]]:
    work = StoreDirectory(directory.path / WORK_NAME)
    key = read_key(directory)
    survey = Survey(directory, build)
    packs = SavedPacks(backup / SAVED_NAME)

    def aside(number: int, pack: bytes) -> None:
        packs.add(survey.name_of(number), survey.lineage_of(number), pack)

    try:
        remove(work.path)
        work.path.mkdir(mode=0o700)
        server_key = None if key is None else key.public_key
        task = Rebuilding(build, server_key, now_ms, window_ms, fresh_bytes, aside)
        rooms = rebuild(survey, work.database, task)
        saved = packs.close()
        _prove(work, build)
        # Bringing the log into the old database overwrites what only this survey could read.
        ready = work.path / READY_NAME
        ready.write_text(f"{survey.images.digest().hex()}\n")
        fsync_path(ready)
        fsync_path(directory.path)
    except BaseException:
        remove(work.path)
        raise
    finally:
        survey.close()
        packs.close()
    put_in_place(work.database, directory.database)
    remove(work.path)
    return rooms, saved


def _prove(work: StoreDirectory, build: Build) -> None:
    """Raise `StoreCorrupt` unless the new database is one that `verify` passes."""
    store = SqliteStore.open_read_only(work.path, build=build)
    try:
        store.check()
        faults = [each for each in verified_rooms(store).values() if each is not None]
    except StoreError as error:
        raise StoreCorrupt(None, f"what is left of it cannot be mended: {error}") from error
    finally:
        store.close()
    if faults:
        first = faults[0]
        raise StoreCorrupt(first.room_id, f"what is left of it cannot be mended: {first.message}")


def _said(room: MendedRoom) -> list[str]:
    """What was done to one room."""
    name = room.room_id or f"room number {room.number}"
    if not room.is_named:
        return [f"{name}: could not be kept as a room; its nodes are in a pack file"]
    if room.is_whole:
        return []
    said: list[str] = []
    if room.is_log_lost:
        said.append(
            f"{name}: kept the log up to seq {room.head_seq}, moved {room.moved_nodes} nodes to "
            f"its end, put {room.aside_nodes} into a pack file; it has a new epoch, and clients "
            "are asked for the rest"
        )
    elif room.written_head_seq != room.head_seq:
        said.append(f"{name}: set the head to seq {room.head_seq}")
    for count, what in (
        (room.rows_corrected, "numbers of packs corrected"),
        (room.admissions_made, "admission records made up"),
        (room.chain.made, "changes to the windows of its epochs"),
        (room.snapshots_left_out, "snapshots dropped"),
    ):
        if count:
            said.append(f"{name}: {count} {what}")
    return said
