"""Brings older history in beside everything else, and puts it in its place when it is whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, final

from roomlog.client.engine import Engine
from roomlog.client.history_build import HistoryBuild, SnapshotLie
from roomlog.client.status import CatchUpProgress, HistoryState
from roomlog.core.reject import Reject
from roomlog.protocol.client_events import QuestionRefused
from roomlog.protocol.client_session import ClientSession

_LOGGER: Final = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""After a page was refused without a hint, or history had a hole."""


@final
class HistoryStream:
    """The older history of one document, as long as a snapshot stands in its place.

    `gate` is closed while a transaction is open: the replica is not replaced then. `after_change`
    is called when there is something to store or to send, or the history is complete.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        is_wanted: bool,
        verify: bool,
        gate: asyncio.Event,
        clock_ms: Callable[[], int],
        after_change: Callable[[], None],
    ) -> None:
        self.problem: Exception | None = None
        """What was wrong with the history, or with the snapshot it took the place of."""
        self._engine = engine
        self._is_wanted = is_wanted
        self._verify = verify
        self._gate = gate
        self._clock_ms = clock_ms
        self._after_change = after_change
        self._session: ClientSession | None = None
        self._is_asked = False
        self._retry: asyncio.TimerHandle | None = None
        self._build: asyncio.Task[None] | None = None

    @property
    def state(self) -> HistoryState:
        """How much of the history is here."""
        if self._engine.older is None:
            return HistoryState.COMPLETE
        return HistoryState.LOADING if self._is_wanted else HistoryState.RECENT

    @property
    def progress(self) -> CatchUpProgress | None:
        """How much of it has come; None when all of it is in its place."""
        older = self._engine.older
        if older is None:
            return None
        return CatchUpProgress(done_nodes=older.held_nodes, of_nodes=older.until_seq)

    def want(self) -> None:
        """Somebody needs the whole history."""
        self._is_wanted = True
        self.carry_on()

    def live(self, session: ClientSession) -> None:
        """A session has caught up: it may be asked."""
        self._session = session
        self._is_asked = False
        self.carry_on()

    def disconnected(self) -> None:
        """The session is over."""
        self._session = None
        self._is_asked = False
        self._cancel_retry()

    def close(self) -> None:
        """The document is closed."""
        self.disconnected()
        if self._build is not None:
            self._build.cancel()

    def carry_on(self) -> None:
        """Ask for the next page, or make a replica of what there is."""
        older = self._engine.older
        if older is None or self._retry is not None or self._build is not None:
            return
        if self._engine.needs_history:
            self._is_wanted = True
        if not self._is_wanted:
            return
        if older.is_complete:
            self._build = asyncio.create_task(self._build_all())
            self._build.add_done_callback(self._built)
        elif self._session is not None and self._session.is_open and not self._is_asked:
            self._is_asked = True
            self._session.ask_history_before(older.lowest_seq)
            self._after_change()

    def page_ended(self) -> None:
        """The page that was asked for is whole."""
        self._is_asked = False
        self.carry_on()

    def refused(self, refused: QuestionRefused) -> None:
        """The server does not send a page."""
        self._is_asked = False
        hint_ms = refused.retry_after_ms
        self._retry_after(RETRY_S if hint_ms is None else hint_ms / 1000)

    def _retry_after(self, seconds: float) -> None:
        self._cancel_retry()
        self._retry = asyncio.get_running_loop().call_later(seconds, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.carry_on()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _build_all(self) -> None:
        """Make the whole replica in steps, and put it in the place of the one there is."""
        engine = self._engine
        verify = self._verify
        while engine.older is not None and engine.older.is_complete:
            build = HistoryBuild(engine, verify=verify)
            try:
                for _ in build.steps():
                    await asyncio.sleep(0)
                await self._gate.wait()
                if build.is_stale:
                    continue
                # Edits so far are part of the history that is taken over.
                engine.flush(self._clock_ms())
                replica = build.finish()
            except SnapshotLie as lie:
                # The history is verified, so it is right and takes the snapshot's place.
                _LOGGER.warning("room %s: %s", engine.replica.room_id, lie)
                self.problem = lie
                verify = False
                continue
            except Reject as reject:
                _LOGGER.warning("room %s: %s", engine.replica.room_id, reject)
                self.problem = reject
                engine.history_refused()
                self._retry_after(RETRY_S)
                return
            if replica is None or not engine.history_complete(replica, build.lone_heads):
                # Somebody else has to bring what the server lost.
                self._retry_after(RETRY_S)
            return

    def _built(self, task: asyncio.Task[None]) -> None:
        self._build = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _LOGGER.error("room %s: no whole history", self._engine.replica.room_id, exc_info=error)
            self.problem = error if isinstance(error, Exception) else None
        else:
            self.carry_on()
        self._after_change()
