"""The server's side of the worker process: one task at a time, started when needed, ended idle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, final

import msgspec

from roomlog.core.errors import RoomlogError
from roomlog.server.store_reader import StoreReader
from roomlog.server.worker_frames import (
    CHUNK,
    DONE,
    FAILED,
    FOUND,
    GO,
    HEAD_BYTES,
    TASK,
    ReplayTask,
    frame,
    read_head,
    room_frames,
)
from roomlog.store.interface import NodeStore

IDLE_SECONDS: Final = 60.0
SECONDS_MAX: Final = 1_800.0
"""A task that takes longer is given up, and its process with it."""
CLOSE_SECONDS: Final = 1.0
_START: Final = "from roomlog.server.worker_process import main; main()"


class WorkFailed(RoomlogError):
    """A task could not be done: the process died, was ended, or said why not."""


class TaskRefused(Exception):
    """The process is well, but the task cannot be done."""


@final
class Worker:
    """At most one process that replays rooms for the server; a new interpreter, never a fork.

    `path` is the store's directory, "" when its rooms have to be sent. `monotonic` gives seconds.
    """

    def __init__(
        self,
        store: NodeStore,
        path: str,
        reader: StoreReader,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._path = path
        self._reader = reader
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle_since = 0.0
        self._is_closed = False
        self._ended: set[asyncio.Task[int]] = set()

    @property
    def path(self) -> str:
        """The store's directory as tasks name it."""
        return self._path

    @property
    def pid(self) -> int | None:
        """The process, None when there is none."""
        return None if self._process is None else self._process.pid

    @property
    def is_busy(self) -> bool:
        """Whether a task is being done or waits for its turn."""
        return self._turn.locked()

    async def run(self, task: ReplayTask, on_part: Callable[[bytes], Awaitable[None]]) -> None:
        """Do a task; `on_part` gets what was found, then the chunks of its state, if it has one.

        Raises `WorkFailed`, `StoreError` when a room to be sent cannot be read, and what `on_part`
        raises.
        """
        async with self._turn:
            is_done = False
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    process = await self._running()
                    await self._send(process, task)
                    is_done = await _answer(process, on_part)
            except TimeoutError:
                # An OSError as well, so it comes first.
                raise WorkFailed(f"it took longer than {SECONDS_MAX:g} s") from None
            except (OSError, EOFError) as error:
                raise WorkFailed(f"the worker process is gone: {error!r}") from error
            except TaskRefused as refused:
                is_done = True
                raise WorkFailed(str(refused)) from None
            finally:
                self._idle_since = self._monotonic()
                if not is_done:
                    # What else it says is nobody's answer.
                    self._end()

    def tick(self) -> None:
        """Once in a while: end a process that had nothing to do for a while."""
        is_idle = self._monotonic() - self._idle_since >= IDLE_SECONDS
        if self._process is not None and not self._turn.locked() and is_idle:
            self._end()

    async def close(self) -> None:
        """End the process, whatever it does, and take no task any more."""
        self._is_closed = True
        self._end()
        if self._ended:
            await asyncio.wait(self._ended, timeout=CLOSE_SECONDS)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._is_closed:
            raise WorkFailed("the server is about to stop")
        process = self._process
        if process is None or process.returncode is not None:
            # The child finds its modules where this process found them.
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _START,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            if self._is_closed:
                raise WorkFailed("the server is about to stop")
        return process

    async def _send(self, process: asyncio.subprocess.Process, task: ReplayTask) -> None:
        pipe = process.stdin
        assert pipe is not None
        pipe.write(frame(TASK, msgspec.msgpack.encode(task)))
        if not task.store:
            frames = iter(room_frames(self._store, task))
            while (part := await self._reader.read("room_frames", _next, frames)) is not None:
                pipe.write(part)
                await pipe.drain()
        pipe.write(frame(GO))
        await pipe.drain()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        waiting = asyncio.ensure_future(process.wait())
        self._ended.add(waiting)
        waiting.add_done_callback(self._ended.discard)


async def _answer(
    process: asyncio.subprocess.Process, on_part: Callable[[bytes], Awaitable[None]]
) -> bool:
    """Read the answer to its end: True. Raises `TaskRefused`."""
    pipe = process.stdout
    assert pipe is not None
    while True:
        kind, size_bytes = read_head(await pipe.readexactly(HEAD_BYTES))
        payload = await pipe.readexactly(size_bytes)
        if kind == FAILED:
            raise TaskRefused(payload.decode(errors="replace"))
        if kind == DONE:
            return True
        assert kind in (FOUND, CHUNK)
        await on_part(payload)


def _next(frames: Iterator[bytes]) -> bytes | None:
    return next(frames, None)
