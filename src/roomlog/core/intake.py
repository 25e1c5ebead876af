"""Taking nodes in: each is accepted, waits for its parents, or is refused with a class."""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.clock import greatest_clock
from roomlog.core.graph import Graph
from roomlog.core.node import Node, check_node, check_signature
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.waiting import WaitingNodes

_LASTING: Final = frozenset(
    (
        RejectClass.HEADER_INVALID,
        RejectClass.VERSION_UNSUPPORTED,
        RejectClass.BODY_INVALID,
        RejectClass.NODE_TOO_LARGE,
        RejectClass.CLOCK_BEHIND_PARENT,
    )
)
"""Faults of the bytes that the id covers: no other copy of the node can be better."""

_BELOW_BASE: Final = (b"",)
"""What a node waits for that is not on top of the whole base: nothing that ever comes."""


@final
class Rejection:
    """A node that was refused: its id (b"" for a whole pack), the class and detail."""

    __slots__ = ("detail", "id", "message", "reject_class")

    def __init__(
        self,
        id: bytes,
        reject_class: RejectClass,
        message: str,
        detail: dict[str, object],
    ) -> None:
        self.id = id
        self.reject_class = reject_class
        self.message = message
        self.detail = detail

    def __repr__(self) -> str:
        return f"Rejection({self.id.hex()}, {self.reject_class.wire}, {self.message!r})"


@final
class ImportResult:
    """What became of imported nodes.

    ``accepted`` ids are in the history now, those that had waited from earlier included;
    ``waiting`` ids miss parents; ``held`` ids need history from before the snapshot that the
    replica began with, or miss parents that may lie there; ``duplicates`` counts nodes that were
    known or kept already; ``flushed`` are the replica's own nodes that open edits became before the
    import; ``filled`` ids were there without their bodies and have them now.
    """

    __slots__ = ("accepted", "duplicates", "filled", "flushed", "held", "rejected", "waiting")

    def __init__(self) -> None:
        self.accepted: list[bytes] = []
        self.waiting: list[bytes] = []
        self.held: list[bytes] = []
        self.rejected: list[Rejection] = []
        self.duplicates = 0
        self.flushed: list[bytes] = []
        self.filled: list[bytes] = []

    def refuse(self, node_id: bytes, reject: Reject) -> None:
        """Note a refusal."""
        self.rejected.append(
            Rejection(node_id, reject.reject_class, reject.message, dict(reject.detail))
        )

    def __repr__(self) -> str:
        return (
            f"ImportResult(accepted={len(self.accepted)}, waiting={len(self.waiting)}, "
            f"held={len(self.held)}, "
            f"rejected={self.rejected!r}, duplicates={self.duplicates}, "
            f"flushed={len(self.flushed)})"
        )


