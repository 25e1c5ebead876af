"""The process in which rooms are replayed, so that the server's event loop never does.

It reads tasks on its standard input and answers on its standard output (`worker_frames.py`). It
ends when its input does, which is also when the server dies, whatever it is doing at that moment.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable
from typing import BinaryIO, Final

import msgspec

from roomlog.server.replay_work import Replay, opened
from roomlog.server.worker_frames import (
    APPEND,
    CHUNK,
    DONE,
    FAILED,
    FOUND,
    GO,
    HEAD_BYTES,
    ROOM,
    SNAPSHOT,
    Frame,
    HashFound,
    ReplayTask,
    SnapshotFound,
    frame,
    read_head,
)
from roomlog.store.interface import (
    Append,
    NewRoom,
    NodeStore,
    StoredRoom,
    StoredSnapshot,
    snapshot_chunks,
)
from roomlog.store.memory import MemoryStore
from roomlog.store.sqlite import SqliteStore

NICENESS: Final = 5


def run_task(task: ReplayTask, store: NodeStore) -> Iterable[bytes]:
    """The frames that answer a task. Raises what went wrong."""
    replay = Replay(store, task)
    if task.kind == "hash":
        found: HashFound | SnapshotFound = replay.state_hash()
        yield frame(FOUND, msgspec.msgpack.encode(found))
    else:
        taken = replay.take_snapshot()
        if taken is None:
            yield frame(FOUND, msgspec.msgpack.encode(SnapshotFound()))
        else:
            # Nothing is signed that could not be opened.
            opened(taken)
            found = SnapshotFound(
                taken.seq,
                tuple(taken.frontier),
                taken.frontier_pack,
                taken.state_hash,
                taken.digest,
                len(taken.data),
            )
            yield frame(FOUND, msgspec.msgpack.encode(found))
            for chunk in snapshot_chunks(taken.data):
                yield frame(CHUNK, chunk)
    yield frame(DONE)


def room_of(frames: Iterable[Frame]) -> NodeStore:
    """A store with the one room that `room_frames` sent."""
    store = MemoryStore(bytes(16), 0)
    room: StoredRoom | None = None
    snapshot: StoredSnapshot | None = None
    chunks = 0
    for kind, payload in frames:
        if kind == ROOM:
            room = msgspec.msgpack.decode(payload, type=StoredRoom)
            store.create_rooms([NewRoom(room.room_id, room.lineage, room.epoch, room.created_ms)])
        elif kind == APPEND:
            (outcome,) = store.commit([msgspec.msgpack.decode(payload, type=Append)])
            if not outcome.is_committed:
                raise ValueError(outcome.reason)
        elif kind == SNAPSHOT:
            snapshot = msgspec.msgpack.decode(payload, type=StoredSnapshot)
        else:
            assert room is not None
            assert snapshot is not None
            store.write_snapshot_chunks(room.room_id, snapshot.seq, chunks, [payload])
            chunks += 1
            if chunks == snapshot.chunks:
                store.finish_snapshot(room.room_id, snapshot)
    return store


def serve(tasks: Iterable[tuple[ReplayTask, list[Frame]]], output: BinaryIO) -> None:
    """Do every task; a task that fails is answered with why, and the next one is done.

    Returns when nobody takes answers any more.
    """
    with contextlib.suppress(BrokenPipeError):
        for task, frames in tasks:
            try:
                store: NodeStore
                store = SqliteStore.open_read_only(task.store) if task.store else room_of(frames)
                with contextlib.closing(store):
                    for part in run_task(task, store):
                        output.write(part)
                        output.flush()
            except BrokenPipeError:
                raise
            except Exception as error:
                output.write(frame(FAILED, f"{type(error).__name__}: {error}".encode()))
                output.flush()


def _read_frames(source: BinaryIO, frames: queue.SimpleQueue[Frame]) -> None:
    while True:
        head = source.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            # The server is gone: nobody wants what is being done.
            os._exit(0)
        kind, size_bytes = read_head(head)
        frames.put((kind, source.read(size_bytes)))


def _tasks(frames: queue.SimpleQueue[Frame]) -> Iterable[tuple[ReplayTask, list[Frame]]]:
    while True:
        _, payload = frames.get()
        room: list[Frame] = []
        while (each := frames.get())[0] != GO:
            room.append(each)
        yield msgspec.msgpack.decode(payload, type=ReplayTask), room


def main() -> None:
    """Serve the process that started this one."""
    # The terminal's Ctrl-C is for the server, which tells us by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    output = os.fdopen(os.dup(1), "wb")
    # Whatever prints must not come between the frames.
    os.dup2(2, 1)
    frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    source = sys.stdin.buffer
    threading.Thread(target=_read_frames, args=(source, frames), daemon=True).start()
    serve(_tasks(frames), output)
    # The server is gone, and what is left in the buffer has nowhere to go.
    os._exit(0)
