"""Notes own edits as they are made, with what is needed to take them back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from roomlog.core.crdt.list import ListItem
from roomlog.core.crdt.map import ABSENT
from roomlog.core.text_followers import text_followers_of
from roomlog.core.undo.followed_text import DeletedRun, FollowedText, Run
from roomlog.core.undo.records import (
    CounterAdded,
    ItemDeleted,
    ItemInserted,
    ItemMoved,
    ItemPlace,
    ItemUpdated,
    MapWritten,
    Record,
    TextDeleted,
    TextInserted,
)
from roomlog.core.undo.tokens import Tokens

if TYPE_CHECKING:
    from roomlog.core.replica import Replica
    from roomlog.core.state import State
    from roomlog.core.succession import Succession
    from roomlog.core.undo.history import UndoHistory

_NEEDLESS_TOKENS: Final = 4096
"""So many tokens may be kept beyond twice those that were needed when they were last sorted out."""


@final
class EditRecorder:
    """Watches the own edits of one replica for its undo histories.

    `OpenEdits` calls it: names that end in -ing before the edit is applied, the others after.
    """

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.histories: list[UndoHistory] = []
        self.performing: UndoHistory | None = None
        """The history whose undo or redo writes the edits of now."""
        self.maps = Tokens()
        self.items = Tokens()
        self.values = Tokens()
        self.positions = Tokens()
        self.reviving: ItemDeleted | None = None
        """The deletion that the next insertion of an item takes back."""
        self._standing: int | None = None
        self._records: list[Record] = []
        self._texts: dict[str, FollowedText] = {}
        self._moving: ItemPlace | None = None
        self._most_tokens = _NEEDLESS_TOKENS

    @property
    def state(self) -> State:
        """The objects that are edited."""
        return self.replica.objects

    def close(self) -> None:
        """Watch no longer."""
        self.replica.edits.recorder = None
        followers = self.state.text_followers
        if followers is not None:
            for key, text in self._texts.items():
                followers.unfollow(key, text.follower)
        self._texts.clear()

    def join(self, history: UndoHistory) -> None:
        """A history begins. Nothing is open."""
        self.histories.append(history)

    def leave(self, history: UndoHistory) -> None:
        """A history ends; the last one ends the watching."""
        self.histories.remove(history)
        if not self.histories:
            self.close()

    # What becomes of edits

    def committed(self, now_ms: int | None) -> None:
        """The edits so far become history."""
        records = self._records
        self._records = []
        for text in self._texts.values():
            text.settle()
        for history in self.histories:
            history.take(records, now_ms)
        self._forget_tokens()

    def forget_open(self, next_lv: int) -> None:
        """There are no open edits any more; those that were not committed are forgotten."""
        if self._records:
            self._records = []
            for tokens in (self.maps, self.items, self.values, self.positions):
                tokens.forget_from(next_lv)

    def move(self, succession: Succession) -> None:
        """Another replica has taken the place of the one watched: go on with that.

        What was written by nodes that are not there as they were cannot be undone any more.
        """
        self.replica.edits.recorder = None
        self.replica = succession.after
        self.replica.edits.recorder = self
        for tokens in (self.maps, self.items, self.values, self.positions):
            tokens.renumber(succession.same_node)
        moved: dict[int, int] = {}
        for record in self._all_records():
            if id(record) not in moved:
                moved[id(record)] = record.lv = succession.same_node(record.lv)
        for history in self.histories:
            history.drop_gone()

    def _all_records(self) -> list[Record]:
        return [record for history in self.histories for record in history.records()]

    def _forget_tokens(self) -> None:
        count = len(self.maps) + len(self.items) + len(self.values) + len(self.positions)
        if count <= self._most_tokens:
            return
        needed: dict[str, set[int | None]] = {
            "maps": set(),
            "items": set(),
            "values": set(),
            "positions": set(),
        }
        for record in self._all_records():
            for name, token in record.tokens():
                needed[name].add(token)
        self.maps.keep(needed["maps"])
        self.items.keep(needed["items"])
        self.values.keep(needed["values"])
        self.positions.keep(needed["positions"])
        count = len(self.maps) + len(self.items) + len(self.values) + len(self.positions)
        self._most_tokens = 2 * count + _NEEDLESS_TOKENS

    @contextlib.contextmanager
    def restoring(self, token: int | None) -> Iterator[None]:
        """The write made meanwhile stands for the one that has this token."""
        self._standing = token
        try:
            yield
        finally:
            self._standing = None

    def _token(self, tokens: Tokens, lv: int, index: int) -> int:
        """The token of the write under way."""
        if self._standing is None:
            return tokens.of(lv, index)
        tokens.stand(lv, index, self._standing)
        return self._standing

    # Maps and counters

    def map_writing(self, key: str, lv: int, index: int) -> None:
        register = self.state.maps.by_key.get(key)
        if register is None:
            record = MapWritten(key, lv, ABSENT, None, None)
        else:
            before = self.maps.of(register.lv, register.operation_index)
            record = MapWritten(key, lv, register.content, register.value, before)
        record.after = self._token(self.maps, lv, index)
        self._records.append(record)

    def counter_added(self, key: str, amount: int, lv: int) -> None:
        self._records.append(CounterAdded(key, lv, amount))

    # Lists

    def item(self, key: str, token: int) -> ListItem | None:
        """The item that stands for the one named `token`, unless it is deleted."""
        write = self.items.write_of(token)
        document = self.state.lists.get(key)
        if write is None or document is None:
            return None
        item = document.item(*write)
        return None if item is None or item.deleted else item

    def item_inserted(self, key: str, item: ListItem) -> None:
        lv, index = item.lv, item.operation_index
        revived = self.reviving
        if revived is not None:
            self.items.stand(lv, index, revived.item)
            self.values.stand(lv, index, revived.value_token)
            self.positions.stand(lv, index, revived.position_token)
        self._records.append(ItemInserted(key, lv, self.items.of(lv, index)))

    def item_updating(self, key: str, item: ListItem, lv: int, index: int) -> None:
        before = self.values.of(item.value_lv, item.value_index)
        record = ItemUpdated(key, lv, self._name(item), item.value, before)
        record.after = self._token(self.values, lv, index)
        self._records.append(record)

    def item_deleting(self, key: str, item: ListItem, index: int, lv: int) -> None:
        self._records.append(
            ItemDeleted(
                key,
                lv,
                self._name(item),
                item.value,
                self.values.of(item.value_lv, item.value_index),
                self.positions.of(item.position_lv, item.position_index),
                self._place(key, item, index),
            )
        )

    def item_moving(self, key: str, item: ListItem, index: int) -> None:
        self._moving = self._place(key, item, index)

    def item_placing(self, key: str, item: ListItem, lv: int, index: int, is_shift: bool) -> None:
        """An item gets another position: because it is moved, or to make room beside it."""
        before = self.positions.of(item.position_lv, item.position_index)
        if is_shift:
            self.positions.stand(lv, index, before)
            return
        place = self._moving
        assert place is not None
        record = ItemMoved(key, lv, self._name(item), before, place)
        record.after = self._token(self.positions, lv, index)
        self._records.append(record)

    def _name(self, item: ListItem) -> int:
        return self.items.of(item.lv, item.operation_index)

    def _place(self, key: str, item: ListItem, index: int) -> ItemPlace:
        order = self.state.lists[key].order
        left = self._neighbour(order.at(index - 1)) if index else None
        right = self._neighbour(order.at(index + 1)) if index + 1 < len(order) else None
        return ItemPlace(left, right, item.position)

    def _neighbour(self, item: ListItem) -> tuple[int, int]:
        return self._name(item), self.positions.of(item.position_lv, item.position_index)

    # Texts

    def text_inserted(self, key: str, position: int, length: int, lv: int) -> None:
        text = self._texts.get(key)
        if text is None:
            text = self._follow(key, len(self.state.texts[key].document) - length)
            text.begin(position, length)
        if text.is_deaf:
            return
        run = text.inserted(length)
        last = self._records[-1] if self._records else None
        if isinstance(last, TextInserted) and last.key == key and last.lv == lv:
            # Nobody else can have inserted anything since.
            last.runs[-1] = (last.runs[-1][0], last.runs[-1][1] + length)
        else:
            self._records.append(TextInserted(key, lv, [run]))

    def text_deleting(self, key: str, position: int, length: int, lv: int) -> None:
        document = self.state.texts[key].document
        text = self._texts.get(key)
        if text is None:
            text = self._follow(key, len(document))
        if text.is_deaf:
            return
        runs: list[DeletedRun] = []
        for number, size in text.deleting(position, length):
            runs.append((number, document.slice(position, position + size)))
            position += size
        last = self._records[-1] if self._records else None
        if isinstance(last, TextDeleted) and last.key == key and last.lv == lv:
            last.runs.extend(runs)
        else:
            self._records.append(TextDeleted(key, lv, runs))

    def _follow(self, key: str, length: int) -> FollowedText:
        text = self._texts[key] = FollowedText(length)
        text_followers_of(self.state).follow(key, text.follower)
        return text

    def take_out(self, key: str, runs: list[Run]) -> None:
        """Delete what is left of some characters."""
        text = self._texts[key]
        edits = self.replica.edits
        document = self.state.texts.get(key)
        if document is None:
            return
        removed = text.visible_of(runs, document.document)
        changes = text.take_out(runs)
        if changes:
            text.is_deaf = True
            try:
                for position, length in changes:
                    edits.text_delete(key, position, length)
            finally:
                text.is_deaf = False
            self._records.append(TextDeleted(key, edits.lv, removed))

    def put_back(self, key: str, runs: list[DeletedRun]) -> None:
        """Insert deleted characters where they were."""
        text = self._texts[key]
        changes, shown = text.put_back(runs)
        if changes:
            text.is_deaf = True
            try:
                for position, inserted in changes:
                    self.replica.edits.text_insert(key, position, inserted)
            finally:
                text.is_deaf = False
            self._records.append(TextInserted(key, self.replica.edits.lv, shown))
