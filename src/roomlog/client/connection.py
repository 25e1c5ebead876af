"""Keeps one document and its server together: connects, feeds, pushes, comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, final

import aiohttp

from roomlog import __version__
from roomlog.client.address import Address
from roomlog.client.backoff import Backoff
from roomlog.client.company import Company
from roomlog.client.engine import Engine
from roomlog.client.history_stream import HistoryStream
from roomlog.client.host import Host, Socket
from roomlog.client.local_store import MOST_QUEUED_BYTES, LocalStore
from roomlog.client.log_places import ClientLog
from roomlog.client.options import DocumentOptions
from roomlog.client.refusals import LONGEST_RETRY_MS
from roomlog.client.session_ended import SessionEnded, ended_by_fault, ended_by_server
from roomlog.client.session_events import SessionEvents
from roomlog.client.standing import Standing
from roomlog.client.status import Phase
from roomlog.client.store_writes import ServerPinned, StoreWrite
from roomlog.client.websocket import WebSocketClosed, busy_hint_ms
from roomlog.protocol.client_events import (
    BodiesFilled,
    HistoryPage,
    Received,
    ServerFault,
    SignalRefused,
    SnapshotReceived,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.close_codes import CloseCode, Reaction
from roomlog.protocol.handshake import NONCE_BYTES
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.messages import Software

_LOGGER: Final = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 15.0

_LONG_EVENTS: Final = (Received, HistoryPage, BodiesFilled, SnapshotReceived)
"""After these others get their turn, and the disk its time."""


@final
class Connection:
    """One document's way to its server. `run` is the task that lives as long as the document.

    `on_progress` is called whenever something may have changed for those who wait.
    """

    def __init__(
        self,
        engine: Engine,
        store: LocalStore | None,
        address: Address,
        company: Company,
        *,
        options: DocumentOptions,
        pinned_key: bytes | None,
        backoff: Backoff,
        clock_ms: Callable[[], int],
        host: Host,
        on_progress: Callable[[], None],
    ) -> None:
        self.standing = Standing(pinned_key)
        self.session: ClientSession | None = None
        self.session_number = 0
        """Counts sessions: who waits for an answer sees that it will not come."""
        self.events: SessionEvents | None = None
        """Where the frames of this session go."""
        self.gate = asyncio.Event()
        """Closed while a transaction is open: frames wait in the socket."""
        self.gate.set()
        self.history = HistoryStream(
            engine,
            is_wanted=options.history == "full",
            verify=options.verify == "all",
            gate=self.gate,
            clock_ms=clock_ms,
            after_change=self._after_change,
        )
        self._engine = engine
        self._company = company
        self._store = store
        self._address = address
        self._options = options
        self._backoff = backoff
        self._clock_ms = clock_ms
        self._host = host
        self._on_progress = on_progress
        self._pings = 0
        self._frames_ready = asyncio.Event()
        self._store_drained = asyncio.Event()
        self._store_failed = asyncio.Event()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        if store is not None:
            store.deliver_with(self._deliver_from_store)

    # what others call

    def pump(self) -> None:
        """Carry on what the engine left behind: to the store, and to the session."""
        engine, store = self._engine, self._store
        writes = engine.take_writes()
        if writes:
            if store is None:
                engine.stored(writes)
            else:
                store.write(writes, self._durable(writes))
        withdrawn = engine.take_withdrawn()
        session = self.session
        if session is None:
            return
        if withdrawn:
            session.withdraw(withdrawn)
        if session.is_open and engine.has_unsent:
            now_ms = self._clock_ms()
            back = engine.take_unsent_back(now_ms)
            if back:
                session.push_back(back)
            nodes = engine.take_unsent(now_ms)
            if nodes:
                session.push(nodes)
            resume_ms = engine.resumes_at_ms
            if resume_ms is not None and self._pause_timer is None:
                wait_ms = min(max(0, resume_ms - now_ms), LONGEST_RETRY_MS)
                self._pause_timer = self._loop.call_later(wait_ms / 1000 + 0.001, self._resume)
        self._frames_ready.set()

    def _after_change(self) -> None:
        """Something happened that no frame brought."""
        self.pump()
        self._on_progress()

    @property
    def pongs(self) -> dict[int, int]:
        """Log heads by ping, of this session."""
        return {} if self.events is None else self.events.pings.pongs

    @property
    def refused_signals(self) -> dict[str, SignalRefused]:
        """By ref, those of this session that nobody has looked at."""
        return self._company.refused_signals

    def subscribe(self, patterns: tuple[str, ...]) -> None:
        """Tell the server, if there is one that can be told, which keys are wanted."""
        session = self.session
        if session is not None and session.is_open:
            if "header_only_nodes" in session.caps:
                session.subscribe(patterns)
            else:
                self._engine.take_what_is_here()
        self._after_change()

    def _resume(self) -> None:
        self._pause_timer = None
        self.pump()

    def ping(self) -> int:
        """Ask the open session for the head of the log; the key of the answer in `pongs`."""
        assert self.events is not None
        self._pings += 1
        self.events.pings.ask(self._pings)
        self._frames_ready.set()
        return self._pings

    def _durable(self, writes: list[StoreWrite]) -> Callable[[], None]:
        def on_durable() -> None:
            self._engine.stored(writes)

        return on_durable

    def _deliver_from_store(self, callbacks: list[Callable[[], None]]) -> None:
        """Called by the store's thread."""
        # The loop may be closed already when a document is abandoned.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._delivered, callbacks)

    def _delivered(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            callback()
        assert self._store is not None
        if self._store.failure is not None:
            self._store_failed.set()
        self._store_drained.set()
        self.pump()
        self._on_progress()

    # the task

    async def run(self) -> None:
        """Connect, and connect again, until that makes no sense any more."""
        try:
            await self._connect_for_ever()
        except Exception as error:
            # A fault of this SDK: the document goes on locally, and says so.
            _LOGGER.exception("the connection of room %s failed", self._engine.replica.room_id)
            self.standing.problem = error
            self._enter(Phase.STOPPED)

    async def _connect_for_ever(self) -> None:
        wait_s = 0.0
        while True:
            if wait_s > 0:
                self._enter(Phase.OFFLINE)
                await asyncio.sleep(wait_s)
            self._enter(Phase.CONNECTING)
            self.standing.hint_ms = None
            started_s = self._loop.time()
            try:
                await self._session()
            except SessionEnded as session_ended:
                ended = session_ended
                self.standing.problem = ended.problem
            except (OSError, TimeoutError, aiohttp.ClientError) as error:
                ended = SessionEnded(Reaction.BACK_OFF, None, busy_hint_ms(error))
                self.standing.problem = error
            finally:
                self._leave_session()
            if ended.reaction is Reaction.STOP:
                self._enter(Phase.STOPPED)
                return
            lasted_s = self._loop.time() - started_s
            self._backoff.lasted(lasted_s)
            wait_s = self._wait_s(ended, lasted_s)

    def _wait_s(self, ended: SessionEnded, lasted_s: float) -> float:
        if ended.is_at_once:
            return 0.0
        if ended.hint_ms is not None:
            return self._backoff.hinted_wait_s(ended.hint_ms / 1000)
        if ended.reaction is Reaction.RECONNECT and lasted_s >= 1.0:
            return 0.0
        return self._backoff.next_wait_s()

    def _enter(self, phase: Phase) -> None:
        self.standing.phase = phase
        self._on_progress()

    def _leave_session(self) -> None:
        self.session = None
        self.session_number += 1
        self.events = None
        self.history.disconnected()
        self._company.disconnected()
        self._engine.disconnected()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None

    def _new_session(self) -> ClientSession:
        engine = self._engine
        identity = engine.replica.identity
        return ClientSession(
            room_id=engine.replica.room_id,
            origin=self._address.origin,
            nonce=self._host.random_bytes(NONCE_BYTES),
            signer=identity,
            codec=self._options.codec,
            pinned_key=self.standing.server_key,
            lineage=engine.known_lineage,
            cursor=None if engine.is_draft else engine.cursor,
            frontier=engine.admitted_frontier(),
            held=ClientLog(engine.log.places, engine.replica.graph),
            checkpoint=None if engine.is_draft else engine.checkpoint,
            pending=engine.backlog,
            subscribe=engine.patterns_to_show,
            offer=self._options.offer,
            wants_snapshot=engine.wants_snapshot,
            wants_signatures=self._options.verify == "all",
            label=self._options.label if identity is not None else "",
            software=Software(name="roomlog-python", version=__version__),
        )

    async def _session(self) -> None:
        """One connection, from dialling to its end. Always raises how it ended."""
        await self.gate.wait()
        url = self._address.room_url(self._engine.replica.room_id)
        frame_limit = DEFAULT_LIMITS.frame_limit(self._options.codec.subprotocol)
        async with self._host.dial(url, self._options.codec, frame_limit) as socket:
            session = self._new_session()
            self.session = session
            events = SessionEvents(
                session,
                self._engine,
                self.standing,
                self._company,
                self.history,
                backoff=self._backoff,
                clock_ms=self._clock_ms,
                verify_all=self._options.verify == "all",
                pin=self._pin,
                after_send=self._frames_ready.set,
            )
            self.events = events
            tasks = (
                asyncio.ensure_future(self._read(socket, session, events)),
                asyncio.ensure_future(self._write(socket, session)),
                asyncio.ensure_future(self._watch_store()),
            )
            code = CloseCode.NORMAL.code
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                # When the socket breaks, what the reader saw says more than a failed write.
                if tasks[0] not in done and tasks[2] not in done:
                    await asyncio.wait(tasks[:1], timeout=1.0)
                for task in tasks:
                    if task.done():
                        task.result()
            except ServerFault as fault:
                code = fault.fault.code.code
                raise ended_by_fault(fault) from fault
            except asyncio.CancelledError:
                # The document closes: what was queued leaves first.
                with contextlib.suppress(OSError, TimeoutError, aiohttp.ClientError):
                    async with asyncio.timeout(1.0):
                        for frame in session.take_frames():
                            await socket.send(frame)
                raise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                with contextlib.suppress(OSError, aiohttp.ClientError):
                    await socket.close(code)

    async def _read(self, socket: Socket, session: ClientSession, handler: SessionEvents) -> None:
        deadline_s = self._loop.time() + HANDSHAKE_TIMEOUT_S
        while True:
            try:
                if session.is_open:
                    frame = await socket.receive()
                else:
                    async with asyncio.timeout_at(deadline_s):
                        frame = await socket.receive()
            except WebSocketClosed as closed:
                raise ended_by_server(closed, session.last_error, self.standing.hint_ms) from None
            await self.gate.wait()
            events = session.receive(frame)
            try:
                handler.handle(events)
            finally:
                self.pump()
                self._on_progress()
            if any(isinstance(event, _LONG_EVENTS) for event in events):
                await self._let_others_run()

    async def _let_others_run(self) -> None:
        """Merging a long history must starve neither the application nor the disk."""
        await asyncio.sleep(0)
        store = self._store
        while store is not None and store.queued_bytes > MOST_QUEUED_BYTES:
            self._store_drained.clear()
            if store.queued_bytes > MOST_QUEUED_BYTES:
                await self._store_drained.wait()

    async def _write(self, socket: Socket, session: ClientSession) -> None:
        while True:
            for frame in session.take_frames():
                await socket.send(frame)
            self._frames_ready.clear()
            await self._frames_ready.wait()

    async def _watch_store(self) -> None:
        """A document that cannot keep what it writes must not go on as if it could."""
        await self._store_failed.wait()
        assert self._store is not None
        raise SessionEnded(Reaction.STOP, self._store.failure)

    def _pin(self, server_key: bytes) -> None:
        """Remember who answers at this origin: nobody else may from now on."""
        store, origin = self._store, self._address.origin
        if store is not None and store.document.server_keys.get(origin) != server_key:
            store.document.server_keys[origin] = server_key
            store.write([ServerPinned(origin, server_key)])
