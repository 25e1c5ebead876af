"""Keeps one document and its server together: connects, feeds, pushes, comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Final, final

import aiohttp

from roomlog import __version__
from roomlog.client.address import Address
from roomlog.client.backoff import Backoff
from roomlog.client.engine import Engine
from roomlog.client.errors import (
    ConnectionStoppedError,
    LineageMismatchError,
    RoomlogError,
    ServerKeyChangedError,
    ServerUnprovenError,
)
from roomlog.client.local_store import MOST_QUEUED_BYTES, LocalStore
from roomlog.client.options import DocumentOptions
from roomlog.client.status import Phase
from roomlog.client.store_writes import ServerPinned, StoreWrite
from roomlog.client.websocket import WebSocket, WebSocketClosed
from roomlog.core.reject import RejectClass
from roomlog.protocol.client_events import (
    Acknowledged,
    CaughtUp,
    ClientEvent,
    Deprecated,
    Draining,
    Fault,
    Faulted,
    Moved,
    Opened,
    PongReceived,
    Received,
    Refused,
    ServerFault,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.close_codes import CloseCode, Reaction, reaction_to
from roomlog.protocol.handshake import NONCE_BYTES
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.messages import Software

_LOGGER: Final = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 15.0

_FAULT_ERRORS: Final[dict[Fault, type[ConnectionStoppedError]]] = {
    Fault.SERVER_KEY_CHANGED: ServerKeyChangedError,
    Fault.WELCOME_UNPROVEN: ServerUnprovenError,
    Fault.LINEAGE_MISMATCH: LineageMismatchError,
}


@final
class SessionEnded(Exception):
    """A session is over: what to do next, why, and how long the server asked to wait."""

    def __init__(
        self, reaction: Reaction, problem: RoomlogError | None, hint_ms: int | None = None
    ) -> None:
        super().__init__(str(problem))
        self.reaction = reaction
        self.problem = problem
        self.hint_ms = hint_ms


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
        *,
        options: DocumentOptions,
        pinned_key: bytes | None,
        backoff: Backoff,
        clock_ms: Callable[[], int],
        on_progress: Callable[[], None],
    ) -> None:
        self.phase = Phase.CONNECTING
        self.problem: Exception | None = None
        self.session: ClientSession | None = None
        self.session_number = 0
        """Counts sessions: who waits for an answer sees that it will not come."""
        self.pongs: dict[int, int] = {}
        """Log heads by ping, of this session."""
        self.server_key = pinned_key
        self.server = ""
        self.is_proven = False
        self.gate = asyncio.Event()
        """Closed while a transaction is open: frames wait in the socket."""
        self.gate.set()
        self._engine = engine
        self._store = store
        self._address = address
        self._options = options
        self._backoff = backoff
        self._clock_ms = clock_ms
        self._on_progress = on_progress
        self._frames_ready = asyncio.Event()
        self._store_drained = asyncio.Event()
        self._store_failed = asyncio.Event()
        self._hint_ms: int | None = None
        self._opened_seq = 0
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
        if session.is_open and engine.pending.has_unsent:
            nodes = engine.take_unsent(self._clock_ms())
            if nodes:
                session.push(nodes)
            elif self._pause_timer is None:
                wait_ms = max(0, engine.paused_until_ms - self._clock_ms())
                self._pause_timer = self._loop.call_later(wait_ms / 1000 + 0.001, self._resume)
        self._frames_ready.set()

    def _resume(self) -> None:
        self._pause_timer = None
        self.pump()

    def ping(self, number: int) -> None:
        """Ask the open session for the head of the log."""
        assert self.session is not None
        self.session.ping(number)
        self._frames_ready.set()

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
            self.problem = error
            self._enter(Phase.STOPPED)

    async def _connect_for_ever(self) -> None:
        wait_s = 0.0
        while True:
            if wait_s > 0:
                self._enter(Phase.OFFLINE)
                await asyncio.sleep(wait_s)
            self._enter(Phase.CONNECTING)
            self._hint_ms = None
            started_s = self._loop.time()
            try:
                await self._session()
            except SessionEnded as ended:
                reaction, hint_ms = ended.reaction, ended.hint_ms
                self.problem = ended.problem
            except (OSError, TimeoutError, aiohttp.ClientError) as error:
                reaction, hint_ms = Reaction.BACK_OFF, None
                self.problem = error
            finally:
                self._leave_session()
            if reaction is Reaction.STOP:
                self._enter(Phase.STOPPED)
                return
            lasted_s = self._loop.time() - started_s
            self._backoff.lasted(lasted_s)
            wait_s = self._wait_s(reaction, hint_ms, lasted_s)

    def _wait_s(self, reaction: Reaction, hint_ms: int | None, lasted_s: float) -> float:
        if hint_ms is not None:
            return self._backoff.hinted_wait_s(hint_ms / 1000)
        if reaction is Reaction.RECONNECT and lasted_s >= 1.0:
            return 0.0
        return self._backoff.next_wait_s()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._on_progress()

    def _leave_session(self) -> None:
        self.session = None
        self.session_number += 1
        self.pongs.clear()
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
            nonce=secrets.token_bytes(NONCE_BYTES),
            signer=identity,
            codec=self._options.codec,
            pinned_key=self.server_key,
            lineage=engine.known_lineage,
            cursor=None if engine.is_draft else engine.cursor,
            frontier=engine.admitted_frontier(),
            pending=engine.backlog,
            label=self._options.label if identity is not None else "",
            software=Software(name="roomlog-python", version=__version__),
        )

    async def _session(self) -> None:
        """One connection, from dialling to its end. Always raises how it ended."""
        await self.gate.wait()
        url = self._address.room_url(self._engine.replica.room_id)
        frame_limit = DEFAULT_LIMITS.frame_limit(self._options.codec.subprotocol)
        async with WebSocket(url, self._options.codec, frame_limit) as socket:
            session = self._new_session()
            self.session = session
            tasks = (
                asyncio.ensure_future(self._read(socket, session)),
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
                raise SessionEnded(fault.fault.reaction, _error_of(fault)) from fault
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

    async def _read(self, socket: WebSocket, session: ClientSession) -> None:
        deadline_s = self._loop.time() + HANDSHAKE_TIMEOUT_S
        while True:
            try:
                if session.is_open:
                    frame = await socket.receive()
                else:
                    async with asyncio.timeout_at(deadline_s):
                        frame = await socket.receive()
            except WebSocketClosed as closed:
                raise self._ended(session, closed) from None
            await self.gate.wait()
            events = session.receive(frame)
            for event in events:
                self._handle(session, event)
            self.pump()
            self._on_progress()
            if any(isinstance(event, Received) for event in events):
                await self._let_others_run()

    async def _let_others_run(self) -> None:
        """Merging a long history must starve neither the application nor the disk."""
        await asyncio.sleep(0)
        store = self._store
        while store is not None and store.queued_bytes > MOST_QUEUED_BYTES:
            self._store_drained.clear()
            if store.queued_bytes > MOST_QUEUED_BYTES:
                await self._store_drained.wait()

    async def _write(self, socket: WebSocket, session: ClientSession) -> None:
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

    def _handle(self, session: ClientSession, event: ClientEvent) -> None:
        engine = self._engine
        if isinstance(event, Received):
            verify = event.is_live or self._options.verify == "all"
            engine.received(event, session.cursor, self._clock_ms(), verify=verify)
        elif isinstance(event, Acknowledged):
            engine.acknowledged(event, session.cursor)
            # Nodes of before this session are no progress of it.
            if max(event.seqs.values(), default=0) > self._opened_seq:
                self._backoff.progressed()
        elif isinstance(event, Refused):
            engine.refused(event, self._clock_ms())
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, CaughtUp):
            self.phase = Phase.LIVE
        elif isinstance(event, PongReceived):
            self.pongs[event.t] = event.seq
        elif isinstance(event, Draining):
            self._hint_ms = event.retry_after_ms
        elif isinstance(event, Moved):
            _LOGGER.warning("the room moves to %s", event.url)
        elif isinstance(event, Deprecated):
            _LOGGER.warning("the server will drop %s %s", event.what, event.until)
        elif isinstance(event, Faulted):
            raise ServerFault(event.fault, event.reject)

    def _opened(self, opened: Opened) -> None:
        self._engine.opened(opened, self._clock_ms())
        self._opened_seq = opened.seq
        self.problem = None
        self.is_proven = opened.is_proven
        self.server = f"{opened.server_name} {opened.server_version}".strip()
        if opened.is_proven:
            self.server_key = opened.server_key
            self._pin(opened.server_key)
        self.phase = Phase.LIVE if opened.catch_up == "none" else Phase.CATCHING_UP

    def _pin(self, server_key: bytes) -> None:
        """Remember who answers at this origin: nobody else may from now on."""
        store, origin = self._store, self._address.origin
        if store is not None and store.document.server_keys.get(origin) != server_key:
            store.document.server_keys[origin] = server_key
            store.write([ServerPinned(origin, server_key)])

    def _ended(self, session: ClientSession, closed: WebSocketClosed) -> SessionEnded:
        """What to do about a socket that the server closed."""
        reaction = reaction_to(closed.code)
        if closed.code == CloseCode.NORMAL.code:
            reaction = Reaction.BACK_OFF
        hint_ms = self._hint_ms
        error = session.last_error
        message, reject_class = str(closed), ""
        if error is not None:
            message, reject_class = f"{error.message} ({closed})", error.reject_class
            if hint_ms is None:
                hint_ms = error.retry_after_ms
        kind: type[ConnectionStoppedError] = ConnectionStoppedError
        if reject_class == RejectClass.LINEAGE_MISMATCH.wire:
            kind = LineageMismatchError
        return SessionEnded(reaction, kind(message, reject_class), hint_ms)


def _error_of(fault: ServerFault) -> ConnectionStoppedError:
    kind = _FAULT_ERRORS.get(fault.fault, ConnectionStoppedError)
    return kind(fault.reject.message, fault.reject.reject_class.wire)
