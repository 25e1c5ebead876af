"""What goes along with a text's changes: anchors, attribution, undo.

A follower is told each change of its text, also when the state is built anew or another replica
takes the place of the one it followed: then as the changes that lead from one text to the other,
character by character.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, final

from roomlog.core.crdt.text import TextDocument

if TYPE_CHECKING:
    from roomlog.core.anchors import TextAnchors
    from roomlog.core.state import State
    from roomlog.core.succession import Succession

TextChange: TypeAlias = tuple[int, int, int]
"""Position, characters deleted there, characters inserted there."""

_BASE: Final = -1
"""The node of characters that a snapshot says, in `TextDocument.segments`."""


@final
class TextFollower:
    """Two functions. `edited(position, deleted, inserted, local version)` is told each change.

    `replaced(changes, is_discard)` is told when there is another document with the text's history
    now, and what to do to the old text, in order, to get the new one. After a discard that is the
    text before the edits that were not committed.
    """

    __slots__ = ("edited", "replaced")

    def __init__(
        self,
        edited: Callable[[int, int, int, int], None],
        replaced: Callable[[list[TextChange], bool], None],
    ) -> None:
        self.edited = edited
        self.replaced = replaced


@final
class TextFollowers:
    """The followers of each text of one state, and the documents they are attached to."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.anchors: dict[str, TextAnchors] = {}
        self._followers: dict[str, list[TextFollower]] = {}
        self._documents: dict[str, TextDocument | None] = {}

    def follow(self, key: str, follower: TextFollower) -> None:
        """Tell `follower` of the text of `key` from now on, also when there is none yet."""
        followers = self._followers.setdefault(key, [])
        followers.append(follower)
        text = self.state.texts.get(key)
        self._attach(key, None if text is None else text.document)

    def unfollow(self, key: str, follower: TextFollower) -> None:
        """Tell `follower` no more."""
        followers = self._followers.get(key, [])
        if follower in followers:
            followers.remove(follower)
            document = self._documents[key]
            if followers:
                self._attach(key, document)
                return
            if document is not None:
                document.listeners = None
            del self._followers[key]
            del self._documents[key]
            if not self._followers:
                self.state.text_followers = None

    def opened(self, key: str, document: TextDocument) -> None:
        """The state has made a document. One that replaces another waits for `refresh`."""
        if key in self._followers and self._documents[key] is None:
            self._attach(key, document)

    def refresh(self, state: State, succession: Succession | None = None) -> None:
        """Follow the texts of `state` now, whose nodes are those of `succession`.

        Without one the graph is the same.
        """
        before = self.state
        self.state = state
        for key in list(self._followers):
            old = self._documents[key]
            text = state.texts.get(key)
            new = None if text is None else text.document
            if old is new:
                continue
            is_discard = False
            if old is not None:
                old.listeners = None
                is_discard = old.open_node >= len(before.graph)
            changes = _changes_between(key, old, new, state, succession)
            self._attach(key, new)
            for follower in self._followers[key].copy():
                follower.replaced(changes, is_discard)

    def _attach(self, key: str, document: TextDocument | None) -> None:
        self._documents[key] = document
        if document is not None:
            document.listeners = [follower.edited for follower in self._followers[key]]


def text_followers_of(state: State) -> TextFollowers:
    """The followers of a state's texts."""
    if state.text_followers is None:
        state.text_followers = TextFollowers(state)
    return state.text_followers


def hand_over(before: State, after: State, succession: Succession) -> None:
    """Let everything that follows texts of one state follow those of another from now on."""
    followers = before.text_followers
    if followers is not None:
        before.text_followers = None
        after.text_followers = followers
        followers.refresh(after, succession)


def _changes_between(
    key: str,
    old: TextDocument | None,
    new: TextDocument | None,
    state: State,
    succession: Succession | None,
) -> list[TextChange]:
    """What to do to the old text to get the new one, so that each character stays itself."""
    old_text = "" if old is None else str(old)
    new_text = "" if new is None else str(new)
    if old_text == new_text:
        return []
    if old is None or new is None:
        return _difference([None] * len(old_text), [None] * len(new_text))
    had: list[object] = []
    for node, place, total, length in old.segments():
        had.extend(_names_now(key, node, place, total, length, succession))
    has: list[object] = []
    for node, place, total, length in new.segments():
        has.extend([(node, place + offset, total) for offset in range(length)])
    if succession is not None and succession.begins_anew:
        heads = state.texts[key].projection.below(state.graph, succession.base_heads())
        _name_by_base(new.positions_of(heads), has)
    return _difference(had, has)


def _names_now(  # noqa: PLR0917 - a segment, as a document says it
    key: str, node: int, place: int, total: int, length: int, succession: Succession | None
) -> list[object]:
    """The names that `length` characters of an old node have in the new history, or None."""
    gaps: list[tuple[int, int]] = []
    if succession is not None and node >= 0:
        gaps = succession.gaps(node, key)
        node = succession.node(node)
        if node < 0:
            return [None] * length
    lost = sum([stop - start for start, stop in gaps])
    names: list[object] = []
    for at in range(place, place + length):
        before = 0
        for start, stop in gaps:
            before += max(0, min(at + 1, stop) - start)
        is_lost = any(start <= at < stop for start, stop in gaps)
        names.append(None if is_lost else (node, at - before, total - lost))
    return names


def _name_by_base(runs: list[tuple[int, int]], has: list[object]) -> None:
    """Give the characters of a snapshot's text, found again in whole history, their old names."""
    total = sum([length for length, _ in runs])
    place = 0
    for length, position in runs:
        if position >= 0:
            for offset in range(length):
                has[position + offset] = (_BASE, place + offset, total)
        place += length


def _difference(had: list[object], has: list[object]) -> list[TextChange]:
    """Edits from one sequence of names to another. Names that are None, or out of order, go."""
    places = {name: index for index, name in enumerate(has) if name is not None}
    changes: list[TextChange] = []
    position = 0
    taken = 0
    deleted = 0
    for name in had:
        index = places.get(name, -1) if name is not None else -1
        if index < taken:
            deleted += 1
            continue
        _add(changes, position, deleted, index - taken)
        position += index - taken + 1
        taken = index + 1
        deleted = 0
    _add(changes, position, deleted, len(has) - taken)
    return changes


def _add(changes: list[TextChange], position: int, deleted: int, inserted: int) -> None:
    if deleted:
        changes.append((position, deleted, 0))
    if inserted:
        changes.append((position, 0, inserted))


__all__ = [
    "TextChange",
    "TextFollower",
    "TextFollowers",
    "hand_over",
    "text_followers_of",
]
