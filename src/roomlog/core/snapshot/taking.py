"""Taking snapshots: the state at one place of a log, as bytes, ready to be signed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from roomlog.core.crdt.map import ABSENT
from roomlog.core.errors import InvalidValueError
from roomlog.core.graph import Graph
from roomlog.core.hashing import hash_bytes
from roomlog.core.node import Node
from roomlog.core.node_log import NodeLog
from roomlog.core.signing import Signer
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.snapshot.critical import CriticalPlace, newest_critical
from roomlog.core.snapshot.facts import (
    OpenedSnapshot,
    SnapshotFacts,
    encode_frontier,
    sign_snapshot,
)
from roomlog.core.snapshot.format import SnapshotState, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.state import State
from roomlog.core.state_hash import hash_leaves

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

_SLICE_NODES: Final = 4096


@final
class TakenSnapshot:
    """A snapshot that nobody has signed yet: only bytes and numbers, so that it can be passed on.

    ``frontier_pack`` has the heads at ``seq``, whole and signed; ``frontier`` their ids.
    """

    __slots__ = ("data", "digest", "frontier", "frontier_pack", "lineage", "seq", "state_hash")

    def __init__(  # noqa: PLR0917
        self,
        lineage: bytes,
        seq: int,
        frontier: list[bytes],
        frontier_pack: bytes,
        state_hash: bytes,
        data: bytes,
    ) -> None:
        self.lineage = lineage
        self.seq = seq
        self.frontier = frontier
        self.frontier_pack = frontier_pack
        self.state_hash = state_hash
        self.digest = hash_bytes(data)
        self.data = data

    def sign(self, signer: Signer) -> bytes:
        """The server's signature."""
        facts = SnapshotFacts(self.lineage, self.seq, self.frontier, self.state_hash, self.digest)
        return sign_snapshot(signer, facts)


def snapshot_state(state: State, clock: int) -> SnapshotState:
    """What a state says, in the order of the format. ``clock`` is the greatest of its nodes."""
    content = SnapshotState(clock, state.unknown_operations)
    registers = state.maps.by_key
    for key in sorted(registers):
        register = registers[key]
        if register.content != ABSENT:
            content.maps.append((key, register.value))
    for key in sorted(state.counters.sums):
        content.counters.append((key, state.counters.sums[key]))
    graph = state.graph
    for key in sorted(state.lists):
        items = [
            (graph.id_of(item.lv), item.operation_index, item.position, item.value)
            for item in state.lists[key].order.items()
        ]
        content.lists.append((key, items))
    for key in sorted(state.texts):
        content.texts.append((key, str(state.texts[key].document)))
    return content


@final
class SnapshotTaker:
    """The log of a room, in order, to take a snapshot of it at a place that is found afterwards.

    Begins with an older snapshot of the room, or at the beginning. Nothing is merged before `take`.
    What nodes say is believed: they come from the log of the one who takes the snapshot.
    """

    def __init__(self, lineage: bytes, opened: OpenedSnapshot | None = None) -> None:
        self._lineage = lineage
        self._graph = Graph()
        self._log = NodeLog(self._graph)
        if opened is not None:
            if opened.facts.lineage != lineage:
                raise InvalidValueError("opened: a snapshot of another lineage")
            self._log.begin(SnapshotBase(opened))

    @property
    def seq(self) -> int:
        """The log number of the last node."""
        return self._log.seq_of(len(self._graph))

    def add(self, nodes: Sequence[Node]) -> None:
        """The next nodes of the log.

        Raises KeyError for an unknown parent, and `HistoryMissingError` for a node that does not
        have the older snapshot in its history: then that was not at a critical place.
        """
        graph = self._graph
        log = self._log
        base = log.base
        for node in nodes:
            if base is not None:
                base.require([graph.index_of(parent) for parent in node.parents])
            graph.add(node.id, node.author, node.clock, node.parents)
            log.nodes.append(node)

    def newest_critical(self, most_seq: int) -> int:
        """The greatest critical place up to ``most_seq``, later than the older snapshot; or 0."""
        log = self._log
        place = newest_critical(self._graph, log.place_of(most_seq), log.first + 1)
        return 0 if place == 0 else log.seq_of(place)

    def take(self, seq: int) -> TakenSnapshot:
        """The snapshot at ``seq``. Raises ValueError unless that is a critical place."""
        return _take(self._lineage, self._log, seq)


def take_snapshot(replica: "Replica", seq: int) -> TakenSnapshot:
    """The snapshot of a replica's room at ``seq``, where its nodes are in the order of the log.

    Raises ValueError unless that is a critical place later than what the replica began with, and
    when nodes are held or wait.
    """
    if len(replica.waiting) or len(replica.log.held):
        raise InvalidValueError("replica: some nodes are not in its history yet")
    return _take(replica.lineage, replica.log, seq)


def _take(lineage: bytes, log: NodeLog, seq: int) -> TakenSnapshot:
    graph = log.graph
    place = log.place_of(seq)
    if not log.first < place <= len(graph):
        raise InvalidValueError(f"seq: {seq} is outside of the nodes that are here")
    critical = CriticalPlace(graph, place)
    if not critical.holds():
        raise InvalidValueError(f"seq: {seq} is not critical")
    state = State(graph)
    log.build(state, range(log.first, place))
    heads = [log.nodes[lv] for lv in critical.heads]
    content = snapshot_state(state, max([node.clock for node in heads]))
    return TakenSnapshot(
        lineage,
        seq,
        sorted([node.id for node in heads]),
        encode_frontier(heads),
        hash_leaves(leaves_of(content)),
        encode_state(content),
    )
