"""Who is in the room, and words from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, final

import msgspec

from roomlog.client.feed import DEFAULT_QUEUE_ITEMS, Feed, Feeds
from roomlog.protocol.messages import Peer


class Recipient(Protocol):
    """Whom a signal is for: a `Peer`, or whatever else came from somebody."""

    @property
    def pubkey(self) -> bytes:
        """The key."""

    @property
    def label(self) -> str:
        """The label beside it."""


MOST_PEERS: Final = 65_536
"""More than these are not looked at."""


@final
class PeerNews(msgspec.Struct, frozen=True):
    """Somebody came, or went."""

    peer: Peer
    is_here: bool


@final
class ReceivedSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A word of one peer to this one; `session` is which of its sessions sent it."""

    pubkey: bytes
    label: str
    session: str
    data: object


@final
class Peers:
    """The others in the room: identities, each once however many sockets it has, oldest first.

    `own` is who is no other: the key and label of this document. Empty while there is no server.
    """

    def __init__(self, own: tuple[bytes, str] | None = None) -> None:
        self._own = own
        self._peers: dict[tuple[bytes, str], Peer] = {}
        self._feeds: Feeds[PeerNews] = Feeds()

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._peers.values()))

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, pubkey: object) -> bool:
        """Whether somebody with this key, or exactly this `Peer`, is here."""
        if isinstance(pubkey, Peer):
            return (pubkey.pubkey, pubkey.label) in self._peers
        return any(key == pubkey for key, _ in self._peers)

    def changes(self, queue_items: int = DEFAULT_QUEUE_ITEMS) -> Feed[PeerNews]:
        """Who comes and goes from now on."""
        return self._feeds.open(queue_items)

    # what the connection calls

    def came(self, peer: Peer) -> None:
        """An identity is in the room."""
        place = (peer.pubkey, peer.label)
        if place == self._own or place in self._peers or len(self._peers) >= MOST_PEERS:
            return
        self._peers[place] = peer
        self._feeds.put(PeerNews(peer, is_here=True))

    def went(self, peer: Peer) -> None:
        """The last session of an identity is gone."""
        known = self._peers.pop((peer.pubkey, peer.label), None)
        if known is not None:
            self._feeds.put(PeerNews(known, is_here=False))

    def disconnected(self) -> None:
        """The session is over: nobody is known to be here."""
        for peer in tuple(self):
            self.went(peer)

    def close(self) -> None:
        """The document is closed."""
        self.disconnected()
        self._feeds.close()
