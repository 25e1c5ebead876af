"""A client made of the SDK's pure parts, joined to the model server by two queues of frames."""

from __future__ import annotations

from roomlog.client.engine import Engine
from roomlog.client.log_places import ClientLog
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import StoreWrite
from roomlog.core.hashing import hash_bytes
from roomlog.identity import Identity
from roomlog.protocol.client_events import (
    Acknowledged,
    CatchUpChanged,
    CheckpointReceived,
    ClientEvent,
    CutFound,
    Faulted,
    MissingAsked,
    Opened,
    Received,
    Refused,
    ServerFault,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec
from tests.client.model_server import ORIGIN, ModelServer, ModelSession


class SimulatedClient:
    """Nothing happens by itself: frames move when `deliver` is called."""

    def __init__(
        self,
        name: str,
        identity: Identity | None,
        server: ModelServer,
        codec: Codec = Codec.MSGPACK,
    ) -> None:
        self.name = name
        self.server = server
        self.codec = codec
        self.engine = Engine("demo", identity, hash_bytes(name.encode()), is_draft=True)
        self.session: ClientSession | None = None
        self.peer: ModelSession | None = None
        self.to_server: list[bytes] = []
        self.events: list[ClientEvent] = []
        self.faults: list[ServerFault] = []
        self.writes: list[StoreWrite] = []
        self.rejections: list[Rejection] = []
        # No two clients share a millisecond: the same edit by one key on the same frontier at the
        # same time is the same node.
        self.now_ms = 1_000_000 + sum(name.encode()) % 97
        self.sessions = 0
        self.opened: Opened | None = None

    def connect(self) -> None:
        if self.session is not None:
            return
        self.sessions += 1
        engine = self.engine
        self.peer = self.server.connect(self.codec)
        self.session = ClientSession(
            room_id="demo",
            origin=ORIGIN,
            nonce=hash_bytes(f"{self.name} {self.sessions}".encode()),
            signer=engine.replica.identity,
            codec=self.codec,
            lineage=engine.known_lineage,
            cursor=None if engine.is_draft else engine.cursor,
            frontier=engine.admitted_frontier(),
            held=ClientLog(engine.log.places, engine.replica.graph),
            checkpoint=engine.checkpoint,
            pending=engine.backlog,
        )

    def disconnect(self) -> None:
        """The wire breaks: frames under way are lost."""
        if self.peer is not None:
            self.server.sessions.remove(self.peer)
        self.session = None
        self.peer = None
        self.to_server.clear()
        self.engine.disconnected()
        self.pump()

    def flush(self) -> list[bytes]:
        self.now_ms += 97
        ids = self.engine.flush(self.now_ms)
        self.pump()
        return ids

    def pump(self) -> None:
        writes = self.engine.take_writes()
        self.writes += writes
        self.engine.stored(writes)
        self.rejections += self.engine.take_rejections()
        self.push()

    def push(self) -> None:
        """Give the session what may be pushed."""
        withdrawn = self.engine.take_withdrawn()
        session = self.session
        if session is None:
            return
        session.withdraw(withdrawn)
        if session.is_open and self.engine.has_unsent:
            back = self.engine.take_unsent_back(self.now_ms)
            if back:
                session.push_back(back)
            nodes = self.engine.take_unsent(self.now_ms)
            if nodes:
                session.push(nodes)
        self.to_server += session.take_frames()

    def deliver_to_server(self) -> bool:
        if not self.to_server or self.peer is None:
            return False
        self.peer.receive(self.to_server.pop(0))
        return True

    def deliver_to_client(self) -> bool:
        if self.peer is None or self.session is None or not self.peer.outgoing:
            return False
        self.handle(self.session.receive(self.peer.outgoing.pop(0)))
        return True

    def handle(self, events: list[ClientEvent]) -> None:
        session = self.session
        assert session is not None
        self.events += events
        try:
            for event in events:
                if isinstance(event, Received):
                    self.engine.received(event, session.cursor, self.now_ms, verify=True)
                elif isinstance(event, Acknowledged):
                    self.engine.acknowledged(event, session.cursor)
                elif isinstance(event, Refused):
                    self.engine.refused(event, self.now_ms)
                elif isinstance(event, Opened):
                    self.opened = event
                    self.engine.opened(event, self.now_ms)
                elif isinstance(event, CutFound):
                    assert self.opened is not None
                    self.engine.cut_found(self.opened.epoch, event.seq)
                elif isinstance(event, CatchUpChanged):
                    assert self.opened is not None
                    self.engine.catch_up_changed(self.opened.epoch, event.catch_up)
                elif isinstance(event, MissingAsked):
                    self.engine.missing_asked()
                elif isinstance(event, CheckpointReceived):
                    self.engine.checkpoint_received(event.checkpoint)
                elif isinstance(event, Faulted):
                    raise ServerFault(event.fault, event.reject)
            if session.is_live:
                self.engine.caught_up()
        except ServerFault as fault:
            self.faults.append(fault)
            self.disconnect()
            return
        self.pump()

    def events_of(self, kind: type) -> list[ClientEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def settle(*clients: SimulatedClient) -> None:
    """Deliver everything until nothing is under way; time passes so that pauses end."""
    for _ in range(10_000):
        moved = False
        for client in clients:
            moved |= client.deliver_to_server()
            moved |= client.deliver_to_client()
        if not moved:
            for client in clients:
                client.now_ms += 97_000
                client.pump()
            if not any(
                client.to_server or (client.peer is not None and client.peer.outgoing)
                for client in clients
            ):
                return
    raise AssertionError("frames went back and forth without end")
