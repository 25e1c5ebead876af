"""What the sessions of a room show of themselves: never stored, gone with its time or its session.

Data are kept as MessagePack: what clever nesting costs as objects has no bound.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import (
    Identity,
    Message,
    PresenceEntry,
    PresenceLeft,
    PresenceShown,
    PresenceSnapshot,
)

LEFT: Final = "left"
EXPIRED: Final = "expired"


@final
class Shown:
    """What one session shows until `expires_at` (monotonic seconds)."""

    __slots__ = ("data", "expires_at", "identity", "session_id")

    def __init__(self, session_id: str, identity: Identity, data: bytes, expires_at: float) -> None:
        self.session_id = session_id
        self.identity = identity
        self.data = data
        self.expires_at = expires_at

    def message(self, codec: Codec) -> PresenceShown:
        """What others are told when it changes."""
        return PresenceShown(
            pubkey=self.identity.pubkey,
            label=self.identity.label,
            session=self.session_id,
            data=_data_for(codec, self.data),
        )

    def entry(self, codec: Codec) -> PresenceEntry:
        """What joiners are told."""
        return PresenceEntry(
            pubkey=self.identity.pubkey,
            label=self.identity.label,
            session=self.session_id,
            data=_data_for(codec, self.data),
        )


@final
class Presence:
    """One room's presence, at most one entry a session."""

    def __init__(self) -> None:
        self.entries: dict[str, Shown] = {}
        """By session id."""
        self._next_expiry = float("inf")

    def show(self, session_id: str, identity: Identity, data: object, expires_at: float) -> Shown:
        """Replace what a session shows."""
        shown = Shown(session_id, identity, _PACK(data), expires_at)
        self.entries[session_id] = shown
        self._next_expiry = min(self._next_expiry, expires_at)
        return shown

    def take_away(self, session_id: str) -> bool:
        """Show nothing of a session any more; whether anything was shown."""
        return self.entries.pop(session_id, None) is not None

    def expire(self, now: float) -> list[Shown]:
        """Take away and return what has had its time."""
        if now < self._next_expiry:
            return []
        expired = [shown for shown in self.entries.values() if shown.expires_at <= now]
        for shown in expired:
            del self.entries[shown.session_id]
        self._next_expiry = min(
            (shown.expires_at for shown in self.entries.values()), default=float("inf")
        )
        return expired


def left(session_id: str, identity: Identity, reason: str) -> Message:
    """What others are told when a session shows nothing any more."""
    return PresenceLeft(
        pubkey=identity.pubkey, label=identity.label, session=session_id, reason=reason
    )


def snapshot_page(codec: Codec, entries: list[Shown]) -> bytes:
    """The frame payload of one page of a snapshot."""
    return encode(codec, PresenceSnapshot(entries=[shown.entry(codec) for shown in entries]))


_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder().decode


def _data_for(codec: Codec, data: bytes) -> object:
    return _UNPACK(data) if codec is Codec.JSON else msgspec.Raw(data)
