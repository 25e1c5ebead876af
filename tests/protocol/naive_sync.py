"""A room, its clients and the sockets between them as plain lists, around the two real sessions.

What a shell does is done here in the most obvious way: everything is looked up anew each time.
"""

from __future__ import annotations

from collections.abc import Iterable

from roomlog.core.graph import Graph
from roomlog.core.hashing import hash_bytes
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import TextInsert
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.patterns import parse_patterns
from roomlog.core.reject import RejectClass
from roomlog.core.snapshot.facts import SnapshotFacts, encode_frontier, sign_snapshot
from roomlog.identity import Identity
from roomlog.protocol import effects, messages
from roomlog.protocol.capabilities import Offer, own_offer
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.client_events import (
    Acknowledged,
    BodiesFilled,
    CatchUpChanged,
    CaughtUp,
    CheckpointReceived,
    ClientEvent,
    CutFound,
    Faulted,
    HistoryEnd,
    HistoryPage,
    MissingAsked,
    Opened,
    Received,
    Refused,
    SnapshotReceived,
    SubscriptionChanged,
    WalkFound,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits
from roomlog.protocol.messages import After, Cursor, Peer, Pending, SignedCheckpoint
from roomlog.protocol.server_session import ServerSession

SERVER = Identity.from_seed(b"s" * 32)
ORIGIN = "ws://127.0.0.1:7878"
LINEAGE = b"L" * 32
HASHER = NodeHasher(LINEAGE)
CHUNK_BYTES = 10


def make(identity: Identity, parents: Iterable[bytes], clock: int, key: str = "a/text") -> Node:
    """A node of one insertion."""
    return make_node(HASHER, identity, CHANGE, clock, parents, [TextInsert(key, 0, "x")])


def heads_of(nodes: Iterable[Node]) -> list[bytes]:
    """Ids of the nodes that are nobody's parents, ascending."""
    kept = list(nodes)
    below = {parent for node in kept for parent in node.parents}
    return sorted(node.id for node in kept if node.id not in below)


class NaiveRoom:
    """The server: a log, who is connected, and what was lost."""

    def __init__(self, offer: Offer | None = None, limits: SessionLimits = DEFAULT_LIMITS) -> None:
        self.offer = own_offer() if offer is None else offer
        self.limits = limits
        self.now_ms = 0
        self.lineage = LINEAGE
        self.epoch = b"E" * 16
        self.log: list[Node] = []
        self.snapshot_seq = 0
        self.missing: After | None = None
        self.links: list[Link] = []

    # what a session asks of its room

    @property
    def head_seq(self) -> int:
        return len(self.log)

    def frontier_ids(self) -> list[bytes]:
        return heads_of(self.log)

    def id_at(self, seq: int) -> bytes:
        return self.log[seq - 1].id

    def seq_of(self, node_id: bytes) -> int:
        return next((seq for seq, node in enumerate(self.log, 1) if node.id == node_id), 0)

    def knows(self, node_id: bytes) -> bool:
        return any(node.id == node_id for node in self.log)

    def missing_of(self, known_epoch: bytes | None) -> After | None:
        return self.missing

    def checkpoint_signature(self) -> bytes | None:
        return sign_checkpoint(
            SERVER,
            lineage=LINEAGE,
            epoch=self.epoch,
            seq=self.head_seq,
            frontier=self.frontier_ids(),
        )

    def peers(self) -> list[Peer]:
        keys = {link.server.author for link in self.links if link.is_up and link.server.author}
        return [Peer(pubkey=key) for key in sorted(keys)]

    # what happens to it

    def renew(self, keep: int, evidence: SignedCheckpoint | None) -> None:
        """Restored: only the first `keep` nodes are left, under a new epoch."""
        for link in self.links:
            link.is_up = False
        old_epoch = self.epoch
        del self.log[keep:]
        self.epoch = hash_bytes(old_epoch)[:16]
        if evidence is not None:
            self.missing = After(epoch=old_epoch, seq=keep)

    def admit(self, link: Link, pack: bytes) -> messages.PackAck:
        """Take what may be taken, and say what became of each."""
        ack = messages.PackAck()
        for index, node in enumerate(decode_pack(pack, HASHER)):
            known = [seq for seq, each in enumerate(self.log, 1) if each.id == node.id]
            if known:
                ack.duplicates.append((index, known[0]))
                continue
            reject = None
            if not all(map(self.knows, node.parents)):
                reject = RejectClass.PARENT_MISSING
            elif node.author != link.server.author and self.missing is None:
                reject = RejectClass.AUTHOR_NOT_SESSION
            if reject is not None:
                ack.rejected.append(messages.RejectedNode(id=node.id, reject_class=reject.wire))
                continue
            self.log.append(node)
            ack.to_seq = len(self.log)
            ack.from_seq = ack.from_seq or ack.to_seq
        return ack

    def relay(self) -> None:
        """Everybody who is fed gets what is new."""
        for link in self.links:
            if link.is_up and link.server.is_welcomed and link.position < self.head_seq:
                first = link.position + 1
                link.send_pack(first, self.head_seq, None)
                link.position = self.head_seq


class Link:
    """One socket: both sessions, and the frames between them."""

    def __init__(self, room: NaiveRoom, client: ClientSession, codec: Codec, number: int) -> None:
        self.room = room
        self.client = client
        self.codec = codec
        self.is_up = True
        self.position = 0
        self.shown: list[effects.ShowPresence | effects.DeliverSignal] = []
        self.sizes: list[int] = []
        """Length of every frame, both ways."""
        self.requests: list[messages.Request] = []
        self.to_client: list[bytes] = []
        self.server = ServerSession(
            room_id="demo",
            codec=codec,
            signer=SERVER,
            origins=(ORIGIN,),
            nonce=hash_bytes(b"nonce %d" % number),
            session_id=f"s{number}",
            limits=room.limits,
            offer=room.offer,
            software=messages.Software(name="naive", version="1"),
        )
        room.links.append(self)
        self.perform(self.server.start(room.now_ms))

    def exchange(self) -> list[ClientEvent]:
        """Let both sides say what they have to say; what the client heard."""
        events: list[ClientEvent] = []
        outgoing = self.client.take_frames() if self.is_up else []
        for frame in outgoing:
            self.sizes.append(len(frame))
            self.perform(self.server.receive(frame, self.room.now_ms))
        incoming, self.to_client = self.to_client, []
        for frame in incoming if self.is_up else []:
            self.sizes.append(len(frame))
            events += self.client.receive(frame)
        return events

    def perform(self, asked: Iterable[effects.ServerEffect]) -> None:
        room, server = self.room, self.server
        for effect in asked:
            if isinstance(effect, effects.Send):
                self.to_client.append(effect.frame)
            elif isinstance(effect, effects.Close):
                raise AssertionError(f"the server closed: {effect}")
            elif isinstance(effect, effects.OpenRoom):
                self.perform(server.room_opened(room, room.now_ms))
                self.position = room.head_seq
            elif isinstance(effect, effects.Admit):
                ack = room.admit(self, effect.pack)
                if ack.from_seq == self.position + 1:
                    self.position = ack.to_seq
                self.perform(server.pack_settled(effect.ticket, ack))
                room.relay()
            elif isinstance(effect, effects.ShowPresence | effects.DeliverSignal):
                self.shown.append(effect)
            else:
                self._answer(effect)

    def _answer(self, read: effects.Read) -> None:
        room, server = self.room, self.server
        if isinstance(read, effects.ReadHash):
            self.perform(server.state_hash(read, room.frontier_ids(), "0" * 64, {}))
        elif isinstance(read, effects.ReadBodies):
            self.perform(server.subscribed(read, self.position))
            for seq in range(1, self.position + 1):
                node = room.log[seq - 1]
                if _wants(read.patterns, node) and not _wants(read.before, node):
                    self.perform(server.page(read, encode_pack([node]), seq, seq))
        elif isinstance(read, effects.ReadNodes):
            raise AssertionError("nobody asks for ids")
        else:
            for first, last in self._ranges(read):
                self.send_pack(first, last, read)
        self.perform(server.request_done(read, self.position))

    def _ranges(self, read: effects.Read) -> Iterable[tuple[int, int]]:
        room = self.room
        if isinstance(read, effects.ReadAfter):
            self.position = room.head_seq
            return _pages(read.seq + 1, room.head_seq, read.page_nodes)
        if isinstance(read, effects.ReadBefore):
            return [(max(1, read.seq - read.page_nodes), read.seq - 1)] if read.seq > 1 else []
        if isinstance(read, effects.ReadSnapshot):
            self._send_snapshot(read)
            self.position = room.head_seq
            return _pages(room.snapshot_seq + 1, room.head_seq, read.page_nodes)
        assert isinstance(read, effects.ReadMissing)
        known = history_of({node.id: node for node in room.log}, read.frontier)
        wanted = [seq for seq, node in enumerate(room.log, 1) if node.id not in known]
        return [(seq, seq) for seq in wanted if seq <= self.position]

    def _send_snapshot(self, read: effects.ReadSnapshot) -> None:
        nodes = self.room.log[: self.room.snapshot_seq]
        heads = [node for node in nodes if node.id in heads_of(nodes)]
        state = b"".join(node.id for node in nodes)
        facts = SnapshotFacts(
            LINEAGE, len(nodes), heads_of(nodes), hash_bytes(b"state"), hash_bytes(state)
        )
        pieces = [state[at : at + CHUNK_BYTES] for at in range(0, len(state), CHUNK_BYTES)]
        for index, piece in enumerate(pieces):
            chunk = messages.Snapshot(chunk=index, data=piece)
            if index == 0:
                chunk.chunks = len(pieces)
                chunk.size_bytes = len(state)
                chunk.seq = len(nodes)
                chunk.frontier = encode_frontier(heads)
                chunk.state_hash = facts.state_hash
                chunk.digest = facts.digest
                chunk.signature = sign_snapshot(SERVER, facts)
            self.perform(self.server.snapshot_chunk(read, chunk))

    def send_pack(self, first: int, last: int, read: effects.Read | None) -> None:
        nodes = self.room.log[first - 1 : last]
        patterns = self.server.patterns
        if patterns:
            nodes = [node if _wants(patterns, node) else _without_body(node) for node in nodes]
        is_signed = read is None or getattr(read, "signatures", True)
        pack = encode_pack(nodes, signatures=is_signed)
        if read is not None:
            self.perform(self.server.page(read, pack, first, last))
            return
        message = messages.Pack(lineage=LINEAGE, nodes=pack, from_seq=first, to_seq=last)
        self.to_client.append(encode(self.codec, message))


def _pages(first: int, last: int, page_nodes: int) -> list[tuple[int, int]]:
    return [(at, min(at + page_nodes - 1, last)) for at in range(first, last + 1, page_nodes)]


def _wants(patterns: tuple[str, ...], node: Node) -> bool:
    accepted = parse_patterns(patterns)
    return accepted is None or any(accepted.matches(each.key) for each in node.operations())


def _without_body(node: Node) -> Node:
    return Node(
        node.id, node.author, node.clock, node.kind, node.parents, node.body_hash, None,
        node.signature,
    )  # fmt: skip


def history_of(nodes: dict[bytes, Node], heads: Iterable[bytes]) -> set[bytes]:
    """The ids at or below those heads, as far as the nodes are there."""
    seen: set[bytes] = set()
    waiting = [node_id for node_id in heads if node_id in nodes]
    while waiting:
        node_id = waiting.pop()
        if node_id not in seen:
            seen.add(node_id)
            waiting += [parent for parent in nodes[node_id].parents if parent in nodes]
    return seen


class NaiveClient:
    """A client without a replica: nodes by id, places by seq, and what was never acknowledged."""

    numbers = 0

    def __init__(
        self,
        room: NaiveRoom,
        seed: bytes,
        *,
        codec: Codec = Codec.MSGPACK,
        offer: Offer | None = None,
        wants_snapshot: bool = False,
        wants_signatures: bool = True,
        subscribe: tuple[str, ...] = (),
    ) -> None:
        self.room = room
        self.identity = Identity.from_seed(seed * 32)
        self.codec = codec
        self.offer = offer
        self.wants_snapshot = wants_snapshot
        self.wants_signatures = wants_signatures
        self.subscribe = subscribe
        self.declares_backlog = False
        self.lineage: bytes | None = None
        self.nodes: dict[bytes, Node] = {}
        self.places: dict[int, bytes] = {}
        self.pending: list[Node] = []
        self.cursor: Cursor | None = None
        self.checkpoint: SignedCheckpoint | None = None
        self.base_ids: set[bytes] = set()
        self.base_seq = 0
        self.events: list[ClientEvent] = []
        self.link: Link | None = None
        self._log_heads: set[bytes] = set()
        self._is_missing_asked = False

    @property
    def graph(self) -> Graph:
        graph = Graph()
        for node in sorted(self.nodes.values(), key=lambda each: (each.clock, each.id)):
            if all(parent in graph for parent in node.parents):
                graph.add(node.id, node.author, node.clock, node.parents)
        return graph

    def id_at(self, seq: int) -> bytes | None:
        return self.places.get(seq)

    @property
    def ids(self) -> set[bytes]:
        """Everything that is known, below a snapshot's place as well."""
        return set(self.nodes) | self.base_ids

    def connect(self) -> Link:
        """A new session; the old one is gone."""
        if self.link is not None:
            self.link.is_up = False
        NaiveClient.numbers += 1
        pending = {node.id for node in self.pending}
        admitted = [node for node in self.nodes.values() if node.id not in pending]
        is_subscribed = bool(self.subscribe)
        session = ClientSession(
            room_id="demo",
            origin=ORIGIN,
            nonce=hash_bytes(b"client %d" % NaiveClient.numbers),
            signer=self.identity,
            codec=self.codec,
            lineage=self.lineage,
            cursor=self.cursor,
            frontier=heads_of(admitted),
            held=self,
            checkpoint=self.checkpoint,
            pending=Pending(nodes=len(pending)) if pending and self.declares_backlog else None,
            offer=self.offer,
            wants_snapshot=self.wants_snapshot and not is_subscribed,
            wants_signatures=self.wants_signatures,
            subscribe=self.subscribe,
        )
        self.link = Link(self.room, session, self.codec, NaiveClient.numbers)
        self.events = []
        self._is_missing_asked = False
        return self.link

    def leave(self) -> None:
        assert self.link is not None
        self.link.is_up = False
        self.link = None

    def write(self, count: int, key: str = "a/text") -> list[Node]:
        """Own nodes on top of everything that is held; pushed if there is a session."""
        written: list[Node] = []
        for _ in range(count):
            clock = max((node.clock for node in self.nodes.values()), default=0) + 1
            heads = heads_of(self.nodes.values())
            written.append(make(self.identity, heads[:64], clock, key))
            self.nodes[written[-1].id] = written[-1]
        self.pending += written
        if self.link is not None and self.link.client.is_live:
            self.link.client.push(written)
        return written

    def step(self) -> bool:
        """Exchange what there is; whether there was anything."""
        link = self.link
        if link is None:
            return False
        frames = len(link.sizes)
        events = link.exchange()
        for event in events:
            self.hear(event)
        self.events += events
        return len(link.sizes) > frames

    def hear(self, event: ClientEvent) -> None:
        assert self.link is not None
        session = self.link.client
        if isinstance(event, Faulted):
            raise AssertionError(f"a fault: {event}")
        if isinstance(event, Opened):
            self.lineage = event.lineage
            self._log_heads = set(event.frontier)
            if event.catch_up not in ("none", "cursor", "cut"):
                self.places.clear()
        elif isinstance(event, CutFound):
            self.places = {seq: each for seq, each in self.places.items() if seq <= event.seq}
        elif isinstance(event, CatchUpChanged):
            self.places.clear()
        elif isinstance(event, WalkFound):
            in_log = {node.id for node in self.room.log}
            assert set(event.known) <= in_log
            assert not set(event.unknown) & in_log
        elif isinstance(event, SnapshotReceived):
            size = len(event.state)
            self.base_ids = {event.state[at : at + 32] for at in range(0, size, 32)}
            self.base_seq = event.seq
        elif isinstance(event, Received | HistoryPage | BodiesFilled):
            self._take(event)
        elif isinstance(event, CheckpointReceived):
            self.checkpoint = event.checkpoint
        elif isinstance(event, MissingAsked):
            self._is_missing_asked = True
        elif isinstance(event, Acknowledged):
            self._settle(event.seqs)
        elif isinstance(event, Refused):
            session.push_back([self.nodes[node.id] for node in event.nodes])
        elif isinstance(event, CaughtUp):
            self._push_what_the_server_lacks()
            if self.base_seq > 0:
                session.ask_history_before(self.base_seq + 1)
        elif isinstance(event, HistoryEnd) and event.from_seq > 1:
            session.ask_history_before(event.from_seq)
        elif isinstance(event, SubscriptionChanged):
            self.subscribe = event.patterns
        if isinstance(event, Opened) and event.catch_up == "none":
            self._push_what_the_server_lacks()
        self.cursor = session.cursor or self.cursor

    def _take(self, event: Received | HistoryPage | BodiesFilled) -> None:
        for seq, node in enumerate(event.nodes, event.from_seq):
            known = self.nodes.get(node.id)
            if known is None or known.body is None or known.signature is None:
                self.nodes[node.id] = node
            self.places[seq] = node.id
            self._log_heads.add(node.id)
        if isinstance(event, HistoryPage) and event.from_seq == 1:
            assert self.base_ids <= set(self.nodes)
        self._settle({node.id: seq for seq, node in enumerate(event.nodes, event.from_seq)})

    def _settle(self, seqs: dict[bytes, int]) -> None:
        self.pending = [node for node in self.pending if node.id not in seqs]
        self.places.update({seq: node_id for node_id, seq in seqs.items()})

    def _push_what_the_server_lacks(self) -> None:
        """All of the log is held now: what is not in the history of its heads, is not in it."""
        assert self.link is not None
        has = history_of(self.nodes, self._log_heads) | self.base_ids
        lost = [node for node in self.nodes.values() if node.id not in has]
        lost.sort(key=lambda node: (node.clock, node.id))
        own = [node for node in lost if node.author == self.identity.public_key]
        whole = [node for node in lost if node.signature is not None and node.body is not None]
        if self._is_missing_asked:
            self.link.client.push_back(whole)
        elif own:
            self.link.client.push(own)


def settle(*clients: NaiveClient, most_rounds: int = 400) -> None:
    """Until nobody has anything left to say. Raises AssertionError when they never stop."""
    for _ in range(most_rounds):
        moved = [client.step() for client in clients]
        if not any(moved):
            return
    raise AssertionError("they never stop talking")
