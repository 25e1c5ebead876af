"""How many messages other than paid packs a session may send: one bucket for all kinds."""

from __future__ import annotations

from typing import final

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.credit import Bucket

MESSAGE_BUCKET_SECONDS = 10


@final
class MessageRate:
    """A bucket of ten seconds' worth of messages."""

    def __init__(self, per_second: int, now_ms: int) -> None:
        self._depth = per_second * MESSAGE_BUCKET_SECONDS
        self._bucket = Bucket(self._depth, per_second, now_ms)
        self.is_flooded = False
        """Whether a whole bucket more was taken than there was: such a session ends."""

    def take(self, cost: int, now_ms: int) -> Reject | None:
        """Count a message; the refusal, with a hint when to come again, of one too many.

        A refused one counts as well, but who waits as told is served. Nothing costs more than a
        full bucket, lest it could never be had.
        """
        cost = min(cost, self._depth)
        level = self._bucket.take(cost, now_ms)
        self.is_flooded = level < -self._depth
        if level >= 0:
            return None
        detail: dict[str, object] = {"retry_after_ms": self._bucket.wait_ms(cost)}
        return Reject(RejectClass.RATE_MESSAGES, "too many messages", detail)
