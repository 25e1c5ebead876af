"""The rooms in memory: opened once however many ask, read again after doubt, dropped when idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from roomlog.core.graph import Graph
from roomlog.core.reject import Reject, RejectClass
from roomlog.server.history import load_graph
from roomlog.server.metrics import Metrics
from roomlog.server.reconcile import Reconciler, load_windows
from roomlog.server.room import RETRY_AFTER_MS, Room
from roomlog.server.snapshots import RoomSnapshots, load_snapshots
from roomlog.server.store_reader import StoreReader
from roomlog.store.committer import Committer
from roomlog.store.errors import RoomExists, StoreCorrupt, StoreError, StoreUnavailable
from roomlog.store.interface import NewRoom, StoredRoom


class _RoomAbsent(Exception):
    """The store has no such room."""


@final
class RoomRegistry:
    """Owns every resident room.

    `make_room` builds one from what the store has; `new_room` invents lineage and epoch of a room
    to create. `on_lost` hears of a room whose state cannot be established any more.
    """

    def __init__(
        self,
        *,
        reader: StoreReader,
        committer: Committer,
        metrics: Metrics,
        rooms_max: int,
        make_room: Callable[[StoredRoom, Graph], Room],
        new_room: Callable[[str], NewRoom],
        on_lost: Callable[[Room, StoreError], None],
        reconciler: Reconciler,
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self.rooms: dict[str, Room] = {}
        self._reader = reader
        self._committer = committer
        self._metrics = metrics
        self._rooms_max = rooms_max
        self._make_room = make_room
        self._new_room = new_room
        self._on_lost = on_lost
        self._reconciler = reconciler
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._opening: dict[str, asyncio.Task[Room]] = {}
        self._reloads: set[asyncio.Task[None]] = set()

    async def open(self, room_id: str, may_create: bool) -> Room:
        """The room with its whole index, loaded or, when allowed, created.

        Raises `Reject`: room_not_found, room_full, store_unavailable.
        """
        while True:
            room = self.rooms.get(room_id)
            if room is not None:
                if room.is_ambiguous:
                    raise _unavailable("the room is being read again")
                return room
            task = self._opening.get(room_id)
            is_own = task is None
            if task is None:
                self._check_space()
                task = asyncio.create_task(self._load(room_id, may_create))
                self._opening[room_id] = task
                task.add_done_callback(lambda _: self._opening.pop(room_id, None))
            try:
                # A caller that gives up must not take the room away from those who wait beside it.
                return await asyncio.shield(task)
            except _RoomAbsent:
                if may_create and not is_own:
                    continue
                raise Reject(RejectClass.ROOM_NOT_FOUND, "there is no such room") from None
            except StoreError as error:
                raise _unavailable(_shown(error)) from None

    def _check_space(self) -> None:
        if len(self.rooms) + len(self._opening) >= self._rooms_max:
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
            raise Reject(RejectClass.QUEUE_FULL, "too many rooms are open", detail)

    async def _load(self, room_id: str, may_create: bool) -> Room:
        started = self._monotonic()
        try:
            stored = await self._reader.read("open_room", self._reader.store.open_room, room_id)
            if stored is None:
                if not may_create:
                    raise _RoomAbsent
                stored = await self._create(room_id)
            graph = await self._reader.read("load_index", load_graph, self._reader.store, stored)
            windows = await self._reader.read(
                "load_index", load_windows, self._reader.store, stored, self._wall_ms()
            )
            snapshots = await self._load_snapshots(stored, graph)
        except StoreError:
            self._metrics.store_errors_total.labels("open").inc()
            self._committer.try_again()
            raise
        room = self._make_room(stored, graph)
        room.windows = windows
        room.snapshots = snapshots
        self.rooms[room_id] = room
        self._metrics.rooms_resident.set(len(self.rooms))
        self._metrics.room_open_seconds.observe(self._monotonic() - started)
        return room

    async def _load_snapshots(self, stored: StoredRoom, graph: Graph) -> RoomSnapshots:
        return await self._reader.read(
            "load_index", load_snapshots, self._reader.store, stored, graph, self._monotonic()
        )

    async def _create(self, room_id: str) -> StoredRoom:
        try:
            return await asyncio.wrap_future(self._committer.create_room(self._new_room(room_id)))
        except RoomExists:
            # An earlier attempt whose outcome nobody knew did create it.
            stored = await self._reader.read("open_room", self._reader.store.open_room, room_id)
            if stored is None:
                raise StoreUnavailable(f"the room {room_id} is there and is not") from None
            return stored

    def reload(self, room: Room) -> None:
        """Nobody knows what the store has of `room`: read it, or lose the room."""
        task = asyncio.create_task(self._reload(room))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self, room: Room) -> None:
        store = self._reader.store
        try:
            stored = await self._reader.read("open_room", store.open_room, room.room_id)
            if stored is None:
                raise StoreCorrupt(room.room_id, "the room is gone")
            graph = await self._reader.read("load_index", load_graph, store, stored)
            windows = await self._reader.read("windows", store.reconcile_windows, room.room_id)
            self._reconciler.adopt(room, windows)
            if room.epoch != (windows[-1].new_epoch if windows else stored.epoch):
                raise StoreCorrupt(room.room_id, "the log is not the one it was")
            if len(graph) < room.head_seq:
                raise StoreCorrupt(room.room_id, "committed nodes are gone")
            snapshots = await self._load_snapshots(stored, graph)
        except StoreError as error:
            self._metrics.store_errors_total.labels("reload").inc()
            self.drop(room)
            self._on_lost(room, error)
        else:
            room.snapshots = snapshots
            room.reloaded(graph)

    def drop(self, room: Room) -> None:
        """Forget a room; the next one who asks loads it from the store."""
        if self.rooms.get(room.room_id) is room:
            del self.rooms[room.room_id]
            self._metrics.rooms_resident.set(len(self.rooms))

    def evict_idle(self, idle_seconds: float) -> None:
        """Drop durable rooms that nobody has used for so long and that owe nobody an answer."""
        if not self._reader.store.is_durable:
            return
        before = self._monotonic() - idle_seconds
        idle = [r for r in self.rooms.values() if r.is_quiet and r.last_used <= before]
        for room in idle:
            self.drop(room)
            self._metrics.evictions_total.inc()


def _unavailable(reason: str) -> Reject:
    detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
    return Reject(RejectClass.STORE_UNAVAILABLE, reason, detail)


def _shown(error: StoreError) -> str:
    """What a client may know of it: the log has the rest."""
    return "the room is damaged" if isinstance(error, StoreCorrupt) else "the store is unavailable"
