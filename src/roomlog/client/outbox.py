"""What an engine leaves behind for whoever drives it: to store, to tell, to take from a session."""

from __future__ import annotations

from roomlog.client.changes import Change
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import StoreWrite


class Outbox:
    """Fills while things happen; every `take_...` empties one part of it."""

    def __init__(self) -> None:
        self._writes: list[StoreWrite] = []
        self._changes: list[Change] = []
        self._rejections: list[Rejection] = []
        self._withdrawn: list[bytes] = []

    def take_writes(self) -> list[StoreWrite]:
        """What the local store shall remember, in order; all of it or nothing."""
        writes = self._writes
        self._writes = []
        return writes

    def take_changes(self) -> list[Change]:
        """What may read differently now."""
        changes = self._changes
        self._changes = []
        return changes

    def take_rejections(self) -> list[Rejection]:
        """What was taken back because the server refused it."""
        rejections = self._rejections
        self._rejections = []
        return rejections

    def take_withdrawn(self) -> list[bytes]:
        """Ids of nodes that must no longer be pushed: they were rewritten."""
        withdrawn = self._withdrawn
        self._withdrawn = []
        return withdrawn
