"""CRC-32 of every row: a bit that flipped on the disk must refuse a room, not change it."""

from __future__ import annotations

from zlib import crc32

from roomlog.store.errors import StoreCorrupt


def room_checksum(room_id: str, lineage: bytes, epoch: bytes, created_ms: int) -> int:
    """Of what never changes of a room."""
    return crc32(epoch, crc32(lineage, crc32(f"{created_ms} {room_id}".encode())))


def index_checksum(head: bytes, ids: bytes) -> int:
    """Of what a graph is built from."""
    return crc32(ids, crc32(head))


def tail_checksum(tail: bytes) -> int:
    """Of signatures and bodies."""
    return crc32(tail)


def admission_checksum(
    numbers: tuple[int, ...], blobs: tuple[bytes, ...], policy_head: bytes | None
) -> int:
    """Of an admission record: its integers, its keys and its policy, if any."""
    value = crc32(b"".join(blobs), crc32(repr(numbers).encode()))
    return value if policy_head is None else crc32(policy_head, value)


def row_checksum(numbers: tuple[int, ...], blobs: tuple[bytes, ...]) -> int:
    """Of a window or a snapshot: its integers, then its bytes."""
    return crc32(b"".join(blobs), crc32(repr(numbers).encode()))


def chunk_checksum(room: int, seq: int, chunk: int, data: bytes) -> int:
    """Of one chunk of a snapshot and the place it belongs to."""
    return row_checksum((room, seq, chunk), (data,))


def check(room_id: str, what: str, found: int, written: int) -> None:
    """Raise `StoreCorrupt` unless the checksums are equal. `what` names the part."""
    if found != written:
        raise StoreCorrupt(room_id, f"{what} fail their checksum")
