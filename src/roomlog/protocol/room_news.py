"""What the server tells beside the log: presence, peers, signals, news about the service."""

from __future__ import annotations

from typing import Final

from roomlog.protocol import messages
from roomlog.protocol.client_events import (
    ClientEvent,
    Deprecated,
    Draining,
    ErrorReceived,
    Moved,
    PeerCame,
    PeerWent,
    PingRefused,
    PresenceChanged,
    PresenceGone,
    PresenceRefused,
    SignalReceived,
    SignalRefused,
)
from roomlog.protocol.messages import Message, Peer

PRESENCE_REF: Final = "v"
SIGNAL_REF: Final = "s"
PING_REF: Final = "t"
"""What the refs of these messages begin with; an error finds back to them by it."""

NEWS: Final[tuple[type[Message], ...]] = (
    messages.PresenceShown,
    messages.PresenceSnapshot,
    messages.PresenceLeft,
    messages.PeerJoined,
    messages.PeerLeft,
    messages.SignalReceived,
)
"""The messages that `read_news` reads."""


def read_news(message: Message) -> list[ClientEvent]:
    """The events of one of `NEWS`."""
    if isinstance(message, messages.PresenceShown):
        return [_shown(message)]
    if isinstance(message, messages.PresenceSnapshot):
        return [_shown(entry) for entry in message.entries]
    if isinstance(message, messages.PresenceLeft):
        return [
            PresenceGone(
                pubkey=message.pubkey,
                label=message.label,
                session=message.session,
                reason=message.reason,
            )
        ]
    if isinstance(message, messages.PeerJoined):
        return [PeerCame(_peer_of(message))]
    if isinstance(message, messages.PeerLeft):
        return [PeerWent(_peer_of(message))]
    assert isinstance(message, messages.SignalReceived)
    return [
        SignalReceived(
            pubkey=message.pubkey,
            label=message.label,
            session=message.session,
            data=message.data,
        )
    ]


def read_notice(notice: messages.Notice) -> list[ClientEvent]:
    """What is new about the service."""
    events: list[ClientEvent] = []
    if notice.drain is not None:
        drain = notice.drain
        events.append(Draining(max(0, drain.deadline_ms), max(0, drain.retry_after_ms)))
    if notice.deprecation is not None:
        events.append(Deprecated(notice.deprecation.what, notice.deprecation.until))
    if notice.moved is not None:
        events.append(Moved(notice.moved.url))
    return events


def read_refusal(error: ErrorReceived, ref: str) -> list[ClientEvent]:
    """What an error means for the ping, signal or presence that had this ref."""
    if ref.startswith(PING_REF) and ref[len(PING_REF) :].isdecimal():
        return [PingRefused(int(ref[len(PING_REF) :]), error.retry_after_ms)]
    if ref.startswith(SIGNAL_REF):
        refused = SignalRefused(
            ref=ref,
            reject_class=error.reject_class,
            kind=error.kind,
            message=error.message,
            retry_after_ms=error.retry_after_ms,
        )
        return [refused]
    if ref.startswith(PRESENCE_REF):
        hidden = PresenceRefused(
            reject_class=error.reject_class,
            kind=error.kind,
            message=error.message,
            retry_after_ms=error.retry_after_ms,
        )
        return [hidden]
    return []


def _shown(entry: messages.PresenceShown | messages.PresenceEntry) -> PresenceChanged:
    return PresenceChanged(
        pubkey=entry.pubkey, label=entry.label, session=entry.session, data=entry.data
    )


def _peer_of(message: messages.PeerJoined | messages.PeerLeft) -> Peer:
    return Peer(pubkey=message.pubkey, label=message.label, peer_type=message.peer_type)
