"""What a document asks its local store to remember, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

import msgspec

from roomlog.client.rejections import Rejection
from roomlog.core.node import Node
from roomlog.protocol.messages import Cursor


@final
class OwnNodes(msgspec.Struct, frozen=True):
    """New nodes of this document's author that no server has yet."""

    nodes: Sequence[Node]


@final
class ReceivedPack(msgspec.Struct, frozen=True):
    """A pack of the room's log."""

    pack: bytes


@final
class Admitted(msgspec.Struct, frozen=True):
    """Own nodes that are in the server's log, with their seq there."""

    seqs: dict[bytes, int]


@final
class CursorMoved(msgspec.Struct, frozen=True):
    """Everything up to this place of the log was in the writes before; None: nothing is known."""

    cursor: Cursor | None


@final
class Rewritten(msgspec.Struct, frozen=True):
    """Own nodes without an acknowledgment were replaced by others, because some were refused."""

    removed: Sequence[bytes]
    nodes: Sequence[Node]
    rejections: Sequence[Rejection]


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
    OwnNodes | ReceivedPack | Admitted | CursorMoved | Rewritten | LineageAdopted | ServerPinned
)


def size_bytes(write: StoreWrite) -> int:
    """About how much memory a write holds while it waits."""
    if isinstance(write, ReceivedPack):
        return len(write.pack)
    if isinstance(write, OwnNodes | LineageAdopted | Rewritten):
        return sum(256 + len(node.body or b"") for node in write.nodes)
    return 256
