"""Places in a text that follow its edits: a caret, the ends of a comment, somebody's selection."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

from roomlog.core.attribution import check_readable
from roomlog.core.crdt.text import TextDocument
from roomlog.core.errors import (
    HistoryMissingError,
    InvalidTypeError,
    InvalidValueError,
    RoomlogError,
    UnknownNodeError,
)
from roomlog.core.hashing import HASH_BYTES
from roomlog.core.text_followers import (
    TextChange,
    TextFollower,
    TextFollowers,
    text_followers_of,
)

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

Side: TypeAlias = Literal["left", "right"]

LEFT: Final = "left"
RIGHT: Final = "right"


@final
class SavedAnchor:
    """A place in a text at one version: node ids, a position there, and the side it keeps to.

    What every replica that has the version finds again. `to_value` and `from_value` carry it as a
    canonical value, to be written to a map. Presence and signals carry no bytes: send ids as hex.
    """

    __slots__ = ("position", "side", "version")

    def __init__(self, version: tuple[bytes, ...], position: int, side: Side) -> None:
        self.version: tuple[bytes, ...] = tuple(sorted(set(version)))
        self.position: int = position
        self.side: Side = side

    def to_value(self) -> list[object]:
        """`[[node id, ...], position, "left" or "right"]`, the ids ascending."""
        return [list(self.version), self.position, self.side]

    @classmethod
    def from_value(cls, value: object) -> SavedAnchor:
        """What `to_value` gave. Raises `InvalidValueError` for anything else."""
        if isinstance(value, list) and len(value) == 3:
            ids, position, side = value
            if (
                isinstance(ids, list)
                and all(type(each) is bytes and len(each) == HASH_BYTES for each in ids)
                and ids == sorted(set(ids))
                and type(position) is int
                and position >= 0
                and side in (LEFT, RIGHT)
            ):
                return cls(tuple(ids), position, side)
        raise InvalidValueError("value: not a saved anchor")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SavedAnchor) and self.to_value() == other.to_value()

    def __hash__(self) -> int:
        return hash((self.version, self.position, self.side))

    def __repr__(self) -> str:
        ids = ", ".join(node_id.hex()[:8] for node_id in self.version)
        return f"SavedAnchor([{ids}], {self.position}, {self.side!r})"


@final
class Anchor:
    """A place between two characters of a text that stays between them.

    `position` is where it is now, in scalar values. Of what is inserted right there, a "left"
    anchor stays on the left and a "right" one goes to the right. When what surrounds it is deleted,
    it stays where that was. It follows its text while it is referred to.
    """

    __slots__ = ("__weakref__", "_anchors", "position", "side")

    def __init__(self, anchors: TextAnchors, position: int, side: Side) -> None:
        self._anchors = anchors
        self.position: int = position
        self.side: Side = side

    @property
    def key(self) -> str:
        """The path key of the text."""
        return self._anchors.key

    def save(self) -> SavedAnchor:
        """The place as it is now, to be found again later or elsewhere by `resolve`.

        Raises RoomlogError while the text has edits that are not committed: they have no ids yet.
        """
        return self._anchors.save(self)

    def __repr__(self) -> str:
        return f"Anchor({self.key!r}, {self.position}, {self.side!r})"


@final
class TextAnchors:
    """All anchors of one text of a replica: one follower, which goes when the last of them has."""

    __slots__ = (
        "_anchors",
        "_committed",
        "_committed_nodes",
        "_follower",
        "_followers",
        "key",
    )

    def __init__(self, followers: TextFollowers, key: str) -> None:
        self.key = key
        self._followers = followers
        self._anchors: weakref.WeakSet[Anchor] = weakref.WeakSet()
        # Where anchors were before the edits that are not committed: these may be forgotten.
        self._committed: weakref.WeakKeyDictionary[Anchor, int] = weakref.WeakKeyDictionary()
        self._committed_nodes = -1
        self._follower = TextFollower(self._edited, self._replaced)
        followers.follow(key, self._follower)
        followers.anchors[key] = self

    def add(self, position: int, side: Side) -> Anchor:
        """Begin an anchor."""
        anchor = Anchor(self, position, side)
        self._anchors.add(anchor)
        return anchor

    def save(self, anchor: Anchor) -> SavedAnchor:
        """See `Anchor.save`."""
        state = self._followers.state
        text = state.texts.get(self.key)
        if text is not None and text.document.open_node >= len(state.graph):
            raise RoomlogError("the text has edits that are not committed: commit them first")
        return SavedAnchor(tuple(state.graph.frontier_ids()), anchor.position, anchor.side)

    def _edited(self, position: int, deleted: int, inserted: int, version: int) -> None:
        anchors = list(self._anchors)
        if not anchors:
            del self._followers.anchors[self.key]
            self._followers.unfollow(self.key, self._follower)
            return
        state = self._followers.state
        written = len(state.graph)
        if self._committed_nodes != written and (
            state.texts[self.key].document.open_node >= written
        ):
            self._committed_nodes = written
            self._committed.clear()
            self._committed.update((anchor, anchor.position) for anchor in anchors)
        for anchor in anchors:
            _follow(anchor, position, deleted, inserted)

    def _replaced(self, changes: list[TextChange], is_discard: bool) -> None:
        for anchor in list(self._anchors):
            for position, deleted, inserted in changes:
                _follow(anchor, position, deleted, inserted)
        if is_discard:
            for anchor, position in self._committed.items():
                anchor.position = position
        self._committed.clear()
        self._committed_nodes = -1


def _follow(anchor: Anchor, position: int, deleted: int, inserted: int) -> None:
    place = anchor.position
    if position < place:
        anchor.position = max(position, place - deleted) + inserted
    elif position == place and anchor.side == RIGHT:
        anchor.position = place + inserted


def place_anchor(replica: Replica, key: str, position: int, side: Side = RIGHT) -> Anchor:
    """An anchor before the character at `position` of a text; the length is its end.

    Raises IndexError outside of the text, ValueError or TypeError for anything else that is wrong.
    """
    _check(replica, key, side)
    if type(position) is not int:
        raise InvalidTypeError(f"position: an int, not {position!r}")
    text = replica.objects.texts.get(key)
    length = 0 if text is None else len(text.document)
    if not 0 <= position <= length:
        raise IndexError(f"position: {position} is outside a text of length {length}")
    return _anchors_of(replica, key).add(position, side)


def resolve_anchor(replica: Replica, key: str, saved: SavedAnchor) -> Anchor:
    """An anchor at the place that was saved, as every replica with the same nodes finds it.

    It is right after the character that was on its left, for a "left" one, else right before the
    one on its right; where that is deleted, where it would be. Replays what was written since.
    Raises `UnknownNodeError` or `HistoryMissingError` for a version that is not here, and
    `InvalidValueError` when the version has no such position.
    """
    _check(replica, key, saved.side)
    lvs: list[int] = []
    base = replica.log.base
    for node_id in saved.version:
        lv = replica.graph.index_of(node_id)
        if lv < 0:
            if base is not None:
                raise HistoryMissingError(base.seq)
            raise UnknownNodeError(node_id)
        lvs.append(lv)
    if base is not None:
        base.require(lvs)
    text = replica.objects.texts.get(key)
    document = TextDocument(_no_key) if text is None else text.document
    nodes = [] if text is None else text.projection.below(replica.graph, sorted(lvs))
    try:
        position = document.position_since(nodes, saved.position, saved.side == RIGHT)
    except IndexError as error:
        raise InvalidValueError(f"saved: {error}") from None
    return _anchors_of(replica, key).add(position, saved.side)


def _check(replica: Replica, key: str, side: object) -> None:
    check_readable(replica, key)
    if side not in (LEFT, RIGHT):
        raise InvalidValueError(f"side: 'left' or 'right', not {side!r}")


def _anchors_of(replica: Replica, key: str) -> TextAnchors:
    followers = text_followers_of(replica.objects)
    return followers.anchors.get(key) or TextAnchors(followers, key)


def _no_key(node: int) -> bytes:
    raise AssertionError("a text without nodes has no ties")  # pragma: no cover
