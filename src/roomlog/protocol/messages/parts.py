"""What messages are made of: their base, bounded types, and the structs inside them."""

from __future__ import annotations

from typing import Annotated

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
