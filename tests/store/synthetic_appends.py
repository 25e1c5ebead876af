"""Appends of real packs whose ids tell them apart: for stores, which look no further."""

from __future__ import annotations

from blake3 import blake3

from roomlog.core.pack import encode_pack
from roomlog.store.interface import Append, StoredRoom
from tests.store.chains import AUTHOR, Chain

_SOURCE = Chain(StoredRoom("source", b"l" * 32, b"e" * 16, 0, 0))
_SOURCE.append(5)
_PACKS = {count: encode_pack(_SOURCE.nodes[:count]) for count in range(1, 6)}


def bytes_of(name: str, size: int) -> bytes:
    """The same bytes for the same name."""
    return blake3(name.encode()).digest(size)


def synthetic_append(room_id: str, epoch: bytes, from_seq: int, count: int, number: int) -> Append:
    """The append of that number: `count` nodes, 1 to 5, admitted at that time."""
    return Append(
        room_id=room_id,
        epoch=epoch,
        from_seq=from_seq,
        count=count,
        pack=_PACKS[count],
        ids=bytes_of(f"append {number}", 32 * count),
        submitter=AUTHOR.public_key,
        admitted_ms=number,
        policy_head=b"p" * 32 if number % 3 == 0 else None,
        lineage=b"o" * 32 if number % 5 == 0 else None,
        reinstated=number % 2 == 0,
    )
