"""How a document shall join and follow its room: what `connect` was told, in one place."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import msgspec

from roomlog.protocol.codec import Codec

Verify: TypeAlias = Literal["live", "all"]
"""Whose signatures are checked: those of live nodes, or those of history as well."""


@final
class DocumentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of `connect` that are neither the room, the identity nor a place."""

    label: str
    codec: Codec
    server_key: bytes | None
    verify: Verify
    close_timeout_s: float
