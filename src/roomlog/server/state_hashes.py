"""State hashes on request: computed by the worker from the durable log, one at a time a room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

import msgspec

from roomlog.core.errors import RoomlogError
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.effects import ReadHash
from roomlog.server.host import Replayer
from roomlog.server.logging import Log
from roomlog.server.worker_frames import HashFound, ReplayTask

if TYPE_CHECKING:
    from roomlog.server.connection import Connection
    from roomlog.server.room import Room

RETRY_AFTER_MS: Final = 1_000
QUEUED_HASHES: Final = 16
"""Most rooms whose hashes are under way at once."""


@final
class StateHashes:
    """Answers every `request {hash}` of the server; `server_key` is what signs its snapshots."""

    def __init__(self, worker: Replayer, *, server_key: bytes, log: Log) -> None:
        self._worker = worker
        self._server_key = server_key
        self._log = log
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def begin(self, connection: Connection, room: Room, read: ReadHash) -> None:
        """Answer `read` when the hash is known; the connection may be gone by then."""
        if room.room_id in self._under_way or len(self._under_way) >= QUEUED_HASHES:
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
            reject = Reject(RejectClass.QUEUE_FULL, "another hash is being computed", detail)
            connection.hash_failed(read, reject)
            return
        task = asyncio.create_task(self._answer(connection, room, read))
        self._under_way[room.room_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(room.room_id, None))

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _answer(self, connection: Connection, room: Room, read: ReadHash) -> None:
        newest = room.snapshots.newest()
        task = ReplayTask(
            kind="hash",
            store=self._worker.path,
            room_id=room.room_id,
            server_key=self._server_key,
            head_seq=room.head_seq,
            base_seq=0 if newest is None else newest.seq,
            patterns=read.patterns,
        )
        found: list[HashFound] = []

        async def take(part: bytes) -> None:
            found.append(msgspec.msgpack.decode(part, type=HashFound))

        try:
            await self._worker.run(task, take)
        except RoomlogError as error:
            self._log.error("state hash failed", room=room.room_id, reason=str(error))
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
            message = "the hash could not be computed"
            connection.hash_failed(read, Reject(RejectClass.STORE_UNAVAILABLE, message, detail))
        except Exception as error:
            connection.fail(error)
        else:
            (answer,) = found
            connection.hash_found(read, answer.frontier, answer.hash, answer.coverage)
