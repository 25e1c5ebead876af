"""How far back a log is old enough to be read without signatures.

A server that lost its log gets it back from its clients, who can vouch for nodes only by their
signatures. What was admitted within the resend window is therefore never sent without.
"""

from __future__ import annotations

from typing import Final, final

from roomlog.server.store_reader import StoreReader
from roomlog.store.interface import NodeStore, StoredRoom

LOOK_AGAIN_MS: Final = 60_000


@final
class ResendWindow:
    """One room's resend window of `window_ms`: found once, then moved on as time passes."""

    __slots__ = ("_looked_ms", "_through", "_window_ms")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._through = 0
        self._looked_ms: int | None = None

    async def old_through(
        self, reader: StoreReader, room: StoredRoom, head_seq: int, now_ms: int
    ) -> int:
        """The greatest seq up to which everything was admitted before the window, or 0.

        `now_ms` is the wall clock's. Raises `StoreError`.
        """
        if self._window_ms == 0:
            return head_seq
        looked_ms = self._looked_ms
        # The answer only lags: nodes count as recent for somewhat longer than they are.
        wait_ms = min(LOOK_AGAIN_MS, self._window_ms)
        if looked_ms is None or not looked_ms <= now_ms < looked_ms + wait_ms:
            self._looked_ms = now_ms
            self._through = await reader.read(
                "read_admissions",
                admitted_before,
                reader.store,
                room,
                min(self._through, head_seq),
                head_seq,
                now_ms - self._window_ms,
            )
        return min(self._through, head_seq)


def admitted_before(
    store: NodeStore, room: StoredRoom, known: int, head_seq: int, before_ms: int
) -> int:
    """The greatest seq of a node admitted before `before_ms`, by bisection from `known` on.

    Raises `StoreError`.
    """
    low, high = known, head_seq
    # Most often nothing has become old: look at the oldest first.
    middle = low + 1
    while low < high:
        record = next(iter(store.admissions(room.room_id, middle - 1, 1)))
        if record.admitted_ms < before_ms:
            # The whole record is of one time.
            low = max(middle, min(record.to_seq, high))
        else:
            high = max(low, record.from_seq - 1)
        middle = (low + high + 1) // 2
    return low
