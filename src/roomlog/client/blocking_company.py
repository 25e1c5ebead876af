"""Presence, peers and feeds of `roomlog.sync`: each call runs in the loop's thread."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar, final

from roomlog.client.feed import DEFAULT_QUEUE_ITEMS, Feed
from roomlog.client.loop_thread import LoopThread
from roomlog.client.peers import PeerNews, Peers
from roomlog.client.presence import Presence, PresenceNews, Shown
from roomlog.protocol.messages import Peer

Item = TypeVar("Item")


@final
class SyncFeed(Generic[Item]):
    """`Feed`, from any thread: with `timeout_s` it ends after that much silence."""

    def __init__(self, loop: LoopThread, feed: Feed[Item], timeout_s: float | None) -> None:
        self._loop = loop
        self._feed = feed
        self._timeout_s = timeout_s

    @property
    def dropped(self) -> int:
        """How many items came faster than they were taken, and are gone."""
        return self._feed.dropped

    def __iter__(self) -> SyncFeed[Item]:
        return self

    def __next__(self) -> Item:
        items = self._loop.wait(self._next)
        if not items:
            raise StopIteration
        return items[0]

    async def _next(self) -> list[Item]:
        # StopAsyncIteration cannot leave a coroutine as it is, and None may be an item.
        try:
            async with asyncio.timeout(self._timeout_s):
                return [await anext(self._feed)]
        except (TimeoutError, StopAsyncIteration):
            return []


@final
class SyncPresence:
    """`Presence`, from any thread."""

    def __init__(self, loop: LoopThread, presence: Presence) -> None:
        self._loop = loop
        self._presence = presence

    def set(self, data: object, ttl_s: float | None = None) -> None:
        """Show `data` to everybody in the room, now and whenever the server is reached."""
        self._loop.call(self._presence.set, data, ttl_s)

    def clear(self) -> None:
        """Show nothing any more."""
        self._loop.call(self._presence.clear)

    @property
    def own(self) -> object:
        """What this document shows; None for nothing."""
        return self._loop.call(lambda: self._presence.own)

    def others(self) -> dict[str, Shown]:
        """What others show, by session, all of one moment."""
        return self._loop.call(lambda: dict(self._presence))

    def changes(
        self, timeout_s: float | None = None, queue_items: int = DEFAULT_QUEUE_ITEMS
    ) -> SyncFeed[PresenceNews]:
        """What others show from now on."""
        feed = self._loop.call(self._presence.changes, queue_items)
        return SyncFeed(self._loop, feed, timeout_s)


@final
class SyncPeers:
    """`Peers`, from any thread."""

    def __init__(self, loop: LoopThread, peers: Peers) -> None:
        self._loop = loop
        self._peers = peers

    def all(self) -> tuple[Peer, ...]:
        """Who else is in the room at this moment."""
        return self._loop.call(lambda: tuple(self._peers))

    def changes(
        self, timeout_s: float | None = None, queue_items: int = DEFAULT_QUEUE_ITEMS
    ) -> SyncFeed[PeerNews]:
        """Who comes and goes from now on."""
        return SyncFeed(self._loop, self._loop.call(self._peers.changes, queue_items), timeout_s)
