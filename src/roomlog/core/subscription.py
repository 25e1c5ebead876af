"""A replica that holds the bodies of some keys only: which keys, and how they change.

Every node is in the graph. One that touches no wanted key may lack its body: it says nothing about
what is read here. While the keys change, those that were held before and still are stay readable;
the added ones come together, when the last of their bodies has.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, final

from roomlog.core.errors import RoomlogError
from roomlog.core.intake import ImportResult
from roomlog.core.node import Node
from roomlog.core.patterns import KeySelection, PatternSet, pattern_set
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.state import COUNTER, LIST, MAP, TEXT, State

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

NodeIds: TypeAlias = list[bytes]


@final
class Subscription:
    """``patterns`` wanted, None for everything, and those ``before``, while bodies still come."""

    __slots__ = ("before", "patterns")

    def __init__(self) -> None:
        self.patterns: PatternSet | None = None
        self.before: PatternSet | None = None

    @property
    def takes_headers(self) -> bool:
        """Whether nodes without bodies belong here."""
        return self.patterns is not None or self.before is not None

    def names(self) -> list[str]:
        """The patterns in canonical order, [] for everything."""
        return [] if self.patterns is None else list(self.patterns.patterns)

    def readable(self) -> KeySelection | None:
        """The keys whose state is here, None for all."""
        held = [each for each in (self.patterns, self.before) if each is not None]
        return KeySelection(held) if held else None

    def added(self) -> KeySelection:
        """The keys whose bodies still come."""
        within = [] if self.patterns is None else [self.patterns]
        return KeySelection(within, self.before)

    def choose(self, patterns: Iterable[str]) -> PatternSet | None:
        """The patterns of a hash: these, or the subscription's own when there are none.

        Raises RoomlogError when they are neither all that is held nor part of everything.
        """
        chosen = pattern_set(patterns)
        if chosen is None:
            return self.patterns
        if self.takes_headers and chosen != self.patterns:
            raise RoomlogError("patterns: a subscriber holds the keys of its own ones only")
        return chosen

    def copy_from(self, other: "Subscription") -> None:
        """Want what ``other`` wants."""
        self.patterns = other.patterns
        self.before = other.before


def change_patterns(
    replica: "Replica",
    patterns: Iterable[str],
    before: Iterable[str] | None,
    now_ms: int | None,
) -> NodeIds:
    """`Replica.set_patterns`."""
    wanted = pattern_set(patterns)
    subscription = replica.subscription
    if wanted is not None or before is not None:
        replica.log.require_all()
    if before is None:
        old = subscription.patterns
    elif len(replica) or len(replica.waiting) or subscription.takes_headers:
        raise RoomlogError("before: only for a replica without nodes")
    else:
        old = pattern_set(before)
    if subscription.before is not None:
        if wanted != subscription.patterns:
            raise RoomlogError("the bodies of the patterns before have not all come")
        return []
    flushed = replica.flush(now_ms)
    subscription.patterns = wanted
    is_held = old is None or (wanted is not None and set(wanted.patterns) <= set(old.patterns))
    if not is_held and (before is not None or len(replica) or len(replica.waiting)):
        subscription.before = old
    replica.read_only_keys(subscription.readable())
    return flushed


def complete_patterns(replica: "Replica") -> None:
    """`Replica.complete_patterns`."""
    subscription = replica.subscription
    if subscription.before is None:
        return
    if subscription.patterns is None:
        missing = missing_bodies(replica)
        if missing:
            raise Reject(
                RejectClass.BODY_MISSING,
                f"{len(missing)} nodes came without their bodies",
                {"nodes": len(missing), "first": missing[0]},
            )
    replica.read_more_keys(subscription.added())
    subscription.before = None
    replica.read_only_keys(subscription.readable())


def missing_bodies(replica: "Replica") -> NodeIds:
    """The ids of the nodes that are here without their body: first those of the history."""
    missing = [node.id for node in replica.nodes() if node.body is None]
    return missing + [node.id for node in replica.waiting if node.body is None]


def drop_objects(state: State, readable: KeySelection) -> list[tuple[int, str]]:
    """Take every object of another key out of ``state``; the (kind, key) pairs it had."""
    dropped: list[tuple[int, str]] = []
    for key in _outside(state.maps.by_key, readable):
        state.maps.forget(key)
        dropped.append((MAP, key))
    for key in _outside(state.counters.sums, readable):
        del state.counters.sums[key]
        dropped.append((COUNTER, key))
    for key in _outside(state.lists, readable):
        del state.lists[key]
        dropped.append((LIST, key))
    for key in _outside(state.texts, readable):
        del state.texts[key]
        dropped.append((TEXT, key))
    for key in _outside(state.unknown_by_key, readable):
        state.unknown_operations -= state.unknown_by_key.pop(key)
    state.follow_on()
    return dropped


def fills_readable(replica: "Replica", filled: Iterable[bytes]) -> bool:
    """Whether a body that came later says something about keys that are read already.

    It should not have been left out: whoever sent the node first was wrong.
    """
    readable = replica.subscription.readable()
    for node_id in filled:
        if node_id in replica:
            for operation in replica.node(node_id).operations():
                if readable is None or readable.matches(operation.key):
                    return True
    return False


def refuse_bodyless(nodes: Sequence[Node], result: ImportResult) -> Sequence[Node]:
    """The nodes that have their bodies; the others are refused."""
    whole = [node for node in nodes if node.body is not None]
    if len(whole) == len(nodes):
        return nodes
    for node in nodes:
        if node.body is None:
            result.refuse(node.id, Reject(RejectClass.BODY_MISSING, "a file has whole nodes"))
    return whole


def _outside(keys: Iterable[str], readable: KeySelection) -> list[str]:
    return [key for key in keys if not readable.matches(key)]


def touches(node: Node, patterns: PatternSet) -> bool:
    """Whether a whole node has an operation on a key of ``patterns``. Raises `Reject`."""
    return any(patterns.matches(operation.key) for operation in node.operations())


def as_subscribed(nodes: Sequence[Node], patterns: PatternSet) -> list[Node]:
    """Whole nodes as they travel to a subscriber: those without a wanted key lose their body.

    Merges keep theirs, which is empty. The nodes given stay as they are.
    """
    return [
        node if not node.operations() or touches(node, patterns) else without_body(node)
        for node in nodes
    ]


def without_body(node: Node) -> Node:
    """The same node by its header and signature alone."""
    return Node(
        node.id,
        node.author,
        node.clock,
        node.kind,
        node.parents,
        node.body_hash,
        None,
        node.signature,
    )
