"""A store without a disk: for tests, demonstrations and rooms that may be lost."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from typing import final

import msgspec

from roomlog.store.append_check import (
    check_snapshot_facts,
    check_window,
    fault_of,
    head_bytes_of,
    room_fault_of,
)
from roomlog.store.errors import (
    EpochMismatch,
    RoomExists,
    RoomUnknown,
    SnapshotExists,
    SnapshotUnknown,
    StoreUnavailable,
)
from roomlog.store.interface import (
    COMMITTED,
    SNAPSHOTS_KEPT,
    AdmissionRecord,
    Append,
    AppendOutcome,
    IndexRow,
    LogRow,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    StoreIdentity,
    failed,
)
from roomlog.store.levels import (
    BUILD_COMPAT_VERSION,
    BUILD_FEATURE_LEVEL,
    BUILD_SCHEMA_VERSION,
)


@final
class _Log:
    """One room: its appends in order, and the first seq of each for bisecting."""

    def __init__(self, room: NewRoom) -> None:
        self.room = room
        self.head_seq = 0
        self.starts: list[int] = []
        self.appends: list[Append] = []
        self.windows: list[ReconcileWindow] = []
        self.snapshots: list[StoredSnapshot] = []
        self.chunks: dict[int, dict[int, bytes]] = {}

    def stored(self) -> StoredRoom:
        room = self.room
        return StoredRoom(room.room_id, room.lineage, room.epoch, self.head_seq, room.created_ms)


@final
class MemoryStore:
    """A `NodeStore` that forgets everything with the process."""

    def __init__(self, store_id: bytes, created_ms: int) -> None:
        """`store_id` is 16 random bytes; `created_ms` the wall clock in milliseconds."""
        self._identity = StoreIdentity(
            store_id, BUILD_SCHEMA_VERSION, BUILD_COMPAT_VERSION, BUILD_FEATURE_LEVEL, created_ms
        )
        self._lock = threading.Lock()
        self._logs: dict[str, _Log] = {}
        self._closed = False

    @property
    def identity(self) -> StoreIdentity:
        return self._identity

    @property
    def is_durable(self) -> bool:
        return False

    def rooms(self) -> list[StoredRoom]:
        with self._lock:
            self._check_open()
            return [self._logs[room_id].stored() for room_id in sorted(self._logs)]

    def open_room(self, room_id: str) -> StoredRoom | None:
        with self._lock:
            self._check_open()
            log = self._logs.get(room_id)
            return log.stored() if log is not None else None

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        results: list[StoredRoom | Exception] = []
        with self._lock:
            for room in rooms:
                if self._closed:
                    results.append(StoreUnavailable("the store is closed"))
                elif (fault := room_fault_of(room)) is not None:
                    results.append(ValueError(fault))
                elif room.room_id in self._logs:
                    results.append(RoomExists(room.room_id))
                else:
                    log = self._logs[room.room_id] = _Log(room)
                    results.append(log.stored())
        return results

    def load_index(self, room_id: str) -> Iterator[IndexRow]:
        for append in self._appends_from(room_id, 1):
            head = append.pack[: head_bytes_of(append.pack)]
            yield IndexRow(append.from_seq, append.to_seq, append.ids, head)

    def read_log(
        self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int = 1 << 20
    ) -> list[LogRow]:
        rows: list[LogRow] = []
        nodes = size_bytes = 0
        for append in self._appends_from(room_id, after_seq + 1, max_nodes):
            nodes += append.count
            size_bytes += len(append.pack)
            if rows and (nodes > max_nodes or size_bytes > max_bytes):
                break
            rows.append(LogRow(append.from_seq, append.to_seq, append.pack))
        return rows

    def admissions(
        self, room_id: str, after_seq: int = 0, max_records: int | None = None
    ) -> Iterator[AdmissionRecord]:
        lineage = self._log(room_id).room.lineage
        for append in self._appends_from(room_id, after_seq + 1)[:max_records]:
            yield AdmissionRecord(
                append.epoch,
                append.from_seq,
                append.to_seq,
                append.admitted_ms,
                append.submitter,
                append.policy_head,
                append.lineage or lineage,
                append.reinstated,
            )

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        with self._lock:
            return [self._append(append) for append in batch]

    def renew_epoch(self, room_id: str, window: ReconcileWindow) -> ReconcileWindow:
        check_window(window)
        log = self._log(room_id)
        with self._lock:
            for known in log.windows:
                if known.lost_epoch == window.lost_epoch:
                    return known
            if log.room.epoch != window.old_epoch:
                raise EpochMismatch(room_id)
            window = msgspec.structs.replace(window, head_seq=log.head_seq)
            log.room = msgspec.structs.replace(log.room, epoch=window.new_epoch)
            log.windows.append(window)
        return window

    def reconcile_windows(self, room_id: str) -> list[ReconcileWindow]:
        log = self._log(room_id)
        with self._lock:
            return list(log.windows)

    def write_snapshot_chunks(
        self, room_id: str, seq: int, first: int, chunks: Sequence[bytes]
    ) -> None:
        log = self._log(room_id)
        with self._lock:
            _check_no_snapshot(log, seq)
            log.chunks.setdefault(seq, {}).update(enumerate(chunks, first))

    def finish_snapshot(self, room_id: str, snapshot: StoredSnapshot) -> None:
        check_snapshot_facts(snapshot)
        log = self._log(room_id)
        seq, count = snapshot.seq, snapshot.chunks
        with self._lock:
            _check_no_snapshot(log, seq)
            written = log.chunks.get(seq, {})
            data = {number: written[number] for number in range(count) if number in written}
            if len(data) != count or sum(map(len, data.values())) != snapshot.size_bytes:
                raise ValueError(f"the snapshot at seq {seq} has {len(data)} of {count} chunks")
            log.snapshots = [snapshot, *log.snapshots][:SNAPSHOTS_KEPT]
            log.chunks[seq] = data
            log.chunks = {each.seq: log.chunks[each.seq] for each in log.snapshots}

    def drop_snapshots(self, room_id: str, seqs: Sequence[int]) -> None:
        log = self._log(room_id)
        with self._lock:
            log.snapshots = [each for each in log.snapshots if each.seq not in seqs]
            for seq in seqs:
                log.chunks.pop(seq, None)

    def newest_snapshots(self, room_id: str) -> list[StoredSnapshot]:
        log = self._log(room_id)
        with self._lock:
            return list(log.snapshots)

    def read_snapshot(self, room_id: str, seq: int, chunk: int) -> bytes:
        log = self._log(room_id)
        with self._lock:
            if not any(each.seq == seq for each in log.snapshots):
                raise SnapshotUnknown(room_id, seq)
            return log.chunks[seq][chunk]

    def check(self) -> None:
        with self._lock:
            self._check_open()

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _append(self, append: Append) -> AppendOutcome:
        if self._closed:
            return failed("the store is closed")
        fault = fault_of(append)
        if fault is not None:
            return failed(fault)
        log = self._logs.get(append.room_id)
        if log is None:
            return failed(f"there is no room {append.room_id}")
        if append.epoch != log.room.epoch:
            return failed("the epoch is not the room's")
        if append.from_seq != log.head_seq + 1:
            return failed(f"seq {append.from_seq} does not follow the head {log.head_seq}")
        log.starts.append(append.from_seq)
        log.appends.append(append)
        log.head_seq = append.to_seq
        return COMMITTED

    def _appends_from(self, room_id: str, seq: int, limit: int | None = None) -> list[Append]:
        """At most `limit` appends (but one, if there is any) from the one that holds `seq`."""
        log = self._log(room_id)
        with self._lock:
            if seq > log.head_seq:
                return []
            start = max(bisect.bisect_right(log.starts, seq) - 1, 0)
            stop = None if limit is None else start + max(limit, 1)
            return log.appends[start:stop]

    def _log(self, room_id: str) -> _Log:
        with self._lock:
            self._check_open()
            log = self._logs.get(room_id)
        if log is None:
            raise RoomUnknown(room_id)
        return log

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


def _check_no_snapshot(log: _Log, seq: int) -> None:
    if any(each.seq == seq for each in log.snapshots):
        raise SnapshotExists(log.room.room_id, seq)
