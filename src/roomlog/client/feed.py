"""A bounded queue of news for one consumer."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Final, Generic, TypeVar, final

from roomlog.core.errors import InvalidValueError

DEFAULT_QUEUE_ITEMS: Final = 1024

Item = TypeVar("Item")


@final
class Feed(Generic[Item]):
    """What comes from the moment it was made: `async for item in feed`.

    At most `queue_items` wait. When more come than are taken, the oldest are dropped and counted
    in `dropped`.
    """

    def __init__(self, queue_items: int = DEFAULT_QUEUE_ITEMS) -> None:
        if queue_items < 1:
            raise InvalidValueError("queue_items: at least 1")
        self.dropped = 0
        self._items: deque[Item] = deque(maxlen=queue_items)
        self._arrived = asyncio.Event()
        self._is_closed = False

    def put(self, item: Item) -> None:
        """Add an item; the document calls this."""
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        self._arrived.set()

    def close(self) -> None:
        """End the feed after what waits in it."""
        self._is_closed = True
        self._arrived.set()

    def take_nowait(self) -> list[Item]:
        """What waits, without waiting for more."""
        items = list(self._items)
        self._items.clear()
        return items

    def __aiter__(self) -> Feed[Item]:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._is_closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()


@final
class Feeds(Generic[Item]):
    """All feeds of one kind of news; one that nobody holds any more gets nothing."""

    def __init__(self) -> None:
        self._feeds: weakref.WeakSet[Feed[Item]] = weakref.WeakSet()
        self._is_closed = False

    def open(self, queue_items: int) -> Feed[Item]:
        """A feed from now on."""
        feed: Feed[Item] = Feed(queue_items)
        if self._is_closed:
            feed.close()
        self._feeds.add(feed)
        return feed

    def put(self, item: Item) -> None:
        """Tell everybody who follows."""
        for feed in list(self._feeds):
            feed.put(item)

    def close(self) -> None:
        """End every feed after what waits in it."""
        self._is_closed = True
        for feed in list(self._feeds):
            feed.close()
