"""Undo and redo of what this document writes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias, final

from roomlog.core.errors import InvalidTypeError
from roomlog.core.replica import Replica
from roomlog.core.undo.history import DEFAULT_GROUP_MS, UndoHistory
from roomlog.core.undo.scope import Place


class PlacedHandle(Protocol):
    """A handle of a map, counter, list or text."""

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key."""


Scope: TypeAlias = Iterable[str | PlacedHandle]


class UndoContext(Protocol):
    """What undo needs from its document."""

    def committed(self) -> Replica:
        """The replica, its open edits made a node. Raises `TransactionError` inside of one."""

    def write_apart(self, write: Callable[[int], list[bytes]]) -> list[bytes]:
        """Let `write(now_ms)` make nodes of its own, after those of the edits so far."""

    def flush_if_possible(self) -> None:
        """Make a node of the edits so far, except inside of a transaction."""


@final
class UndoManager:
    """Takes back this document's own edits, made since it exists. Made by `Document.undo_manager`.

    Edits that become nodes less than `group_ms` apart are one step, those of a `group` and of a
    transaction always. What others wrote stays as it is, and undoing is editing: everybody sees it.
    """

    def __init__(self, context: UndoContext, scope: Scope | None, group_ms: int) -> None:
        self._context = context
        places = None if scope is None else [place_of(each) for each in scope]
        self._history = UndoHistory(context.committed(), places, group_ms)

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        self._context.flush_if_possible()
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to make again."""
        self._context.flush_if_possible()
        return self._history.can_redo

    def undo(self) -> bool:
        """Take back the newest step that still has an effect; False when there is none.

        Raises `TransactionError` inside of a transaction.
        """
        return bool(self._context.write_apart(self._history.undo))

    def redo(self) -> bool:
        """Make again what was undone last; False when there is none, or after other edits."""
        return bool(self._context.write_apart(self._history.redo))

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """All edits of the block are one step: `with undo.group(): ...`."""
        self._context.flush_if_possible()
        self._history.begin_group()
        try:
            yield
        finally:
            self._context.flush_if_possible()
            self._history.end_group()

    def clear(self) -> None:
        """Forget all steps so far."""
        self._context.flush_if_possible()
        self._history.clear()

    def close(self) -> None:
        """Forget all steps, and take note of no more edits."""
        self._history.close()


def place_of(each: object) -> Place:
    """The place that a scope's element names: a path key, or a handle's object."""
    if isinstance(each, str):
        return each
    place = getattr(each, "place", None)
    if not isinstance(place, tuple):
        raise InvalidTypeError(f"scope: a path key or a handle, not {each!r}")
    return place


__all__ = ["DEFAULT_GROUP_MS", "Scope", "UndoContext", "UndoManager", "place_of"]
