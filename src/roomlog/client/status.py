"""How a document stands with its server."""

from __future__ import annotations

from enum import Enum
from typing import final

import msgspec


class Phase(Enum):
    """What a document is doing about its server."""

    OFFLINE = "offline"
    """Waiting before the next attempt to reach it."""
    CONNECTING = "connecting"
    """Dialling, or in the handshake."""
    CATCHING_UP = "catching up"
    """Reading what happened meanwhile."""
    LIVE = "live"
    """Everything is read; new nodes arrive as they are written."""
    DRAINING = "draining"
    """Live with a server that is about to go; the connection to the next one waits as it asked."""
    STOPPED = "stopped"
    """Given up: `problem` says why. Reading and writing go on locally."""
    CLOSED = "closed"
    """The document was closed."""


class HistoryState(Enum):
    """How much of the room's history is here. What the room holds is here in any case."""

    COMPLETE = "complete"
    """All of it, or nothing yet is known of the room."""
    RECENT = "recent"
    """What came after the snapshot that the document joined with."""
    LOADING = "loading"
    """Older history is coming in."""


@final
class CatchUpProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How many nodes have been read, and of how many; `of_nodes` 0: it cannot be known."""

    done_nodes: int
    of_nodes: int


@final
class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A document's standing at one moment."""

    phase: Phase
    pending_nodes: int
    """Own nodes without an acknowledgment."""
    put_off: str
    """The reject class for which the server wants some of them later; "" when it takes them."""
    is_draft: bool
    """Whether the room was never met."""
    seq: int
    """Up to where the server's log is held; 0 when nothing of it is."""
    problem: Exception | None
    """Why the last connection ended, or why there will be no other."""
    server_key: bytes | None
    """The public key of the server that was met, pinned for its origin."""
    is_proven: bool
    """Whether that server proved this session's welcome; an anonymous session may not know."""
    server: str
    """The server's software and version, as it says."""
    catch_up: str = ""
    """How the newest session caught up: `none`, `cursor`, `cut`, `walk` or `snapshot`."""
    progress: CatchUpProgress | None = None
    """How far it has come, while the phase is `CATCHING_UP`."""
    history: HistoryState = HistoryState.COMPLETE
    history_progress: CatchUpProgress | None = None
    """How much of the older history is here, while it is not complete."""

    @property
    def is_draining(self) -> bool:
        """Whether the server said that it is about to go."""
        return self.phase is Phase.DRAINING
