"""A replica whose own history was written anew: what a client swaps in for the one it had."""

from collections.abc import Collection
from typing import TYPE_CHECKING, final

from roomlog.core.errors import InvalidValueError, RoomlogError
from roomlog.core.node import Node
from roomlog.core.reauthor import Drop, reauthor

if TYPE_CHECKING:
    from roomlog.core.replica import Replica


@final
class Rebase:
    """The new ``replica``, and how the old history maps to it.

    ``nodes`` are own nodes that the old replica did not have, parents first. ``mapping`` has, for
    each own node that was written anew, its new id, or None when it vanished. ``dropped`` are the
    (old id, operation index) pairs that are gone. ``left_out`` are ids of nodes that built on what
    changed and are others', or came without their bodies.
    """

    __slots__ = ("dropped", "left_out", "mapping", "nodes", "replica")

    def __init__(self, replica: "Replica") -> None:
        self.replica = replica
        self.nodes: list[Node] = []
        self.mapping: dict[bytes, bytes | None] = {}
        self.dropped: list[tuple[bytes, int]] = []
        self.left_out: list[bytes] = []


def rebase(old: "Replica", refused: Drop, lineage: bytes, now_ms: int | None) -> Rebase:
    """Write ``old``'s own nodes anew where ``refused`` or another ``lineage`` asks for it."""
    identity = old.identity
    if identity is None:
        raise RoomlogError("a replica without an identity has nothing to write anew")
    for node_id, indexes in refused.items():
        if old.log.index(node_id) < old.log.first:
            old.log.require_all()
        node = old.node(node_id)
        if node.author != identity.public_key:
            raise InvalidValueError(f"refused: {node_id.hex()} is by another author")
        count = len(node.known_operations())
        if indexes is not None and not all(0 <= index < count for index in indexes):
            raise InvalidValueError(f"refused: {node_id.hex()} has {count} operations")
    old.flush(now_ms)
    moves = lineage != old.lineage
    kept: list[Node] = []
    anew: list[Node] = []
    drop: dict[bytes, Collection[int] | None] = dict(refused)
    affected: set[bytes] = set()
    result = Rebase(old.empty_copy(lineage))
    for node in old.nodes():
        if not moves and node.id not in refused and affected.isdisjoint(node.parents):
            kept.append(node)
            continue
        affected.add(node.id)
        anew.append(node)
        if node.author != identity.public_key or node.body is None:
            # What cannot be signed, or is not known, cannot be written anew.
            drop[node.id] = None
            result.left_out.append(node.id)
    base = old.log.base
    written = reauthor(anew, lineage, drop, signer=identity, context=kept, base=base)
    left_out = set(result.left_out)
    result.mapping = {
        node_id: new_id for node_id, new_id in written.mapping.items() if node_id not in left_out
    }
    result.dropped = [place for place in written.dropped if place[0] not in left_out]
    result.replica.add_nodes(kept, verify=False)
    result.replica.add_nodes(written.nodes, verify=False)
    if not moves:
        result.replica.add_nodes([*old.waiting, *old.log.held], verify=False)
    result.nodes = [node for node in written.nodes if node.id not in old]
    return result