@final
class Intake:
    """The way of arriving nodes into a graph. Nothing here looks at what operations mean.

    With a ``base`` in the graph, what is not on top of all of it is held in the waiting place.
    """

    def __init__(
        self,
        graph: Graph,
        nodes: list[Node],
        waiting: WaitingNodes,
        base: SnapshotBase | None = None,
    ) -> None:
        self._base = base
        self._graph = graph
        self._nodes = nodes
        self._waiting = waiting
        self.takes_headers = False

    def take(
        self, nodes: Sequence[Node], verify: bool, result: ImportResult, refused: dict[bytes, bytes]
    ) -> None:
        """Accept what can be accepted into the graph and the list of nodes, parents first.

        ``refused`` has the root of refusal by id for what the same import refused before. While
        ``takes_headers`` is set, changes without bodies are taken, and filled when they come whole.
        """
        for node in nodes:
            self._take_one(node, verify, result, refused)

    def _take_one(
        self, node: Node, verify: bool, result: ImportResult, refused: dict[bytes, bytes]
    ) -> None:
        """Accept, keep waiting or refuse one node, and what had waited for it."""
        graph = self._graph
        node_id = node.id
        base = self._base
        known = graph.index_of(node_id)
        # Of a ghost only the id is here: what it did is older history, like its neighbours'.
        is_ghost = base is not None and 0 <= known < base.lv
        if (known >= 0 and not is_ghost) or node_id in self._waiting:
            if self.takes_headers and node.body is not None:
                self._fill(node, result)
            else:
                result.duplicates += 1
            return
        try:
            check_node(node, self.takes_headers)
            greatest = -1
            missing: list[bytes] | None = None
            for parent in node.parents:
                lv = graph.index_of(parent)
                if lv >= 0:
                    clock = graph.clock_of(lv)
                    greatest = max(greatest, clock)
                else:
                    if missing is None:
                        missing = []
                    missing.append(parent)
            if missing is not None:
                for parent in missing:
                    if parent in refused:
                        raise _ancestor_refused(refused[parent])
            if node.clock <= greatest:
                raise Reject(
                    RejectClass.CLOCK_BEHIND_PARENT,
                    f"clock {node.clock} is not beyond its parents' {greatest}",
                )
            if verify:
                check_signature(node)
            if missing is not None or is_ghost or (base is not None and not self._is_above(node)):
                # Only what is verified may wait: a forged copy would keep the true one out. It
                # waits as bytes, which are what the waiting place counts.
                node.forget_operations()
                if not self._waiting.add(node, _BELOW_BASE if missing is None else missing):
                    raise Reject(RejectClass.QUEUE_FULL, "too many nodes wait for parents")
                (result.waiting if base is None else result.held).append(node_id)
                return
        except Reject as reject:
            self._refuse_node(node_id, reject, result, refused)
            return
        self._accept(node, result)
        if len(self._waiting):
            self._release(node_id, result, refused)

    def _fill(self, whole: Node, result: ImportResult) -> None:
        """Give a node that came without its body the one it has in ``whole``."""
        lv = self._graph.index_of(whole.id)
        held = self._nodes[lv] if lv >= 0 else None
        if held is not None and held.body is not None:
            result.duplicates += 1
            return
        try:
            check_node(whole)
        except Reject as reject:
            result.refuse(whole.id, reject)
            return
        whole.forget_operations()
        if held is not None:
            held.body = whole.body
            result.filled.append(whole.id)
        elif self._waiting.fill(whole):
            result.filled.append(whole.id)
        else:
            result.duplicates += 1

    def _is_above(self, node: Node) -> bool:
        """Whether a node whose parents are known has the whole base, if any, in its history."""
        base = self._base
        graph = self._graph
        return base is None or base.is_below([graph.index_of(parent) for parent in node.parents])

    def _accept(self, node: Node, result: ImportResult) -> None:
        self._graph.add(node.id, node.author, node.clock, node.parents)
        self._nodes.append(node)
        result.accepted.append(node.id)

    def _release(self, node_id: bytes, result: ImportResult, refused: dict[bytes, bytes]) -> None:
        """Accept what had waited for ``node_id``, and what waits for that in turn.

        What is accepted is on top of the base, and so is what has it as a parent.
        """
        graph = self._graph
        arrived = [node_id]
        while arrived:
            for node in self._waiting.resolve(arrived.pop()):
                greatest = greatest_clock(graph, [graph.index_of(p) for p in node.parents])
                if node.clock <= greatest:
                    reject = Reject(
                        RejectClass.CLOCK_BEHIND_PARENT,
                        f"clock {node.clock} is not beyond its parents' {greatest}",
                    )
                    self._refuse_node(node.id, reject, result, refused)
                    continue
                self._accept(node, result)
                arrived.append(node.id)

    def _refuse_node(
        self,
        node_id: bytes,
        reject: Reject,
        result: ImportResult,
        refused: dict[bytes, bytes],
    ) -> None:
        result.refuse(node_id, reject)
        if reject.reject_class is RejectClass.QUEUE_FULL:
            # Nothing is wrong with it: what builds on it may come again as well.
            return
        root = reject.detail.get("root", node_id)
        assert isinstance(root, bytes)
        refused[node_id] = root
        if reject.reject_class in _LASTING:
            for descendant in self._waiting.drop_descendants(node_id):
                refused[descendant.id] = root
                result.refuse(descendant.id, _ancestor_refused(root))


def _ancestor_refused(root: bytes) -> Reject:
    return Reject(
        RejectClass.ANCESTOR_REFUSED, f"builds on refused node {root.hex()}", {"root": root}
    )
