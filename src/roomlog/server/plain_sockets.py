"""Sockets that are no session: silent ones, half a request, a connection kept alive.

aiohttp waits for the head of a request without any limit, so a few thousand sockets that say
nothing would take every file descriptor of the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol, final


class HttpHandler(Protocol):
    """What aiohttp keeps for each open socket."""

    @property
    def transport(self) -> asyncio.Transport | None: ...


@final
class PlainSockets:
    """Cuts sockets that have not become a session within `wait_seconds`."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._first_seen: dict[HttpHandler, float] = {}

    def look(
        self,
        handlers: Iterable[HttpHandler],
        sessions: Collection[asyncio.Transport],
        now: float,
    ) -> int:
        """Look at every open socket at `now` (monotonic seconds); how many were cut.

        `sessions` are the transports of upgraded sockets, which have timers of their own.
        """
        seen: dict[HttpHandler, float] = {}
        cut = 0
        for handler in handlers:
            transport = handler.transport
            if transport is None or transport in sessions:
                continue
            since = self._first_seen.get(handler, now)
            if now - since >= self._wait_seconds:
                transport.abort()
                cut += 1
            else:
                seen[handler] = since
        self._first_seen = seen
        return cut
