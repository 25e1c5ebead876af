"""A server's store and a naive model of it: every state that its answers so far leave possible.

What COMMIT answered well is in every possible state; what nobody knows doubles them; whatever is
read leaves one. Between two reads nothing may come or go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, final

from blake3 import blake3

from roomlog.core.node import Node
from roomlog.store.errors import StoreCorrupt, StoreError, StoreUnavailable
from roomlog.store.interface import (
    Append,
    AppendStatus,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    snapshot_chunks,
)
from roomlog.store.sqlite import SqliteStore
from tests.simulation.disk import SimulatedDisk
from tests.store.chains import Chain, make_append

STORE_ID = b"i" * 16


class RoomState(NamedTuple):
    """Everything that the store says of one room."""

    room: StoredRoom
    log: tuple[tuple[int, int, bytes], ...] = ()
    epochs: tuple[bytes, ...] = ()
    windows: tuple[ReconcileWindow, ...] = ()
    snapshots: tuple[tuple[StoredSnapshot, bytes], ...] = ()


State = tuple[tuple[str, RoomState], ...]
"""Every room by name, ascending."""


@final
class WatchedStore:
    """One store on a disk, opened and reopened, and what it may hold."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.path = disk.root / "store"
        self.possible: set[State] = {()}
        self.store: SqliteStore | None = None
        self._made = 0

    def open(self) -> bool:
        """Open the store unless it is open; whether it is."""
        if self.store is None:
            try:
                self.store = SqliteStore.open(
                    self.path, store_id=STORE_ID, now_ms=1, connect=self.disk.connect
                )
            except StoreUnavailable:
                return False
            self.look()
        return True

    def close(self) -> None:
        """An orderly end."""
        store, self.store = self.store, None
        if store is not None:
            store.close()

    def create_rooms(self, *names: str) -> None:
        """Create rooms in one transaction."""
        if self.store is None:
            return
        rooms = [NewRoom(name, self._bytes(32), self._bytes(16), 5) for name in names]
        results = self.store.create_rooms(rooms)
        unknown = any(isinstance(result, StoreUnavailable) for result in results)
        if not unknown:
            # What was there already tells which of the possible states it was.
            existed = [not isinstance(result, StoredRoom) for result in results]
            self.possible = {
                state
                for state in self.possible
                if [room.room_id in dict(state) for room in rooms] == existed
            }
            assert self.possible

        def created(state: State) -> State:
            known = dict(state)
            for room in rooms:
                stored = StoredRoom(room.room_id, room.lineage, room.epoch, 0, room.created_ms)
                known.setdefault(room.room_id, RoomState(stored))
            return _state(known)

        self._apply(created, is_certain=not unknown)

    def commit(self, counts: Mapping[str, int], value: str = "") -> None:
        """Append so many nodes to each room, in one batch."""
        known = self._known()
        if self.store is None or known is None:
            return
        batch = [
            _append(known[name], count, value) for name, count in counts.items() if name in known
        ]
        outcomes = self.store.commit(batch)
        for status in AppendStatus:
            appends = [
                append
                for append, outcome in zip(batch, outcomes, strict=True)
                if outcome.status is status
            ]
            if appends and status is not AppendStatus.FAILED:
                self._apply(
                    lambda state, those=appends: _appended(state, those),  # type: ignore[misc]
                    is_certain=status is AppendStatus.COMMITTED,
                )

    def renew_epoch(self, name: str) -> None:
        """Give a room another epoch."""
        known = self._known()
        if self.store is None or known is None or name not in known:
            return
        before = known[name].room
        lost, new = self._bytes(16), self._bytes(16)
        asked = ReconcileWindow(lost, before.epoch, new, before.head_seq, 0, 900, 1_000, 2_000)

        def renewed(state: State) -> State:
            rooms = dict(state)
            room = rooms[name]
            stored = StoredRoom(name, before.lineage, new, before.head_seq, before.created_ms)
            rooms[name] = room._replace(room=stored, windows=(*room.windows, asked))
            return _state(rooms)

        self._change(lambda store: store.renew_epoch(name, asked), renewed)

    def take_snapshot(self, name: str, size_bytes: int) -> None:
        """Write a snapshot, a chunk at a time."""
        known = self._known()
        if self.store is None or known is None or name not in known:
            return
        self._made += 1
        seq, content = self._made, blake3(self._bytes(8)).digest(length=size_bytes)
        digest = blake3(content).digest()
        snapshot = StoredSnapshot(seq, 7, b"frontier", b"h" * 32, digest, b"s" * 64, size_bytes)
        try:
            for number, chunk in enumerate(snapshot_chunks(content)):
                self.store.write_snapshot_chunks(name, seq, number, [chunk])
        except StoreUnavailable:
            return

        def taken(state: State) -> State:
            rooms = dict(state)
            room = rooms[name]
            rooms[name] = room._replace(snapshots=((snapshot, content), *room.snapshots)[:2])
            return _state(rooms)

        try:
            self._change(lambda store: store.finish_snapshot(name, snapshot), taken)
        except ValueError:
            # A chunk of which nobody knew whether it was written was not.
            assert self.disk.met.total() > 0

    def look(self) -> bool:
        """Read everything; whether the store answered. What it says must have been possible."""
        if self.store is None:
            return False
        try:
            found = read_state(self.store)
            self.store.check()
        except StoreUnavailable:
            return False
        assert found in self.possible, _difference(found, self.possible)
        self.possible = {found}
        return True

    def _known(self) -> dict[str, RoomState] | None:
        """The rooms, when there is no doubt."""
        if len(self.possible) > 1:
            if self.store is not None:
                self.store.commit([])
            self.look()
        return dict(next(iter(self.possible))) if len(self.possible) == 1 else None

    def _change(
        self, ask: Callable[[SqliteStore], object], change: Callable[[State], State]
    ) -> None:
        assert self.store is not None
        try:
            ask(self.store)
        except StoreUnavailable:
            self._apply(change, is_certain=False)
        else:
            self._apply(change, is_certain=True)

    def _apply(self, change: Callable[[State], State], *, is_certain: bool) -> None:
        changed = {change(state) for state in self.possible}
        self.possible = changed if is_certain else self.possible | changed

    def _bytes(self, length: int) -> bytes:
        self._made += 1
        return blake3(self._made.to_bytes(8, "big")).digest(length=length)


