"""A new database out of what a survey found: rows that are right as they were, the rest mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from msgspec import Struct

from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.store.doctor.found_rows import AdmissionRow, PackRow
from roomlog.store.doctor.mending import MendedRoom, RoomMender, new_epoch_of
from roomlog.store.doctor.survey import PackPlace, Survey
from roomlog.store.interface import Append, ReconcileWindow, StoreIdentity
from roomlog.store.sqlite.checksums import admission_checksum, chunk_checksum, room_checksum
from roomlog.store.sqlite.connection import Connection, connect_sqlite
from roomlog.store.sqlite.log_rows import (
    ADMISSION_COLUMNS,
    INSERT_ADMISSION,
    INSERT_LOG,
    LOG_COLUMNS,
    admission_values,
    log_values,
    placeholders,
)
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.schema import APPLICATION_ID, run_migration
from roomlog.store.sqlite.snapshot_rows import INSERT_SNAPSHOT
from roomlog.store.sqlite.store import SNAPSHOTS_SINCE
from roomlog.store.sqlite.window_rows import insert_window

UNKNOWN_KEY: Final = bytes(32)
INSERT_ROOM: Final = (
    "INSERT INTO room (room, room_id, lineage, epoch, head_seq, created_ms, checksum) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_CHUNK: Final = (
    "INSERT INTO snapshot_chunk (room, seq, chunk, checksum, data) VALUES (?, ?, ?, ?, ?)"
)


class Rebuilding(Struct, frozen=True):
    """What a rebuild needs beside the survey.

    `server_key` is the server's public key, None if nobody knows it; `fresh_bytes` gives so many
    random bytes; a room that lost something takes it back for `window_ms` from `now_ms` on.
    `on_aside` is given a room and a pack that has no place in its log.
    """

    build: Build
    server_key: bytes | None
    now_ms: int
    window_ms: int
    fresh_bytes: Callable[[int], bytes]
    on_aside: Callable[[int, bytes], None]


def identity_of(survey: Survey, task: Rebuilding) -> tuple[StoreIdentity, str]:
    """The store's identity and the release of its compat version, as far as they are left."""
    meta: dict[str, Any] = survey.meta
    build = task.build
    identity = StoreIdentity(
        meta.get("store_id") or task.fresh_bytes(16),
        # The numbers have no checksum; the migrations have.
        survey.schema_version,
        max(each.compat_version for each in build.migrations[: survey.schema_version]),
        # Without it nothing newer than what every build understands may be written.
        max(1, meta.get("feature_level", 1)),
        meta.get("created_ms", task.now_ms),
    )
    return identity, meta.get("compat_release", build.release)


def rebuild(survey: Survey, path: Path, task: Rebuilding) -> list[MendedRoom]:
    """Make a database at `path`, which must not exist; what became of each room.

    Not durable yet: the caller verifies it, syncs it and gives it its name. Raises OSError,
    `sqlite3.Error`.
    """
    path.touch(0o600, exist_ok=False)
    connection = connect_sqlite(path, read_only=False)
    try:
        # Whoever is interrupted throws the file away.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("BEGIN IMMEDIATE")
        _write_schema(connection, survey, task)
        writing = _Writing(connection, survey, task)
        rooms = [writing.write(number) for number in survey.room_numbers()]
        connection.execute("COMMIT")
    finally:
        connection.close()
    return rooms


def _write_schema(connection: Connection, survey: Survey, task: Rebuilding) -> None:
    identity, release = identity_of(survey, task)
    for migration in task.build.migrations[: identity.schema_version]:
        run_migration(connection, migration, identity.created_ms)
    meta: dict[str, bytes | int | str] = {
        "store_id": identity.store_id,
        "schema_version": identity.schema_version,
        "compat_version": identity.compat_version,
        "compat_release": release,
        "feature_level": identity.feature_level,
        "created_ms": identity.created_ms,
    }
    for key, value in meta.items():
        connection.execute("INSERT INTO store_meta VALUES (?, ?)", (key, value))


