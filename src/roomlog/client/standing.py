"""How a document stands with its server, as its connection sees it."""

from __future__ import annotations

from typing import final

from roomlog.client.status import CatchUpProgress, Phase
from roomlog.protocol.client_events import Opened


@final
class Standing:
    """Kept by the connection, read by the document."""

    def __init__(self, pinned_key: bytes | None) -> None:
        self.phase = Phase.CONNECTING
        self.problem: Exception | None = None
        """Why the last connection ended, or why there will be no other."""
        self.server_key = pinned_key
        self.server = ""
        self.is_proven = False
        self.catch_up = ""
        """The rung by which the newest session caught up."""
        self.hint_ms: int | None = None
        """How long the server asked to stay away, of this session."""
        self._done_nodes = 0
        self._of_nodes = 0

    def opened(self, opened: Opened) -> None:
        """A server proved itself."""
        self.problem = None
        self.is_proven = opened.is_proven
        self.server = f"{opened.server_name} {opened.server_version}".strip()
        if opened.is_proven:
            self.server_key = opened.server_key
        self.catch_up = opened.catch_up
        self.phase = Phase.LIVE if opened.catch_up == "none" else Phase.CATCHING_UP

    def reads(self, node_count: int) -> None:
        """From here on so many nodes are to be read; 0 when that is not known."""
        self._done_nodes = 0
        self._of_nodes = node_count

    def has_read(self, node_count: int) -> None:
        """So many nodes more have been read."""
        if self.phase is Phase.CATCHING_UP:
            self._done_nodes += node_count

    @property
    def progress(self) -> CatchUpProgress | None:
        """How far catching up has come; None when the document does not catch up."""
        if self.phase is not Phase.CATCHING_UP:
            return None
        # What is written meanwhile comes on top of what was there at the beginning.
        of_nodes = max(self._of_nodes, self._done_nodes) if self._of_nodes else 0
        return CatchUpProgress(done_nodes=self._done_nodes, of_nodes=of_nodes)
