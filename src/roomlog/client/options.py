"""How a document shall join and follow its room: what `connect` was told, in one place."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import msgspec

from roomlog.protocol.capabilities import Offer
from roomlog.protocol.codec import Codec

Verify: TypeAlias = Literal["live", "all"]
"""Whose signatures are checked: those of live nodes, or those of history as well."""


History: TypeAlias = Literal["full", "recent"]
"""How much history is brought in after joining by a snapshot."""


@final
class DocumentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `connect` that are neither the room, the identity nor a place."""

    label: str
    codec: Codec
    server_key: bytes | None
    verify: Verify
    history: History
    patterns: tuple[str, ...] | None
    """What to subscribe to, () for everything; None leaves what the local store has."""
    offer: Offer | None
    """The capabilities to offer; None for all."""
    close_timeout_s: float
