"""The pings of one session: asked, answered, and put off when the server wants fewer messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, final

from roomlog.protocol.client_events import PingRefused, PongReceived
from roomlog.protocol.client_session import ClientSession

AGAIN_AFTER_MS: Final = 1_000
"""When to repeat a ping that was refused without a hint."""


@final
class Pings:
    """Once one was refused, the newest is sent again for all that wait, when the server said.

    Were each repeated by itself, all would come at once, and be refused at once. `after_send` is
    called when the session has something to send that nobody asked for just now.
    """

    def __init__(self, session: ClientSession, after_send: Callable[[], None]) -> None:
        self.pongs: dict[int, int] = {}
        """Log heads by ping."""
        self._session = session
        self._after_send = after_send
        self._newest = 0
        self._put_off: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, t: int) -> None:
        """Ask for the head of the log; `t` is greater than any before."""
        self._newest = t
        if self._put_off:
            self._put_off.add(t)
        else:
            self._session.ping(t)

    def answered(self, pong: PongReceived) -> None:
        """A head that was read later than a ping was sent answers that one as well."""
        answered = {t for t in self._put_off if t <= pong.t}
        self._put_off -= answered
        for t in (pong.t, *answered):
            self.pongs[t] = pong.seq
        if answered and self._put_off and self._timer is None:
            self._again()

    def refused(self, refused: PingRefused) -> None:
        """The server wants fewer messages, or to be asked later."""
        if not 0 < refused.t <= self._newest or refused.t in self.pongs:
            return
        self._put_off.add(refused.t)
        if self._timer is not None:
            self._timer.cancel()
        hint_ms = AGAIN_AFTER_MS if refused.retry_after_ms is None else refused.retry_after_ms
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(hint_ms / 1000, self._again)

    def _again(self) -> None:
        self._timer = None
        if self._put_off and self._session.is_open:
            self._session.ping(max(self._put_off))
            self._after_send()
