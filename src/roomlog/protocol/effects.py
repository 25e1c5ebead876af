"""What a session asks its shell to do.

The shell does it and reports back through the session's methods.
"""

from __future__ import annotations

from typing import final

import msgspec

from roomlog.core.reject import RejectClass
from roomlog.protocol.close_codes import CloseCode


@final
class Send(msgspec.Struct, frozen=True):
    """Write one frame to the socket; `refused` is its class when the frame is an error."""

    frame: bytes
    refused: RejectClass | None = None


@final
class Close(msgspec.Struct, frozen=True):
    """Close the socket after what was sent before."""

    code: CloseCode
    reason: str = ""


@final
class OpenRoom(msgspec.Struct, frozen=True):
    """Load the room, or create it when `may_create`.

    Answered with `room_opened` or `room_refused`.
    """

    room_id: str
    may_create: bool


@final
class Admit(msgspec.Struct, frozen=True):
    """Admit a pushed pack of `author`; answered with `pack_settled` or `pack_refused`.

    `ticket` numbers the packs of a session: answers may come in any order, acks leave in order.
    """

    ticket: int
    pack: bytes
    lineage: bytes
    author: bytes


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
    page_nodes: int
    ref: str | None


Read = ReadAfter | ReadMissing | ReadNodes
ServerEffect = Send | Close | OpenRoom | Admit | ReadAfter | ReadMissing | ReadNodes
