"""The others in a room: who they are, what they show, what they say to this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from roomlog.client.feed import Feeds
from roomlog.client.peers import Peers, ReceivedSignal
from roomlog.client.presence import Presence
from roomlog.protocol.client_events import (
    ClientEvent,
    Opened,
    PeerCame,
    PeerWent,
    PresenceChanged,
    PresenceGone,
    SignalReceived,
    SignalRefused,
)
from roomlog.protocol.client_session import ClientSession

MOST_REFUSED_SIGNALS = 1024


@final
class Company:
    """Presence, peers and signals of one document. Nothing of it is in the room's history."""

    def __init__(self, own: tuple[bytes, str] | None) -> None:
        """`own` is the key and label of this document; None when it only reads."""
        self.presence = Presence(can_show=own is not None)
        self.peers = Peers(own)
        self.signals: Feeds[ReceivedSignal] = Feeds()
        self.refused_signals: dict[str, SignalRefused] = {}
        """By the ref of the signal, of this session, until whoever sent it has looked."""

    def connected(
        self, session: ClientSession, opened: Opened, after_send: Callable[[], None]
    ) -> None:
        """A session is open; `after_send` is called when it has something to send."""
        if "presence_ttl" not in session.caps:
            return

        def show(data: object, ttl_ms: int | None) -> None:
            # Its end may not have come to everybody's notice: the next one shows what is set.
            if session.is_open:
                session.show_presence(data, ttl_ms)
                after_send()

        self.presence.connected(show, opened.limits)

    def disconnected(self) -> None:
        """The session is over."""
        self.refused_signals.clear()
        self.presence.disconnected()
        self.peers.disconnected()

    def close(self) -> None:
        """The document is closed."""
        self.presence.close()
        self.peers.close()
        self.signals.close()

    def handle(self, event: ClientEvent) -> bool:
        """Take note of an event; False when it is about something else."""
        if isinstance(event, PresenceChanged):
            self.presence.changed(event)
        elif isinstance(event, PresenceGone):
            self.presence.gone(event)
        elif isinstance(event, PeerCame):
            self.peers.came(event.peer)
        elif isinstance(event, PeerWent):
            self.peers.went(event.peer)
        elif isinstance(event, SignalReceived):
            self.signals.put(
                ReceivedSignal(
                    pubkey=event.pubkey, label=event.label, session=event.session, data=event.data
                )
            )
        elif isinstance(event, SignalRefused):
            if len(self.refused_signals) < MOST_REFUSED_SIGNALS:
                self.refused_signals[event.ref] = event
        else:
            return False
        return True
