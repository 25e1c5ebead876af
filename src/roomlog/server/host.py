"""Where a server gets what is not its own doing: time, randomness, and hands to work for it.

One place for all of it, so that a server can also be run where time and chance are given.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from roomlog.server.store_reader import StoreReader
from roomlog.server.worker_frames import ReplayTask
from roomlog.server.workers import Worker
from roomlog.store.committer import Drive
from roomlog.store.interface import NodeStore


class Replayer(Protocol):
    """What replays rooms beside the event loop; `Worker` is the one with a process."""

    @property
    def path(self) -> str: ...
    async def run(self, task: ReplayTask, on_part: Callable[[bytes], Awaitable[None]]) -> None: ...
    def tick(self) -> None: ...
    async def close(self) -> None: ...


MakeReplayer = Callable[[NodeStore, str, StoreReader, Callable[[], float]], Replayer]
"""From the store, its directory ("" without one), its reader, and monotonic seconds."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _worker(
    store: NodeStore, path: str, reader: StoreReader, monotonic: Callable[[], float]
) -> Replayer:
    return Worker(store, path, reader, monotonic=monotonic)


@dataclass(frozen=True, kw_only=True)
class Host:
    """`Host()` is this machine."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that only measure."""
    stopwatch: Callable[[], float] = time.perf_counter
    """Seconds for what takes microseconds."""
    wall_ms: Callable[[], int] = _wall_ms
    """Milliseconds since 1970."""
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    """So many bytes that nobody can guess."""
    random_below: Callable[[int], int] = secrets.randbelow
    """An integer from 0 up to, but not with, the given one."""
    drive_writer: Drive | None = None
    """What runs the writer in the place of a thread (`Committer`)."""
    make_replayer: MakeReplayer = _worker