def read_state(store: SqliteStore) -> State:
    """Everything in the store, through everything that reads. Raises `StoreError`."""
    found: dict[str, RoomState] = {}
    for room in store.rooms():
        name = room.room_id
        assert store.open_room(name) == room
        rows = store.read_log(name, 0, 1 << 30, 1 << 40)
        index = [(row.from_seq, row.to_seq) for row in store.load_index(name)]
        records = list(store.admissions(name))
        assert index == [(row.from_seq, row.to_seq) for row in rows]
        assert index == [(record.from_seq, record.to_seq) for record in records]
        found[name] = RoomState(
            room,
            tuple((row.from_seq, row.to_seq, row.pack) for row in rows),
            tuple(record.epoch for record in records),
            tuple(store.reconcile_windows(name)),
            tuple(
                (snapshot, b"".join(_chunks(store, name, snapshot)))
                for snapshot in store.newest_snapshots(name)
            ),
        )
    return _state(found)


def _chunks(store: SqliteStore, name: str, snapshot: StoredSnapshot) -> list[bytes]:
    return [store.read_snapshot(name, snapshot.seq, number) for number in range(snapshot.chunks)]


def _state(rooms: Mapping[str, RoomState]) -> State:
    return tuple(sorted(rooms.items()))


def _appended(state: State, appends: list[Append]) -> State:
    rooms = dict(state)
    for append in appends:
        before = rooms[append.room_id]
        stored = before.room
        assert (append.epoch, append.from_seq) == (stored.epoch, stored.head_seq + 1)
        rooms[append.room_id] = before._replace(
            room=StoredRoom(
                stored.room_id, stored.lineage, stored.epoch, append.to_seq, stored.created_ms
            ),
            log=(*before.log, (append.from_seq, append.to_seq, append.pack)),
            epochs=(*before.epochs, append.epoch),
        )
    return _state(rooms)


def _append(state: RoomState, count: int, value: str) -> Append:
    room = state.room
    return make_append(room, room.head_seq + 1, list(_nodes(room.head_seq, count, value)))


@lru_cache(maxsize=4_096)
def _nodes(head_seq: int, count: int, value: str) -> tuple[Node, ...]:
    """Signed nodes that tell their place; the store does not look at whose they are."""
    chain = Chain(StoredRoom("any", b"l" * 32, b"e" * 16, 0, 0))
    chain.append(count, value=f"{head_seq} {value}")
    return tuple(chain.nodes)


def _difference(found: State, possible: set[State]) -> str:
    def brief(state: State) -> str:
        return ", ".join(
            f"{name}: head {each.room.head_seq}, log to {each.log[-1][1] if each.log else 0}, "
            f"{len(each.windows)} windows, snapshots {[s.seq for s, _ in each.snapshots]}"
            for name, each in state
        )

    return f"found [{brief(found)}], possible {[brief(each) for each in possible]}"


__all__ = ["RoomState", "State", "StoreCorrupt", "StoreError", "WatchedStore", "read_state"]
