"""One own edit of each kind, and how it is taken back: by an edit of the same replica.

`revert` does nothing when the edit has no effect any more: another write is the winner now, the
item is deleted, the text is gone. What it writes is recorded like any edit, so redo is the revert
of what an undo wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, final

from roomlog.core.crdt.list import ListDocument, ListItem
from roomlog.core.crdt.map import ABSENT, BlobReference
from roomlog.core.state import COUNTER, LIST, MAP, TEXT
from roomlog.core.undo.followed_text import DeletedRun, Run

if TYPE_CHECKING:
    from roomlog.core.undo.recorder import EditRecorder


@final
class MapWritten:
    """A register was written. ``content`` and ``value`` are what it held before."""

    kind = MAP

    def __init__(self, key: str, lv: int, content: int, value: object, before: int | None) -> None:
        self.key = key
        self.lv = lv
        self.content = content
        self.value = value
        self.before = before
        self.after = -1

    def tokens(self) -> list[tuple[str, int | None]]:
        return [("maps", self.before), ("maps", self.after)]

    def revert(self, recorder: EditRecorder) -> None:
        register = recorder.state.maps.by_key.get(self.key)
        if register is None:
            return
        if recorder.maps.of(register.lv, register.operation_index) != self.after:
            return
        edits = recorder.replica.edits
        with recorder.restoring(self.before):
            if self.content == ABSENT:
                edits.map_delete(self.key)
            elif isinstance(self.value, BlobReference):
                edits.map_set_blob(self.key, self.value)
            else:
                edits.map_set(self.key, self.value)


@final
class CounterAdded:
    """An amount was added."""

    kind = COUNTER

    def __init__(self, key: str, lv: int, amount: int) -> None:
        self.key = key
        self.lv = lv
        self.amount = amount

    def tokens(self) -> list[tuple[str, int | None]]:
        return []

    def revert(self, recorder: EditRecorder) -> None:
        recorder.replica.edits.counter_add(self.key, -self.amount)


class ItemPlace(NamedTuple):
    """Where an item was: its neighbours by item token and position token, and its position."""

    left: tuple[int, int] | None
    right: tuple[int, int] | None
    position: bytes


@final
class ItemInserted:
    """An item was inserted."""

    kind = LIST

    def __init__(self, key: str, lv: int, item: int) -> None:
        self.key = key
        self.lv = lv
        self.item = item

    def tokens(self) -> list[tuple[str, int | None]]:
        return [("items", self.item)]

    def revert(self, recorder: EditRecorder) -> None:
        item = recorder.item(self.key, self.item)
        if item is not None:
            order = recorder.state.lists[self.key].order
            recorder.replica.edits.list_delete(self.key, order.index_of(item))


@final
class ItemDeleted:
    """An item was deleted; what it held, and the tokens of its two registers."""

    kind = LIST

    def __init__(  # noqa: PLR0917 - an item and its place
        self,
        key: str,
        lv: int,
        item: int,
        value: object,
        value_token: int,
        position_token: int,
        place: ItemPlace,
    ) -> None:
        self.key = key
        self.lv = lv
        self.item = item
        self.value = value
        self.value_token = value_token
        self.position_token = position_token
        self.place = place

    def tokens(self) -> list[tuple[str, int | None]]:
        return [
            ("items", self.item),
            ("values", self.value_token),
            ("positions", self.position_token),
            *_tokens_of(self.place),
        ]

    def revert(self, recorder: EditRecorder) -> None:
        if recorder.item(self.key, self.item) is None:
            index = index_of_place(recorder, self.key, self.place, None)
            recorder.reviving = self
            try:
                recorder.replica.edits.list_insert(self.key, index, self.value)
            finally:
                recorder.reviving = None


@final
class ItemUpdated:
    """An item was given another value; ``value`` is the one before."""

    kind = LIST

    def __init__(self, key: str, lv: int, item: int, value: object, before: int) -> None:
        self.key = key
        self.lv = lv
        self.item = item
        self.value = value
        self.before = before
        self.after = -1

    def tokens(self) -> list[tuple[str, int | None]]:
        return [("items", self.item), ("values", self.before), ("values", self.after)]

    def revert(self, recorder: EditRecorder) -> None:
        item = recorder.item(self.key, self.item)
        if item is None or recorder.values.of(item.value_lv, item.value_index) != self.after:
            return
        index = recorder.state.lists[self.key].order.index_of(item)
        with recorder.restoring(self.before):
            recorder.replica.edits.list_update(self.key, index, self.value)


@final
class ItemMoved:
    """An item was moved away from ``place``."""

    kind = LIST

    def __init__(self, key: str, lv: int, item: int, before: int, place: ItemPlace) -> None:
        self.key = key
        self.lv = lv
        self.item = item
        self.before = before
        self.after = -1
        self.place = place

    def tokens(self) -> list[tuple[str, int | None]]:
        return [
            ("items", self.item),
            ("positions", self.before),
            ("positions", self.after),
            *_tokens_of(self.place),
        ]

    def revert(self, recorder: EditRecorder) -> None:
        item = recorder.item(self.key, self.item)
        positions = recorder.positions
        if item is None or positions.of(item.position_lv, item.position_index) != self.after:
            return
        source = recorder.state.lists[self.key].order.index_of(item)
        target = index_of_place(recorder, self.key, self.place, item)
        if source == target:
            positions.stand(item.position_lv, item.position_index, self.before)
            return
        with recorder.restoring(self.before):
            recorder.replica.edits.list_move(self.key, source, target)


@final
class TextInserted:
    """Characters were inserted."""

    kind = TEXT

    def __init__(self, key: str, lv: int, runs: list[Run]) -> None:
        self.key = key
        self.lv = lv
        self.runs = runs

    def tokens(self) -> list[tuple[str, int | None]]:
        return []

    def revert(self, recorder: EditRecorder) -> None:
        recorder.take_out(self.key, self.runs)


@final
class TextDeleted:
    """Characters were deleted."""

    kind = TEXT

    def __init__(self, key: str, lv: int, runs: list[DeletedRun]) -> None:
        self.key = key
        self.lv = lv
        self.runs = runs

    def tokens(self) -> list[tuple[str, int | None]]:
        return []

    def revert(self, recorder: EditRecorder) -> None:
        recorder.put_back(self.key, self.runs)


Record: TypeAlias = (
    MapWritten
    | CounterAdded
    | ItemInserted
    | ItemDeleted
    | ItemUpdated
    | ItemMoved
    | TextInserted
    | TextDeleted
)


def index_of_place(
    recorder: EditRecorder, key: str, place: ItemPlace, moving: ListItem | None
) -> int:
    """The index an item gets at a place, counted without the item that is `moving` there.

    That is beside a former neighbour that nobody else has moved, else where its position is.
    """
    document = recorder.state.lists.get(key)
    if document is None:
        return 0
    order = document.order
    left = _neighbour(recorder, document, key, place.left)
    right = _neighbour(recorder, document, key, place.right)
    if left is not None:
        index = order.index_of(left) + 1
    elif right is not None:
        index = order.index_of(right)
    else:
        index = order.index_before(place.position)
    if moving is not None and order.index_of(moving) < index:
        index -= 1
    return index


def _neighbour(
    recorder: EditRecorder, document: ListDocument, key: str, name: tuple[int, int] | None
) -> ListItem | None:
    if name is None:
        return None
    item = recorder.item(key, name[0])
    if item is None:
        return None
    token = recorder.positions.of(item.position_lv, item.position_index)
    return item if token == name[1] else None


def _tokens_of(place: ItemPlace) -> list[tuple[str, int | None]]:
    tokens: list[tuple[str, int | None]] = []
    for neighbour in (place.left, place.right):
        if neighbour is not None:
            tokens.append(("items", neighbour[0]))
            tokens.append(("positions", neighbour[1]))
    return tokens
