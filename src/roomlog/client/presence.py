"""Presence: what this document shows to its room, and what the others show."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias, final

import msgspec

from roomlog.client.errors import DocumentClosedError, ReadOnlyError
from roomlog.client.feed import DEFAULT_QUEUE_ITEMS, Feed, Feeds
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol import messages
from roomlog.protocol.client_events import PresenceChanged, PresenceGone
from roomlog.protocol.credit import Bucket
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.message_cost import cost_of
from roomlog.protocol.message_rate import MESSAGE_BUCKET_SECONDS
from roomlog.protocol.presence_data import check_data

MOST_SESSIONS: Final = 65_536
"""What more sessions than these show is not looked at."""
BEATS_PER_LIFETIME: Final = 3
"""How often presence is shown within the time it lasts: two beats may get lost."""

_COST: Final = cost_of(messages.Presence(), 0)

Show: TypeAlias = Callable[[object, int | None], None]
"""Send data, and how long it lasts in ms (None: as the server has it), to the server."""


@final
class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What one session of somebody else shows.

    `pubkey` and `label` are who; `session` tells apart several of one identity.
    """

    pubkey: bytes
    label: str
    session: str
    data: object


@final
class PresenceNews(msgspec.Struct, frozen=True, kw_only=True):
    """One change: a session shows something else, or, with `is_gone`, nothing any more.

    `reason` is then `left`, `expired`, or `offline` when this document lost its server.
    """

    shown: Shown
    is_gone: bool = False
    reason: str = ""


@final
class Presence(Mapping[str, Shown]):
    """What others in the room show, by session, and what this document shows them.

    Nothing of it is stored anywhere. `set` keeps showing its data, also after reconnecting, until
    `clear` or the end of the document.
    """

    def __init__(self, *, can_show: bool) -> None:
        self._can_show = can_show
        self._others: dict[str, Shown] = {}
        self._feeds: Feeds[PresenceNews] = Feeds()
        self._data: object = None
        self._ttl_ms: int | None = None
        self._default_ttl_ms = DEFAULT_LIMITS.presence_ttl_ms
        self._longest_ttl_ms = DEFAULT_LIMITS.presence_ttl_max_ms
        self._show: Show | None = None
        self._budget = _half_of(DEFAULT_LIMITS.messages_per_second, 0)
        self._beat: asyncio.TimerHandle | None = None
        self._is_closed = False

    # what applications use

    def __getitem__(self, session: str) -> Shown:
        return self._others[session]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._others))

    def __len__(self) -> int:
        return len(self._others)

    @property
    def own(self) -> object:
        """What this document shows; None for nothing."""
        return self._data

    def set(self, data: object, ttl_s: float | None = None) -> None:
        """Show `data` to everybody in the room, now and whenever the server is reached.

        `data` are null, booleans, numbers, text, lists and maps with text keys, at most 4 KiB.
        Should this process die, others see it for another `ttl_s` seconds at most (by default what
        the server has, 30 s; at most 300 s). None shows nothing.

        Raises ValueError or TypeError for what is no data, `ReadOnlyError`, `DocumentClosedError`.
        """
        if self._is_closed:
            raise DocumentClosedError("the document is not open")
        if not self._can_show:
            raise ReadOnlyError("the document was opened without an identity: it shows nothing")
        ttl_ms = None
        if ttl_s is not None:
            if not math.isfinite(ttl_s) or ttl_s <= 0:
                raise InvalidValueError(f"ttl_s: {ttl_s!r} is no time")
            ttl_ms = max(1, min(int(ttl_s * 1000), DEFAULT_LIMITS.presence_ttl_max_ms))
        checked_data(data, DEFAULT_LIMITS.presence_bytes, RejectClass.PRESENCE_TOO_LARGE)
        was_shown = self._data is not None
        self._data, self._ttl_ms = data, ttl_ms
        if data is not None or was_shown:
            self._send()

    def clear(self) -> None:
        """Show nothing any more."""
        self.set(None)

    def changes(self, queue_items: int = DEFAULT_QUEUE_ITEMS) -> Feed[PresenceNews]:
        """What others show from now on; after a lost connection everything is shown anew."""
        return self._feeds.open(queue_items)

    # what the connection calls

    def connected(self, show: Show, limits: Mapping[str, int]) -> None:
        """A session is open and has presence: show what is to be shown."""
        self._default_ttl_ms = limits.get("presence_ttl_ms", DEFAULT_LIMITS.presence_ttl_ms)
        self._longest_ttl_ms = limits.get("presence_ttl_max_ms", DEFAULT_LIMITS.presence_ttl_max_ms)
        if self._can_show:
            per_second = limits.get("messages_per_second", DEFAULT_LIMITS.messages_per_second)
            self._budget = _half_of(per_second, _now_ms())
            self._show = show
            if self._data is not None:
                self._send()

    def disconnected(self) -> None:
        """The session is over: who is there is not known any more."""
        self._show = None
        self._stop_beat()
        gone = list(self._others.values())
        self._others.clear()
        for shown in gone:
            self._feeds.put(PresenceNews(shown=shown, is_gone=True, reason="offline"))

    def changed(self, event: PresenceChanged) -> None:
        """Another session shows something."""
        if event.session not in self._others and len(self._others) >= MOST_SESSIONS:
            return
        shown = Shown(
            pubkey=event.pubkey, label=event.label, session=event.session, data=event.data
        )
        # The newest comes last: a mapping in the order in which they were heard of.
        self._others.pop(event.session, None)
        self._others[event.session] = shown
        self._feeds.put(PresenceNews(shown=shown))

    def gone(self, event: PresenceGone) -> None:
        """Another session shows nothing any more."""
        shown = self._others.pop(event.session, None)
        if shown is not None:
            self._feeds.put(PresenceNews(shown=shown, is_gone=True, reason=event.reason))

    def close(self) -> None:
        """The document is closed."""
        self._is_closed = True
        self.disconnected()
        self._feeds.close()

    def _send(self) -> None:
        """Show the data now, and again before it expires."""
        self._stop_beat()
        if self._show is None:
            return
        if self._budget.take(_COST, _now_ms()) < 0:
            # The server would refuse it. Only what is set when there is room again is shown.
            wait_ms = self._budget.wait_ms()
            self._budget.take(-_COST, _now_ms())
            self._beat = asyncio.get_running_loop().call_later(wait_ms / 1000, self._send)
            return
        self._show(self._data, None if self._data is None else self._ttl_ms)
        if self._data is not None:
            wanted_ms = self._default_ttl_ms if self._ttl_ms is None else self._ttl_ms
            lasts_ms = max(1, min(wanted_ms, self._longest_ttl_ms))
            self._beat = asyncio.get_running_loop().call_later(
                lasts_ms / 1000 / BEATS_PER_LIFETIME, self._send
            )

    def _stop_beat(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


def _half_of(per_second: int, now_ms: int) -> Bucket:
    """Half of what a session may send: the rest is for everything else."""
    depth = max(_COST, per_second * MESSAGE_BUCKET_SECONDS // 2)
    return Bucket(depth, max(1, per_second // 2), now_ms)


def checked_data(data: object, most_bytes: int, too_large: RejectClass) -> None:
    """Raises `InvalidValueError` or `InvalidTypeError` for what presence cannot carry."""
    try:
        check_data(data, most_bytes, too_large)
    except Reject as reject:
        kind = InvalidValueError if reject.reject_class is too_large else InvalidTypeError
        raise kind(reject.message) from None
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"data: {error}") from None
