"""Every message of the protocol: one struct each, the same in JSON and MessagePack.

Unknown fields are ignored in both directions. `room` is reserved for several rooms on one socket.
`ref` is chosen by whoever asks and echoed by every answer.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
PublicKey = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
NodeId = Annotated[bytes, Meta(min_length=32, max_length=32)]
Lineage = Annotated[bytes, Meta(min_length=32, max_length=32)]
Epoch = Annotated[bytes, Meta(min_length=16, max_length=16)]
Ref = Annotated[str, Meta(min_length=1, max_length=64)]
Label = Annotated[str, Meta(max_length=128)]
Dialled = Annotated[str, Meta(max_length=512)]
ShortText = Annotated[str, Meta(max_length=128)]
Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Frontier = Annotated[list[NodeId], Meta(max_length=1024)]
IdPrefix = Annotated[bytes, Meta(min_length=8, max_length=8)]
Have = Annotated[list[tuple[Sequence, IdPrefix]], Meta(min_length=1, max_length=256)]
Patterns = Annotated[list[str], Meta(max_length=1024)]


class Message(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):
    """What all messages have."""

    ref: Ref | None = None
    """Chosen by whoever asks, echoed by every answer."""
    room: str | None = None
    """Reserved for several rooms on one socket; ignored, but set in `welcome`."""


class Software(msgspec.Struct, kw_only=True):
    """Name and version of one side, for statistics and compatibility, never for decisions."""

    name: ShortText = ""
    version: ShortText = ""


class Cursor(msgspec.Struct, kw_only=True):
    """Greatest seq up to which everything of `epoch` is durably held; `id` is the node there."""

    epoch: Epoch
    seq: Sequence
    id: NodeId


class Pending(msgspec.Struct, kw_only=True):
    """The backlog a client brings."""

    nodes: Count = 0
    bytes: Count = 0


class CreditTotals(msgspec.Struct, kw_only=True):
    """Running totals since welcome of what may be pushed."""

    nodes: Count
    bytes: Count


class After(msgspec.Struct, kw_only=True):
    """A place in a log."""

    epoch: Epoch
    seq: Sequence


class SignedCheckpoint(msgspec.Struct, kw_only=True):
    """How far a log had come, by the word of the server that keeps it."""

    lineage: Lineage
    epoch: Epoch
    seq: Sequence
    frontier: Frontier
    """The heads of the log at `seq`, ascending."""
    signature: Signature
    """The server's, purpose `checkpoint`."""


class Identity(msgspec.Struct, kw_only=True, frozen=True):
    """Whom presence and signals are about: a proven key and the label it signed."""

    pubkey: PublicKey
    label: Label = ""


class Peer(msgspec.Struct, kw_only=True, frozen=True):
    """Somebody who is in the room, however many sockets it has."""

    pubkey: PublicKey
    label: Label = ""
    peer_type: ShortText = ""


class PresenceEntry(msgspec.Struct, kw_only=True):
    """What one session shows of itself."""

    pubkey: PublicKey
    session: str
    data: object
    label: Label = ""


class HashOf(msgspec.Struct, kw_only=True):
    """Which keys a state hash is about."""

    patterns: Patterns = []
    """Globs; none means everything."""


# client -> server


class Hello(Message, tag="hello"):
    """Who the client is, what it proves, and what it already holds."""

    proto: int
    """The protocol version: one of `challenge.protos`."""
    nonce: Nonce
    """Random, new for every session."""
    origin: Dialled | None = None
    """What the client dialled, as in the transcript; the server then tries no other."""
    pubkey: PublicKey | None = None
    """The client's key; without it the session only reads."""
    proof: Signature | None = None
    """Its signature over the transcript; required with `pubkey`."""
    label: Label = ""
    """A name for this device or process; signed, shown to the room with the key."""
    peer_type: ShortText = ""
    """What kind of participant this is, as it says; shown to the room."""
    client: Software | None = None
    """Name and version of the client's software."""
    caps: dict[str, object] = {}
    """The capabilities it offers."""
    token: str | None = None
    """Reserved for rooms that ask for one; signed."""
    lineage: Lineage | None = None
    """The room's, once the client has met the room."""
    cursor: Cursor | None = None
    """Up to where it durably holds the log; goes with `frontier`."""
    frontier: Frontier = []
    """Heads of the admitted nodes it holds."""
    pending: Pending | None = None
    """What it holds that was never acknowledged and will be pushed."""
    checkpoint: SignedCheckpoint | None = None
    """The newest one it has of this room: evidence, should the server have lost its log."""
    subscribe: Patterns = []
    """Whose bodies it wants, as in `subscribe`; needs `header_only_nodes`, else all come."""


