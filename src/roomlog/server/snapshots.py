"""Snapshots of rooms: which are worth offering, when another is due, and sending one.

Replaying a room is the worker's business; here its answer is signed and stored. Nothing waits for
any of it: a room without a usable snapshot is joined by its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, final
from weakref import WeakSet

import msgspec

from roomlog.core.errors import RoomlogError
from roomlog.core.graph import Graph
from roomlog.core.signing import Signer
from roomlog.core.snapshot.critical import CriticalPlace
from roomlog.core.snapshot.facts import SnapshotFacts, sign_snapshot
from roomlog.protocol.effects import ReadSnapshot
from roomlog.protocol.messages import Snapshot
from roomlog.server.host import Replayer
from roomlog.server.logging import Log
from roomlog.server.metrics import Metrics
from roomlog.server.worker_frames import ReplayTask, SnapshotFound
from roomlog.store.committer import Committer
from roomlog.store.errors import SnapshotUnknown, StoreCorrupt
from roomlog.store.interface import (
    SNAPSHOT_CHUNK_BYTES,
    SNAPSHOTS_KEPT,
    NodeStore,
    StoredRoom,
    StoredSnapshot,
)

if TYPE_CHECKING:
    from roomlog.server.feeder import Feeder
    from roomlog.server.room import Room

RETRY_SECONDS: Final = 60.0
"""How long a room whose snapshot failed waits for the next try; longer after each."""
RETRY_SECONDS_MAX: Final = 3_600.0


class SnapshotPolicy(msgspec.Struct, frozen=True):
    """When a snapshot is taken, and from how many nodes on it is worth offering.

    `every_nodes` 0 takes none at all.
    """

    every_nodes: int = 10_000
    every_seconds: float = 600.0
    margin_nodes: int = 64
    worth_nodes: int = 1_000


DEFAULT_POLICY: Final = SnapshotPolicy()


@final
class RoomSnapshots:
    """The stored snapshots of one room, and whether the log still has a place for them."""

    __slots__ = (
        "_broken",
        "_sending",
        "_stored",
        "failures",
        "tried_at",
        "tried_seq",
        "was_usable",
    )

    def __init__(
        self, graph: Graph, stored: Sequence[StoredSnapshot] = (), *, now: float = 0.0
    ) -> None:
        """Looks at the whole `graph`. `now` is in monotonic seconds."""
        self._stored = [
            (each, CriticalPlace(graph, each.seq)) for each in stored if each.seq <= len(graph)
        ]
        self._broken: list[int] = []
        self._sending: WeakSet[SnapshotAnswer] = WeakSet()
        newest = self.newest()
        self.tried_seq = 0 if newest is None else newest.seq
        """The head of the log at the last try."""
        self.tried_at = now
        self.was_usable = newest is not None
        self.failures = 0

    def newest(self) -> StoredSnapshot | None:
        """The latest one that every later node builds upon."""
        usable = [each for each, place in self._stored if place.holds()]
        return max(usable, key=_seq_of, default=None)

    def offered(self, policy: SnapshotPolicy) -> StoredSnapshot | None:
        """The one to offer to joiners, None when there is none or none is worth it."""
        newest = self.newest()
        return newest if newest is not None and newest.seq >= policy.worth_nodes else None

    def useless(self) -> list[int]:
        """The seqs of those that nobody can begin with any more, and that nobody is reading."""
        read = {answer.seq for answer in self._sending}
        lost = [each.seq for each, place in self._stored if not place.holds()]
        return [*self._broken, *(seq for seq in lost if seq not in read)]

    def send(self, answer: SnapshotAnswer) -> None:
        """`answer` is being sent: what it sends is kept for as long."""
        self._sending.add(answer)

    def discard(self, seq: int) -> None:
        """The one at `seq` cannot be read: it is not offered any more."""
        self._stored = [pair for pair in self._stored if pair[0].seq != seq]
        self._broken.append(seq)

    def has(self, seq: int) -> bool:
        """Whether there is one at `seq`."""
        return any(each.seq == seq for each, _ in self._stored)

    def forget(self, seqs: Sequence[int]) -> None:
        """Those at `seqs` are no longer stored."""
        self._stored = [pair for pair in self._stored if pair[0].seq not in seqs]
        self._broken = [seq for seq in self._broken if seq not in seqs]

    def add(self, snapshot: StoredSnapshot, place: CriticalPlace) -> None:
        """Another one was stored."""
        self._stored = [(snapshot, place), *self._stored][:SNAPSHOTS_KEPT]
        self.was_usable = True

    def is_due(self, policy: SnapshotPolicy, head_seq: int, now: float) -> bool:
        """Whether it is time to look for a place for another one."""
        new_nodes = head_seq - self.tried_seq
        if not policy.every_nodes or head_seq - policy.margin_nodes < policy.worth_nodes:
            return False
        waited = now - self.tried_at
        if self.failures:
            return waited >= min(RETRY_SECONDS * self.failures, RETRY_SECONDS_MAX)
        if not new_nodes:
            return False
        newest = self.newest()
        if newest is None and self.was_usable:
            # A late node has taken the last one's place away.
            return True
        return new_nodes >= policy.every_nodes or (
            waited >= policy.every_seconds and new_nodes >= policy.margin_nodes
        )

    def tried(self, head_seq: int, now: float) -> None:
        """A place was looked for in the log up to `head_seq`."""
        self.tried_seq, self.tried_at = head_seq, now
        self.was_usable = self.newest() is not None


def load_snapshots(store: NodeStore, room: StoredRoom, graph: Graph, now: float) -> RoomSnapshots:
    """The snapshots of a room whose graph nobody else uses yet. Blocks. Raises `StoreError`."""
    return RoomSnapshots(graph, store.newest_snapshots(room.room_id), now=now)


@final
class SnapshotKeeper:
    """Has snapshots taken of resident rooms when they are due, one after the other.

    `resident` gives the room of an id as it is in memory now, or None.
    """

    def __init__(
        self,
        store: NodeStore,
        committer: Committer,
        worker: Replayer,
        *,
        policy: SnapshotPolicy,
        signer: Signer,
        metrics: Metrics,
        log: Log,
        resident: Callable[[str], Room | None],
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._committer = committer
        self._worker = worker
        self._policy = policy
        self._signer = signer
        self._metrics = metrics
        self._log = log
        self._resident = resident
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._taking: asyncio.Task[None] | None = None

    def tick(self, rooms: Iterable[Room]) -> None:
        """Start the next snapshot that is due, that of the room which has grown most."""
        self._worker.tick()
        if self._taking is not None:
            return
        now = self._monotonic()
        due = [room for room in rooms if room.snapshots.is_due(self._policy, room.head_seq, now)]
        if due:
            room = max(due, key=_growth)
            self._taking = asyncio.create_task(self._try(room))
            self._taking.add_done_callback(self._tried)

    async def close(self) -> None:
        """Give up what is under way."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])

    def _tried(self, _: asyncio.Task[None]) -> None:
        self._taking = None

    async def _try(self, room: Room) -> None:
        head_seq, started = room.head_seq, self._monotonic()
        room.snapshots.tried(head_seq, started)
        try:
            taken = await self._take(room, head_seq)
        except RoomlogError as error:
            room.snapshots.failures += 1
            self._metrics.snapshots_total.labels("failed").inc()
            self._log.error("snapshot failed", room=room.room_id, reason=str(error))
        except Exception as error:
            room.snapshots.failures += 1
            self._metrics.snapshots_total.labels("failed").inc()
            self._log.error("snapshot failed", room=room.room_id, exc_info=error)
        else:
            room.snapshots.failures = 0
            self._metrics.snapshots_total.labels("taken" if taken else "no_place").inc()
            self._metrics.snapshot_seconds.observe(self._monotonic() - started)
            if taken is not None:
                self._metrics.snapshot_bytes_total.inc(taken.size_bytes)
                self._log.info(
                    "snapshot taken",
                    room=room.room_id,
                    seq=taken.seq,
                    head_seq=head_seq,
                    size_bytes=taken.size_bytes,
                    seconds=round(self._monotonic() - started, 3),
                )

    async def _take(self, room: Room, head_seq: int) -> StoredSnapshot | None:
        newest = room.snapshots.newest()
        base_seq = 0 if newest is None else newest.seq
        policy = self._policy
        task = ReplayTask(
            kind="snapshot",
            store=self._worker.path,
            room_id=room.room_id,
            server_key=self._signer.public_key,
            head_seq=head_seq,
            base_seq=base_seq,
            # A place hardly later than the last one is not worth the writing.
            least_seq=base_seq + max(1, policy.margin_nodes),
            most_seq=head_seq - policy.margin_nodes,
        )
        useless = room.snapshots.useless()
        if useless:
            await self._write(lambda: self._store.drop_snapshots(room.room_id, useless))
            room.snapshots.forget(useless)
        intake = _Intake(self._store, self._committer, room.room_id)
        await self._worker.run(task, intake.take)
        found = intake.found
        if found is None or found.seq == 0:
            return None
        graph = room.graph
        heads = [graph.index_of(node_id) for node_id in found.frontier]
        if not all(0 <= lv < found.seq for lv in heads) or intake.size_bytes != found.size_bytes:
            raise SnapshotRefused(f"the snapshot at seq {found.seq} is not of this log")
        facts = SnapshotFacts(
            room.lineage, found.seq, found.frontier, found.state_hash, found.digest
        )
        snapshot = StoredSnapshot(
            found.seq,
            self._wall_ms(),
            found.frontier_pack,
            found.state_hash,
            found.digest,
            sign_snapshot(self._signer, facts),
            found.size_bytes,
        )
        await self._write(lambda: self._store.finish_snapshot(room.room_id, snapshot))
        # The room may have been loaded again meanwhile; its log is the same.
        now_resident = self._resident(room.room_id)
        if now_resident is not None and not now_resident.snapshots.has(snapshot.seq):
            place = CriticalPlace(now_resident.graph, snapshot.seq, heads, head_seq)
            now_resident.snapshots.add(snapshot, place)
        return snapshot

    async def _write(self, work: Callable[[], None]) -> None:
        await asyncio.wrap_future(self._committer.run(work))


