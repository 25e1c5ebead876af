"""`Replica`: one room's history and state, in memory, without a network.

Clients, server tools, simulators and tests all use this object. It is pure: time comes in with
calls, bytes come in and go out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias, final

from roomlog.core.branch import Branch
from roomlog.core.collector import pause_collector, resume_collector
from roomlog.core.conflict import Conflict, find_conflicts
from roomlog.core.errors import InvalidValueError
from roomlog.core.export import export_nodes, packs_of_file
from roomlog.core.graph import Graph
from roomlog.core.handles import CounterHandle, ListHandle, MapHandle, TextHandle
from roomlog.core.hashing import HASH_BYTES, serverless_lineage
from roomlog.core.intake import ImportResult, Intake, Rejection
from roomlog.core.node import MAX_PARENTS, Node, NodeHasher
from roomlog.core.node_log import NodeLog
from roomlog.core.node_writer import NodeWriter
from roomlog.core.open_edits import OpenEdits
from roomlog.core.pack import decode_pack
from roomlog.core.patterns import KeySelection
from roomlog.core.reauthor import Drop
from roomlog.core.rebase import Rebase, rebase
from roomlog.core.reject import Reject
from roomlog.core.signing import Signer
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.snapshot.facts import OpenedSnapshot
from roomlog.core.state import State
from roomlog.core.state_hash import Coverage, StateHash, StateHasher
from roomlog.core.subscription import (
    Subscription,
    change_patterns,
    complete_patterns,
    drop_objects,
    fills_readable,
    refuse_bodyless,
)
from roomlog.core.view import View, state_as_values
from roomlog.core.waiting import WaitingNodes

NodeIds: TypeAlias = list[bytes]
Conflicts: TypeAlias = list[Conflict]
Nodes: TypeAlias = list[Node]
Patterns: TypeAlias = list[str]

_ROOM_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")


@final
class Replica:
    """A room: its nodes, what they say together, and the edits that are not committed yet.

    ``room_id`` is 1 to 128 of ``A-Z a-z 0-9 . _ ~ -``. Without an ``identity`` the replica reads
    only. ``lineage`` (32 bytes) is the room's; by default the one of a room without a server.
    ``waiting`` bounds what may wait for parents.

    >>> from roomlog.identity import Identity
    >>> ada = Replica("demo", Identity.from_seed(bytes(32)))
    >>> bob = Replica("demo", Identity.from_seed(bytes([1]) * 32))
    >>> ada.text("notes").insert(0, "hello")
    >>> len(ada.commit(now_ms=1_000))
    1
    >>> len(bob.import_pack(ada.export()).accepted)
    1
    >>> str(bob.text("notes")), bob.state_hash() == ada.state_hash()
    ('hello', True)
    """

    def __init__(
        self,
        room_id: str,
        identity: Signer | None = None,
        lineage: bytes | None = None,
        *,
        waiting: WaitingNodes | None = None,
    ) -> None:
        if _ROOM_ID.fullmatch(room_id) is None:
            raise InvalidValueError(f"room_id: {room_id!r} is not 1 to 128 of A-Za-z0-9._~-")
        if lineage is None:
            lineage = serverless_lineage(room_id)
        elif len(lineage) != HASH_BYTES:
            raise InvalidValueError(f"lineage: 32 bytes, not {len(lineage)}")
        self.room_id = room_id
        self.lineage = lineage
        self.identity = identity
        self.graph = Graph()
        self._hasher = NodeHasher(lineage)
        self.log = NodeLog(self.graph)
        self._nodes = self.log.nodes
        self._waiting = WaitingNodes() if waiting is None else waiting
        self._intake = Intake(self.graph, self._nodes, self._waiting)
        self.objects = self._state = State(self.graph)
        self._leaves = StateHasher(self._state)
        self.edits = self._edits = OpenEdits(
            self.graph, self._state, None if identity is None else identity.public_key
        )
        self._writer = NodeWriter(
            self.graph, self._nodes, self._state, self._edits, self._hasher, identity
        )
        self._changes: set[tuple[int, str]] = set()
        self.subscription = Subscription()

    @classmethod
    def from_snapshot(
        cls, room_id: str, identity: Signer | None, lineage: bytes, opened: OpenedSnapshot
    ) -> "Replica":
        """A replica that begins with a checked snapshot of the room in place of older history.

        What asks for that history raises `HistoryMissingError`; nodes that need it are held.
        """
        if opened.facts.lineage != lineage:
            raise InvalidValueError("opened: a snapshot of another lineage")
        replica = Replica(room_id, identity, lineage)
        log, base = replica.log, SnapshotBase(opened)
        log.begin(base)
        replica._intake = Intake(log.graph, log.nodes, log.held, base)
        base.begin_state(replica._state)
        replica._leaves.load(opened.leaves)
        replica._changes.update(base.keys())
        return replica

    @property
    def is_partial(self) -> bool:
        """Whether a snapshot stands for older history here."""
        return self.log.base is not None

    @property
    def base_seq(self) -> int:
        """The log number up to which history is not here, 0 when all of it is."""
        base = self.log.base
        return 0 if base is None else base.seq

    @property
    def held_ids(self) -> NodeIds:
        """Nodes not known to be on top of all of the snapshot: they need older history."""
        return [node.id for node in self.log.held]

    # Reading and editing

    @property
    def frontier(self) -> NodeIds:
        """The ids of the heads, ascending."""
        return self.graph.frontier_ids()

    def map(self, prefix: str) -> MapHandle:
        """The map below one path segment; so are its keys. "" takes whole paths."""
        return MapHandle(self._edits, prefix)

    def counter(self, key: str) -> CounterHandle:
        """The counter of a key, one path segment."""
        return CounterHandle(self._edits, key)

    def list(self, key: str) -> ListHandle:
        """The list of a key, one path segment."""
        return ListHandle(self._edits, key)

    def text(self, key: str) -> TextHandle:
        """The text of a key, one path segment."""
        return TextHandle(self._edits, key)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything a reader sees, open edits included, as plain values by kind and key."""
        return state_as_values(self._state)

    def state_hash(self, patterns: Iterable[str] = ()) -> StateHash:
        """The state's hash with what it covers; incomplete while edits are open.

        ``patterns`` choose keys, for comparing with a subscriber to these; [] takes all that are
        held. Raises ValueError for a broken pattern, RoomlogError on a subscriber to others.
        """
        chosen = self.subscription.choose(patterns)
        self._drain_changes()
        edits, state = self._edits, self._state
        coverage = Coverage(
            awaited=len(self._waiting) + (0 if self.subscription.before is None else 1),
            held=len(self.log.held),
            unknown_ops=(
                state.unknown_operations if chosen is None else state.unknown_within(chosen)
            ),
            open_operations=edits.operation_count if edits.is_open else 0,
            patterns=() if chosen is None else chosen.patterns,
        )
        return StateHash("" if edits.is_open else self._leaves.hash(chosen), coverage)

    def take_changes(self) -> set[tuple[int, str]]:
        """The (kind, key) pairs that may read differently since the last call.

        Kinds are ``MAP``, ``COUNTER``, ``LIST`` and ``TEXT`` of `roomlog.core.state`.
        """
        self._drain_changes()
        changes = self._changes
        self._changes = set()
        return changes

    def _drain_changes(self) -> None:
        for change in self._state.take_changes():
            self._leaves.note(change[0], change[1])
            self._changes.add(change)

    # Writing nodes

    @property
    def has_open_edits(self) -> bool:
        """Whether there is something to commit."""
        return self._edits.is_open

    def commit(self, now_ms: int) -> NodeIds:
        """Write the open edits as nodes on the frontier; their ids in order, [] without edits.

        One node, except that what exceeds a node's size goes on in further ones, and that more
        than 64 heads are merged first. ``now_ms`` is the wall clock in milliseconds since 1970.
        """
        return self._writer.commit(now_ms, None)

    def flush(self, now_ms: int | None) -> NodeIds:
        """`commit`; ``now_ms`` None lets the clock follow the parents alone."""
        return self._writer.commit(now_ms, None)

    def commit_on(self, parents: Sequence[bytes], now_ms: int | None) -> NodeIds:
        """`commit` with exactly these parents, whose history must be all that is here."""
        return self._writer.commit(now_ms, parents if len(parents) <= MAX_PARENTS else None)

    def discard(self) -> None:
        """Forget the open edits. Builds the state anew from history."""
        if not self._edits.is_open:
            return
        self._edits.clear()
        self._rebuild()

    def _rebuild(self) -> None:
        """Build the state anew from history."""
        self._changes.update(self._state.keys())
        self._state.clear()
        self._leaves.reset()
        base = self.log.base
        if base is not None:
            self._leaves.load(base.opened.leaves)
        self.log.build(self._state, range(self.log.first, len(self._nodes)))

    def merge(self, now_ms: int) -> bytes:
        """Sign a merge node over the frontier and return its id. Open edits are committed first.

        Raises RoomlogError when there is one head or none: there is nothing to merge.
        """
        self._writer.commit(now_ms, None)
        return self._writer.merge(now_ms)

    # History in and out

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, bytes) and self.log.has(node_id)

    def __len__(self) -> int:
        return len(self._nodes) - self.log.first

    def __bool__(self) -> bool:
        """True also without nodes: an empty room is a room."""
        return True

    def node(self, node_id: bytes) -> Node:
        """The node of an id. Raises `UnknownNodeError` or `HistoryMissingError`."""
        return self.log.node(node_id)

    def nodes(self) -> Iterator[Node]:
        """Every node above the snapshot, if any, in order of arrival: parents before children."""
        return islice(self._nodes, self.log.first, None)

    @property
    def waiting(self) -> WaitingNodes:
        """Nodes that arrived before their parents; after a snapshot those are `held` instead."""
        return self._waiting

    def export(
        self,
        since: Iterable[bytes] | None = None,
        ids: Iterable[bytes] | None = None,
        *,
        signatures: bool = True,
    ) -> bytes:
        """A pack file of the nodes that are not in the history of ``since``, or of ``ids``.

        Ids in ``since`` that are unknown here are another replica's news and are passed over.
        Raises `UnknownNodeError` or `HistoryMissingError` for an id in ``ids``, ValueError for both
        arguments or for unsigned nodes that shall be exported with signatures. Held nodes are
        included unless ``ids`` are given, open edits are not.
        """
        return export_nodes(self, since, ids, signatures)

    def import_pack(
        self, data: bytes, now_ms: int | None = None, *, verify: bool = True
    ) -> ImportResult:
        """Take the nodes of a pack file. What is wrong with it is in the result, never raised.

        A file of another lineage changes nothing, a broken pack leaves the file's other packs to
        be taken. Open edits are committed first, on the frontier they were made on; ``now_ms``
        None lets their clock follow the parents alone. ``verify`` False trusts signatures.
        """
        result = ImportResult()
        try:
            packs = packs_of_file(data, self.lineage)
        except Reject as reject:
            result.refuse(b"", reject)
            return result
        if self._edits.is_open:
            result.flushed = self._writer.commit(now_ms, None)
        refused: dict[bytes, bytes] = {}
        was_running = pause_collector()
        try:
            for pack in packs:
                self._take_pack(pack, verify, result, refused)
        finally:
            resume_collector(was_running)
        return result

    def _take_pack(
        self, pack: bytes, verify: bool, result: ImportResult, refused: dict[bytes, bytes]
    ) -> None:
        try:
            nodes = decode_pack(pack, self._hasher)
        except Reject as reject:
            result.refuse(b"", reject)
            return
        # A file does not say which keys were left out of it.
        self._add(refuse_bodyless(nodes, result), verify, result, refused)

    def add_nodes(
        self, nodes: Sequence[Node], now_ms: int | None = None, *, verify: bool = True
    ) -> ImportResult:
        """Take decoded nodes of this room's lineage, as `import_pack` does.

        A subscriber takes changes without bodies, and fills them in when they come whole.
        """
        result = ImportResult()
        if self._edits.is_open:
            result.flushed = self._writer.commit(now_ms, None)
        self._add(nodes, verify, result, {})
        return result

    def _add(
        self, nodes: Sequence[Node], verify: bool, result: ImportResult, refused: dict[bytes, bytes]
    ) -> None:
        """Take nodes into the graph one by one, then into the state together."""
        first = len(self._nodes)
        self._intake.take(nodes, verify, result, refused)
        count = len(self._nodes) - first
        if count == 1:
            node = self._nodes[first]
            self._state.apply(first, node.known_operations())
            node.forget_operations()
        elif count:
            self.log.apply(self._state, range(first, first + count))
        if result.filled and fills_readable(self, result.filled):
            self._rebuild()

    # Some keys only

    @property
    def patterns(self) -> Patterns:
        """The globs of the keys that are held, ascending, each once; [] for all."""
        return self.subscription.names()

    def set_patterns(
        self,
        patterns: Iterable[str],
        now_ms: int | None = None,
        *,
        before: Iterable[str] | None = None,
    ) -> NodeIds:
        """Hold the keys of these globs alone, [] for all; ids of the open edits this committed.

        What is dropped is gone at once. What is added is there after `complete_patterns`; until
        then `awaits_bodies`, unless nothing can be missing. ``before`` is for a replica that will
        be filled from a store whose bodies followed other patterns until now.

        Raises ValueError for a broken pattern, RoomlogError while bodies for other ones come or
        when history begins with a snapshot, which is whole (`HistoryMissingError`).
        """
        return change_patterns(self, patterns, before, now_ms)

    @property
    def awaits_bodies(self) -> bool:
        """Whether keys were added to the patterns whose bodies have not all come."""
        return self.subscription.before is not None

    def fill_bodies(self, nodes: Sequence[Node], now_ms: int | None = None) -> ImportResult:
        """Take whole nodes, most of which are here without bodies: `add_nodes` by another name."""
        return self.add_nodes(nodes, now_ms)

    def complete_patterns(self) -> None:
        """Every body that the patterns ask for has come: read the added keys from history.

        Raises `Reject` (body_missing) when all keys are wanted and a body is not here; nothing has
        changed then.
        """
        complete_patterns(self)

    def read_only_keys(self, readable: KeySelection | None) -> None:
        """Drop the state of all other keys, and read nothing of them from now on."""
        self._drain_changes()
        self._state.readable = readable
        self._intake.takes_headers = self.subscription.takes_headers
        if readable is not None:
            for kind, key in drop_objects(self._state, readable):
                self._leaves.forget(kind, key)
                self._changes.add((kind, key))

    def read_more_keys(self, added: KeySelection) -> None:
        """Read keys that were not read before from the whole history."""
        self._state.readable = added
        self.log.apply(self._state, range(self.log.first, len(self._nodes)))

    # Other versions

    def at(self, frontier: Iterable[bytes]) -> View:
        """The room as it was at ``frontier``, read-only.

        Replays the ancestors as one batch. Raises `UnknownNodeError`, and `HistoryMissingError` for
        a version that is not on top of all of the snapshot.
        """
        ids = sorted(set(frontier))
        lvs = self.log.above(ids)
        state = State(self.graph)
        state.readable = self._state.readable
        self.log.build(state, lvs)
        return View(state, ids, self.subscription, self.log.base)

    def branch(self, frontier: Iterable[bytes]) -> Branch:
        """Editing handles whose commit has exactly the parents ``frontier``.

        Raises as `at` does.
        """
        parents = sorted(set(frontier))
        nodes = [self._nodes[lv] for lv in self.log.above(parents)]
        part = self.empty_copy(self.lineage)
        part.add_nodes(nodes, verify=False)
        return Branch(self, part, parents)

    def nodes_between(self, since: Iterable[bytes], frontier: Iterable[bytes]) -> Nodes:
        """The nodes in the history of ``frontier`` but not of ``since``, parents first.

        Raises `UnknownNodeError`, and `HistoryMissingError` when some of them are not here.
        """
        return self.log.between(since, frontier)

    def conflicts(self) -> Conflicts:
        """Where concurrent writes to one register lost and nobody has written since.

        Goes through the whole history: for people and tests, not for every edit. Raises
        `HistoryMissingError` when it is not here.
        """
        self.log.require_all()
        operations = [node.known_operations() for node in self._nodes]
        return find_conflicts(self.graph, operations, self._state)

    # Writing own history anew

    def empty_copy(self, lineage: bytes) -> "Replica":
        """A replica of the same room, identity and patterns under ``lineage``, without any node.

        It begins with the same snapshot, if any, whose lineage it must be then.
        """
        base = self.log.base
        if base is None:
            copy = Replica(self.room_id, self.identity, lineage)
        else:
            copy = Replica.from_snapshot(self.room_id, self.identity, lineage, base.opened)
        copy.subscription.copy_from(self.subscription)
        copy.read_only_keys(copy.subscription.readable())
        return copy

    def without(self, refused: Drop, now_ms: int | None = None) -> Rebase:
        """This room as if the replica's own ``refused`` operations had never been written.

        ``refused`` has operation indexes by node id, None for all of a node's. Own nodes that
        build on them are written anew; nodes of other authors that do so have no place in the new
        history. Open edits are committed first. This replica stays as it is.

        Raises `UnknownNodeError`, or ValueError for a node of another author.
        """
        return rebase(self, refused, self.lineage, now_ms)

    def adopt(self, lineage: bytes, now_ms: int | None = None) -> Rebase:
        """This replica's own nodes under another ``lineage``, on top of nothing shared.

        What a draft becomes when its room is met. Other authors' nodes, and what own ones took
        from them, stay behind. Open edits are committed first. Raises `HistoryMissingError` in a
        replica that began with a snapshot: that is no draft.
        """
        self.log.require_all()
        return rebase(self, {}, lineage, now_ms)


__all__ = ["ImportResult", "Rejection", "Replica"]
