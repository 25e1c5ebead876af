"""What rooms, appends, windows and snapshots must be before any backend writes them."""

from __future__ import annotations

from roomlog.store.interface import (
    EPOCH_BYTES,
    LINEAGE_BYTES,
    NODE_ID_BYTES,
    SUBMITTER_BYTES,
    Append,
    NewRoom,
    ReconcileWindow,
    StoredSnapshot,
)

PACK_FORMAT = 1
FLAG_BODIES = 4
UVARINT_BYTES = 10
MAX_INTEGER = (1 << 63) - 1
HASH_BYTES = 32
SIGNATURE_BYTES = 64


def head_bytes_of(pack: bytes) -> int:
    """How many bytes of a pack are its frame and headers block: all that a graph is built from.

    Raises ValueError when the bytes do not begin as a pack does (`data-model.md`, Pack).
    """
    if len(pack) < 4 or pack[0] != PACK_FORMAT:
        raise ValueError("the pack does not begin with a frame of format 1")
    _, position = _uvarint(pack, 2)
    headers_bytes, position = _uvarint(pack, position)
    if pack[1] & FLAG_BODIES:
        _, position = _uvarint(pack, position)
    end = position + headers_bytes
    if end > len(pack):
        raise ValueError("the pack ends inside its headers")
    return end


def fault_of(append: Append) -> str | None:
    """What is wrong with the shape of an append, None when nothing is."""
    if append.from_seq < 1 or append.count < 1:
        return f"seq {append.from_seq} and count {append.count} must be at least 1"
    if append.to_seq > MAX_INTEGER or abs(append.admitted_ms) > MAX_INTEGER:
        return "seq and time must fit in 63 bits"
    if len(append.ids) != append.count * NODE_ID_BYTES:
        return f"{len(append.ids)} bytes of ids for {append.count} nodes"
    if len(append.epoch) != EPOCH_BYTES:
        return f"an epoch has {EPOCH_BYTES} bytes, not {len(append.epoch)}"
    if len(append.submitter) != SUBMITTER_BYTES:
        return f"a submitter has {SUBMITTER_BYTES} bytes, not {len(append.submitter)}"
    if append.lineage is not None and len(append.lineage) != LINEAGE_BYTES:
        return f"a lineage has {LINEAGE_BYTES} bytes, not {len(append.lineage)}"
    try:
        head_bytes_of(append.pack)
    except ValueError as fault:
        return str(fault)
    return None


def room_fault_of(room: NewRoom) -> str | None:
    """What is wrong with a room to create, None when nothing is."""
    if not room.room_id or not room.room_id.isascii():
        return f"{room.room_id!r} is no room id"
    if len(room.lineage) != LINEAGE_BYTES or len(room.epoch) != EPOCH_BYTES:
        return f"a room needs {LINEAGE_BYTES} bytes of lineage and {EPOCH_BYTES} of epoch"
    if abs(room.created_ms) > MAX_INTEGER:
        return "a time must fit in 63 bits"
    return None


def check_window(window: ReconcileWindow) -> None:
    """Raise ValueError for what is no window."""
    epochs = (window.lost_epoch, window.old_epoch, window.new_epoch)
    if any(len(epoch) != EPOCH_BYTES for epoch in epochs):
        raise ValueError(f"an epoch has {EPOCH_BYTES} bytes")
    if window.lost_epoch == window.new_epoch:
        raise ValueError("a lost epoch cannot be the new one")
    numbers = (window.after_seq, window.checkpoint_seq, window.opened_ms, window.closes_ms)
    if any(not 0 <= number <= MAX_INTEGER for number in numbers):
        raise ValueError("seqs and times are from 0 on and fit in 63 bits")


def check_snapshot_facts(snapshot: StoredSnapshot) -> None:
    """Raise ValueError for what is no snapshot."""
    if (len(snapshot.state_hash), len(snapshot.digest)) != (HASH_BYTES, HASH_BYTES):
        raise ValueError(f"state hash and digest have {HASH_BYTES} bytes")
    if len(snapshot.signature) != SIGNATURE_BYTES:
        raise ValueError(f"a signature has {SIGNATURE_BYTES} bytes")
    numbers = (snapshot.seq, snapshot.size_bytes)
    if any(not 1 <= number <= MAX_INTEGER for number in numbers):
        raise ValueError("seq and size are from 1 on and fit in 63 bits")
    if not 0 <= snapshot.taken_ms <= MAX_INTEGER:
        raise ValueError("a time is from 0 on and fits in 63 bits")


def _uvarint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(UVARINT_BYTES):
        if position + index >= len(data):
            raise ValueError("the pack ends inside its frame")
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("a length in the pack's frame is too long")
