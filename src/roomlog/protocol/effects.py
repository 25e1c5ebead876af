"""What a session asks its shell to do; the shell does it and reports back through the session's methods."""

from __future__ import annotations

from typing import final

import msgspec

from roomlog.protocol.close_codes import CloseCode


@final
class Send(msgspec.Struct, frozen=True):
    """Write one frame to the socket."""

    frame: bytes


@final
class Close(msgspec.Struct, frozen=True):
    """Close the socket after what was sent before."""

    code: CloseCode
    reason: str = ""


@final
class OpenRoom(msgspec.Struct, frozen=True):
    """Load the room, or create it when `may_create`; answer with `room_opened` or `room_refused`."""

    room_id: str
    may_create: bool


@final
class Admit(msgspec.Struct, frozen=True):
    """Admit a pushed pack; answer with `pack_settled`, in order."""

    pack: bytes
    lineage: bytes
    author: bytes
    ref: str | None


@final
class ReadAfter(msgspec.Struct, frozen=True):
    """Move the reading position to `seq` and feed the session from the store up to the head."""

    seq: int
    page_nodes: int
    ref: str | None


@final
class ReadMissing(msgspec.Struct, frozen=True):
    """Send what is not in the history of `frontier`."""

    frontier: tuple[bytes, ...]
    page_nodes: int
    ref: str | None


@final
class ReadNodes(msgspec.Struct, frozen=True):
    """Send the named nodes."""

    ids: tuple[bytes, ...]
    ref: str | None


ServerEffect = Send | Close | OpenRoom | Admit | ReadAfter | ReadMissing | ReadNodes
