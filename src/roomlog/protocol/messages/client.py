"""What a client says."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from roomlog.protocol.messages.parts import (
    After,
    Cursor,
    Dialled,
    Frontier,
    HashOf,
    Have,
    Identity,
    Label,
    Lineage,
    Message,
    Nonce,
    Patterns,
    Pending,
    PublicKey,
    ShortText,
    Signature,
    SignedCheckpoint,
    Software,
)


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

    t: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] = 0
    """Any integer of 64 bits; echoed."""
