"""The writer thread: takes everything that is queued and commits it as one batch.

While one batch is in its fsync the next one gathers, so the batch grows with the load and nobody
waits for a timer.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar, final

from roomlog.store.errors import QueueFull, StoreUnavailable
from roomlog.store.interface import (
    Append,
    AppendOutcome,
    AppendStatus,
    NewRoom,
    NodeStore,
    StoredRoom,
    ambiguous,
)

Result = TypeVar("Result")
Outcomes = list[tuple[Append, AppendOutcome]]
Drive = Callable[[Callable[[], None]], object]
"""Calls what it is given once, later, in the thread of those who submit."""
ROW_OVERHEAD_BYTES: Final = 256
DEFAULT_QUEUED_APPENDS: Final = 16_384
DEFAULT_QUEUED_BYTES: Final = 64 << 20
DEFAULT_BATCH_APPENDS: Final = 1_024
DEFAULT_BATCH_BYTES: Final = 8 << 20
DEFAULT_BATCH_ROOMS: Final = 1_024
QUEUED_TASKS: Final = 1_024


@final
class CommitCounters:
    """Running totals of the writer thread and the figures of its last batch."""

    def __init__(self) -> None:
        self.batches = 0
        self.committed_appends = 0
        self.committed_nodes = 0
        self.committed_bytes = 0
        self.failed_appends = 0
        self.ambiguous_appends = 0
        self.created_rooms = 0
        self.commit_seconds = 0.0
        self.last_batch_appends = 0
        self.last_batch_nodes = 0
        self.last_commit_seconds = 0.0


@final
class _Task:
    """Something else to do in the writer's thread, once `after` appends were taken."""

    __slots__ = ("after", "run")

    def __init__(self, after: int, run: Callable[[], None]) -> None:
        self.after = after
        self.run = run


