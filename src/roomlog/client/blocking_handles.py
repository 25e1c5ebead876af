"""Handles and feeds of `roomlog.sync`: each call runs in the loop's thread and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, MutableMapping, MutableSequence
from typing import Any, final

from roomlog.client.blocking_following import SyncAnchor, SyncAttribution
from roomlog.client.changes import Change, ChangeFeed
from roomlog.client.handles import DocumentCounter, DocumentList, DocumentMap, DocumentText
from roomlog.client.loop_thread import LoopThread
from roomlog.core.anchors import RIGHT, SavedAnchor, Side
from roomlog.core.attribution import AttributionRun


@final
class SyncMap(MutableMapping[str, Any]):
    """`DocumentMap`, from any thread."""

    def __init__(self, loop: LoopThread, handle: DocumentMap) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return self._handle.place

    def __getitem__(self, key: str) -> Any:
        return self._loop.call(self._handle.__getitem__, key)

    def get(self, key: str, default: Any = None, *, canonical: bool = False) -> Any:
        """The value of `key`; with `canonical`, the one that the server has acknowledged."""
        return self._loop.call(self._handle.get, key, default, canonical=canonical)

    def __contains__(self, key: object) -> bool:
        return self._loop.call(self._handle.__contains__, key)

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __iter__(self) -> Iterator[str]:
        return iter(self._loop.call(lambda: list(self._handle)))

    def __setitem__(self, key: str, value: Any) -> None:
        self._loop.call(self._handle.__setitem__, key, value)

    def __delitem__(self, key: str) -> None:
        self._loop.call(self._handle.__delitem__, key)

    def set_blob(self, key: str, hash: bytes, size_bytes: int, media_type: str) -> None:
        """Let `key` refer to a blob."""
        self._loop.call(self._handle.set_blob, key, hash, size_bytes, media_type)

    def to_dict(self) -> dict[str, Any]:
        """A plain copy, all of one moment."""
        return self._loop.call(self._handle.to_dict)

    def __repr__(self) -> str:
        return f"SyncMap({self.to_dict()!r})"


@final
class SyncCounter:
    """`DocumentCounter`, from any thread."""

    def __init__(self, loop: LoopThread, handle: DocumentCounter) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return self._handle.place

    @property
    def value(self) -> int:
        """The sum of all amounts."""
        return self.get()

    def get(self, *, canonical: bool = False) -> int:
        """The sum; with `canonical`, of what the server has acknowledged."""
        return self._loop.call(self._handle.get, canonical=canonical)

    def add(self, amount: int = 1) -> None:
        """Add `amount`."""
        self._loop.call(self._handle.add, amount)

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"SyncCounter({self.value})"


@final
class SyncList(MutableSequence[Any]):
    """`DocumentList`, from any thread."""

    def __init__(self, loop: LoopThread, handle: DocumentList) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return self._handle.place

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __getitem__(self, index: int | slice) -> Any:
        return self._loop.call(self._handle.__getitem__, index)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    def to_list(self, *, canonical: bool = False) -> list[Any]:
        """A plain copy, all of one moment."""
        return self._loop.call(self._handle.to_list, canonical=canonical)

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._loop.call(self._handle.__setitem__, index, value)

    def __delitem__(self, index: int | slice) -> None:
        self._loop.call(self._handle.__delitem__, index)

    def insert(self, index: int, value: Any) -> None:
        """Insert `value` before item `index`; the length appends."""
        self._loop.call(self._handle.insert, index, value)

    def append(self, value: Any) -> None:
        """Insert `value` at the end."""
        self._loop.call(self._handle.append, value)

    def extend(self, values: Iterable[Any]) -> None:
        """Insert several values at the end, as one node."""
        self._loop.call(self._handle.extend, list(values))

    def move(self, source: int, target: int) -> None:
        """Take item `source` out and put it back so that it becomes item `target`."""
        self._loop.call(self._handle.move, source, target)

    def update(self, index: int, value: Any) -> None:
        """Give item `index` another value."""
        self._loop.call(self._handle.update, index, value)

    def delete(self, index: int) -> None:
        """Delete item `index` for good."""
        self._loop.call(self._handle.delete, index)

    def __repr__(self) -> str:
        return f"SyncList({self.to_list()!r})"


@final
class SyncText:
    """`DocumentText`, from any thread."""

    def __init__(self, loop: LoopThread, handle: DocumentText) -> None:
        self._loop = loop
        self._handle = handle

    @property
    def place(self) -> tuple[int, str]:
        """Kind and key, as scopes of undo name it."""
        return self._handle.place

    def __str__(self) -> str:
        return self.get()

    def get(self, *, canonical: bool = False) -> str:
        """The text; with `canonical`, what the server has acknowledged of it."""
        return self._loop.call(self._handle.get, canonical=canonical)

    def __len__(self) -> int:
        return self._loop.call(self._handle.__len__)

    def __getitem__(self, index: int | slice) -> str:
        return self._loop.call(self._handle.__getitem__, index)

    def insert(self, position: int, text: str) -> None:
        """Insert `text` before `position`."""
        self._loop.call(self._handle.insert, position, text)

    def append(self, text: str) -> None:
        """Insert `text` at the end."""
        self._loop.call(self._handle.append, text)

    def delete(self, position: int, length: int = 1) -> None:
        """Delete `length` characters from `position` on."""
        self._loop.call(self._handle.delete, position, length)

    def replace(self, position: int, length: int, text: str) -> None:
        """Delete `length` characters from `position` on and insert `text` there."""
        self._loop.call(self._handle.replace, position, length, text)

    def anchor(self, position: int, side: Side = RIGHT) -> SyncAnchor:
        """A place before the character at `position` that follows all edits."""
        return SyncAnchor(self._loop, self._loop.call(self._handle.anchor, position, side))

    def resolve(self, saved: SavedAnchor) -> SyncAnchor:
        """An anchor at a place that was saved, in this document or another of the same room."""
        return SyncAnchor(self._loop, self._loop.call(self._handle.resolve, saved))

    def attribution(self) -> list[AttributionRun]:
        """Who wrote what: runs of the text with author and node."""
        return self._loop.call(self._handle.attribution)

    def watch_attribution(self) -> SyncAttribution:
        """The same for those who ask often: kept up with each edit until it is closed."""
        return SyncAttribution(self._loop, self._loop.call(self._handle.watch_attribution))

    def __repr__(self) -> str:
        return f"SyncText({str(self)!r})"


@final
class SyncChanges:
    """A feed of changes: `for change in doc.changes(timeout_s=1)` ends after that much silence."""

    def __init__(self, loop: LoopThread, feed: ChangeFeed, timeout_s: float | None) -> None:
        self._loop = loop
        self._feed = feed
        self._timeout_s = timeout_s

    def __iter__(self) -> SyncChanges:
        return self

    def __next__(self) -> Change:
        change = self._loop.wait(self._next)
        if change is None:
            raise StopIteration
        return change

    async def _next(self) -> Change | None:
        # StopAsyncIteration cannot leave a coroutine as it is.
        try:
            async with asyncio.timeout(self._timeout_s):
                return await anext(self._feed)
        except (TimeoutError, StopAsyncIteration):
            return None
