"""What needs a room's state, and so a replay of its log: snapshots and state hashes.

Runs in the worker process, on a store that nobody changes through it. A long log is replayed in
stages, from one critical place to a later one, so that never all of its nodes are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, final

from roomlog.core.graph import Graph
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.pack.index import add_headers
from roomlog.core.reject import Reject
from roomlog.core.replica import Replica
from roomlog.core.snapshot.critical import newest_critical
from roomlog.core.snapshot.facts import OpenedSnapshot, SnapshotFacts, check_snapshot
from roomlog.core.snapshot.format import decode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import SnapshotTaker, TakenSnapshot
from roomlog.core.state_hash import hash_leaves
from roomlog.server.worker_frames import HashFound, ReplayTask
from roomlog.store.errors import RoomUnknown, StoreCorrupt
from roomlog.store.interface import NodeStore, StoredRoom

STAGE_NODES: Final = 65_536
PAGE_NODES: Final = 4_096
MOST_FRONTIER_BYTES: Final = 320 * 1024
"""The heads travel in one frame, and every frame may have half a MiB."""
FRONTIER_TRIES: Final = 16


@final
class Replay:
    """The log of one room, as far as one task is about it."""

    def __init__(self, store: NodeStore, task: ReplayTask) -> None:
        """Reads the headers of the whole log. Raises `StoreError`."""
        room = store.open_room(task.room_id)
        if room is None:
            raise RoomUnknown(task.room_id)
        self._store = store
        self._task = task
        self._room: StoredRoom = room
        self._hasher = NodeHasher(room.lineage)
        self._graph = self._read_graph()

    def _read_graph(self) -> Graph:
        head_seq = self._task.head_seq
        graph = Graph()
        for row in self._store.load_index(self._room.room_id):
            if row.from_seq > head_seq:
                break
            add_headers(graph, row.head, row.ids)
        if len(graph) != head_seq:
            raise StoreCorrupt(self._room.room_id, f"{len(graph)} of {head_seq} nodes are there")
        return graph

    def take_snapshot(self) -> TakenSnapshot | None:
        """The newest one between the task's bounds, None when there is no place for one."""
        task = self._task
        most_seq = min(task.most_seq, task.head_seq)
        for _ in range(FRONTIER_TRIES):
            seq = newest_critical(self._graph, most_seq, task.least_seq)
            if seq == 0:
                return None
            base = self._stages(seq, _first_below(task.base_seq, seq))
            taken = self._take(base, seq)
            if len(taken.frontier_pack) <= MOST_FRONTIER_BYTES:
                return taken
            most_seq = seq - 1
        return None

    def state_hash(self) -> HashFound:
        """The hash of everything up to the head of the task, of the keys of its patterns."""
        task = self._task
        base = self._stages(task.head_seq, task.base_seq)
        if base is None:
            replica = Replica(task.room_id, lineage=self._room.lineage)
        else:
            replica = Replica.from_snapshot(task.room_id, None, self._room.lineage, base)
        for nodes in self._nodes(0 if base is None else base.seq, task.head_seq):
            result = replica.add_nodes(nodes, verify=False)
            if result.rejected:
                first = result.rejected[0]
                message = f"node {first.id.hex()}: {first.message}"
                raise StoreCorrupt(self._room.room_id, message)
        found = replica.state_hash(task.patterns)
        return HashFound(self._graph.frontier_ids(), found.hex, found.coverage.to_dict())

    def _stages(self, last_seq: int, base_seq: int) -> OpenedSnapshot | None:
        """A snapshot at most a stage below `last_seq`, or the last one that there can be."""
        base = self._stored(base_seq) if base_seq else None
        seq = 0 if base is None else base.seq
        reach = STAGE_NODES
        while last_seq - seq > STAGE_NODES and seq + reach < last_seq:
            stage = newest_critical(self._graph, seq + reach, seq + 1)
            if stage == 0:
                reach *= 2
                continue
            base = opened(self._take(base, stage))
            seq = stage
            reach = STAGE_NODES
        return base

    def _take(self, base: OpenedSnapshot | None, seq: int) -> TakenSnapshot:
        taker = SnapshotTaker(self._room.lineage, base)
        for nodes in self._nodes(0 if base is None else base.seq, seq):
            taker.add(nodes)
        return taker.take(seq)

    def _stored(self, seq: int) -> OpenedSnapshot | None:
        """The stored snapshot at `seq`, None when it is gone or is not what the server signed."""
        for each in self._store.newest_snapshots(self._room.room_id):
            if each.seq == seq:
                try:
                    data = b"".join(
                        self._store.read_snapshot(self._room.room_id, seq, chunk)
                        for chunk in range(each.chunks)
                    )
                    return check_snapshot(
                        self._task.server_key,
                        self._room.lineage,
                        seq,
                        each.frontier,
                        each.state_hash,
                        each.digest,
                        each.signature,
                        data,
                    )
                except (Reject, StoreCorrupt):
                    return None
        return None

    def _nodes(self, after_seq: int, last_seq: int) -> Iterator[list[Node]]:
        """The nodes from `after_seq` + 1 to `last_seq`, in pages."""
        while after_seq < last_seq:
            page: list[Node] = []
            for row in self._store.read_log(self._room.room_id, after_seq, PAGE_NODES):
                nodes = decode_pack(row.pack, self._hasher)
                first = after_seq + 1 - row.from_seq
                page += nodes[first : last_seq + 1 - row.from_seq]
                after_seq = min(row.to_seq, last_seq)
                if after_seq == last_seq:
                    break
            yield page


def opened(taken: TakenSnapshot) -> OpenedSnapshot:
    """A snapshot of one's own, to go on from; every fact of it is computed again from its bytes.

    Raises ValueError when they do not say what was taken.
    """
    state = decode_state(taken.data)
    leaves = leaves_of(state)
    if hash_leaves(leaves) != taken.state_hash:
        raise ValueError(f"the snapshot at seq {taken.seq} does not say what the room says")
    facts = SnapshotFacts(taken.lineage, taken.seq, taken.frontier, taken.state_hash, taken.digest)
    frontier = decode_pack(taken.frontier_pack, NodeHasher(taken.lineage))
    return OpenedSnapshot(facts, frontier, state, leaves)


def _first_below(base_seq: int, seq: int) -> int:
    return base_seq if base_seq < seq else 0