class PushPack(Message, tag="pack"):
    """Nodes of the session's own author, in topological order."""

    lineage: Lineage
    """That of the welcome."""
    nodes: bytes
    """One pack, with signatures and bodies."""


class Request(Message, tag="request"):
    """Asks for history or state: one of `after`, `have`, `before`, `frontier`, `ids`, `snapshot`,
    `hash`."""

    after: After | None = None
    """Everything later than this seq; it and `snapshot` only one at a time."""
    have: Have | None = None
    """Where do the logs part? Of the client's: seq, and the first 8 bytes of the id there."""
    before: After | None = None
    """One page of what lies below this seq, the newest of it."""
    frontier: Frontier | None = None
    """Everything that is not in the history of these."""
    ids: Frontier | None = None
    """These nodes."""
    snapshot: bool = False
    """The room's snapshot, and everything later than its seq."""
    hash: HashOf | None = None
    """The hash of the state."""
    page: Annotated[int, Meta(ge=1, le=4096)] | None = None
    """Most nodes in one answering pack; 1,024 if not given."""
    stop_at_unknown: bool = False
    """With `frontier`: send nothing when one of them is unknown, but say which."""
    signatures: bool = True
    """False: nodes admitted longer ago than the resend window may come unsigned; needs
    `unsigned_bulk`."""


class Subscribe(Message, tag="subscribe"):
    """Whose bodies to send from now on; replaces the patterns before it."""

    patterns: Patterns = []
    """Globs over keys; none means everything."""


class Presence(Message, tag="presence"):
    """What this session shows of itself, until it is replaced, expires or the session ends."""

    data: object = None
    """Null, a boolean, a number, a text, or lists and maps of these; null takes it away."""
    ttl_ms: Annotated[int, Meta(ge=1)] | None = None
    """How long it lasts without being shown again; the server's default and limit apply."""


class Signal(Message, tag="signal"):
    """A word to one peer, kept by nobody."""

    to: Identity
    """Every session of this identity gets it."""
    data: object = None
    """As in `presence`."""


class Ping(Message, tag="ping"):
    """Answered by `pong` with the head of the durable log."""

    t: int = 0
    """Any integer; echoed."""


ClientMessage = Hello | PushPack | Request | Subscribe | Presence | Signal | Ping

# server -> client


class Challenge(Message, tag="challenge"):
    """The first message of every session."""

    nonce: Nonce
    """Random, new for every session."""
    server_pubkey: PublicKey
    """The key that signs the welcome; pinned by the client."""
    protos: list[int]
    """The protocol versions it speaks."""
    server: Software
    """Name and version of the server's software."""


CatchUp = Literal["none", "cursor", "cut", "walk", "snapshot"]


class Welcome(Message, tag="welcome"):
    """The session is open; everything after `seq` will be relayed."""

    proto: int
    """The protocol version of this session."""
    room: str
    """The room's id."""
    lineage: Lineage
    """The room's: the key of all node ids."""
    epoch: Epoch
    """Names the numbering of the log."""
    seq: Sequence
    """The head of the durable log, 0 while it is empty."""
    frontier: list[NodeId]
    """The heads of the durable log, ascending."""
    caps: dict[str, object]
    """The capabilities both sides have."""
    limits: dict[str, int]
    """What the server enforces, by the keys of its configuration."""
    credit: CreditTotals
    """What may be pushed from now on."""
    session: str
    """Names the session in the server's logs."""
    catch_up: str
    """`none`, `cursor`, `cut`, `walk` or `snapshot`: what to request next."""
    signature: Signature
    """The server's, over the transcript and the facts above."""
    checkpoint: Signature | None = None
    """The server's, purpose `checkpoint`, over lineage, epoch, seq and frontier above."""
    missing: After | None = None
    """The server lost what this epoch's log had after this seq: whoever holds it may push it."""
    subscribed: Patterns = []
    """The patterns in force; none means that every body comes."""
    peers: list[Peer] = []
    """Who is here, the first 64; the others follow as `peer-joined`. Needs `presence_ttl`."""


