"""A store by its definition: lists that are searched from the start for every answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from roomlog.store.append_check import fault_of, head_bytes_of
from roomlog.store.errors import (
    EpochMismatch,
    RoomExists,
    RoomUnknown,
    SnapshotExists,
    SnapshotUnknown,
)
from roomlog.store.interface import (
    SNAPSHOT_CHUNK_BYTES,
    AdmissionRecord,
    Append,
    IndexRow,
    LogRow,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
)


class NaiveStoredRoom:
    """What was written about one room, in the order of writing."""

    def __init__(self, room: NewRoom) -> None:
        self.room = room
        self.epoch = room.epoch
        self.appends: list[Append] = []
        self.windows: list[ReconcileWindow] = []
        self.snapshots: list[tuple[StoredSnapshot, list[bytes]]] = []
        self.chunks: dict[tuple[int, int], bytes] = {}

    @property
    def head_seq(self) -> int:
        return sum(append.count for append in self.appends)

    def stored(self) -> StoredRoom:
        room = self.room
        return StoredRoom(room.room_id, room.lineage, self.epoch, self.head_seq, room.created_ms)

    def has_snapshot(self, seq: int) -> bool:
        return any(snapshot.seq == seq for snapshot, _ in self.snapshots)


class NaiveStore:
    """The calls of `NodeStore`, and `found_room`, as far as a sound store answers them."""

    def __init__(self) -> None:
        self.by_id: dict[str, NaiveStoredRoom] = {}

    def _room(self, room_id: str) -> NaiveStoredRoom:
        if room_id not in self.by_id:
            raise RoomUnknown(room_id)
        return self.by_id[room_id]

    # Writing

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        results: list[StoredRoom | Exception] = []
        for room in rooms:
            if len(room.lineage) != 32 or len(room.epoch) != 16 or not room.room_id:
                results.append(ValueError("no room"))
            elif room.room_id in self.by_id:
                results.append(RoomExists(room.room_id))
            else:
                self.by_id[room.room_id] = NaiveStoredRoom(room)
                results.append(self.by_id[room.room_id].stored())
        return results

    def commit(self, batch: Sequence[Append]) -> list[bool]:
        """Whether each append is committed."""
        return [self._append(append) for append in batch]

    def _append(self, append: Append) -> bool:
        room = self.by_id.get(append.room_id)
        if room is None or fault_of(append) is not None:
            return False
        if append.epoch != room.epoch or append.from_seq != room.head_seq + 1:
            return False
        room.appends.append(append)
        return True

    def found_room(
        self, room: NewRoom, appends: Iterable[Append], window: ReconcileWindow
    ) -> StoredRoom:
        if not room.epoch == window.old_epoch == window.new_epoch:
            raise ValueError("another epoch")
        if room.room_id in self.by_id:
            raise RoomExists(room.room_id)
        made = NaiveStoredRoom(room)
        for append in appends:
            if (append.room_id, append.epoch) != (room.room_id, room.epoch):
                raise ValueError("another room")
            if fault_of(append) is not None or append.from_seq != made.head_seq + 1:
                raise ValueError("no history")
            made.appends.append(append)
        made.windows.append(msgspec.structs.replace(window, head_seq=made.head_seq))
        self.by_id[room.room_id] = made
        return made.stored()

    def renew_epoch(self, room_id: str, window: ReconcileWindow) -> ReconcileWindow:
        if window.lost_epoch == window.new_epoch:
            raise ValueError("no window")
        room = self._room(room_id)
        for known in room.windows:
            if known.lost_epoch == window.lost_epoch:
                return known
        if room.epoch != window.old_epoch:
            raise EpochMismatch(room_id)
        room.windows.append(msgspec.structs.replace(window, head_seq=room.head_seq))
        room.epoch = window.new_epoch
        return room.windows[-1]

    def write_snapshot_chunks(
        self, room_id: str, seq: int, first: int, chunks: Sequence[bytes]
    ) -> None:
        room = self._room(room_id)
        if room.has_snapshot(seq):
            raise SnapshotExists(room_id, seq)
        for number, chunk in enumerate(chunks, first):
            room.chunks[seq, number] = chunk

    def finish_snapshot(self, room_id: str, snapshot: StoredSnapshot) -> None:
        room, seq = self._room(room_id), snapshot.seq
        if room.has_snapshot(seq):
            raise SnapshotExists(room_id, seq)
        count = -(-snapshot.size_bytes // SNAPSHOT_CHUNK_BYTES)
        chunks = [room.chunks.get((seq, number)) for number in range(count)]
        whole = [chunk for chunk in chunks if chunk is not None]
        if len(whole) != count or sum(map(len, whole)) != snapshot.size_bytes:
            raise ValueError("chunks are missing")
        room.snapshots = [(snapshot, whole), *room.snapshots][:2]
        room.chunks.clear()

    def drop_snapshots(self, room_id: str, seqs: Sequence[int]) -> None:
        room = self._room(room_id)
        room.snapshots = [each for each in room.snapshots if each[0].seq not in seqs]

    # Reading

    def rooms(self) -> list[StoredRoom]:
        return [self.by_id[room_id].stored() for room_id in sorted(self.by_id)]

    def open_room(self, room_id: str) -> StoredRoom | None:
        return self.by_id[room_id].stored() if room_id in self.by_id else None

    def load_index(self, room_id: str) -> list[IndexRow]:
        return [
            IndexRow(each.from_seq, each.to_seq, each.ids, each.pack[: head_bytes_of(each.pack)])
            for each in self._room(room_id).appends
        ]

    def read_log(
        self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int
    ) -> list[LogRow]:
        left = [each for each in self._room(room_id).appends if each.to_seq > after_seq]
        rows: list[LogRow] = []
        for number, each in enumerate(left, 1):
            nodes = sum(one.count for one in left[:number])
            size_bytes = sum(len(one.pack) for one in left[:number])
            if rows and (nodes > max_nodes or size_bytes > max_bytes):
                break
            rows.append(LogRow(each.from_seq, each.to_seq, each.pack))
        return rows

    def admissions(
        self, room_id: str, after_seq: int, max_records: int | None
    ) -> list[AdmissionRecord]:
        room = self._room(room_id)
        records = [
            AdmissionRecord(
                each.epoch,
                each.from_seq,
                each.to_seq,
                each.admitted_ms,
                each.submitter,
                each.policy_head,
                room.room.lineage if each.lineage is None else each.lineage,
                each.reinstated,
            )
            for each in room.appends
            if each.to_seq > after_seq
        ]
        return records if max_records is None else records[:max_records]

    def reconcile_windows(self, room_id: str) -> list[ReconcileWindow]:
        return list(self._room(room_id).windows)

    def newest_snapshots(self, room_id: str) -> list[StoredSnapshot]:
        return [snapshot for snapshot, _ in self._room(room_id).snapshots]

    def read_snapshot(self, room_id: str, seq: int, chunk: int) -> bytes:
        for snapshot, chunks in self._room(room_id).snapshots:
            if snapshot.seq == seq:
                return chunks[chunk]
        raise SnapshotUnknown(room_id, seq)


def answer(call: Any, *arguments: Any) -> Any:
    """What a call gives, iterators as lists, or the type of what it raises."""
    try:
        result = call(*arguments)
        if hasattr(result, "__next__"):
            result = list(result)
    except Exception as error:
        return type(error)
    return result
