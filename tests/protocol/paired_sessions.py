"""A server's and a client's session face to face, over a room and a log kept as plain lists.

No sockets and no clocks: frames go back and forth until nobody has anything to say. The room
answers by definition, not cleverly: histories are sets, packs are made anew for each reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from blake3 import blake3

from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.patterns import PatternSet, pattern_set
from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import Offer, own_offer
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.client_events import (
    BodiesFilled,
    ClientEvent,
    HistoryPage,
    Received,
    SnapshotReceived,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import (
    Admit,
    Close,
    DeliverSignal,
    OpenRoom,
    Read,
    ReadAfter,
    ReadBefore,
    ReadBodies,
    ReadHash,
    ReadMissing,
    ReadNodes,
    ReadSnapshot,
    Send,
    ServerEffect,
    ShowPresence,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.server_session import ServerSession

LINEAGE = b"l" * 32
ORIGIN = "ws://localhost"
SERVER = Identity.from_seed(b"s" * 32)
ADA = Identity.from_seed(b"a" * 32)
HASHER = NodeHasher(LINEAGE)


def change(key: str, *parents: Node, author: Identity = ADA, value: int = 0) -> Node:
    """A node that sets one key."""
    clock = max((parent.clock for parent in parents), default=0) + 1
    ids = [parent.id for parent in parents]
    return make_node(HASHER, author, CHANGE, clock, ids, [MapSet(key, value)])


def chain(count: int, *, start: Sequence[Node] = (), key: str = "k") -> list[Node]:
    """A line of nodes on `start`."""
    nodes: list[Node] = []
    for number in range(count):
        nodes.append(change(f"{key}/{number % 3}", *([nodes[-1]] if nodes else start)))
    return nodes


class PlainRoom:
    """A durable log as a list: the room of any number of server sessions."""

    lineage = LINEAGE

    def __init__(self, nodes: Iterable[Node] = (), epoch: bytes = b"e" * 16) -> None:
        self.epoch = epoch
        self.nodes: list[Node] = []
        self.places: dict[bytes, int] = {}
        self.sessions: list[Pair] = []
        self.snapshot_seq = 0
        for node in nodes:
            self.append(node)

    def append(self, node: Node) -> int:
        """The seq of a node that is not in the log yet."""
        assert all(parent in self.places for parent in node.parents)
        self.nodes.append(node)
        self.places[node.id] = len(self.nodes)
        return len(self.nodes)

    @property
    def head_seq(self) -> int:
        return len(self.nodes)

    def frontier_ids(self) -> list[bytes]:
        named = {parent for node in self.nodes for parent in node.parents}
        return sorted(node.id for node in self.nodes if node.id not in named)

    def id_at(self, seq: int) -> bytes:
        return self.nodes[seq - 1].id

    def seq_of(self, node_id: bytes) -> int:
        return self.places.get(node_id, 0)

    def knows(self, node_id: bytes) -> bool:
        return node_id in self.places

    def missing_of(self, known_epoch: bytes | None) -> messages.After | None:
        return None

    def checkpoint_signature(self) -> bytes | None:
        return sign_checkpoint(
            SERVER,
            lineage=self.lineage,
            epoch=self.epoch,
            seq=self.head_seq,
            frontier=self.frontier_ids(),
        )

    def peers(self) -> list[messages.Peer]:
        return []

    def history(self, ids: Iterable[bytes]) -> set[bytes]:
        """The known ones of `ids` and everything below them."""
        found: set[bytes] = set()
        waiting = [each for each in ids if each in self.places]
        while waiting:
            node_id = waiting.pop()
            if node_id not in found:
                found.add(node_id)
                waiting += self.nodes[self.places[node_id] - 1].parents
        return found


class HeldNodes:
    """What a client holds of a log, by seq."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.graph = Graph()
        for node in nodes:
            self.graph.add(node.id, node.author, node.clock, node.parents)

    def id_at(self, seq: int) -> bytes | None:
        return self.nodes[seq - 1].id if 1 <= seq <= len(self.nodes) else None


