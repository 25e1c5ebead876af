"""Checking many signatures, in other processes when there are enough of them.

A thread would not help: most of the time goes into calls that hold the interpreter's lock.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Final, Self, final

from roomlog.core.signing import Purpose, verify

Signed = tuple[int, bytes, bytes, bytes]
# Below this, starting a process costs more than it saves.
NODES_WORTH_A_PROCESS: Final = 50_000
QUEUED_CHUNKS: Final = 8


def first_invalid(signed: list[Signed]) -> tuple[int, bytes] | None:
    """Seq and id of the first node that its author did not sign, None when all are."""
    for seq, author, node_id, signature in signed:
        if not verify(author, Purpose.NODE, node_id, signature):
            return seq, node_id
    return None


@final
class SignatureCheck:
    """Signatures of one log, given in order and checked in `processes` others (0: in this one)."""

    def __init__(self, processes: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if processes > 0:
            # A forked child would inherit threads' locks and open databases.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(processes, mp_context=context)
        self._running: deque[Future[tuple[int, bytes] | None]] = deque()
        self._invalid: tuple[int, bytes] | None = None

    def add(self, signed: list[Signed]) -> None:
        """Check these as well; waits while too many wait."""
        if self._invalid is not None or not signed:
            return
        if self._pool is None:
            self._invalid = first_invalid(signed)
            return
        self._running.append(self._pool.submit(first_invalid, signed))
        while len(self._running) > QUEUED_CHUNKS:
            self._take()

    def finish(self) -> tuple[int, bytes] | None:
        """Wait for all; the first that is invalid. Ready for the next log afterwards."""
        while self._running:
            self._take()
        invalid, self._invalid = self._invalid, None
        return invalid

    def _take(self) -> None:
        found = self._running.popleft().result()
        if self._invalid is None:
            self._invalid = found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