@final
class Committer:
    """Owns the thread that writes to a store.

    `on_outcomes` is called in that thread, once per batch, with every append of the batch in the
    order of submission; it must hand over quickly and never raise. `clock` gives seconds
    (`time.monotonic`) and only measures. `soon`, if given, calls a function in the thread of those
    who submit once they have submitted what they have: the writer is woken once for all of it.
    With `drive` there is no thread: it is given each next step when there is something to write.
    """

    def __init__(
        self,
        store: NodeStore,
        on_outcomes: Callable[[Outcomes], None],
        *,
        clock: Callable[[], float],
        soon: Callable[[Callable[[], None]], object] | None = None,
        drive: Drive | None = None,
        max_queued_appends: int = DEFAULT_QUEUED_APPENDS,
        max_queued_bytes: int = DEFAULT_QUEUED_BYTES,
        max_batch_appends: int = DEFAULT_BATCH_APPENDS,
        max_batch_bytes: int = DEFAULT_BATCH_BYTES,
    ) -> None:
        self.counters = CommitCounters()
        self._store = store
        self._on_outcomes = on_outcomes
        self._clock = clock
        self._soon = soon
        self._drive = drive
        self._is_step_due = False
        self._is_wake_due = False
        self._max_queued_appends = max_queued_appends
        self._max_queued_bytes = max_queued_bytes
        self._max_batch_appends = max_batch_appends
        self._max_batch_bytes = max_batch_bytes
        self._changed = threading.Condition()
        self._appends: deque[Append] = deque()
        self._rooms: deque[tuple[NewRoom, Future[StoredRoom]]] = deque()
        self._tasks: deque[_Task] = deque()
        self._queued_bytes = 0
        self._appends_submitted = 0
        self._appends_taken = 0
        self._submitted = 0
        self._answered = 0
        self._is_waiting = False
        self._is_trying_again = False
        self._is_closing = False
        self._thread: threading.Thread | None = None
        if drive is None:
            self._thread = threading.Thread(target=self._run, name="roomlog-committer", daemon=True)
            self._thread.start()

    @property
    def queued_appends(self) -> int:
        """Appends not yet taken into a batch."""
        return len(self._appends)

    @property
    def queued_bytes(self) -> int:
        """Bytes of these appends."""
        return self._queued_bytes

    def submit(self, append: Append) -> None:
        """Queue an append; its outcome comes through `on_outcomes`.

        Raises `QueueFull` at the limits, `StoreUnavailable` once closing; then nothing was taken.
        """
        size_bytes = _size_bytes(append)
        with self._changed:
            self._check_open()
            if self._appends and (
                len(self._appends) >= self._max_queued_appends
                or self._queued_bytes + size_bytes > self._max_queued_bytes
            ):
                raise QueueFull(
                    f"{len(self._appends)} appends ({self._queued_bytes} bytes) wait to be written"
                )
            self._appends.append(append)
            self._queued_bytes += size_bytes
            self._appends_submitted += 1
            self._submitted += 1
            if self._soon is None or self._drive is not None:
                self._wake_writer()
            elif self._is_waiting and not self._is_wake_due:
                self._is_wake_due = True
                self._soon(self._wake)

    def _wake(self) -> None:
        with self._changed:
            self._is_wake_due = False
            self._changed.notify_all()

    def create_room(self, room: NewRoom) -> Future[StoredRoom]:
        """Create a room durably; the future gives it, or `RoomExists`, `StoreUnavailable`.

        Raises as `submit` does.
        """
        future: Future[StoredRoom] = Future()
        with self._changed:
            self._check_open()
            if len(self._rooms) >= self._max_queued_appends:
                raise QueueFull(f"{len(self._rooms)} rooms wait to be created")
            self._rooms.append((room, future))
            self._submitted += 1
            self._wake_writer()
        return future

    def run(self, work: Callable[[], Result]) -> Future[Result]:
        """Call `work` in the writer's thread, after every append submitted before.

        One at a time, with a batch of appends between two of them: nobody waits for long. The
        future gives what it returns or raises. Raises as `submit` does.
        """
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._changed:
            self._check_open()
            if len(self._tasks) >= QUEUED_TASKS:
                raise QueueFull(f"{len(self._tasks)} tasks wait for the writer")
            self._tasks.append(_Task(self._appends_submitted, run))
            self._submitted += 1
            self._wake_writer()
        return future

    def try_again(self) -> None:
        """Reading was refused: let the store find out whether it can be used again.

        After a failed commit only a write can tell, and nobody writes to rooms that cannot be read.
        """
        with self._changed:
            self._is_trying_again = True
            self._wake_writer()

    def flush(self) -> None:
        """Return when everything submitted before the call is answered. Not for the callback."""
        with self._changed:
            target = self._submitted
        while self._drive is not None and self._answered < target:
            self._step()
        with self._changed:
            while self._answered < target:
                self._changed.wait()

    def close(self) -> None:
        """Write what is queued, answer it, and end the thread. The store stays open."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        while self._has_work:
            self._step()

    def _check_open(self) -> None:
        if self._is_closing:
            raise StoreUnavailable("the store is closing")

    def _wake_writer(self) -> None:
        """There is something to write. Called with the condition held."""
        if self._drive is None:
            if self._is_waiting:
                self._changed.notify_all()
        elif not self._is_step_due:
            self._is_step_due = True
            self._drive(self._driven_step)

    def _driven_step(self) -> None:
        self._is_step_due = False
        self._step()
        with self._changed:
            if self._has_work:
                self._wake_writer()

    @property
    def _has_work(self) -> bool:
        return bool(self._appends or self._rooms or self._tasks or self._is_trying_again)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._has_work:
                    if self._is_closing:
                        return
                    self._is_waiting = True
                    self._changed.wait()
                    self._is_waiting = False
            self._step()

    def _step(self) -> None:
        """Take what waits as one batch, and answer it."""
        with self._changed:
            rooms = self._take_rooms()
            batch = self._take_batch()
            task = self._take_task()
            is_trying_again, self._is_trying_again = self._is_trying_again, False
        if is_trying_again and not batch:
            # A backend never raises; one that does must not end the thread.
            with contextlib.suppress(Exception):
                self._store.commit([])
        # Rooms first: an append is only ever submitted for a room that exists.
        if rooms:
            self._create(rooms)
        if batch:
            self._commit(batch)
        if task is not None:
            task.run()
        with self._changed:
            self._answered += len(rooms) + len(batch) + (task is not None)
            self._changed.notify_all()

    def _take_rooms(self) -> list[tuple[NewRoom, Future[StoredRoom]]]:
        return [self._rooms.popleft() for _ in range(min(len(self._rooms), DEFAULT_BATCH_ROOMS))]

    def _take_batch(self) -> list[Append]:
        batch: list[Append] = []
        taken_bytes = 0
        while self._appends and len(batch) < self._max_batch_appends:
            size_bytes = _size_bytes(self._appends[0])
            if batch and taken_bytes + size_bytes > self._max_batch_bytes:
                break
            batch.append(self._appends.popleft())
            taken_bytes += size_bytes
        self._queued_bytes -= taken_bytes
        self._appends_taken += len(batch)
        return batch

    def _take_task(self) -> _Task | None:
        if self._tasks and self._tasks[0].after <= self._appends_taken:
            return self._tasks.popleft()
        return None

    def _create(self, rooms: list[tuple[NewRoom, Future[StoredRoom]]]) -> None:
        results: list[StoredRoom | Exception]
        try:
            results = self._store.create_rooms([room for room, _ in rooms])
        except Exception as error:
            results = [StoreUnavailable(f"creating rooms failed: {error!r}") for _ in rooms]
        for (_, future), result in zip(rooms, results, strict=True):
            if not future.set_running_or_notify_cancel():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                self.counters.created_rooms += 1
                future.set_result(result)

    def _commit(self, batch: list[Append]) -> None:
        started = self._clock()
        try:
            outcomes = self._store.commit(batch)
        except Exception as error:
            # A backend never raises; one that does has told nobody what it did.
            outcomes = [ambiguous(f"the store failed: {error!r}") for _ in batch]
        answered = list(zip(batch, outcomes, strict=True))
        self._count(answered, self._clock() - started)
        self._on_outcomes(answered)

    def _count(self, answered: Outcomes, seconds: float) -> None:
        counters = self.counters
        counters.batches += 1
        counters.last_batch_appends = len(answered)
        counters.last_batch_nodes = 0
        counters.commit_seconds += seconds
        counters.last_commit_seconds = seconds
        for append, outcome in answered:
            counters.last_batch_nodes += append.count
            if outcome.status is AppendStatus.COMMITTED:
                counters.committed_appends += 1
                counters.committed_nodes += append.count
                counters.committed_bytes += len(append.pack)
            elif outcome.status is AppendStatus.FAILED:
                counters.failed_appends += 1
            else:
                counters.ambiguous_appends += 1


def _size_bytes(append: Append) -> int:
    return len(append.pack) + len(append.ids) + ROW_OVERHEAD_BYTES
