"""What a session asks its shell to do.

The shell does it and reports back through the session's methods.
"""

from __future__ import annotations

from typing import final

import msgspec

from roomlog.core.reject import RejectClass
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.messages import SignedCheckpoint


@final
class Send(msgspec.Struct, frozen=True):
    """Write one frame to the socket; `refused` is its class when the frame is an error."""

    frame: bytes
    refused: RejectClass | None = None


@final
class Close(msgspec.Struct, frozen=True):
    """Close the socket after what was sent before."""

    code: CloseCode
    reason: str = ""


@final
class OpenRoom(msgspec.Struct, frozen=True):
    """Load the room, or create it when `may_create`.

    Answered with `room_opened` or `room_refused`.
    """

    room_id: str
    may_create: bool
    checkpoint: SignedCheckpoint | None = None
    """One with this server's own signature: when the room lacks any id of its frontier, the log was
    lost. Then the shell renews the epoch and opens a reconcile window before `room_opened`."""


@final
class Admit(msgspec.Struct, frozen=True):
    """Admit a pushed pack of `author`; answered with `pack_settled` or `pack_refused`.

    `ticket` numbers the packs of a session: answers may come in any order, acks leave in order.
    """

    ticket: int
    pack: bytes
    lineage: bytes
    author: bytes


@final
class ReadAfter(msgspec.Struct, frozen=True):
    """Move the reading position to `seq` and feed the session from the store up to the head."""

    seq: int
    page_nodes: int
    ref: str | None
    signatures: bool = True


@final
class ReadMissing(msgspec.Struct, frozen=True):
    """Send what is not in the history of `frontier`; `signatures` False allows leaving out old
    ones (as in every read that has it)."""

    frontier: tuple[bytes, ...]
    page_nodes: int
    ref: str | None
    signatures: bool = True


@final
class ReadNodes(msgspec.Struct, frozen=True):
    """Send the named nodes."""

    ids: tuple[bytes, ...]
    page_nodes: int
    ref: str | None


@final
class ReadBefore(msgspec.Struct, frozen=True):
    """Send one page of what lies below `seq`, the newest of it."""

    seq: int
    page_nodes: int
    ref: str | None
    signatures: bool = True


@final
class ReadSnapshot(msgspec.Struct, frozen=True):
    """Send the snapshot, move the reading position to its seq and feed the session from there."""

    page_nodes: int
    ref: str | None
    signatures: bool = True


@final
class ReadHash(msgspec.Struct, frozen=True):
    """Compute the state hash of the keys of `patterns`, of everything when there are none."""

    patterns: tuple[str, ...]
    ref: str | None


@final
class ReadBodies(msgspec.Struct, frozen=True):
    """Subscribe to `patterns`, () for everything, and send the bodies that `before` left out.

    The shell changes what is relayed, reports its reading position by `subscribed`, sends the
    nodes up to there that touch a key of `patterns` and none of `before`, then `request_done`.
    """

    patterns: tuple[str, ...]
    before: tuple[str, ...]
    page_nodes: int
    ref: str | None


@final
class ShowPresence(msgspec.Struct, frozen=True):
    """Show `data` to the room for `ttl_ms`; None takes it away."""

    data: object
    ttl_ms: int


@final
class DeliverSignal(msgspec.Struct, frozen=True):
    """Give `data` to every session of one identity; `signal_failed` when there is none."""

    pubkey: bytes
    label: str
    data: object
    ref: str | None


Read = ReadAfter | ReadMissing | ReadNodes | ReadBefore | ReadSnapshot | ReadHash | ReadBodies
ServerEffect = Send | Close | OpenRoom | Admit | Read | ShowPresence | DeliverSignal
