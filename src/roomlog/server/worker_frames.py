"""What the server and its worker process say to each other, in frames over two pipes.

A frame is a length as u32, big-endian, a kind of one byte, then so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from roomlog.store.interface import Append, NodeStore

TASK: Final = b"t"
ROOM: Final = b"r"
"""To the worker: the room of a store that it cannot open; then `APPEND`, `SNAPSHOT`, `CHUNK`."""
APPEND: Final = b"a"
SNAPSHOT: Final = b"s"
CHUNK: Final = b"c"
"""One chunk of a snapshot's state, in both directions."""
GO: Final = b"g"
"""To the worker: everything that belongs to the task has come."""
FOUND: Final = b"f"
DONE: Final = b"d"
FAILED: Final = b"e"

_HEAD: Final = struct.Struct(">Ic")
HEAD_BYTES: Final = _HEAD.size
PAGE_NODES: Final = 4_096
Frame = tuple[bytes, bytes]
"""Kind and payload."""


class ReplayTask(Struct, frozen=True):
    """One piece of work on the log of `room_id` up to `head_seq`.

    `kind` is `snapshot` or `hash`. `store` is the store's directory, "" when the room comes with
    the task. `base_seq` names a stored snapshot to begin with, 0 for none; it is checked against
    `server_key`. A snapshot is taken from `least_seq` to `most_seq`; a hash is of `patterns`.
    """

    kind: str
    store: str
    room_id: str
    server_key: bytes
    head_seq: int
    base_seq: int = 0
    least_seq: int = 1
    most_seq: int = 0
    patterns: tuple[str, ...] = ()


class SnapshotFound(Struct, frozen=True):
    """What a snapshot task found, its state aside; `seq` is 0 when there is no place for one.

    `frontier` are the ids of the heads, `frontier_pack` has them whole.
    """

    seq: int = 0
    frontier: tuple[bytes, ...] = ()
    frontier_pack: bytes = b""
    state_hash: bytes = b""
    digest: bytes = b""
    size_bytes: int = 0


class HashFound(Struct, frozen=True):
    """The state hash (hexadecimal) and its coverage at the frontier of these ids, ascending."""

    frontier: list[bytes]
    hash: str
    coverage: dict[str, object]


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return _HEAD.pack(len(payload), kind) + payload


def read_head(head: bytes) -> tuple[bytes, int]:
    """Kind and length of a frame."""
    size_bytes, kind = _HEAD.unpack(head)
    return kind, size_bytes


def room_frames(store: NodeStore, task: ReplayTask) -> Iterable[bytes]:
    """Everything of a task's room, for a worker that cannot open the store. Raises `StoreError`."""
    room = store.open_room(task.room_id)
    if room is None:
        return
    yield frame(ROOM, msgspec.msgpack.encode(room))
    seq = 0
    index = store.load_index(task.room_id)
    while seq < task.head_seq:
        for row in store.read_log(task.room_id, seq, PAGE_NODES):
            ids = next(index).ids
            append = Append(
                room.room_id,
                room.epoch,
                row.from_seq,
                row.to_seq - row.from_seq + 1,
                row.pack,
                ids,
                bytes(32),
                0,
            )
            yield frame(APPEND, msgspec.msgpack.encode(append))
            seq = row.to_seq
    for snapshot in store.newest_snapshots(task.room_id):
        if snapshot.seq == task.base_seq:
            yield frame(SNAPSHOT, msgspec.msgpack.encode(snapshot))
            for chunk in range(snapshot.chunks):
                yield frame(CHUNK, store.read_snapshot(task.room_id, snapshot.seq, chunk))