class Pair:
    """One session from both sides, and what the client has got out of it.

    `held` is the client's log of `epoch`, in order. `server_off` and `client_off` are capabilities
    that a side does not offer.
    """

    def __init__(
        self,
        room: PlainRoom,
        *,
        codec: Codec = Codec.MSGPACK,
        held: Sequence[Node] = (),
        epoch: bytes = b"e" * 16,
        server_off: Iterable[str] = (),
        client_off: Iterable[str] = (),
        limits: SessionLimits | None = None,
        identity: Identity | None = ADA,
        **client: Any,
    ) -> None:
        self.room = room
        self.limits = limits or SessionLimits()
        self.server = ServerSession(
            room_id="room",
            codec=codec,
            signer=SERVER,
            origins=(ORIGIN,),
            nonce=b"n" * 32,
            session_id="session",
            limits=self.limits,
            offer=without(own_offer(self.limits), server_off),
            software=messages.Software(),
        )
        self.client = ClientSession(
            room_id="room",
            origin=ORIGIN,
            nonce=b"m" * 32,
            signer=identity,
            codec=codec,
            offer=without(own_offer(), client_off),
            **past(held, epoch),
            **client,
        )
        self.nodes: dict[bytes, Node] = {node.id: node for node in held}
        """Everything the client has, by id."""
        self.events: list[ClientEvent] = []
        self.closed: Close | None = None
        self.up_frames: list[bytes] = []
        self.down_frames: list[bytes] = []
        self.reads: list[Read] = []
        self.opened: OpenRoom | None = None
        self.position = 0
        self.presence: list[object] = []
        self.signals: list[DeliverSignal] = []
        self.now_ms = 0
        room.sessions.append(self)
        self.perform(self.server.start(self.now_ms))

    @property
    def up_bytes(self) -> int:
        """How much the client has sent."""
        return sum(map(len, self.up_frames))

    @property
    def down_bytes(self) -> int:
        """How much the server has sent."""
        return sum(map(len, self.down_frames))

    def events_of(self, *kinds: type[Any]) -> list[Any]:
        """The events of these kinds, in order."""
        return [event for event in self.events if isinstance(event, kinds)]

    def run(self) -> Pair:
        """Let frames go back and forth until nobody has anything to say."""
        while frames := self.client.take_frames():
            for frame in frames:
                self.up_frames.append(frame)
                self.perform(self.server.receive(frame, self.now_ms))
        return self

    def perform(self, effects: list[ServerEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.down_frames.append(effect.frame)
                for event in self.client.receive(effect.frame):
                    self.take(event)
            elif isinstance(effect, Close):
                self.closed = effect
            elif isinstance(effect, OpenRoom):
                self.opened = effect
                self.position = self.room.head_seq
                self.perform(self.server.room_opened(self.room, self.now_ms))
            elif isinstance(effect, Admit):
                self.admit(effect)
            elif isinstance(effect, ShowPresence):
                self.presence.append(effect.data)
            elif isinstance(effect, DeliverSignal):
                self.signals.append(effect)
            else:
                self.reads.append(effect)
                self.answer(effect)

    def take(self, event: ClientEvent) -> None:
        """What the client's shell does: keep nodes, and forget what the cut does not promise."""
        self.events.append(event)
        if isinstance(event, Received | HistoryPage | BodiesFilled):
            for node in event.nodes:
                assert all(parent in self.nodes for parent in node.parents) or isinstance(
                    event, HistoryPage
                )
                known = self.nodes.get(node.id)
                if known is None or known.body is None:
                    self.nodes[node.id] = node
        elif isinstance(event, SnapshotReceived):
            for node in decode_pack(event.frontier_pack, HASHER):
                self.nodes[node.id] = node

    # what the server's shell does

    def admit(self, effect: Admit) -> None:
        """Take a pack, without any checks but duplicates and parents."""
        ack = messages.PackAck()
        fresh: list[Node] = []
        for index, node in enumerate(decode_pack(effect.pack, HASHER)):
            if node.id in self.room.places:
                ack.duplicates.append((index, self.room.places[node.id]))
            elif not all(parent in self.room.places for parent in node.parents):
                wire = RejectClass.PARENT_MISSING.wire
                ack.rejected.append(messages.RejectedNode(id=node.id, reject_class=wire))
            else:
                seq = self.room.append(node)
                ack.from_seq = ack.from_seq or seq
                ack.to_seq = seq
                fresh.append(node)
        self.perform(self.server.pack_settled(effect.ticket, ack))
        for session in self.room.sessions:
            if fresh and session is not self:
                session.relay()

    def relay(self) -> None:
        """Everything after the reading position, to a live reader."""
        if self.server.is_welcomed:
            live = ReadAfter(self.position, 1024, None)
            self.send_range(live, self.position + 1, self.room.head_seq)
            self.position = self.room.head_seq

    def answer(self, read: Read) -> None:
        """By definition: which seqs a request is about, as packs of contiguous ones."""
        room, missing = self.room, ()
        if isinstance(read, ReadAfter):
            self.send_range(read, read.seq + 1, room.head_seq)
            self.position = room.head_seq
        elif isinstance(read, ReadBefore):
            self.send_range(read, max(1, read.seq - read.page_nodes), read.seq - 1)
        elif isinstance(read, ReadMissing):
            held = room.history(read.frontier)
            seqs = [room.places[node.id] for node in room.nodes if node.id not in held]
            self.send_seqs(read, [seq for seq in seqs if seq <= self.position])
        elif isinstance(read, ReadNodes):
            self.send_seqs(read, sorted({room.places[i] for i in read.ids if room.knows(i)}))
            missing = tuple(each for each in read.ids if not room.knows(each))
        elif isinstance(read, ReadSnapshot):
            self.send_snapshot(read)
            self.send_range(read, room.snapshot_seq + 1, room.head_seq)
            self.position = room.head_seq
        elif isinstance(read, ReadBodies):
            self.perform(self.server.subscribed(read, self.position))
            wanted, had = pattern_set(read.patterns), pattern_set(read.before)
            seqs = [
                seq
                for seq, node in enumerate(room.nodes[: self.position], 1)
                if touches(node, wanted) and not touches(node, had)
            ]
            self.send_seqs(read, seqs, whole=True)
        else:
            digest = blake3(repr(read.patterns).encode()).hexdigest()
            heads = room.frontier_ids()
            self.perform(self.server.state_hash(read, heads, digest, {"held": 0}))
        self.perform(self.server.request_done(read, self.position, missing))

    def refuse_reads(self, reject: Reject, read: Read) -> None:
        """The store has failed."""
        self.perform(self.server.request_failed(read, reject))

    def send_snapshot(self, read: ReadSnapshot) -> None:
        """A state of no meaning in two chunks; the heads at its place are what counts here."""
        state = b"the state of a room"
        head = self.room.nodes[self.room.snapshot_seq - 1]
        first = messages.Snapshot(
            chunks=2,
            size_bytes=len(state),
            seq=self.room.snapshot_seq,
            frontier=encode_pack([head]),
            state_hash=bytes(32),
            digest=blake3(state).digest(),
            signature=bytes(64),
            data=state[:5],
        )
        for chunk in (first, messages.Snapshot(chunk=1, data=state[5:])):
            self.perform(self.server.snapshot_chunk(read, chunk))

    def send_seqs(self, read: Read, seqs: list[int], *, whole: bool = False) -> None:
        start = 0
        for index in range(1, len(seqs) + 1):
            if index == len(seqs) or seqs[index] != seqs[index - 1] + 1:
                self.send_range(read, seqs[start], seqs[index - 1], whole=whole)
                start = index

    def send_range(self, read: Read, first: int, last: int, *, whole: bool = False) -> None:
        assert not isinstance(read, ReadHash)
        wanted = None if whole else pattern_set(self.server.patterns)
        signed = getattr(read, "signatures", True)
        while first <= last:
            to_seq = min(last, first + read.page_nodes - 1)
            nodes = [shown(node, wanted) for node in self.room.nodes[first - 1 : to_seq]]
            data = encode_pack(nodes, signatures=signed)
            if isinstance(read, ReadAfter) and read.ref is None and not self.server.is_welcomed:
                return
            self.perform(self.server.page(read, data, first, to_seq))
            first = to_seq + 1


def past(held: Sequence[Node], epoch: bytes) -> dict[str, Any]:
    """What a client with this log brings to a session."""
    if not held:
        return {}
    named = {parent for node in held for parent in node.parents}
    return {
        "lineage": LINEAGE,
        "cursor": messages.Cursor(epoch=epoch, seq=len(held), id=held[-1].id),
        "frontier": [node.id for node in held if node.id not in named],
        "held": HeldNodes(held),
    }


def without(offer: Offer, off: Iterable[str]) -> Offer:
    return {name: value for name, value in offer.items() if name not in set(off)}


def touches(node: Node, patterns: PatternSet | None) -> bool:
    """Whether a node comes whole under these patterns."""
    if patterns is None or node.kind == MERGE:
        return True
    return any(patterns.matches(operation.key) for operation in node.operations())


def shown(node: Node, patterns: PatternSet | None) -> Node:
    """The node as a session with these patterns sees it."""
    if touches(node, patterns):
        return node
    return Node(
        node.id,
        node.author,
        node.clock,
        node.kind,
        node.parents,
        node.body_hash,
        None,
        node.signature,
    )
