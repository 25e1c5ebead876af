"""A server that lost its log: the proof, the new epoch, and the window in which nodes come back.

A client's claim changes nothing. Only a checkpoint, this server's own signature, over a frontier
that the room lacks shows that the log was longer once (`sync.md`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, final

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.checkpoint import is_log_lost
from roomlog.protocol.messages import After, SignedCheckpoint
from roomlog.server.logging import Log
from roomlog.server.metrics import Metrics
from roomlog.store.committer import Committer
from roomlog.store.errors import StoreError
from roomlog.store.interface import NodeStore, ReconcileWindow, StoredRoom

if TYPE_CHECKING:
    from roomlog.server.room import Room

RETRY_AFTER_MS: Final = 1_000
UNSIGNED_TAIL_NODES: Final = 100_000
"""What others may bring back beyond the checkpoint, which is older than the loss."""


@final
class RoomWindows:
    """The reconcile windows of one room, and how much each key may still bring back in those open.

    Each key has an account of its own in each window: a key costs nothing, so one account for all
    would keep nobody from writing, but let anybody use up what others need.
    """

    __slots__ = ("_accounts", "_all", "_under_way")

    def __init__(self, windows: Sequence[ReconcileWindow] = ()) -> None:
        """`windows` in the order of opening."""
        self._all = list(windows)
        self._accounts: list[dict[bytes, int]] = [{} for _ in windows]
        self._under_way: dict[bytes, int] = {}

    def of_loss(self, lost_epoch: bytes) -> ReconcileWindow | None:
        """The window of that loss, open or not."""
        for window in self._all:
            if window.lost_epoch == lost_epoch:
                return window
        return None

    def beginning_of(self, epoch: bytes) -> int:
        """The head of the log when it took that epoch; 0 if it was its first, or is not its own."""
        for window in self._all:
            if window.new_epoch == epoch:
                return window.head_seq
        return 0

    def missing(self, known_epoch: bytes | None, now_ms: int) -> After | None:
        """The lost log that is asked for; that of `known_epoch` before others, else the newest."""
        is_open = [each for each in self._all if each.closes_ms > now_ms]
        if not is_open:
            return None
        of_known = [each for each in is_open if each.lost_epoch == known_epoch]
        window = (of_known or is_open)[-1]
        return After(epoch=window.lost_epoch, seq=window.after_seq)

    def most_of_others(self, submitter: bytes, now_ms: int) -> int:
        """How many nodes of others this key may have taken; 0 outside a window."""
        if not self._all:
            return 0
        most = 0
        for window, account in zip(self._all, self._accounts, strict=True):
            if window.closes_ms > now_ms:
                most += max(0, _most_of(window) - account.get(submitter, 0))
        return max(0, most - self._under_way.get(submitter, 0))

    def begin_others(self, submitter: bytes, nodes: int) -> None:
        """So many nodes of others are on their way to the store."""
        self._under_way[submitter] = self._under_way.get(submitter, 0) + nodes

    def end_others(self, submitter: bytes, nodes: int) -> None:
        """They are not any more: they were refused, or are counted now."""
        left = self._under_way[submitter] - nodes
        if left:
            self._under_way[submitter] = left
        else:
            del self._under_way[submitter]

    def count_others(self, submitter: bytes, nodes: int, at_ms: int) -> None:
        """So many nodes of others are durable, admitted at `at_ms`: the oldest window pays."""
        last: dict[bytes, int] | None = None
        for window, account in zip(self._all, self._accounts, strict=True):
            if window.opened_ms <= at_ms < window.closes_ms:
                held = account.get(submitter, 0)
                paid = min(nodes, max(0, _most_of(window) - held))
                account[submitter] = held + paid
                nodes -= paid
                last = account
        if last is not None:
            last[submitter] += nodes

    def add(self, window: ReconcileWindow) -> None:
        """A window was opened."""
        self._all.append(window)
        self._accounts.append({})


def _most_of(window: ReconcileWindow) -> int:
    return max(0, window.checkpoint_seq - window.after_seq) + UNSIGNED_TAIL_NODES


def load_windows(store: NodeStore, room: StoredRoom, now_ms: int) -> RoomWindows:
    """The windows of a room as the store has them. Blocks. Raises `StoreError`."""
    windows = store.reconcile_windows(room.room_id)
    room_windows = RoomWindows(windows)
    is_open = [each for each in windows if each.closes_ms > now_ms]
    if is_open:
        # Windows that were open beside these paid for a part of what came.
        first = next(each for each in windows if each.closes_ms > is_open[0].opened_ms)
        for record in store.admissions(room.room_id, first.head_seq):
            if record.reinstated:
                nodes = record.to_seq - record.from_seq + 1
                room_windows.count_others(record.submitter, nodes, record.admitted_ms)
    return room_windows


@final
class Reconciler:
    """Weighs the checkpoints that clients show, and renews the epoch of a room that lost its log.

    `new_epoch` gives 16 random bytes; `on_renewed` hears of a room once its new epoch is durable.
    """

    def __init__(
        self,
        store: NodeStore,
        committer: Committer,
        *,
        window_ms: int,
        metrics: Metrics,
        log: Log,
        wall_ms: Callable[[], int],
        new_epoch: Callable[[], bytes],
        on_renewed: Callable[[Room], None],
    ) -> None:
        self._store = store
        self._committer = committer
        self._window_ms = window_ms
        self._metrics = metrics
        self._log = log
        self._wall_ms = wall_ms
        self._new_epoch = new_epoch
        self._on_renewed = on_renewed
        self._renewing: dict[str, asyncio.Task[None]] = {}

    async def weigh(self, room: Room, checkpoint: SignedCheckpoint) -> None:
        """Look at a checkpoint of this server's own; return once what it proves is durable.

        Raises `Reject` (store_unavailable).
        """
        while is_log_lost(checkpoint, room) and not room.windows.of_loss(checkpoint.epoch):
            task = self._renewing.get(room.room_id)
            if task is None:
                task = asyncio.create_task(self._renew(room, checkpoint))
                self._renewing[room.room_id] = task
                task.add_done_callback(lambda done: self._renewed(room, done))
            # Who gives up must not keep the others from their new epoch.
            await asyncio.shield(task)

    def _renewed(self, room: Room, task: asyncio.Task[None]) -> None:
        del self._renewing[room.room_id]
        if not task.cancelled():
            # Whoever asked may be gone; it is in the log.
            task.exception()

    async def _renew(self, room: Room, checkpoint: SignedCheckpoint) -> None:
        now_ms = self._wall_ms()
        # Where the lost epoch began, both logs were one; they may have parted right after.
        window = ReconcileWindow(
            checkpoint.epoch,
            room.epoch,
            self._new_epoch(),
            0,
            room.windows.beginning_of(checkpoint.epoch),
            checkpoint.seq,
            now_ms,
            now_ms + self._window_ms,
        )
        room.is_renewing = True
        try:
            window = await asyncio.wrap_future(
                self._committer.run(lambda: self._store.renew_epoch(room.room_id, window))
            )
        except StoreError as error:
            self._metrics.store_errors_total.labels("renew").inc()
            self._log.error("epoch not renewed", room=room.room_id, reason=str(error))
            # It may have been: believe the store.
            room.distrust()
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
            message = "the store is unavailable"
            raise Reject(RejectClass.STORE_UNAVAILABLE, message, detail) from None
        finally:
            room.is_renewing = False
        self.adopt(room, [window])

    def adopt(self, room: Room, windows: Sequence[ReconcileWindow]) -> None:
        """Tell a room of epochs that the store has and it has not yet."""
        for window in windows:
            if room.windows.of_loss(window.lost_epoch) is not None:
                continue
            self._metrics.lost_logs_total.inc()
            self._log.warning(
                "log lost",
                room=room.room_id,
                lost_epoch=window.lost_epoch.hex(),
                old_epoch=window.old_epoch.hex(),
                new_epoch=window.new_epoch.hex(),
                head_seq=window.head_seq,
                checkpoint_seq=window.checkpoint_seq,
                closes_ms=window.closes_ms,
            )
            room.renewed(window)
            self._on_renewed(room)
