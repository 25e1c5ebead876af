"""Who may come in: sockets and handshakes are counted before anybody has proven anything.

A socket counts from the moment it is accepted, whether it ever says something or not. One too many
is told so with 1013 and a hint; for that a few more than the limit are let in, and beyond those a
socket is cut at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from roomlog.core.reject import Reject, RejectClass
from roomlog.server.address_budget import HandshakeBudget, address_group
from roomlog.server.config import ServerConfig
from roomlog.server.metrics import Metrics

TOLD_SOCKETS: Final = 64
"""How many sockets beyond a limit are let in to be told so."""
FRESH_SECONDS: Final = 2.0
"""A handshake that takes longer waits for its client and does not hold up others."""


@final
class Door:
    """The limits of one server on sockets and handshakes. `monotonic` tells seconds."""

    def __init__(
        self,
        config: ServerConfig,
        metrics: Metrics,
        *,
        monotonic: Callable[[], float],
        hint_ms: Callable[[], int],
    ) -> None:
        self.sockets = 0
        """Open sockets, silent ones included."""
        self._config = config
        self._metrics = metrics
        self._monotonic = monotonic
        self._hint_ms = hint_ms
        self._by_group: Counter[str] = Counter()
        self._group_of: dict[RequestHandler, str] = {}
        self._budget = HandshakeBudget(config.handshakes_per_address_per_second)
        self._greeting: dict[object, float] = {}

    def watch(self, server: web.Server) -> None:
        """Count every socket that `server` accepts and loses."""
        made, lost = server.connection_made, server.connection_lost

        def connection_made(handler: RequestHandler, transport: asyncio.Transport) -> None:
            made(handler, transport)
            if not self._came(handler, transport):
                transport.abort()

        def connection_lost(handler: RequestHandler, exc: BaseException | None = None) -> None:
            lost(handler, exc)
            self._went(handler)

        server.connection_made = connection_made  # type: ignore[method-assign]
        server.connection_lost = connection_lost  # type: ignore[method-assign]

    def _came(self, handler: RequestHandler, transport: asyncio.Transport) -> bool:
        peer = transport.get_extra_info("peername")
        group = address_group(peer[0]) if isinstance(peer, tuple) else ""
        self._group_of[handler] = group
        self._by_group[group] += 1
        self.sockets += 1
        config = self._config
        may_stay = (
            self.sockets <= config.connections_max + TOLD_SOCKETS
            and self._by_group[group] <= config.connections_per_address + TOLD_SOCKETS
        )
        if not may_stay:
            self._metrics.rate_limited_total.labels("sockets").inc()
        return may_stay

    def _went(self, handler: RequestHandler) -> None:
        group = self._group_of.pop(handler, None)
        if group is None:
            return
        self.sockets -= 1
        self._by_group[group] -= 1
        if not self._by_group[group]:
            del self._by_group[group]

    # handshakes

    def refusal(self, address: str) -> Reject | None:
        """Why a socket from `address` may not begin a handshake now, None when it may."""
        config = self._config
        now = self._monotonic()
        group = address_group(address)
        if self.sockets > config.connections_max:
            return self._full("the server has too many connections", "sockets")
        if self._by_group[group] > config.connections_per_address:
            return self._full("this address has too many connections", "sockets")
        wait_ms = self._budget.take(group, int(now * 1000))
        if wait_ms:
            return self._full("this address connects too often", "handshakes", wait_ms)
        self._forget_old(now)
        if len(self._greeting) >= config.handshakes_max:
            return self._full("too many handshakes at once", "handshakes")
        return None

    def begin(self, session: object) -> None:
        """`session` begins its handshake."""
        self._greeting[session] = self._monotonic()

    def end(self, session: object) -> None:
        """`session` is welcomed, or gone."""
        self._greeting.pop(session, None)

    def _forget_old(self, now: float) -> None:
        while self._greeting:
            oldest = next(iter(self._greeting))
            if now - self._greeting[oldest] < FRESH_SECONDS:
                return
            del self._greeting[oldest]

    def _full(self, reason: str, kind: str, wait_ms: int = 0) -> Reject:
        self._metrics.rate_limited_total.labels(kind).inc()
        detail: dict[str, object] = {"retry_after_ms": wait_ms + self._hint_ms()}
        return Reject(RejectClass.QUEUE_FULL, reason, detail)
