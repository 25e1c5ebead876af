"""The feed of changes: what may read differently now, and because of whom."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Final, final

import msgspec

from roomlog.core.state import COUNTER, LIST, MAP, TEXT

DEFAULT_QUEUE_CHANGES: Final = 1024


class ChangeKind(Enum):
    """What a change is about."""

    MAP = "map"
    COUNTER = "counter"
    LIST = "list"
    TEXT = "text"
    RESYNC = "resync"
    """The consumer was too slow and missed changes: read again whatever is shown."""


class Origin(Enum):
    """Where a change came from."""

    LOCAL = "local"
    """This document's own edits, when they became a node."""
    REMOTE = "remote"
    """Nodes from the server."""
    ROLLBACK = "rollback"
    """Own edits that were taken back because the server refused them."""


KIND_OF_STATE: Final = {
    MAP: ChangeKind.MAP,
    COUNTER: ChangeKind.COUNTER,
    LIST: ChangeKind.LIST,
    TEXT: ChangeKind.TEXT,
}


@final
class Change(msgspec.Struct, frozen=True):
    """One object that may read differently now.

    `key` is the whole path of the object, "" for a resync. `authors` are the public keys of those
    who wrote it; empty when it is not known.
    """

    kind: ChangeKind
    key: str
    origin: Origin
    authors: frozenset[bytes] = frozenset()


RESYNC: Final = Change(ChangeKind.RESYNC, "", Origin.REMOTE)


@final
class ChangeFeed:
    """Changes from the moment it was made, for one consumer: `async for change in feed`.

    At most `queue_changes` wait. When more come than are taken, those waiting are replaced by one
    change of kind `RESYNC`.
    """

    def __init__(self, queue_changes: int = DEFAULT_QUEUE_CHANGES) -> None:
        if queue_changes < 1:
            raise ValueError("queue_changes: at least 1")
        self._most = queue_changes
        self._changes: deque[Change] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    def put(self, changes: Iterable[Change]) -> None:
        """Add changes; the document calls this."""
        for change in changes:
            if len(self._changes) >= self._most:
                self._changes.clear()
                self._changes.append(RESYNC)
                if self._most == 1:
                    continue
            self._changes.append(change)
        if self._changes:
            self._arrived.set()

    def close(self) -> None:
        """End the feed after what waits in it."""
        self._is_closed = True
        self._arrived.set()

    def take_nowait(self) -> list[Change]:
        """What waits, without waiting for more."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def __aiter__(self) -> ChangeFeed:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._changes.popleft()
