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
ShortText = Annotated[str, Meta(max_length=128)]
Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Frontier = Annotated[list[NodeId], Meta(max_length=1024)]


class Message(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):
    """What all messages have."""

    ref: Ref | None = None
    room: str | None = None


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


# client -> server


class Hello(Message, tag="hello"):
    """Who the client is, what it proves, and what it already holds."""

    proto: int
    nonce: Nonce
    pubkey: PublicKey | None = None
    proof: Signature | None = None
    label: Label = ""
    peer_type: ShortText = ""
    client: Software | None = None
    caps: dict[str, object] = {}
    token: str | None = None
    lineage: Lineage | None = None
    cursor: Cursor | None = None
    frontier: Frontier = []
    pending: Pending | None = None


class PushPack(Message, tag="pack"):
    """Nodes of the session's own author, in topological order."""

    lineage: Lineage
    nodes: bytes


class Request(Message, tag="request"):
    """Asks for history: exactly one of `after`, `frontier`, `ids`."""

    after: After | None = None
    frontier: Frontier | None = None
    ids: Frontier | None = None
    page: Annotated[int, Meta(ge=1, le=4096)] | None = None


class Ping(Message, tag="ping"):
    """Answered by `pong` with the head of the durable log."""

    t: int = 0


ClientMessage = Hello | PushPack | Request | Ping

# server -> client


class Challenge(Message, tag="challenge"):
    """The first message of every session."""

    nonce: Nonce
    server_pubkey: PublicKey
    protos: list[int]
    server: Software


CatchUp = Literal["none", "cursor", "cut", "walk", "snapshot"]


class Welcome(Message, tag="welcome"):
    """The session is open; everything after `seq` will be relayed."""

    proto: int
    room: str
    lineage: Lineage
    epoch: Epoch
    seq: Sequence
    frontier: list[NodeId]
    caps: dict[str, object]
    limits: dict[str, int]
    credit: CreditTotals
    session: str
    catch_up: str
    signature: Signature


class Credit(Message, tag="credit"):
    """Raises what may be pushed; totals since welcome."""

    nodes: Count
    bytes: Count


class Pack(Message, tag="pack"):
    """Admitted nodes with contiguous seq, in the order of the log."""

    lineage: Lineage
    nodes: bytes
    from_seq: Sequence
    to_seq: Sequence


class RejectedNode(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One refused node of a pack."""

    id: NodeId
    reject_class: str = msgspec.field(name="class")
    detail: dict[str, object] = {}
    root: NodeId | None = None


class PackAck(Message, tag="pack-ack"):
    """What became of one pushed pack; sent after the commit's fsync."""

    from_seq: Sequence = 0
    to_seq: Sequence = 0
    duplicates: list[tuple[int, int]] = []
    rejected: list[RejectedNode] = []
    credit: CreditTotals | None = None


class Pong(Message, tag="pong"):
    """Answer to `ping`."""

    seq: Sequence
    t: int = 0


class RequestEnd(Message, tag="request-end"):
    """A request is answered in full; `seq` is the session's reading position."""

    seq: Sequence
    missing: list[NodeId] = []


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
    deprecation: Deprecation | None = None
    moved: Moved | None = None


class Error(Message, tag="error"):
    """A refusal, or a fault of the server; never answered."""

    reject_class: str = msgspec.field(name="class")
    message: str
    kind: str
    retry_after_ms: int | None = None
    detail: dict[str, object] = {}
    incident: str | None = None


ServerMessage = Challenge | Welcome | Credit | Pack | PackAck | Pong | RequestEnd | Notice | Error

CLIENT_MESSAGES: tuple[type[Message], ...] = (Hello, PushPack, Request, Ping)
SERVER_MESSAGES: tuple[type[Message], ...] = (
    Challenge,
    Welcome,
    Credit,
    Pack,
    PackAck,
    Pong,
    RequestEnd,
    Notice,
    Error,
)
