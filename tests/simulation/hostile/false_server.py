"""A server with somebody else's name, made of the model server: the body that lies are put into."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from roomlog.core.hashing import hash_bytes
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec, MessageRefused, client_frames
from roomlog.protocol.messages import (
    Hello,
    Pack,
    Presence,
    PushPack,
    RejectedNode,
    Request,
    RequestEnd,
    Signal,
    StateHashReport,
    Subscribe,
    SubscribeAck,
    Welcome,
)
from roomlog.store.errors import StoreError
from tests.client.model_server import ModelServer, ModelSession
from tests.simulation.hostile.impostor import Frame
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World

PAGE_NODES = 4_096


def log_of(server: ServerMachine, room_id: str) -> tuple[bytes, bytes, list[Node]] | None:
    """Lineage, epoch and nodes of a room that a running server has; None when it has none."""
    if not server.is_running or not server.disk.is_on:
        return None
    room = server.hub.registry.rooms.get(room_id)
    if room is None or room.is_ambiguous:
        return None
    hasher = NodeHasher(room.lineage)
    nodes: list[Node] = []
    try:
        while page := server.store.read_log(room_id, len(nodes), PAGE_NODES):
            nodes += [node for row in page for node in decode_pack(row.pack, hasher)]
    except StoreError:
        return None
    return room.lineage, room.epoch, nodes


class FalseServer(ModelServer):
    """The room of `server` as it is now; what comes later is told to the clients of this one."""

    def __init__(
        self,
        world: World,
        server: ServerMachine,
        room_id: str,
        chance: random.Random,
        session: type[FalseSession],
        how: dict[str, Any],
    ) -> None:
        super().__init__(room_id=room_id, origin=server.origin, identity=server.identity)
        self.world = world
        self.chance = chance
        self.how = how
        self._session = session
        found = log_of(server, room_id)
        self.is_possible = found is not None
        if found is not None:
            self.lineage, self.epoch, nodes = found
            self.exists = True
            self.hold(nodes)

    def hold(self, nodes: list[Node]) -> None:
        """Make these the log."""
        self.log = list(nodes)
        self.seqs = {node.id: seq for seq, node in enumerate(self.log, 1)}

    def without_key(self) -> None:
        """From now on it has a key of its own."""
        self.identity = Identity.from_seed(self.chance.randbytes(32))

    def _refusal(
        self, session: ModelSession, node: Node, roots: dict[bytes, bytes]
    ) -> RejectedNode | None:
        if node.author != session.author:
            return RejectedNode(id=node.id, reject_class="author_not_session", kind="final")
        return super()._refusal(session, node, roots)

    def connect(self, codec: Codec = Codec.MSGPACK) -> FalseSession:
        self.nonces += 1
        nonce = hash_bytes(b"%d %d" % (self.nonces, self.chance.getrandbits(64)))
        session = self._session(self, codec, nonce)
        self.sessions.append(session)
        session.start()
        return session


class FalseSession(ModelSession):
    """Says what an honest server would, until a lie overrides it."""

    has_two_faces = False
    """Whether every other session meets another log."""
    server: FalseServer
    outgoing: list[Frame]  # type: ignore[assignment]

    def __init__(self, server: FalseServer, codec: Codec, nonce: bytes) -> None:
        super().__init__(server, codec, nonce)
        self.number = len(server.sessions)
        self._reading = client_frames(codec).read

    @classmethod
    def prepare(cls, server: FalseServer) -> None:
        """Make of a copy of the honest room what the lie needs."""

    @property
    def chance(self) -> random.Random:
        return self.server.chance

    def send_any(self, message: object) -> None:
        """Anything that the codec can write."""
        encoder = msgspec.json if self.codec.is_text else msgspec.msgpack
        self.outgoing.append(encoder.encode(message))

    def receive(self, frame: bytes) -> None:
        if self.close_code is not None:
            return
        try:
            message = self._reading(frame)
        except MessageRefused:
            return
        if isinstance(message, Hello):
            self._on_hello(message)
        elif isinstance(message, PushPack):
            self.on_pushed(message)
        elif isinstance(message, Request):
            self.on_request(message)
        elif isinstance(message, Subscribe):
            self.send(SubscribeAck(ref=message.ref, seq=self.position, patterns=message.patterns))
            # All bodies: which of them a client needs, it can only be told.
            if self.position:
                FalseSession._send_pack(self, 0, self.position, message.ref)
            self.send(RequestEnd(ref=message.ref, seq=self.position))
        elif not isinstance(message, Presence | Signal):
            super().receive(frame)

    def on_pushed(self, pack: PushPack) -> None:
        """A pack of the client."""
        self._on_pack(pack)

    def on_request(self, request: Request) -> None:
        """A question of the client."""
        server = self.server
        if request.after is not None and request.after.epoch != server.epoch:
            self.fail("epoch_unknown", 4001)
        elif request.have is not None:
            cuts = [
                seq
                for seq, prefix in request.have
                if seq <= server.head and server.log[seq - 1].id[:8] == prefix
            ]
            self.send(RequestEnd(ref=request.ref, seq=server.head, cut=max(cuts, default=0)))
        elif request.stop_at_unknown and (unknown := self._unknown(request.frontier or [])):
            self.send(RequestEnd(ref=request.ref, seq=server.head, unknown=unknown))
        elif request.before is not None:
            first = max(0, request.before.seq - 1 - (request.page or 1024))
            self._send_pack(first, request.before.seq - 1, request.ref)
            self.send(RequestEnd(ref=request.ref, seq=self.position))
        elif request.hash is not None:
            self.send(
                StateHashReport(
                    ref=request.ref, frontier=server.frontier(), hash="00" * 32, coverage={}
                )
            )
            self.send(RequestEnd(ref=request.ref, seq=self.position))
        elif request.snapshot:
            self.fail("checkpoint_not_found", 4001)
        else:
            self._on_request(request)

    def _unknown(self, ids: list[bytes]) -> list[int]:
        return [at for at, node_id in enumerate(ids) if node_id not in self.server.seqs]

    def _send_pack(self, after: int, to_seq: int, ref: str | None) -> None:
        nodes = self.server.log[after:to_seq]
        if nodes:
            self.send_nodes(nodes, after + 1, to_seq, ref)

    def send_nodes(self, nodes: list[Node], from_seq: int, to_seq: int, ref: str | None) -> None:
        """Some of the log."""
        lineage = self.server.lineage
        pack = encode_pack(nodes, signatures=all(node.signature is not None for node in nodes))
        self.send(Pack(ref=ref, lineage=lineage, nodes=pack, from_seq=from_seq, to_seq=to_seq))

    def send(self, message: Any) -> None:
        if isinstance(message, Welcome):
            message = self.welcome(message)
        super().send(message)

    def welcome(self, welcome: Welcome) -> Any:
        """What becomes of an honest welcome."""
        return welcome
