"""Anchors, attribution, undo and named versions of `roomlog.sync`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import final

from roomlog.client.anchors import DocumentAnchor
from roomlog.client.loop_thread import LoopThread
from roomlog.client.undo import UndoManager
from roomlog.client.versions import Versions
from roomlog.core.anchors import SavedAnchor, Side
from roomlog.core.attribution import AttributionRun, TextAttribution
from roomlog.core.named_versions import NamedVersion
from roomlog.core.view import View


@final
class SyncAnchor:
    """`DocumentAnchor`, from any thread."""

    def __init__(self, loop: LoopThread, anchor: DocumentAnchor) -> None:
        self._loop = loop
        self._anchor = anchor

    @property
    def position(self) -> int:
        """Where it is now, in scalar values."""
        return self._loop.call(lambda: self._anchor.position)

    @property
    def side(self) -> Side:
        """To which side of what is inserted right there it goes: "left" or "right"."""
        return self._anchor.side

    @property
    def key(self) -> str:
        """The path key of the text."""
        return self._anchor.key

    def save(self) -> SavedAnchor:
        """The place as it is now, to be found again by `SyncText.resolve`."""
        return self._loop.call(self._anchor.save)

    def __repr__(self) -> str:
        return f"SyncAnchor({self.key!r}, {self.position}, {self.side!r})"


@final
class SyncAttribution:
    """`TextAttribution`, from any thread."""

    def __init__(self, loop: LoopThread, attribution: TextAttribution) -> None:
        self._loop = loop
        self._attribution = attribution

    def runs(self) -> list[AttributionRun]:
        """The runs of the text as it is now."""
        return self._loop.call(self._attribution.runs)

    def close(self) -> None:
        """Keep up no longer."""
        self._loop.call(self._attribution.close)

    def __enter__(self) -> SyncAttribution:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@final
class SyncUndoManager:
    """`UndoManager`, from any thread."""

    def __init__(self, loop: LoopThread, manager: UndoManager) -> None:
        self._loop = loop
        self._manager = manager

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._loop.call(lambda: self._manager.can_undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to make again."""
        return self._loop.call(lambda: self._manager.can_redo)

    def undo(self) -> bool:
        """Take back the newest step that still has an effect; False when there is none."""
        return self._loop.call(self._manager.undo)

    def redo(self) -> bool:
        """Make again what was undone last; False when there is none, or after other edits."""
        return self._loop.call(self._manager.redo)

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """All edits of the block are one step, those of other threads meanwhile as well."""
        block = self._manager.group()
        self._loop.call(block.__enter__)
        try:
            yield
        finally:
            self._loop.call(block.__exit__, None, None, None)

    def clear(self) -> None:
        """Forget all steps so far."""
        self._loop.call(self._manager.clear)

    def close(self) -> None:
        """Forget all steps, and take note of no more edits."""
        self._loop.call(self._manager.close)


@final
class SyncVersions:
    """`Versions`, from any thread."""

    def __init__(self, loop: LoopThread, versions: Versions) -> None:
        self._loop = loop
        self._versions = versions

    def save(self, name: str, note: str = "") -> NamedVersion:
        """Give the present version a name."""
        return self._loop.call(self._versions.save, name, note)

    def list(self) -> list[NamedVersion]:
        """All named versions, oldest first."""
        return self._loop.call(self._versions.list)

    def get(self, name: str) -> NamedVersion:
        """The version of a name."""
        return self._loop.call(self._versions.get, name)

    def open(self, name: str) -> View:
        """The room as it was at a version, read-only."""
        return self._loop.call(self._versions.open, name)

    def delete(self, name: str) -> None:
        """Take the name away; what it named stays in history."""
        self._loop.call(self._versions.delete, name)