class SnapshotRefused(RoomlogError):
    """What the worker gave is not what was asked for."""


@final
class _Intake:
    """Takes a snapshot from the worker and writes its chunks as they come."""

    def __init__(self, store: NodeStore, committer: Committer, room_id: str) -> None:
        self._store = store
        self._committer = committer
        self._room_id = room_id
        self._chunks = 0
        self.found: SnapshotFound | None = None
        self.size_bytes = 0

    async def take(self, part: bytes) -> None:
        found = self.found
        if found is None:
            self.found = msgspec.msgpack.decode(part, type=SnapshotFound)
            return
        number, self._chunks = self._chunks, self._chunks + 1
        self.size_bytes += len(part)
        await asyncio.wrap_future(
            self._committer.run(
                lambda: self._store.write_snapshot_chunks(self._room_id, found.seq, number, [part])
            )
        )


@final
class SnapshotAnswer:
    """Sends a snapshot, a chunk each time the socket has taken the one before.

    The first message has the heads as well: if both are too long for a frame, the rest of the
    first chunk is a message of its own. If the snapshot becomes uncritical meanwhile it is sent on:
    its joiner holds what does not fit.
    """

    def __init__(self, read: ReadSnapshot, snapshot: StoredSnapshot, most_bytes: int) -> None:
        """`most_bytes` is the most of heads and state in one message."""
        self.seq = snapshot.seq
        self._read = read
        self._snapshot = snapshot
        self._first_bytes = min(
            snapshot.size_bytes, SNAPSHOT_CHUNK_BYTES, max(1, most_bytes - len(snapshot.frontier))
        )
        self._is_split = self._first_bytes < min(snapshot.size_bytes, SNAPSHOT_CHUNK_BYTES)
        self._messages = 0
        self._chunks = 0
        self._rest = b""

    async def turn(self, feeder: Feeder) -> bool:
        """Send the next piece; whether it was the last."""
        await feeder.drained()
        if feeder.is_stopped:
            return True
        snapshot = self._snapshot
        data, self._rest = self._rest, b""
        if not data:
            data = await self._next_chunk(feeder)
            if feeder.is_stopped:
                return True
        if self._messages:
            message = Snapshot(chunk=self._messages, data=data)
        else:
            data, self._rest = data[: self._first_bytes], data[self._first_bytes :]
            message = Snapshot(
                data=data,
                chunks=snapshot.chunks + self._is_split,
                size_bytes=snapshot.size_bytes,
                seq=snapshot.seq,
                frontier=snapshot.frontier,
                state_hash=snapshot.state_hash,
                digest=snapshot.digest,
                signature=snapshot.signature,
            )
        self._messages += 1
        connection = feeder.connection
        connection.perform(connection.session.snapshot_chunk(self._read, message))
        connection.flush()
        connection.hub.metrics.catch_up_bytes.inc(len(data))
        return self._chunks == snapshot.chunks and not self._rest

    async def _next_chunk(self, feeder: Feeder) -> bytes:
        room, _ = feeder.place()
        hub, seq = feeder.connection.hub, self._snapshot.seq
        try:
            data = await hub.store_reader.read(
                "read_snapshot", hub.store.read_snapshot, room.room_id, seq, self._chunks
            )
        except (StoreCorrupt, SnapshotUnknown):
            # This session ends; the next one is not sent here again.
            room.snapshots.discard(seq)
            raise
        self._chunks += 1
        return data


def _seq_of(snapshot: StoredSnapshot) -> int:
    return snapshot.seq


def _growth(room: Room) -> int:
    return room.head_seq - room.snapshots.tried_seq
