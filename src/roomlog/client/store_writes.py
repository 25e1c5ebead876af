"""What a document asks its local store to remember, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

import msgspec

from roomlog.client.rejections import Rejection
from roomlog.core.node import Node
from roomlog.protocol.messages import Cursor, SignedCheckpoint


@final
class OwnNodes(msgspec.Struct, frozen=True):
    """New nodes of this document's author that no server has yet."""

    nodes: Sequence[Node]


@final
class ReceivedPack(msgspec.Struct, frozen=True):
    """A pack of the room's log, whose nodes have the seqs `from_seq` to `to_seq`.

    Both 0 for what was left of a faulty pack, and for bodies of nodes that are here already.
    """

    pack: bytes
    from_seq: int = 0
    to_seq: int = 0


@final
class Admitted(msgspec.Struct, frozen=True):
    """Own nodes that are in the server's log, with their seq there."""

    seqs: dict[bytes, int]


@final
class CursorMoved(msgspec.Struct, frozen=True):
    """Everything up to this place of the log was in the writes before; None: nothing is known."""

    cursor: Cursor | None


@final
class LogCut(msgspec.Struct, frozen=True):
    """Another log goes on from `cut.seq`: what was numbered beyond it has no place in that one."""

    epoch: bytes
    seq: int
    cursor: Cursor | None
    """The place of the cut; None when it has no name, and at 0."""
    history_seq: int | None = None
    """Where history from before a snapshot is read from anew; None: it goes on below the cut."""


@final
class PendingAgain(msgspec.Struct, frozen=True):
    """Own nodes that were acknowledged once, and are not in the log that the server has now."""

    nodes: Sequence[Node]


@final
class CheckpointKept(msgspec.Struct, frozen=True):
    """The server's newest word on how far its log had come."""

    checkpoint: SignedCheckpoint


@final
class SnapshotKept(msgspec.Struct, frozen=True, kw_only=True):
    """What is here stands on a snapshot: the history at and below its seq may not be here.

    Everything is as the server sent it, and was checked under `server_key`.
    """

    seq: int
    frontier_pack: bytes
    state: bytes
    state_hash: bytes
    digest: bytes
    signature: bytes
    server_key: bytes
    history_seq: int
    """Up to where history is missing: `seq`, less once the log was cut below it, or whatever the
    head of the log was when a walk showed it."""


@final
class HistoryPack(msgspec.Struct, frozen=True):
    """A pack of the log at and below the snapshot's seq."""

    pack: bytes
    from_seq: int
    to_seq: int


@final
class HistoryDropped(msgspec.Struct, frozen=True):
    """What came of the history at and below the snapshot cannot be right: it is read anew."""


@final
class HistoryComplete(msgspec.Struct, frozen=True):
    """All of the history is here: the snapshot is not needed any more."""


@final
class PatternsChanged(msgspec.Struct, frozen=True):
    """Whose bodies the nodes have that come from now on; () for all.

    `before` is what those had that came until now, while bodies of them are missing; None when
    none is.
    """

    patterns: tuple[str, ...]
    before: tuple[str, ...] | None


@final
class Rewritten(msgspec.Struct, frozen=True):
    """Own nodes without an acknowledgment were replaced by others, because some were refused."""

    removed: Sequence[bytes]
    nodes: Sequence[Node]
    rejections: Sequence[Rejection]
    lost_once: frozenset[bytes] = frozenset()
    """Nodes that go as well, or among them, and were in a log once: whatever row has them."""


@final
class LineageAdopted(msgspec.Struct, frozen=True):
    """The room was met: the draft became `nodes` of its lineage."""

    lineage: bytes
    nodes: Sequence[Node]


@final
class ServerPinned(msgspec.Struct, frozen=True):
    """The key that answered first at an origin."""

    origin: str
    server_key: bytes


StoreWrite: TypeAlias = (
    OwnNodes
    | ReceivedPack
    | Admitted
    | CursorMoved
    | LogCut
    | PendingAgain
    | CheckpointKept
    | SnapshotKept
    | HistoryPack
    | HistoryDropped
    | HistoryComplete
    | PatternsChanged
    | Rewritten
    | LineageAdopted
    | ServerPinned
)


def size_bytes(write: StoreWrite) -> int:
    """About how much memory a write holds while it waits."""
    if isinstance(write, ReceivedPack | HistoryPack):
        return len(write.pack)
    if isinstance(write, SnapshotKept):
        return len(write.state) + len(write.frontier_pack)
    if isinstance(write, OwnNodes | PendingAgain | LineageAdopted | Rewritten):
        return sum(256 + len(node.body or b"") for node in write.nodes)
    return 256
