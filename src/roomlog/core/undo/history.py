"""Undo and redo of one replica's own edits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from roomlog.core.errors import InvalidValueError, RoomlogError
from roomlog.core.undo.recorder import EditRecorder
from roomlog.core.undo.records import Record
from roomlog.core.undo.scope import Place, UndoScope

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

DEFAULT_GROUP_MS: Final = 500
"""Commits that follow each other more closely are undone together."""

MOST_GROUPS: Final = 1000
"""So many steps can be taken back; older ones are forgotten."""


@final
class _Group:
    """Edits that are undone together."""

    __slots__ = ("is_closed", "last_ms", "records")

    def __init__(self, records: list[Record], last_ms: int | None) -> None:
        self.records = records
        self.last_ms = last_ms
        self.is_closed = False


@final
class UndoHistory:
    """The own edits of a replica since this was made, to be taken back and made again.

    ``scope`` has path keys, each for itself and all below it, and (kind, key) pairs; None is
    everything. Commits less than ``group_ms`` apart are one step. Undoing writes ordinary edits:
    text that was inserted is deleted as far as it is left, deleted text and items come back at
    their place, registers get back what they held if they were not written since, counters the
    opposite amount. What others wrote stays. Raises RoomlogError while edits are open.
    """

    def __init__(
        self,
        replica: Replica,
        scope: Iterable[Place] | None = None,
        group_ms: int = DEFAULT_GROUP_MS,
    ) -> None:
        if group_ms < 0:
            raise InvalidValueError(f"group_ms: at least 0, not {group_ms}")
        if replica.has_open_edits:
            raise RoomlogError("open edits were made before: commit them first")
        self._scope = UndoScope(scope)
        self._group_ms = group_ms
        self._undo: list[_Group] = []
        self._redo: list[_Group] = []
        self._depth = 0
        self._is_redoing = False
        self._is_closed = False
        recorder = replica.edits.recorder
        if recorder is None:
            recorder = replica.edits.recorder = EditRecorder(replica)
        self._recorder = recorder
        recorder.join(self)

    @property
    def replica(self) -> Replica:
        """The replica whose edits these are; another one after it was replaced."""
        return self._recorder.replica

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo, as far as is committed."""
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to make again."""
        return bool(self._redo)

    def undo(self, now_ms: int) -> list[bytes]:
        """Take back the newest step, by nodes of their own: their ids, [] when there was none.

        Open edits are committed first. Steps that have no effect any more are passed over.
        """
        return self._perform(now_ms, is_redo=False)

    def redo(self, now_ms: int) -> list[bytes]:
        """Make again what was undone last, unless there were other edits in the scope since."""
        return self._perform(now_ms, is_redo=True)

    def begin_group(self) -> None:
        """Commits from here on are one step, whenever they come, until `end_group`."""
        self._check_open()
        if not self._depth:
            self._close_group()
        self._depth += 1

    def end_group(self) -> None:
        """End what the last `begin_group` began."""
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self._close_group()

    def clear(self) -> None:
        """Forget all steps."""
        self._undo.clear()
        self._redo.clear()

    def close(self) -> None:
        """Forget all steps and note no more edits."""
        if not self._is_closed:
            self._is_closed = True
            self.clear()
            self._recorder.leave(self)

    # For the recorder

    def take(self, records: list[Record], now_ms: int | None) -> None:
        """Edits were committed."""
        records = [record for record in records if self._scope.holds(record.kind, record.key)]
        if not records:
            return
        if self._recorder.performing is self:
            group = _Group(records, None)
            group.is_closed = True
            (self._undo if self._is_redoing else self._redo).append(group)
            return
        self._redo.clear()
        last = self._undo[-1] if self._undo else None
        if last is not None and not last.is_closed and self._joins(last, now_ms):
            last.records.extend(records)
            if now_ms is not None:
                last.last_ms = now_ms
            return
        self._undo.append(_Group(records, now_ms))
        if len(self._undo) > MOST_GROUPS:
            del self._undo[0]

    def records(self) -> list[Record]:
        """Everything that is kept."""
        return [record for group in (*self._undo, *self._redo) for record in group.records]

    def drop_gone(self) -> None:
        """Forget what was written by nodes that are gone."""
        for stack in (self._undo, self._redo):
            for group in stack:
                group.records = [record for record in group.records if record.lv >= 0]
            stack[:] = [group for group in stack if group.records]

    def _joins(self, group: _Group, now_ms: int | None) -> bool:
        if self._depth or now_ms is None or group.last_ms is None:
            return True
        return 0 <= now_ms - group.last_ms < self._group_ms

    def _close_group(self) -> None:
        if self._undo:
            self._undo[-1].is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise RoomlogError("the undo history was closed")

    def _perform(self, now_ms: int, *, is_redo: bool) -> list[bytes]:
        self._check_open()
        replica = self.replica
        replica.commit(now_ms)
        recorder = self._recorder
        stack = self._redo if is_redo else self._undo
        self._close_group()
        while stack:
            group = stack.pop()
            recorder.performing = self
            self._is_redoing = is_redo
            try:
                try:
                    for record in reversed(group.records):
                        record.revert(recorder)
                except BaseException:
                    replica.discard()
                    stack.append(group)
                    raise
                ids = replica.commit(now_ms)
                if ids:
                    return ids
            finally:
                recorder.performing = None
        return []
