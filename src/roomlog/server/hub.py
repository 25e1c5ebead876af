"""What all connections of one server share, and the way of outcomes from the store to them."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Iterator
from typing import Final, final

from roomlog import __version__
from roomlog.core.graph import Graph
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import OpenRoom
from roomlog.protocol.handshake import EPOCH_BYTES, NONCE_BYTES
from roomlog.protocol.messages import Software
from roomlog.protocol.server_session import ServerSession
from roomlog.server.config import ServerConfig
from roomlog.server.connection import Connection
from roomlog.server.door import Door
from roomlog.server.host import Host
from roomlog.server.logging import Log
from roomlog.server.metrics import Metrics
from roomlog.server.reconcile import Reconciler
from roomlog.server.registry import RoomRegistry
from roomlog.server.room import RETRY_AFTER_MS, Room
from roomlog.server.signature_turns import SignatureTurns
from roomlog.server.snapshots import SnapshotKeeper, SnapshotPolicy
from roomlog.server.state_hashes import StateHashes
from roomlog.server.store_reader import StoreReader
from roomlog.server.submission import Submitter
from roomlog.store.committer import Committer, Outcomes
from roomlog.store.errors import StoreError
from roomlog.store.interface import LINEAGE_BYTES, AppendStatus, NewRoom, NodeStore, StoredRoom
from roomlog.store.sqlite import SqliteStore

OWN_CLIENT_NAME: Final = "roomlog"
SESSION_ID_BYTES: Final = 9
INCIDENT_BYTES: Final = 6
TICK_SLICE: Final = 256
"""Sessions or rooms that are looked after before others get their turn."""
STORE_DOWN_SECONDS: Final = 10.0
"""How long a failed write makes the server unready."""


@final
class Hub:
    """The heart of a running server: one event loop's worth of rooms and connections."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        store: NodeStore,
        signer: Signer,
        metrics: Metrics,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        host: Host | None = None,
    ) -> None:
        host = host or Host()
        self.config = config
        self.store = store
        self.metrics = metrics
        self.log = log
        self.origins: tuple[str, ...] = ()
        """What clients dial; set once the port is known."""
        self.is_draining = False
        self.connections: dict[Connection, None] = {}
        """In the order in which they came."""
        self.host = host
        self.monotonic = host.monotonic
        self.wall_ms = host.wall_ms
        self._signer = signer
        self._loop = loop
        self._unflushed: list[Connection] = []
        self._is_flush_due = False
        self._outcomes: deque[Outcomes] = deque()
        self._is_delivery_due = False
        self._store_failed_at: float | None = None
        self._software = Software(name="roomlog", version=__version__)
        self._offer = {
            name: value
            for name, value in own_offer(config.limits).items()
            if name not in config.capabilities_off
        }
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self.door = Door(config, metrics, monotonic=self.monotonic, hint_ms=self.retry_after_ms)
        self.committer = Committer(
            store,
            self._on_outcomes,
            clock=host.stopwatch,
            soon=loop.call_soon,
            drive=host.drive_writer,
        )
        self._signature_turns: SignatureTurns[Submitter] = SignatureTurns(self.report)
        self.store_reader = StoreReader(store, metrics, self.monotonic, self.committer.try_again)
        self.reconciler = Reconciler(
            store,
            self.committer,
            window_ms=config.limits.reconcile_window_ms,
            metrics=metrics,
            log=log,
            wall_ms=self.wall_ms,
            new_epoch=lambda: host.random_bytes(EPOCH_BYTES),
            on_renewed=self._epoch_renewed,
        )
        self.registry = RoomRegistry(
            reader=self.store_reader,
            committer=self.committer,
            metrics=metrics,
            rooms_max=config.rooms_max,
            make_room=self._make_room,
            new_room=self._new_room,
            on_lost=self._room_lost,
            reconciler=self.reconciler,
            monotonic=self.monotonic,
            wall_ms=self.wall_ms,
        )
        self.worker = host.make_replayer(
            store,
            str(store.path) if isinstance(store, SqliteStore) else "",
            self.store_reader,
            self.monotonic,
        )
        self.snapshot_policy = SnapshotPolicy(
            every_nodes=config.snapshot_every_nodes,
            every_seconds=config.snapshot_every_ms / 1000,
            margin_nodes=config.snapshot_margin_nodes,
            worth_nodes=config.snapshot_worth_nodes,
        )
        self.snapshots = SnapshotKeeper(
            store,
            self.committer,
            self.worker,
            policy=self.snapshot_policy,
            signer=signer,
            metrics=metrics,
            log=log,
            resident=self.registry.rooms.get,
            monotonic=self.monotonic,
            wall_ms=self.wall_ms,
        )
        self.state_hashes = StateHashes(self.worker, server_key=signer.public_key, log=log)

    # time

    def monotonic_ms(self) -> int:
        """Milliseconds that only measure."""
        return int(self.monotonic() * 1000)

    def retry_after_ms(self) -> int:
        """When to come back, for one of many: spread, lest they all come at once."""
        config = self.config
        return config.drain_retry_after_ms + self.host.random_below(config.drain_spread_ms + 1)

    @property
    def is_store_down(self) -> bool:
        """Whether the last write failed, and lately: without writes nobody would find out."""
        failed_at = self._store_failed_at
        return failed_at is not None and self.monotonic() - failed_at < STORE_DOWN_SECONDS

    # connections

    def new_session(self, room_id: str, codec: Codec | None) -> ServerSession:
        """The session of a socket that was just upgraded."""
        return ServerSession(
            room_id=room_id,
            codec=codec,
            signer=self._signer,
            origins=self.origins,
            nonce=self.host.random_bytes(NONCE_BYTES),
            session_id=base64.urlsafe_b64encode(self.host.random_bytes(SESSION_ID_BYTES)).decode(),
            limits=self.config.limits,
            offer=self._offer,
            software=self._software,
        )

    def admit_connection(self, connection: Connection) -> None:
        """Take in a new socket: the challenge, or the refusal of one too many."""
        self.connections[connection] = None
        self._all_closed.clear()
        self.metrics.connections.set(len(self.connections))
        if self.is_draining:
            detail: dict[str, object] = {"retry_after_ms": self.retry_after_ms()}
            reject = Reject(RejectClass.DRAINING, "the server is about to stop", detail)
            connection.turn_away(reject)
            return
        refusal = self.door.refusal(connection.address)
        if refusal is not None:
            connection.turn_away(refusal)
        else:
            self.door.begin(connection)
            connection.start()

    def check_room_space(self, room: Room) -> None:
        """Raise `Reject` (room_full) when the room has all the sessions it may have."""
        if len(room.sessions) >= self.config.connections_per_room:
            detail: dict[str, object] = {"retry_after_ms": self.retry_after_ms()}
            raise Reject(RejectClass.ROOM_FULL, "the room has too many sessions", detail)

    def count_welcome(self, connection: Connection) -> None:
        """A session is open."""
        self.door.end(connection)
        hello = connection.session.hello
        assert hello is not None
        client = hello.client
        is_own = client is not None and client.name == OWN_CLIENT_NAME
        # The client writes what it likes here: only what we know becomes a label.
        name = OWN_CLIENT_NAME if is_own else "other"
        version = __version__ if client is not None and client.version == __version__ else "other"
        self.metrics.sessions_total.labels(name, version, str(hello.proto)).inc()
        self.metrics.catch_up_total.labels(connection.session.catch_up).inc()
        self.metrics.handshake_seconds.observe(self.monotonic() - connection.opened)

    def forget(self, connection: Connection) -> None:
        """A socket is gone: the one line that says how."""
        connection.closed()
        self.connections.pop(connection, None)
        self.door.end(connection)
        self.metrics.connections.set(len(self.connections))
        if not self.connections:
            self._all_closed.set()
        session = connection.session
        by, code, reason = connection.ending()
        self.metrics.closes_total.labels(str(code) if code in _KNOWN_CODES else "other").inc()
        self.log.info(
            "session ended",
            session=session.session_id,
            room=session.room_id,
            address=connection.address,
            codec=session.codec.subprotocol,
            is_writer=session.author is not None,
            by=by,
            code=code,
            reason=reason,
            seconds=round(self.monotonic() - connection.opened, 3),
        )

    def report(self, error: BaseException, **context: str) -> str:
        """Log a fault of our own with its traceback; the id under which to find it."""
        incident = self.host.random_bytes(INCIDENT_BYTES).hex()
        self.log.error("internal fault", incident=incident, exc_info=error, **context)
        return incident

    # from the store

    def _on_outcomes(self, outcomes: Outcomes) -> None:
        """In the writer's thread, once a batch."""
        self._outcomes.append(outcomes)
        if not self._is_delivery_due:
            self._is_delivery_due = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                # The loop has ended: nobody is left to be told.
                self._outcomes.clear()

    def _deliver(self) -> None:
        """Acknowledge and relay everything the store has answered since the last time."""
        self._is_delivery_due = False
        touched: dict[Room, None] = {}
        counters = self.committer.counters
        while self._outcomes:
            outcomes = self._outcomes.popleft()
            self.metrics.commit_seconds.observe(counters.last_commit_seconds)
            nodes = 0
            for append, outcome in outcomes:
                room = self.registry.rooms.get(append.room_id)
                assert room is not None, "a room with packs under way stays in memory"
                nodes += append.count
                if outcome.status is AppendStatus.COMMITTED:
                    self._store_failed_at = None
                else:
                    self._store_failed_at = self.monotonic()
                    self.metrics.store_errors_total.labels("commit").inc()
                    self.log.error(
                        "commit failed",
                        room=append.room_id,
                        status=outcome.status.value,
                        reason=outcome.reason,
                    )
                touched[room] = None
                try:
                    room.settle(append, outcome)
                except Exception as error:
                    room.forget(append)
                    self._room_failed(room, error)
            self.metrics.commit_batch_nodes.observe(nodes)
        self._flush()
        for room in touched:
            try:
                wait_s = room.publish()
                if wait_s:
                    self._loop.call_later(wait_s, self._publish_now, room)
            except Exception as error:
                self._room_failed(room, error)

    def _publish_now(self, room: Room) -> None:
        """What gathered for a relay has waited long enough."""
        try:
            room.publish_now()
        except Exception as error:
            self._room_failed(room, error)

    def flush_later(self, connection: Connection) -> None:
        """`connection` has answers in its outbox: write them with the others of this tick."""
        self._unflushed.append(connection)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        unflushed, self._unflushed = self._unflushed, []
        for connection in unflushed:
            connection.flush()

    # rooms

    def _make_room(self, stored: StoredRoom, graph: Graph) -> Room:
        return Room(
            stored,
            graph,
            committer=self.committer,
            signature_turns=self._signature_turns,
            signer=self._signer,
            limits=self.config.limits,
            snapshot_policy=self.snapshot_policy,
            metrics=self.metrics,
            reader_buffer_bytes=self.config.reader_buffer_bytes,
            wall_ms=self.wall_ms,
            monotonic=self.monotonic,
            on_ambiguous=self.registry.reload,
        )

    def _new_room(self, room_id: str) -> NewRoom:
        return NewRoom(
            room_id,
            self.host.random_bytes(LINEAGE_BYTES),
            self.host.random_bytes(EPOCH_BYTES),
            self.wall_ms(),
        )

    async def open_room(self, effect: OpenRoom) -> Room:
        """The room that a session asks for, after a look at the checkpoint it shows.

        Raises `Reject`.
        """
        while True:
            room = await self.registry.open(effect.room_id, effect.may_create)
            if effect.checkpoint is not None:
                room.last_used = self.monotonic()
                await self.reconciler.weigh(room, effect.checkpoint)
            if self.registry.rooms.get(room.room_id) is room and not room.is_ambiguous:
                return room

    def _epoch_renewed(self, room: Room) -> None:
        """Cursors of the old epoch are worth nothing: whoever has one comes again."""
        self.metrics.resyncs_total.labels("epoch_renewed").inc(len(room.sessions))
        for connection in list(self.connections):
            if connection.room is room:
                connection.end_epoch()

    def _room_lost(self, room: Room, error: StoreError) -> None:
        """The store cannot say what a room holds: its sessions come back later."""
        self.log.error("room not read again", room=room.room_id, reason=str(error))
        detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
        reject = Reject(RejectClass.STORE_UNAVAILABLE, "the room could not be read again", detail)
        for connection in list(self.connections):
            if connection.room is room:
                connection.turn_away(reject)

    def _room_failed(self, room: Room, error: Exception) -> None:
        """A fault of our own in a room: its sessions end, and what is durable is read anew."""
        room.distrust()
        for connection in list(self.connections):
            if connection.room is room:
                connection.fail(error)

    # time passes

    def tick(self) -> None:
        """Once every `tick_ms`: all of `tick_slices` in one go."""
        for _ in self.tick_slices():
            pass

    def tick_slices(self) -> Iterator[None]:
        """Look after every session and room, a few of them between yields."""
        now = self.monotonic()
        waiting_bytes = 0
        for number, connection in enumerate(list(self.connections), 1):
            try:
                connection.tick(now)
                waiting_bytes += connection.waiting_bytes
            except Exception as error:
                connection.fail(error)
            if number % TICK_SLICE == 0:
                yield
        self.metrics.send_queue_bytes.set(waiting_bytes)
        for number, room in enumerate(list(self.registry.rooms.values()), 1):
            try:
                room.tick()
            except Exception as error:
                self._room_failed(room, error)
            if number % TICK_SLICE == 0:
                yield
        self.registry.evict_idle(self.config.idle_eviction_ms / 1000)
        if not self.is_draining:
            self.snapshots.tick(self.registry.rooms.values())

    async def drain(self, deadline: float) -> None:
        """Send everybody away, with what they pushed acknowledged, until `deadline` (monotonic)."""
        self.is_draining = True
        left_ms = max(0, int((deadline - self.monotonic()) * 1000))
        for number, connection in enumerate(list(self.connections), 1):
            connection.drain(left_ms, self.retry_after_ms())
            if number % TICK_SLICE == 0:
                await asyncio.sleep(0)
        try:
            await asyncio.wait_for(self._all_closed.wait(), max(0.0, deadline - self.monotonic()))
        except TimeoutError:
            for connection in list(self.connections):
                connection.cut()

    async def close(self, deadline: float) -> bool:
        """Write what is queued and let go of the threads; whether that was done in time."""
        self._signature_turns.close()
        await self.snapshots.close()
        await self.state_hashes.close()
        await self.worker.close()
        closing = asyncio.get_running_loop().run_in_executor(None, self.committer.close)
        try:
            await asyncio.wait_for(asyncio.shield(closing), max(0.1, deadline - self.monotonic()))
        except TimeoutError:
            self.log.error("the store did not finish in time")
            return False
        finally:
            self.store_reader.close()
        return True


_KNOWN_CODES: Final = frozenset(
    {1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012, 1013}
    | {4001, 4003, 4004, 4005, 4008}
)
