"""Pushed packs on their way: answered by the room in any order, acknowledged in order."""

from __future__ import annotations

from collections import deque
from typing import final

from roomlog.core.errors import RoomlogError
from roomlog.core.pack.varint import Reader
from roomlog.core.reject import Reject
from roomlog.protocol.messages import PackAck

_PACK_PREFIX_BYTES = 2


class ProtocolMisuse(RoomlogError):
    """A method was called in a state that does not have it: a bug of the caller."""


@final
class PushedPack:
    """A pack without an answer, or with one that waits for the answers before it."""

    __slots__ = ("answer", "nodes", "ref", "size_bytes", "ticket")

    def __init__(self, ticket: int, ref: str | None, nodes: int, size_bytes: int) -> None:
        self.ticket = ticket
        self.ref = ref
        self.nodes = nodes
        self.size_bytes = size_bytes
        self.answer: PackAck | Reject | None = None


@final
class PushedPacks:
    """The packs of one session that are not acknowledged."""

    __slots__ = ("_next_ticket", "_packs")

    def __init__(self) -> None:
        self._packs: deque[PushedPack] = deque()
        self._next_ticket = 0

    def __len__(self) -> int:
        return len(self._packs)

    def push(self, ref: str | None, nodes: int, size_bytes: int) -> PushedPack:
        """A pack arrived; its ticket numbers it."""
        pack = PushedPack(self._next_ticket, ref, nodes, size_bytes)
        self._next_ticket += 1
        self._packs.append(pack)
        return pack

    def find(self, ticket: int) -> PushedPack:
        """The unanswered pack with this ticket. Raises `ProtocolMisuse` when there is none."""
        packs = self._packs
        if not packs or not 0 <= ticket - packs[0].ticket < len(packs):
            raise ProtocolMisuse(f"no pack waits under ticket {ticket}")
        pack = packs[ticket - packs[0].ticket]
        if pack.answer is not None:
            raise ProtocolMisuse(f"ticket {ticket} has its answer")
        return pack

    def pop_answered(self) -> PushedPack | None:
        """The oldest pack if it is answered."""
        if self._packs and self._packs[0].answer is not None:
            return self._packs.popleft()
        return None

    def clear(self) -> None:
        """Forget everything: the session is over."""
        self._packs.clear()


def claimed_count(pack: bytes) -> int:
    """How many nodes a pack says it has. Raises `Reject` (invalid_field) when it says nothing."""
    return Reader(pack, _PACK_PREFIX_BYTES, max(len(pack), _PACK_PREFIX_BYTES)).uvarint()
