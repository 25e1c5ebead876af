"""Presence, peers and signals as a document keeps them: what is shown, when, and to whom."""

from __future__ import annotations

import asyncio
import math

import pytest

from roomlog.client.errors import DocumentClosedError, ReadOnlyError
from roomlog.client.feed import Feed, Feeds
from roomlog.client.peers import PeerNews, Peers
from roomlog.client.presence import Presence, PresenceNews, Shown
from roomlog.protocol.client_events import PresenceChanged, PresenceGone
from roomlog.protocol.messages import Peer

KEY, OTHER = b"k" * 32, b"o" * 32


def shows(session: str, data: object) -> PresenceChanged:
    return PresenceChanged(pubkey=KEY, label="ada", session=session, data=data)


def gone(session: str, reason: str = "left") -> PresenceGone:
    return PresenceGone(pubkey=KEY, label="ada", session=session, reason=reason)


class Wire:
    """What a presence sends, and a way to wait for it."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, int | None]] = []
        self._more = asyncio.Event()

    def show(self, data: object, ttl_ms: int | None) -> None:
        self.sent.append((data, ttl_ms))
        self._more.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.sent) < count:
                self._more.clear()
                await self._more.wait()


async def test_what_is_set_offline_is_shown_when_a_server_is_reached_and_again_after() -> None:
    presence, wire = Presence(can_show=True), Wire()
    presence.set({"cursor": 3}, ttl_s=2.5)
    assert wire.sent == []
    assert presence.own == {"cursor": 3}
    presence.connected(wire.show, {})
    presence.disconnected()
    presence.connected(wire.show, {})
    assert wire.sent == [({"cursor": 3}, 2500)] * 2
    presence.clear()
    presence.clear()
    assert wire.sent[2:] == [(None, None)]
    presence.disconnected()
    presence.connected(wire.show, {})
    assert len(wire.sent) == 3
    presence.close()
    with pytest.raises(DocumentClosedError):
        presence.set(1)


async def test_t49_presence_is_shown_again_before_it_expires_until_it_is_cleared() -> None:
    presence, wire = Presence(can_show=True), Wire()
    presence.connected(wire.show, {"presence_ttl_ms": 30, "presence_ttl_max_ms": 300})
    presence.set("here")
    await wire.until(4)
    assert set(wire.sent) == {("here", None)}
    # A server that lets nothing last longer than 3 ms hears of it more often.
    presence.disconnected()
    presence.connected(wire.show, {"presence_ttl_max_ms": 3})
    presence.set("still", ttl_s=200)
    count = len(wire.sent)
    await wire.until(count + 3)
    assert set(wire.sent[count:]) == {("still", 200_000)}
    presence.disconnected()
    count = len(wire.sent)
    assert presence._beat is None
    await asyncio.sleep(0)
    assert len(wire.sent) == count
    presence.close()


async def test_what_is_shown_too_often_waits_and_only_the_newest_is_shown() -> None:
    presence, wire = Presence(can_show=True), Wire()
    presence.connected(wire.show, {"messages_per_second": 20})
    for number in range(1_000):
        presence.set(number)
    assert len(wire.sent) == 50
    await wire.until(51)
    assert wire.sent[-1] == (999, None)
    presence.close()


async def test_t49_others_come_and_go_by_session_and_are_unknown_without_a_server() -> None:
    presence = Presence(can_show=False)
    feed = presence.changes()
    presence.changed(shows("one", 1))
    presence.changed(shows("two", 2))
    presence.changed(shows("one", 3))
    one = Shown(pubkey=KEY, label="ada", session="one", data=3)
    two = Shown(pubkey=KEY, label="ada", session="two", data=2)
    assert dict(presence) == {"two": two, "one": one}
    presence.gone(gone("two", "expired"))
    presence.gone(gone("never"))
    presence.disconnected()
    assert len(presence) == 0
    assert feed.take_nowait()[1:] == [
        PresenceNews(shown=two),
        PresenceNews(shown=one),
        PresenceNews(shown=two, is_gone=True, reason="expired"),
        PresenceNews(shown=one, is_gone=True, reason="offline"),
    ]
    with pytest.raises(ReadOnlyError):
        presence.set(1)
    presence.close()
    assert [each async for each in feed] == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("x" * 5000, ValueError),
        (b"bytes", TypeError),
        ({1: 2}, TypeError),
        (math.nan, TypeError),
        (2**64, TypeError),
        ("\ud800", ValueError),
    ],
)
async def test_what_presence_cannot_carry_is_the_caller_s_error(
    data: object, kind: type[Exception]
) -> None:
    presence = Presence(can_show=True)
    with pytest.raises(kind):
        presence.set(data)
    assert presence.own is None


@pytest.mark.parametrize("ttl_s", [0, -1, math.inf, math.nan])
async def test_a_time_that_is_none_is_refused(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="ttl_s"):
        Presence(can_show=True).set(1, ttl_s=ttl_s)


async def test_peers_are_identities_and_each_is_there_once() -> None:
    peers = Peers((OTHER, "me"))
    peers.came(Peer(pubkey=OTHER, label="me"))
    feed = peers.changes()
    ada, phone = Peer(pubkey=KEY, label="desk"), Peer(pubkey=KEY, label="phone")
    for peer in (ada, ada, phone):
        peers.came(peer)
    assert list(peers) == [ada, phone]
    assert len(peers) == 2
    assert KEY in peers
    assert phone in peers
    assert OTHER not in peers
    peers.went(ada)
    peers.went(ada)
    assert ada not in peers
    assert KEY in peers
    peers.disconnected()
    assert feed.take_nowait() == [
        PeerNews(ada, is_here=True),
        PeerNews(phone, is_here=True),
        PeerNews(ada, is_here=False),
        PeerNews(phone, is_here=False),
    ]
    peers.close()
    assert [each async for each in feed] == []


async def test_a_slow_consumer_loses_the_oldest_news_and_knows_how_many() -> None:
    feeds: Feeds[int] = Feeds()
    slow, quick = feeds.open(2), feeds.open(10)
    for number in range(5):
        feeds.put(number)
    assert slow.dropped == 3
    assert slow.take_nowait() == [3, 4]
    assert quick.take_nowait() == [0, 1, 2, 3, 4]
    waiting = asyncio.ensure_future(anext(slow))
    await asyncio.sleep(0)
    feeds.put(9)
    assert await waiting == 9
    feeds.close()
    assert [each async for each in feeds.open(1)] == []
    with pytest.raises(ValueError, match="queue_items"):
        Feed(0)
