"""What can be wrong with a store, one type each, so that nobody has to read a message to decide."""

from __future__ import annotations

from roomlog.core.errors import RoomlogError


class StoreError(RoomlogError):
    """Anything that a store reports."""


class StoreUnavailable(StoreError):
    """The store cannot answer now: an I/O error, a full or read-only disk, a closed store."""


class QueueFull(StoreUnavailable):
    """The writer's queue is at its limit; nothing was taken."""


class StoreNotFound(StoreError):
    """There is no store at this path."""


class StoreLocked(StoreError):
    """Another process has the store open for writing.

    `pid` is that process, or None when the lock file does not say.
    """

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"the store {path} is in use by {holder}; stop that one first")
        self.path = path
        self.pid = pid


class StoreTooNew(StoreError):
    """This build is older than the oldest that may open the store.

    `release` is the release that wrote the requirement down, and can therefore open the store.
    """

    def __init__(self, path: str, compat_version: int, schema_version: int, release: str) -> None:
        super().__init__(
            f"the store {path} needs code of schema version {compat_version} or newer, this build "
            f"has {schema_version}; use roomlog {release} or newer"
        )
        self.path = path
        self.compat_version = compat_version
        self.schema_version = schema_version
        self.release = release


class StoreNeedsMigration(StoreError):
    """The store is older than this build: expand migrations are pending.

    `pending` are their names, in the order in which they apply.
    """

    def __init__(self, path: str, pending: tuple[str, ...]) -> None:
        super().__init__(
            f"the store {path} has pending migrations ({', '.join(pending)}); "
            f"run: roomlog migrate up --store {path}"
        )
        self.path = path
        self.pending = pending


class StoreCorrupt(StoreError):
    """What was read cannot be what was written. `room` is the room id, None for the whole store."""

    def __init__(self, room: str | None, detail: str) -> None:
        where = f"room {room}" if room is not None else "the store"
        super().__init__(f"{where} is damaged: {detail}")
        self.room = room
        self.detail = detail


class RoomExists(StoreError):
    """A room of this id was created before."""

    def __init__(self, room_id: str) -> None:
        super().__init__(f"the room {room_id} exists already")
        self.room_id = room_id


class RoomUnknown(StoreError):
    """The store holds no room of this id."""

    def __init__(self, room_id: str) -> None:
        super().__init__(f"there is no room {room_id}")
        self.room_id = room_id


class EpochMismatch(StoreError):
    """The room's log is not of the epoch that was to be renewed."""

    def __init__(self, room_id: str) -> None:
        super().__init__(f"the epoch of the room {room_id} is another one")
        self.room_id = room_id


class SnapshotUnknown(StoreError):
    """The room has no snapshot at this seq, or no longer."""

    def __init__(self, room_id: str, seq: int) -> None:
        super().__init__(f"the room {room_id} has no snapshot at seq {seq}")
        self.room_id = room_id
        self.seq = seq


class SnapshotExists(StoreError):
    """The room has a snapshot at this seq already."""

    def __init__(self, room_id: str, seq: int) -> None:
        super().__init__(f"the room {room_id} has a snapshot at seq {seq} already")
        self.room_id = room_id
        self.seq = seq
