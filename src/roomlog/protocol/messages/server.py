"""What a server says."""

from __future__ import annotations

from typing import Literal

import msgspec

from roomlog.protocol.messages.parts import (
    After,
    Count,
    CreditTotals,
    Epoch,
    Label,
    Lineage,
    Message,
    NodeId,
    Nonce,
    Patterns,
    Peer,
    PresenceEntry,
    PublicKey,
    Sequence,
    ShortText,
    Signature,
    Software,
)


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
    unknown: list[int] = []
    """With `walk`: indexes of the ids in `hello.frontier` that are not in the log."""
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
    kind: str = ""
    """The kind of the class: what to do if the class is not known."""


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
