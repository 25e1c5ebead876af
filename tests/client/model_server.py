"""A server as small as the protocol allows, in memory, that can be told to refuse.

It shares no code with the real one beyond messages and packs, so each is a check on the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from roomlog.core.hashing import hash_bytes
from roomlog.core.node import Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject
from roomlog.identity import Identity
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec, client_frames, encode
from roomlog.protocol.handshake import (
    check_hello_proof,
    sign_welcome,
    transcript,
    welcome_payload,
)
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.messages import (
    Challenge,
    Credit,
    CreditTotals,
    Error,
    Hello,
    Message,
    Pack,
    PackAck,
    Ping,
    Pong,
    PushPack,
    RejectedNode,
    Request,
    RequestEnd,
    Software,
    Welcome,
)

Refuse = Callable[[Node], RejectedNode | None]
ORIGIN = "ws://127.0.0.1:7878"


def refuse_nothing(node: Node) -> RejectedNode | None:
    return None


@dataclass
class ModelServer:
    """One room of one server."""

    room_id: str = "demo"
    origin: str = ORIGIN
    identity: Identity = field(default_factory=lambda: Identity.from_seed(b"s" * 32))
    lineage: bytes = b"L" * 32
    epoch: bytes = b"E" * 16
    exists: bool = False
    refuse: Refuse = refuse_nothing
    credit_nodes: int = 4096
    credit_bytes: int = 8 * 1024 * 1024
    page_nodes: int = 4096
    log: list[Node] = field(default_factory=list)
    seqs: dict[bytes, int] = field(default_factory=dict)
    sessions: list[ModelSession] = field(default_factory=list)
    nonces: int = 0

    def connect(self, codec: Codec = Codec.MSGPACK) -> ModelSession:
        self.nonces += 1
        session = ModelSession(self, codec, hash_bytes(b"nonce %d" % self.nonces))
        self.sessions.append(session)
        session.start()
        return session

    @property
    def head(self) -> int:
        return len(self.log)

    def frontier(self) -> list[bytes]:
        parents = {parent for node in self.log for parent in node.parents}
        return sorted(node.id for node in self.log if node.id not in parents)

    def history_of(self, ids: list[bytes]) -> set[bytes]:
        known: set[bytes] = set()
        waiting = [node_id for node_id in ids if node_id in self.seqs]
        while waiting:
            node_id = waiting.pop()
            if node_id not in known:
                known.add(node_id)
                waiting.extend(self.log[self.seqs[node_id] - 1].parents)
        return known

    def admit(self, session: ModelSession, nodes: list[Node]) -> PackAck:
        """Take what may be taken, relay it to the others, and say what became of each."""
        rejected: list[RejectedNode] = []
        duplicates: list[tuple[int, int]] = []
        admitted: list[Node] = []
        roots: dict[bytes, bytes] = {}
        for index, node in enumerate(nodes):
            if node.id in self.seqs:
                duplicates.append((index, self.seqs[node.id]))
                continue
            refusal = self._refusal(session, node, roots)
            if refusal is not None:
                rejected.append(refusal)
                roots[node.id] = refusal.root or node.id
                continue
            self.log.append(node)
            self.seqs[node.id] = len(self.log)
            admitted.append(node)
        ack = PackAck(duplicates=duplicates, rejected=rejected)
        if admitted:
            ack.to_seq = len(self.log)
            ack.from_seq = ack.to_seq - len(admitted) + 1
        return ack

    def _refusal(
        self, session: ModelSession, node: Node, roots: dict[bytes, bytes]
    ) -> RejectedNode | None:
        for parent in node.parents:
            if parent in roots:
                return RejectedNode(id=node.id, reject_class="ancestor_refused", root=roots[parent])
        try:
            check_node(node)
            check_signature(node)
        except Reject as reject:
            return RejectedNode(id=node.id, reject_class=reject.reject_class.wire)
        if any(parent not in self.seqs for parent in node.parents):
            return RejectedNode(id=node.id, reject_class="parent_missing")
        assert node.author == session.author
        return self.refuse(node)

    def relay(self) -> None:
        """Give every open session what it does not have yet, as one pack each."""
        for session in self.sessions:
            session.relay()


class ModelSession:
    """One session; `outgoing` are the frames that the client has not been given yet."""

    def __init__(self, server: ModelServer, codec: Codec, nonce: bytes) -> None:
        self.server = server
        self.codec = codec
        self.nonce = nonce
        self.outgoing: list[bytes] = []
        self.close_code: int | None = None
        self.is_open = False
        self.author = b""
        self.position = 0
        self.received_nodes = 0
        self.received_bytes = 0
        self.granted = CreditTotals(nodes=0, bytes=0)
        self.hellos: list[Hello] = []
        self.packs: list[list[bytes]] = []
        self._read = client_frames(codec).read
        self.socket: web.WebSocketResponse | None = None

    def send(self, message: Message) -> None:
        self.outgoing.append(encode(self.codec, message))

    def start(self) -> None:
        self.send(
            Challenge(
                nonce=self.nonce,
                server_pubkey=self.server.identity.public_key,
                protos=[1],
                server=Software(name="model", version="1"),
            )
        )

    def fail(self, reject_class: str, code: int) -> None:
        self.send(Error(reject_class=reject_class, message=reject_class, kind="final"))
        self.close_code = code

    def receive(self, frame: bytes) -> None:
        message = self._read(frame)
        if isinstance(message, Hello):
            self._on_hello(message)
        elif isinstance(message, PushPack):
            self._on_pack(message)
        elif isinstance(message, Request):
            self._on_request(message)
        elif isinstance(message, Ping):
            self.send(Pong(ref=message.ref, t=message.t, seq=self.server.head))

    def _on_hello(self, hello: Hello) -> None:
        server = self.server
        self.hellos.append(hello)
        handshake = transcript(
            server_nonce=self.nonce,
            client_nonce=hello.nonce,
            origin=server.origin,
            room_id=server.room_id,
            subprotocol=self.codec.subprotocol,
            server_key=server.identity.public_key,
            client_key=hello.pubkey or b"",
            label=hello.label,
            token=hello.token or "",
        )
        if hello.pubkey is not None:
            if hello.proof is None or not check_hello_proof(hello.pubkey, handshake, hello.proof):
                self.fail("proof_invalid", 4003)
                return
            self.author = hello.pubkey
        if not server.exists:
            if hello.pubkey is None or hello.lineage is not None or hello.cursor is not None:
                self.fail("room_not_found", 4003)
                return
            server.exists = True
        if hello.lineage is not None and hello.lineage != server.lineage:
            self.fail("lineage_mismatch", 4003)
            return
        self.is_open = True
        self.position = server.head
        self.granted = CreditTotals(nodes=server.credit_nodes, bytes=server.credit_bytes)
        frontier = server.frontier()
        payload = welcome_payload(
            handshake,
            lineage=server.lineage,
            epoch=server.epoch,
            seq=server.head,
            frontier=frontier,
        )
        self.send(
            Welcome(
                proto=1,
                room=server.room_id,
                lineage=server.lineage,
                epoch=server.epoch,
                seq=server.head,
                frontier=frontier,
                caps=own_offer(DEFAULT_LIMITS),
                limits={},
                credit=self.granted,
                session="model",
                catch_up=self._catch_up(hello),
                signature=sign_welcome(server.identity, payload),
            )
        )

    def _catch_up(self, hello: Hello) -> str:
        cursor, server = hello.cursor, self.server
        if (
            cursor is not None
            and cursor.epoch == server.epoch
            and server.seqs.get(cursor.id) == cursor.seq
        ):
            return "none" if cursor.seq == server.head else "cursor"
        return "walk" if hello.frontier else "cursor"

    def _on_pack(self, pack: PushPack) -> None:
        assert pack.lineage == self.server.lineage
        nodes = decode_pack(pack.nodes, NodeHasher(pack.lineage))
        self.packs.append([node.id for node in nodes])
        self.received_nodes += len(nodes)
        self.received_bytes += len(pack.nodes)
        assert self.received_nodes <= self.granted.nodes, "more nodes than the credit"
        assert self.received_bytes <= self.granted.bytes, "more bytes than the credit"
        ack = self.server.admit(self, nodes)
        ack.ref = pack.ref
        self.granted = CreditTotals(
            nodes=self.received_nodes + self.server.credit_nodes,
            bytes=self.received_bytes + self.server.credit_bytes,
        )
        ack.credit = self.granted
        if ack.from_seq == self.position + 1:
            # All that is new is its own: the ack says so, nothing is relayed.
            self.position = ack.to_seq
        self.server.relay()
        self.send(ack)

    def grant(self, nodes: int) -> None:
        """More credit without an ack."""
        self.granted = CreditTotals(nodes=self.granted.nodes + nodes, bytes=self.granted.bytes)
        self.send(Credit(nodes=self.granted.nodes, bytes=self.granted.bytes))

    def relay(self) -> None:
        if self.is_open and self.position < self.server.head:
            self._send_pack(self.position, self.server.head, None)
            self.position = self.server.head

    def _send_pack(self, after: int, to_seq: int, ref: str | None) -> None:
        self.send(
            Pack(
                ref=ref,
                lineage=self.server.lineage,
                nodes=encode_pack(self.server.log[after:to_seq]),
                from_seq=after + 1,
                to_seq=to_seq,
            )
        )

    def _on_request(self, request: Request) -> None:
        server = self.server
        page = min(request.page or server.page_nodes, server.page_nodes)
        if request.after is not None:
            assert request.after.epoch == server.epoch
            for after in range(request.after.seq, server.head, page):
                self._send_pack(after, min(after + page, server.head), request.ref)
            self.position = server.head
            self.send(RequestEnd(ref=request.ref, seq=server.head))
        elif request.frontier is not None:
            known = server.history_of(request.frontier)
            for seq in range(1, self.position + 1):
                if server.log[seq - 1].id not in known:
                    self._send_pack(seq - 1, seq, request.ref)
            self.send(RequestEnd(ref=request.ref, seq=self.position))