class Credit(Message, tag="credit"):
    """Raises what may be pushed; totals since welcome."""

    nodes: Count
    """Nodes in all packs."""
    bytes: Count
    """Bytes of `pack.nodes` in all packs."""


class Pack(Message, tag="pack"):
    """Admitted nodes with contiguous seq, in the order of the log; in answer to `subscribe` those
    of a stretch whose bodies were asked for."""

    lineage: Lineage
    """That of the welcome."""
    nodes: bytes
    """One pack, with signatures and bodies, in either layout."""
    from_seq: Sequence
    """The seq of its first node."""
    to_seq: Sequence
    """The seq of its last node."""


class RejectedNode(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One refused node of a pack."""

    id: NodeId
    """The refused node."""
    reject_class: str = msgspec.field(name="class")
    """Why."""
    detail: dict[str, object] = {}
    """`root_class`, `retry_after_ms` and `ops` as `sync.md` has them; the rest is for people."""
    root: NodeId | None = None
    """With `ancestor_refused`: the node whose refusal caused this one."""


class PackAck(Message, tag="pack-ack"):
    """What became of one pushed pack; sent after the commit's fsync."""

    from_seq: Sequence = 0
    """The seq of the first newly admitted node, 0 when there is none."""
    to_seq: Sequence = 0
    """The seq of the last one."""
    duplicates: list[tuple[int, int]] = []
    """Nodes that were in the log already: index in the pack, from 0, and seq."""
    rejected: list[RejectedNode] = []
    """Nodes that were not taken; the others of the pack stand."""
    credit: CreditTotals | None = None
    """New totals."""


class Pong(Message, tag="pong"):
    """Answer to `ping`."""

    seq: Sequence
    """The head of the durable log when the ping was read."""
    t: int = 0
    """That of the ping."""


class RequestEnd(Message, tag="request-end"):
    """A request is answered in full; `seq` is the session's reading position."""

    seq: Sequence
    """The session's reading position; with `cut` or `unknown` the head of the durable log."""
    missing: list[NodeId] = []
    """With `ids`: those that are not in the log."""
    cut: Sequence | None = None
    """With `have`: the greatest seq given at which both logs have the same node, 0 for none."""
    unknown: list[int] = []
    """With `stop_at_unknown`: indexes of the ids that are not in the log; then nothing was sent."""


class Snapshot(Message, tag="snapshot"):
    """One chunk of a snapshot. The first one has the facts; the signature covers all of it."""

    chunk: int = 0
    """Which chunk, from 0."""
    data: bytes = b""
    """The next bytes of the state."""
    chunks: int = 0
    """In the first: how many there are."""
    size_bytes: int = 0
    """In the first: how long the state is."""
    seq: Sequence = 0
    """In the first: the state is that of the log up to here."""
    frontier: bytes = b""
    """In the first: a signed pack of the heads of that log, whole."""
    state_hash: bytes = b""
    """In the first: the state hash, 32 bytes."""
    digest: bytes = b""
    """In the first: BLAKE3 of the state's bytes."""
    signature: bytes = b""
    """In the first: the server's, purpose `snapshot`."""


class StateHashReport(Message, tag="state-hash"):
    """The state hash at a frontier, for the keys asked for."""

    frontier: list[NodeId]
    """The heads of the durable log it was computed at, ascending."""
    hash: str
    """64 hexadecimal digits."""
    coverage: dict[str, object]
    """What it stands for; anything awaited, held, pruned or unknown makes it incomplete."""


class Checkpoint(Message, tag="checkpoint"):
    """How far the log has come: keep it, and show it to a server that forgot."""

    lineage: Lineage
    """That of the welcome."""
    epoch: Epoch
    """That of the log."""
    seq: Sequence
    """The head of the durable log."""
    frontier: list[NodeId]
    """Its heads, ascending."""
    signature: Signature
    """The server's, purpose `checkpoint`."""


class SubscribeAck(Message, tag="subscribe-ack"):
    """Nodes after `seq` follow the patterns; earlier bodies come up to the `request-end`."""

    seq: Sequence
    """The session's reading position."""
    patterns: Patterns = []
    """Those in force."""


class PresenceShown(Message, tag="presence"):
    """What another session shows of itself."""

    pubkey: PublicKey
    """Its proven key."""
    session: str
    """Which of its sessions."""
    data: object
    """As it was sent."""
    label: Label = ""
    """Its signed label."""


class PresenceSnapshot(Message, tag="presence-snapshot"):
    """What everybody shows at the time of joining; several of these when it is long."""

    entries: list[PresenceEntry]
    """One a session."""


class PresenceLeft(Message, tag="presence-left"):
    """A session shows nothing any more."""

    pubkey: PublicKey
    """Its proven key."""
    session: str
    """Which of its sessions."""
    reason: str
    """`left` or `expired`."""
    label: Label = ""
    """Its signed label."""


class PeerJoined(Message, tag="peer-joined"):
    """The first session of an identity has come."""

    pubkey: PublicKey
    """Its proven key."""
    label: Label = ""
    """Its signed label."""
    peer_type: ShortText = ""
    """What it says it is."""


class PeerLeft(Message, tag="peer-left"):
    """The last session of an identity is gone."""

    pubkey: PublicKey
    """Its proven key."""
    label: Label = ""
    """Its signed label."""
    peer_type: ShortText = ""
    """What it said it was."""


class SignalReceived(Message, tag="signal"):
    """A word from one peer to this one."""

    pubkey: PublicKey
    """The sender's proven key."""
    session: str
    """Which of its sessions."""
    data: object
    """As it was sent."""
    label: Label = ""
    """The sender's signed label."""


class Drain(msgspec.Struct, kw_only=True):
    """The server is about to close with 1012."""

    deadline_ms: int
    retry_after_ms: int


class Deprecation(msgspec.Struct, kw_only=True):
    """Something the client uses will go."""

    what: str
    until: str = ""


class Moved(msgspec.Struct, kw_only=True):
    """The room is served elsewhere."""

    url: str


class Notice(Message, tag="notice"):
    """News about the service; at least one field is set."""

    drain: Drain | None = None
    """The server will close within `deadline_ms`; come back after `retry_after_ms`."""
    deprecation: Deprecation | None = None
    """Something the client uses will go."""
    moved: Moved | None = None
    """The room is served elsewhere."""


class Error(Message, tag="error"):
    """A refusal, or a fault of the server; never answered."""

    reject_class: str = msgspec.field(name="class")
    """One of the reject classes."""
    message: str
    """For people."""
    kind: str
    """The kind of the class: what to do if the class is not known."""
    retry_after_ms: int | None = None
    """Not before."""
    detail: dict[str, object] = {}
    """For people and logs: what was wrong where."""
    incident: str | None = None
    """With a fault of the server: what its log calls it."""


ServerMessage = (
    Challenge
    | Welcome
    | Credit
    | Checkpoint
    | Snapshot
    | Pack
    | PackAck
    | Pong
    | RequestEnd
    | SubscribeAck
    | StateHashReport
    | PresenceShown
    | PresenceSnapshot
    | PresenceLeft
    | PeerJoined
    | PeerLeft
    | SignalReceived
    | Notice
    | Error
)

CLIENT_MESSAGES: tuple[type[Message], ...] = (
    Hello,
    PushPack,
    Request,
    Subscribe,
    Presence,
    Signal,
    Ping,
)
SERVER_MESSAGES: tuple[type[Message], ...] = (
    Challenge,
    Welcome,
    Credit,
    Checkpoint,
    Snapshot,
    Pack,
    PackAck,
    Pong,
    RequestEnd,
    SubscribeAck,
    StateHashReport,
    PresenceShown,
    PresenceSnapshot,
    PresenceLeft,
    PeerJoined,
    PeerLeft,
    SignalReceived,
    Notice,
    Error,
)
