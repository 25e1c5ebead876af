"""The ordered checks on a pushed pack against what the room holds.

Decided from header, body bytes and parents alone, never by merging: what is admitted here is valid
on every replica. Frame size, decoding, credit and lineage were checked by the session.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, final

from roomlog.core.clock import clock_to_ms, is_ahead
from roomlog.core.graph import Graph
from roomlog.core.node import Node, check_node, check_signature
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.messages import RejectedNode
from roomlog.server.signature_turns import CheckedSignatures

REMEMBERED_REFUSALS: Final = 4096
PendingNodes = dict[bytes, tuple[int, int]]
"""Admitted nodes that are not durable yet: id to (seq, clock)."""


@final
class Refusals:
    """The nodes a session was refused lately, each with the root of the refusal and its class.

    Packs are pushed ahead of their acks, so the descendants of a refused node may already be under
    way: they are told the root, not that a parent is missing.
    """

    __slots__ = ("_roots",)

    def __init__(self) -> None:
        self._roots: OrderedDict[bytes, tuple[bytes, RejectClass]] = OrderedDict()

    def root_of(self, node_id: bytes) -> tuple[bytes, RejectClass] | None:
        """The refused node that `node_id` fell with, and why that one was refused."""
        return self._roots.get(node_id)

    def remember(self, node_id: bytes, root: bytes, root_class: RejectClass) -> None:
        """`node_id` was refused; the oldest is forgotten when there are too many."""
        self._roots[node_id] = (root, root_class)
        if len(self._roots) > REMEMBERED_REFUSALS:
            self._roots.popitem(last=False)

    def forget(self, node_id: bytes) -> None:
        """`node_id` was admitted after all."""
        if self._roots:
            self._roots.pop(node_id, None)


@final
class Verdict:
    """What becomes of each node of a pack; `duplicates` are (index in the pack, seq)."""

    __slots__ = (
        "accepted",
        "accepted_indexes",
        "duplicates",
        "is_on_pending",
        "of_others",
        "rejected",
    )

    def __init__(self) -> None:
        self.accepted: list[Node] = []
        self.accepted_indexes: list[int] = []
        self.duplicates: list[tuple[int, int]] = []
        self.rejected: list[RejectedNode] = []
        self.is_on_pending = False
        """Whether a duplicate is admitted but not durable, so that the answer has to wait."""
        self.of_others = 0
        """How many of the accepted are not by who pushed them."""


def admit(
    nodes: Sequence[Node],
    *,
    graph: Graph,
    pending: PendingNodes,
    next_seq: int,
    author: bytes,
    now_ms: int,
    skew_ms: int,
    refusals: Refusals,
    signatures: CheckedSignatures | None = None,
    most_of_others: int = 0,
) -> Verdict:
    """Judge `nodes`, pushed by `author` at `now_ms` (wall clock), in their order.

    `signatures` are those of `nodes` when they were checked before, None when they were not. In a
    reconcile window `most_of_others` nodes may be by somebody else than `author`.

    `graph` holds the durable nodes, their local version being seq - 1; the first accepted node
    will get `next_seq`. Changes nothing but `refusals`.
    """
    verdict = Verdict()
    taken: PendingNodes = {}
    for index, node in enumerate(nodes):
        node_id = node.id
        try:
            if node.fault is not None:
                raise Reject(node.fault)
            seq = _seq_of(node_id, graph, pending, taken, verdict)
            if seq:
                verdict.duplicates.append((index, seq))
                continue
            check_node(node)
            greatest = _greatest_parent_clock(node, graph, pending, taken, refusals)
            _check_clock(node.clock, greatest, now_ms, skew_ms)
            if signatures is None:
                check_signature(node)
            else:
                signatures.check(index)
            if node.author != author:
                if verdict.of_others >= most_of_others:
                    message = "the author is not the session's key"
                    raise Reject(RejectClass.AUTHOR_NOT_SESSION, message)
                verdict.of_others += 1
        except _Descendant as descendant:
            refused = RejectedNode(
                id=node_id,
                reject_class=descendant.reject_class.wire,
                kind=descendant.reject_class.kind.value,
                detail={"root_class": descendant.root_class.wire},
                root=descendant.root,
            )
            verdict.rejected.append(refused)
            refusals.remember(node_id, descendant.root, descendant.root_class)
        except Reject as reject:
            refused = RejectedNode(
                id=node_id,
                reject_class=reject.reject_class.wire,
                kind=reject.reject_class.kind.value,
                detail=reject.detail,
            )
            verdict.rejected.append(refused)
            if reject.reject_class is not RejectClass.PARENT_MISSING:
                refusals.remember(node_id, node_id, reject.reject_class)
        else:
            refusals.forget(node_id)
            taken[node_id] = (next_seq + len(verdict.accepted), node.clock)
            verdict.accepted.append(node)
            verdict.accepted_indexes.append(index)
    return verdict


class _Descendant(Exception):
    """A node with a refused ancestor."""

    def __init__(self, root: bytes, root_class: RejectClass) -> None:
        super().__init__()
        self.root = root
        self.root_class = root_class
        # A node that the store could not take may come again, and so may what stands on it.
        is_passing = root_class is RejectClass.STORE_UNAVAILABLE
        self.reject_class = root_class if is_passing else RejectClass.ANCESTOR_REFUSED


def _seq_of(
    node_id: bytes, graph: Graph, pending: PendingNodes, taken: PendingNodes, verdict: Verdict
) -> int:
    """The seq of a node that is here already, 0 when it is new."""
    lv = graph.index_of(node_id)
    if lv >= 0:
        return lv + 1
    here = pending.get(node_id)
    if here is not None:
        verdict.is_on_pending = True
        return here[0]
    here = taken.get(node_id)
    return 0 if here is None else here[0]


def _greatest_parent_clock(
    node: Node, graph: Graph, pending: PendingNodes, taken: PendingNodes, refusals: Refusals
) -> int:
    """The greatest clock among the parents, -1 without any.

    Raises `_Descendant`, or `Reject` (parent_missing) naming every missing parent.
    """
    greatest = -1
    missing: list[bytes] = []
    for parent in node.parents:
        here = taken.get(parent) or pending.get(parent)
        if here is not None:
            clock = here[1]
        else:
            lv = graph.index_of(parent)
            if lv < 0:
                refused = refusals.root_of(parent)
                if refused is not None:
                    raise _Descendant(*refused)
                missing.append(parent)
                continue
            clock = graph.clock_of(lv)
        greatest = max(greatest, clock)
    if missing:
        detail: dict[str, object] = {"parents": missing}
        raise Reject(RejectClass.PARENT_MISSING, "parents are unknown here", detail)
    return greatest


def _check_clock(clock: int, greatest_parent_clock: int, now_ms: int, skew_ms: int) -> None:
    if clock <= greatest_parent_clock:
        raise Reject(RejectClass.CLOCK_BEHIND_PARENT, "the clock is not above every parent's")
    if is_ahead(clock, greatest_parent_clock, now_ms, skew_ms):
        retry_after_ms = max(1, clock_to_ms(clock) - skew_ms - now_ms)
        raise Reject(
            RejectClass.CLOCK_AHEAD,
            "the clock is ahead of the server's",
            {"retry_after_ms": retry_after_ms, "server_ms": now_ms},
        )
