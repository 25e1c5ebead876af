"""Which table a record is of, by its shape; and whether its checksum vouches for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from roomlog.store.interface import (
    EPOCH_BYTES,
    LINEAGE_BYTES,
    NODE_ID_BYTES,
    ReconcileWindow,
    StoredSnapshot,
)
from roomlog.store.sqlite.checksums import (
    admission_checksum,
    chunk_checksum,
    index_checksum,
    room_checksum,
    row_checksum,
    tail_checksum,
)
from roomlog.store.sqlite.migration import Migration

Values = list[Any]
"""The columns of a row whose shape was checked."""
ROOM: Final = "room"
ROOM_NAME: Final = "room_name"
ADMISSION: Final = "admission"
LOG: Final = "log"
SNAPSHOT: Final = "snapshot"
CHUNK: Final = "snapshot_chunk"
WINDOW: Final = "reconcile_window"
META: Final = "store_meta"
MIGRATION: Final = "schema_migration"
# Whether it is a table's leaf, and its columns: integer, text, blob, null, blob or null, any.
_SHAPES: Final = {
    (True, "ntbbiii"): ROOM,
    (True, "nibiiibnbii"): ADMISSION,
    (True, "nibiiibbbii"): ADMISSION,
    (True, "niiiibbbib"): SNAPSHOT,
    (True, "nibbbiiiiii"): WINDOW,
    (False, "iiiiiibbb"): LOG,
    (False, "iiiib"): CHUNK,
    (True, "nttbi"): MIGRATION,
    (False, "ti"): ROOM_NAME,
    (False, "tb"): META,
    (False, "tt"): META,
}
META_KINDS: Final[dict[str, type[int] | type[str] | type[bytes]]] = {
    "store_id": bytes,
    "schema_version": int,
    "compat_version": int,
    "compat_release": str,
    "feature_level": int,
    "created_ms": int,
}
"""The keys of `store_meta` and what each holds."""
MOST_PACK_NODES: Final = 1 << 20
MOST_NEWER_MIGRATIONS: Final = 64


class RoomRow(Struct, frozen=True):
    """A row of `room` whose checksum holds; it says nothing of `head_seq`."""

    number: int
    room_id: str
    lineage: bytes
    epoch: bytes
    head_seq: int
    created_ms: int


class AdmissionRow(Struct, frozen=True, gc=False):
    """A row of `admission` whose checksum holds."""

    number: int
    room: int
    epoch: bytes
    from_seq: int
    to_seq: int
    admitted_ms: int
    submitter: bytes
    policy_head: bytes | None
    lineage: bytes
    reinstated: int
    checksum: int


class PackRow(Struct, frozen=True):
    """A row of `log`. `is_intact`: what its checksums cover is what was written.

    They do not cover `room`, `from_seq`, `to_seq` and `admission`.
    """

    room: int
    from_seq: int
    to_seq: int
    admission: int
    index_checksum: int
    tail_checksum: int
    head: bytes
    ids: bytes
    tail: bytes
    is_intact: bool


class WindowRow(Struct, frozen=True):
    """A row of `reconcile_window` whose checksum holds."""

    number: int
    room: int
    window: ReconcileWindow


class SnapshotRow(Struct, frozen=True):
    """A row of `snapshot` whose checksum holds."""

    number: int
    room: int
    snapshot: StoredSnapshot
    checksum: int

    def values(self) -> tuple[object, ...]:
        """The columns in the order in which a snapshot is inserted."""
        each = self.snapshot
        return (
            self.room,
            each.seq,
            each.taken_ms,
            each.size_bytes,
            each.state_hash,
            each.digest,
            each.signature,
            self.checksum,
            each.frontier,
        )


def table_of(is_table: bool, types: list[int]) -> str | None:
    """The table whose rows look like this, None for any other record."""
    return _SHAPES.get((is_table, "".join(map(_letter, types))))


def is_migration(rowid: int, values: Values, known: Sequence[Migration]) -> bool:
    """Whether the row is of a migration as it was applied: a known one, or one that came after."""
    _, name, phase, checksum, _ = values
    if not 1 <= rowid <= len(known):
        is_next = len(known) < rowid <= len(known) + MOST_NEWER_MIGRATIONS
        return is_next and len(checksum) == 32 and phase in {"expand", "backfill", "contract"}
    migration = known[rowid - 1]
    return bool((name, checksum) == (migration.name, migration.checksum))


def as_room(rowid: int, values: Values) -> RoomRow | None:
    """The row, None when its checksum does not hold."""
    _, room_id, lineage, epoch, head_seq, created_ms, written = values
    if (len(lineage), len(epoch)) != (LINEAGE_BYTES, EPOCH_BYTES) or rowid < 1:
        return None
    if room_checksum(room_id, lineage, epoch, created_ms) != written:
        return None
    return RoomRow(rowid, room_id, lineage, epoch, max(head_seq, 0), created_ms)


def as_admission(rowid: int, values: Values) -> AdmissionRow | None:
    """The row, None when its checksum does not hold."""
    row = AdmissionRow(rowid, *values[1:])
    numbers = (row.room, row.from_seq, row.to_seq, row.admitted_ms, row.reinstated)
    blobs = (row.epoch, row.submitter, row.lineage)
    if tuple(map(len, blobs)) != (EPOCH_BYTES, 32, LINEAGE_BYTES) or rowid < 1:
        return None
    is_right = admission_checksum(numbers, blobs, row.policy_head) == row.checksum
    return row if is_right and 1 <= row.from_seq <= row.to_seq else None


def as_pack(values: Values) -> PackRow | None:
    """The row, intact or not; None when it cannot even be placed."""
    row = PackRow(*[*values, False])
    count = len(row.ids) // NODE_ID_BYTES
    if row.room < 1 or not 1 <= count <= MOST_PACK_NODES:
        return None
    is_intact = (
        len(row.ids) == count * NODE_ID_BYTES
        and index_checksum(row.head, row.ids) == row.index_checksum
        and tail_checksum(row.tail) == row.tail_checksum
    )
    if not is_intact and not 1 <= row.from_seq <= row.to_seq <= row.from_seq + MOST_PACK_NODES:
        return None
    return PackRow(*[*values, is_intact])


def as_window(rowid: int, values: Values) -> WindowRow | None:
    """The row, None when its checksum does not hold."""
    room, *rest = values[1:]
    *facts, written = rest
    window = ReconcileWindow(*facts)
    epochs = (window.lost_epoch, window.old_epoch, window.new_epoch)
    numbers = (
        room,
        window.head_seq,
        window.after_seq,
        window.checkpoint_seq,
        window.opened_ms,
        window.closes_ms,
    )
    is_right = row_checksum(numbers, epochs) == written
    return WindowRow(rowid, room, window) if is_right and rowid > 0 else None


def as_snapshot(rowid: int, values: Values) -> SnapshotRow | None:
    """The row, None when its checksum does not hold."""
    _, room, seq, taken_ms, size_bytes, state_hash, digest, signature, written, frontier = values
    snapshot = StoredSnapshot(seq, taken_ms, frontier, state_hash, digest, signature, size_bytes)
    found = row_checksum(
        (room, snapshot.seq, snapshot.taken_ms, snapshot.size_bytes),
        (snapshot.state_hash, snapshot.digest, snapshot.signature, snapshot.frontier),
    )
    return SnapshotRow(rowid, room, snapshot, found) if found == written and rowid > 0 else None


def as_chunk(values: Values) -> tuple[int, int, int, bytes] | None:
    """Room, seq, number and data of a chunk of a snapshot, None when its checksum fails."""
    room, seq, chunk, written, data = values
    return (room, seq, chunk, data) if chunk_checksum(room, seq, chunk, data) == written else None


def _letter(kind: int) -> str:
    if kind == 0:
        return "n"
    if kind <= 6 or kind in (8, 9):
        return "i"
    if kind >= 12:
        return "t" if kind % 2 else "b"
    return "?"