@final
class _Writing:
    """Rooms on their way into the new database."""

    def __init__(self, connection: Connection, survey: Survey, task: Rebuilding) -> None:
        self._connection = connection
        self._survey = survey
        self._task = task
        self._used: set[int] = set()
        self._next_admission = survey.last_admission + 1
        self._has_windows = survey.schema_version >= SNAPSHOTS_SINCE
        self._records: list[tuple[PackPlace, int, AdmissionRow | None]] = []
        self._moved: list[list[Node]] = []

    def write(self, number: int) -> MendedRoom:
        """One room, with everything that belongs to it."""
        self._records, self._moved = [], []
        mended = RoomMender(
            self._survey,
            number,
            on_kept=lambda place, row, record: self._keep(number, place, row, record),
            on_moved=self._moved.append,
            on_aside=lambda pack: self._task.on_aside(number, pack),
        ).mend()
        if not mended.is_named:
            self._set_aside(number, mended)
            return mended
        admitted_ms = mended.created_ms
        for place, admission, record in self._records:
            admitted_ms = self._write_admission(mended, place, admission, record, admitted_ms)
        epoch = new_epoch_of(mended, self._task.fresh_bytes(16))
        self._write_room(mended, epoch)
        self._write_windows(mended, epoch)
        self._write_snapshots(mended)
        return mended

    def _set_aside(self, number: int, mended: MendedRoom) -> None:
        """What has no room goes beside the store."""
        if not mended.lineage:
            return
        for place, _, _ in self._records:
            head, tail = self._connection.execute(
                "SELECT head, tail FROM log WHERE room = ? AND from_seq = ?",
                (number, place.from_seq),
            ).fetchone()
            self._task.on_aside(number, head + tail)
        self._connection.execute("DELETE FROM log WHERE room = ?", (number,))
        for nodes in self._moved:
            self._task.on_aside(number, encode_pack(nodes))

    def _keep(
        self, number: int, place: PackPlace, row: PackRow, record: AdmissionRow | None
    ) -> None:
        admission = record.number if record is not None else 0
        if admission == 0 or admission in self._used:
            admission = self._new_admission()
        self._used.add(admission)
        values = (
            number,
            place.from_seq,
            place.to_seq,
            admission,
            row.index_checksum,
            row.tail_checksum,
            row.head,
            row.ids,
            row.tail,
        )
        self._connection.execute(INSERT_LOG + placeholders(LOG_COLUMNS, 1), values)
        self._records.append((place, admission, record))

    def _write_admission(
        self,
        mended: MendedRoom,
        place: PackPlace,
        admission: int,
        record: AdmissionRow | None,
        before_ms: int,
    ) -> int:
        """The record of a row that stays; when it was admitted.

        If it is lost, nobody knows who submitted the row, and only that it was not admitted before
        the one in front of it, at `before_ms`.
        """
        epoch = mended.chain.epoch_at(place.to_seq)
        if record is not None and record.epoch == epoch:
            values: tuple[object, ...] = (
                admission,
                record.room,
                record.epoch,
                record.from_seq,
                record.to_seq,
                record.admitted_ms,
                record.submitter,
                record.policy_head,
                record.lineage,
                record.reinstated,
                record.checksum,
            )
        else:
            numbers = (mended.number, place.from_seq, place.to_seq, before_ms, 0)
            checksum = admission_checksum(numbers, (epoch, UNKNOWN_KEY, mended.lineage), None)
            values = (
                admission, mended.number, epoch, place.from_seq, place.to_seq, before_ms,
                UNKNOWN_KEY, None, mended.lineage, 0, checksum,
            )  # fmt: skip
        self._connection.execute(INSERT_ADMISSION + placeholders(ADMISSION_COLUMNS, 1), values)
        return before_ms if record is None else record.admitted_ms

    def _write_room(self, mended: MendedRoom, epoch: bytes) -> None:
        """The room's row, and the nodes that go on behind what stayed."""
        seq = mended.head_seq
        for nodes in self._moved:
            append = Append(
                mended.room_id,
                epoch,
                seq + 1,
                len(nodes),
                encode_pack(nodes),
                b"".join(node.id for node in nodes),
                self._task.server_key or UNKNOWN_KEY,
                self._task.now_ms,
                reinstated=True,
            )
            admission = self._new_admission()
            values = admission_values(append, mended.number, admission, mended.lineage)
            self._connection.execute(INSERT_ADMISSION + placeholders(ADMISSION_COLUMNS, 1), values)
            log = log_values(append, mended.number, admission)
            self._connection.execute(INSERT_LOG + placeholders(LOG_COLUMNS, 1), log)
            seq = append.to_seq
        checksum = room_checksum(mended.room_id, mended.lineage, epoch, mended.created_ms)
        self._connection.execute(
            INSERT_ROOM,
            (
                mended.number,
                mended.room_id,
                mended.lineage,
                epoch,
                seq,
                mended.created_ms,
                checksum,
            ),
        )

    def _write_windows(self, mended: MendedRoom, epoch: bytes) -> None:
        if not self._has_windows:
            return
        windows = list(mended.chain.windows)
        if mended.is_log_lost:
            windows.append(loss_window(mended, epoch, self._task.now_ms, self._task.window_ms))
        for window in windows:
            insert_window(self._connection, mended.number, window)

    def _write_snapshots(self, mended: MendedRoom) -> None:
        for row in reversed(mended.snapshots):
            each, room = row.snapshot, mended.number
            for chunk, data in self._survey.chunks(room, each.seq):
                if chunk < each.chunks:
                    checksum = chunk_checksum(room, each.seq, chunk, data)
                    values = (room, each.seq, chunk, checksum, data)
                    self._connection.execute(INSERT_CHUNK, values)
            self._connection.execute(INSERT_SNAPSHOT, row.values())

    def _new_admission(self) -> int:
        number, self._next_admission = self._next_admission, self._next_admission + 1
        return number


def loss_window(mended: MendedRoom, epoch: bytes, now_ms: int, window_ms: int) -> ReconcileWindow:
    """The window in which everybody may bring back what was behind the part that stayed."""
    return ReconcileWindow(
        mended.chain.epoch,
        mended.chain.epoch,
        epoch,
        mended.head_seq,
        mended.head_seq,
        mended.old_head_seq,
        now_ms,
        now_ms + window_ms,
    )
