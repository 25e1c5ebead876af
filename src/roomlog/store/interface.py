"""What the server asks of a store, whichever backend it is.

Nodes of a room are numbered by `seq` from 1 without gaps under a random 16-byte `epoch`. The unit
of writing is an `Append`: a pack of nodes with contiguous seq, whole or not at all. The suite that
every backend passes is `tests/store/conformance.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Protocol

from msgspec import Struct

NODE_ID_BYTES = 32
EPOCH_BYTES = 16
LINEAGE_BYTES = 32
SUBMITTER_BYTES = 32
SNAPSHOT_CHUNK_BYTES = 256 * 1024
"""How long every chunk of a stored snapshot but the last is."""
SNAPSHOTS_KEPT = 2


class StoreIdentity(Struct, frozen=True):
    """Which store this is and which code may open it. `store_id` is 16 random bytes."""

    store_id: bytes
    schema_version: int
    compat_version: int
    feature_level: int
    created_ms: int


class NewRoom(Struct, frozen=True):
    """A room to create: lineage 32 random bytes, epoch 16 random bytes, time in milliseconds."""

    room_id: str
    lineage: bytes
    epoch: bytes
    created_ms: int


class StoredRoom(Struct, frozen=True):
    """A room as the store knows it; `head_seq` is 0 when its log is empty."""

    room_id: str
    lineage: bytes
    epoch: bytes
    head_seq: int
    created_ms: int


class IndexRow(Struct, frozen=True, gc=False):
    """What building a graph needs of one pack.

    `ids` are the node ids, 32 bytes each, in order of seq. `head` is the pack up to the end of its
    headers block: the frame and every header, no signature, no body.
    """

    from_seq: int
    to_seq: int
    ids: bytes
    head: bytes


class LogRow(Struct, frozen=True, gc=False):
    """One pack of the log, whole, with the seq of its first and last node."""

    from_seq: int
    to_seq: int
    pack: bytes


class AdmissionRecord(Struct, frozen=True):
    """Who had which nodes admitted, when and under which policy: for audit and `--at TIME`.

    `submitter` is the public key of the session that pushed; `policy_head` names the policy record
    in force, None while there is none; `reinstated` marks nodes taken back after a restore.
    """

    epoch: bytes
    from_seq: int
    to_seq: int
    admitted_ms: int
    submitter: bytes
    policy_head: bytes | None
    lineage: bytes
    reinstated: bool


class Append(Struct, frozen=True):
    """Nodes to write to a room's log: `count` nodes in `pack`, numbered from `from_seq`.

    `ids` are the node ids, 32 bytes each, in the pack's order. `lineage` None means the room's own.
    """

    room_id: str
    epoch: bytes
    from_seq: int
    count: int
    pack: bytes
    ids: bytes
    submitter: bytes
    admitted_ms: int
    policy_head: bytes | None = None
    lineage: bytes | None = None
    reinstated: bool = False

    @property
    def to_seq(self) -> int:
        """The seq of the last node."""
        return self.from_seq + self.count - 1


class StoredSnapshot(Struct, frozen=True):
    """What a store knows of a snapshot beside its state (`snapshots.md`).

    The state of the log up to `seq`: `size_bytes` in `chunks` chunks. `frontier` is a signed pack
    of the heads there; `state_hash` and `digest` (BLAKE3 of the state) have 32 bytes, `signature`,
    the server's, 64.
    """

    seq: int
    taken_ms: int
    frontier: bytes
    state_hash: bytes
    digest: bytes
    signature: bytes
    size_bytes: int

    @property
    def chunks(self) -> int:
        """How many chunks the state is kept in."""
        return -(-self.size_bytes // SNAPSHOT_CHUNK_BYTES)


def snapshot_chunks(state: bytes) -> list[bytes]:
    """The state of a snapshot in the chunks it is kept in."""
    return [
        state[start : start + SNAPSHOT_CHUNK_BYTES]
        for start in range(0, len(state), SNAPSHOT_CHUNK_BYTES)
    ]


class ReconcileWindow(Struct, frozen=True):
    """A stretch of time in which clients bring back what the server lost (`sync.md`).

    The log of `lost_epoch` is gone, a checkpoint of it proved; the room's own epoch was `old_epoch`
    and became `new_epoch` when its head was `head_seq` (equal for a room that was founded again).
    Nothing at or below `after_seq` was lost; `checkpoint_seq` is how far the lost log had come at
    least. Open from `opened_ms` to `closes_ms`, wall clock.
    """

    lost_epoch: bytes
    old_epoch: bytes
    new_epoch: bytes
    head_seq: int
    after_seq: int
    checkpoint_seq: int
    opened_ms: int
    closes_ms: int


class AppendStatus(enum.Enum):
    """What became of an append.

    COMMITTED: durable. FAILED: not in the log and never will be. AMBIGUOUS: the commit itself
    failed, so nobody knows; the room must be read again before anything is said about it.
    """

    COMMITTED = "committed"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"


class AppendOutcome(Struct, frozen=True):
    """The status of one append, with the reason unless it is committed."""

    status: AppendStatus
    reason: str = ""

    @property
    def is_committed(self) -> bool:
        return self.status is AppendStatus.COMMITTED


COMMITTED = AppendOutcome(AppendStatus.COMMITTED)


def failed(reason: str) -> AppendOutcome:
    """The outcome of an append that is not in the log."""
    return AppendOutcome(AppendStatus.FAILED, reason)


def ambiguous(reason: str) -> AppendOutcome:
    """The outcome of an append of which nobody knows whether it is in the log."""
    return AppendOutcome(AppendStatus.AMBIGUOUS, reason)


class NodeStore(Protocol):
    """Rooms and their logs. Synchronous.

    `create_rooms`, `commit`, `renew_epoch`, `write_snapshot_chunks`, `finish_snapshot` and
    `drop_snapshots` are called from one thread, the committer's; everything else from any thread,
    beside writes.
    Reading raises `StoreUnavailable` when the store cannot answer and `StoreCorrupt` when it must
    not; a room is never reported as empty or absent because it could not be read.
    """

    @property
    def identity(self) -> StoreIdentity:
        """Store id and versions, as they were when the store was opened."""

    @property
    def is_durable(self) -> bool:
        """Whether a committed append outlives the process."""

    def rooms(self) -> list[StoredRoom]:
        """Every room, ascending by room id."""

    def open_room(self, room_id: str) -> StoredRoom | None:
        """The room, or None when it was never created."""

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        """Create rooms durably; for each the room, `RoomExists` or `StoreUnavailable`.

        A ValueError is given for what is no room: another length of lineage or epoch.

        After `StoreUnavailable` the room may exist none the less: open it before creating it again.
        """

    def load_index(self, room_id: str) -> Iterator[IndexRow]:
        """Every pack of the log in order of seq, without signatures and bodies.

        Raises `RoomUnknown`; `StoreCorrupt` when rows are missing, overlap, or fail their checksum.
        """

    def read_log(
        self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int = 1 << 20
    ) -> list[LogRow]:
        """Whole packs from the one that holds `after_seq + 1` on, [] at the end of the log.

        The first pack may begin at or before `after_seq`: rows are whole. Reading stops before the
        row that would pass `max_nodes` or `max_bytes`, but one row is always given.
        """

    def admissions(
        self, room_id: str, after_seq: int = 0, max_records: int | None = None
    ) -> Iterator[AdmissionRecord]:
        """Admission records in order of seq, of nodes numbered above `after_seq`."""

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        """Write a batch in one transaction, durably; one outcome for each append, in order.

        An append that does not start at the room's head + 1, names another epoch or cannot be
        written fails alone. Never raises for a fault of the store. An empty batch writes nothing;
        a store that refuses to be read since a commit failed finds out whether it can be again.
        """

    def renew_epoch(self, room_id: str, window: ReconcileWindow) -> ReconcileWindow:
        """Give a room the epoch `window.new_epoch` and write the window down, in one transaction.

        `window.head_seq` counts for nothing: the head at that moment is written. One window a lost
        epoch: when there is one already, nothing changes and that one is given. Raises
        `RoomUnknown`, `EpochMismatch` when the room's epoch is not `window.old_epoch`, ValueError
        for what is no window, `StoreUnavailable`, after which it may have happened none the less.
        """

    def reconcile_windows(self, room_id: str) -> list[ReconcileWindow]:
        """Every window the room ever had, in the order in which they were opened."""

    def write_snapshot_chunks(
        self, room_id: str, seq: int, first: int, chunks: Sequence[bytes]
    ) -> None:
        """Write chunks `first`, `first` + 1 ... of a snapshot nobody sees until it is finished.

        Raises `RoomUnknown`, `SnapshotExists`, `StoreUnavailable`.
        """

    def finish_snapshot(self, room_id: str, snapshot: StoredSnapshot) -> None:
        """Make a snapshot whose chunks were written visible, durably.

        All but the two taken last, and chunks of unfinished ones, are removed. Raises
        `RoomUnknown`, `SnapshotExists`, ValueError when chunks are missing, `StoreUnavailable`.
        """

    def drop_snapshots(self, room_id: str, seqs: Sequence[int]) -> None:
        """Remove the snapshots at `seqs`, as far as there are any.

        Raises `RoomUnknown`, `StoreUnavailable`.
        """

    def newest_snapshots(self, room_id: str) -> list[StoredSnapshot]:
        """The snapshots of a room, the one taken last first."""

    def read_snapshot(self, room_id: str, seq: int, chunk: int) -> bytes:
        """One chunk of the state, from 0. Raises `SnapshotUnknown` when it was removed."""

    def check(self) -> None:
        """Raise `StoreCorrupt` if the backend's own structures are damaged. Reads everything."""

    def close(self) -> None:
        """Give everything back. Further calls raise `StoreUnavailable`."""
