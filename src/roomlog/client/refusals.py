"""What a refusal means for an own node: never, without some operations, or later."""

from __future__ import annotations

from typing import Final, TypeAlias

from roomlog.client.changes import Change, ChangeKind, Origin
from roomlog.client.rejections import Rejection
from roomlog.core.node import Node
from roomlog.core.operation import (
    CounterAdd,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
)
from roomlog.core.reject import RejectClass, RejectKind
from roomlog.protocol.client_events import RefusedNode

FIRST_RETRY_MS: Final = 500
LONGEST_RETRY_MS: Final = 30_000

Place: TypeAlias = tuple[ChangeKind, str]

_KIND_OF_OPERATION: Final[dict[type, ChangeKind]] = {
    MapSet: ChangeKind.MAP,
    MapDelete: ChangeKind.MAP,
    MapSetBlob: ChangeKind.MAP,
    CounterAdd: ChangeKind.COUNTER,
    ListInsert: ChangeKind.LIST,
    ListMove: ChangeKind.LIST,
    ListUpdate: ChangeKind.LIST,
    ListDelete: ChangeKind.LIST,
    TextInsert: ChangeKind.TEXT,
    TextDelete: ChangeKind.TEXT,
}


def place_of(operation: Operation) -> Place | None:
    """The object that an operation writes; None for one that this build does not know."""
    kind = _KIND_OF_OPERATION.get(type(operation))
    return None if kind is None else (kind, operation.key)


def is_final(refused: RefusedNode) -> bool:
    """Whether the node, or part of it, will never be taken.

    One that only builds on a refused node is rewritten when that one is rolled back.
    """
    if refused.reject_class == RejectClass.ANCESTOR_REFUSED.wire:
        return False
    return refused.kind in (RejectKind.FINAL, RejectKind.REBASE)


def retry_wait_ms(refused: RefusedNode, attempts: int) -> int:
    """How long to wait before the node is pushed again, after `attempts` refusals.

    As the server hints, else longer each time. At first not at all when only an ancestor is
    missing: that one is pushed before it.
    """
    hint = refused.detail.get("retry_after_ms")
    if isinstance(hint, int) and not isinstance(hint, bool) and hint >= 0:
        return min(hint, LONGEST_RETRY_MS)
    if attempts == 1 and refused.kind is not RejectKind.RETRY:
        return 0
    doubled = FIRST_RETRY_MS << min(attempts - 1, 10)
    return min(LONGEST_RETRY_MS, doubled)


def is_paused(until_ms: int, now_ms: int) -> bool:
    """Whether a pause is not over. One longer than any can be means that the clock was set back."""
    return now_ms < until_ms <= now_ms + LONGEST_RETRY_MS


def paused_until(until_ms: int, now_ms: int, wait_ms: int) -> int:
    """The end of a pause that was to last `until_ms`, and shall last `wait_ms` at least."""
    longer_ms = now_ms + wait_ms
    return max(until_ms, longer_ms) if is_paused(until_ms, now_ms) else longer_ms


def rejection_of(node: Node, refused: RefusedNode) -> Rejection:
    """What is taken back of a node: the operations that the server named, else all."""
    count = len(node.operations())
    indexes = tuple(range(count))
    named = refused.detail.get("ops")
    if refused.kind is RejectKind.REBASE and isinstance(named, list):
        valid = sorted({i for i in named if type(i) is int and 0 <= i < count})
        indexes = tuple(valid) or indexes
    return Rejection(
        node_id=node.id,
        reject_class=refused.reject_class,
        kind=refused.kind.value,
        message=refused.message,
        detail=refused.detail,
        node=node,
        operation_indexes=indexes,
    )


def rolled_back_changes(rejections: list[Rejection]) -> list[Change]:
    """The objects that read differently because these were taken back."""
    authors: dict[Place, set[bytes]] = {}
    for rejection in rejections:
        for operation in rejection.operations:
            place = place_of(operation)
            if place is not None:
                authors.setdefault(place, set()).add(rejection.node.author)
    return [
        Change(kind, key, Origin.ROLLBACK, frozenset(of)) for (kind, key), of in authors.items()
    ]
