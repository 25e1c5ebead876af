"""A branch of a document: edits that stay on the history they were made on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

from roomlog.client.engine import Engine
from roomlog.client.errors import BranchError
from roomlog.client.handles import (
    DocumentCounter,
    DocumentList,
    DocumentMap,
    DocumentText,
    ReadableRoom,
    Room,
)
from roomlog.core.branch import Branch
from roomlog.core.replica import Replica
from roomlog.core.state_hash import StateHash


@final
class DocumentBranch:
    """Handles whose edits become nodes with exactly this branch's frontier as parents.

    What `commit` writes is in the document at once, and pushed like everything else. Edits that
    are not committed are nobody's but this branch's. Made by `Document.branch`.
    """

    def __init__(
        self,
        engine: Engine,
        frontier: Iterable[bytes],
        *,
        clock_ms: Callable[[], int],
        before_edit: Callable[[], None],
        after_commit: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._clock_ms = clock_ms
        self._before_edit = before_edit
        self._after_commit = after_commit
        self._branch = engine.replica.branch(frontier)
        self._generation = engine.generation

    def _current(self) -> Branch:
        """The branch in the document's present replica.

        Raises `BranchError` when open edits lie on history that was taken back.
        """
        if self._generation != self._engine.generation:
            if self._branch.has_open_edits:
                raise BranchError("the branch's history was rewritten below its open edits")
            moved = [self._engine.successor(node_id) for node_id in self._branch.frontier]
            kept = [node_id for node_id in moved if node_id in self._engine.replica]
            self._branch = self._engine.replica.branch([each for each in kept if each is not None])
            self._generation = self._engine.generation
        return self._branch

    def room(self) -> Room:
        """The branch, to be read."""
        return self._current()

    def editing(self) -> Room:
        """The branch, about to be edited."""
        self._before_edit()
        return self._current()

    def canonical_room(self) -> ReadableRoom:
        """What the server has acknowledged, which is the same for every branch."""
        return self._engine.canonical()

    def followed(self) -> Replica:
        """Anchors, attribution and undo follow the document only: raises `BranchError`."""
        raise BranchError("a branch has no anchors and no attribution: ask the document")

    def committed(self) -> Replica:
        """As `followed`."""
        return self.followed()

    @property
    def frontier(self) -> list[bytes]:
        """The parents of the next commit, ascending."""
        return self._current().frontier

    def map(self, prefix: str) -> DocumentMap:
        """The map below one path segment."""
        return DocumentMap(self, prefix)

    def counter(self, key: str) -> DocumentCounter:
        """The counter of a key, one path segment."""
        return DocumentCounter(self, key)

    def list(self, key: str) -> DocumentList:
        """The list of a key, one path segment."""
        return DocumentList(self, key)

    def text(self, key: str) -> DocumentText:
        """The text of a key, one path segment."""
        return DocumentText(self, key)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything a reader of this branch sees, open edits included."""
        return self._current().state()

    def state_hash(self) -> StateHash:
        """The hash at this branch's frontier; incomplete while edits are open."""
        return self._current().state_hash()

    def discard(self) -> None:
        """Forget the edits that were not committed."""
        self._branch.discard()

    def commit(self) -> tuple[bytes, ...]:
        """Write the edits as nodes on this branch's frontier; their ids in order."""
        branch = self._current()
        self._before_edit()
        now_ms = self._clock_ms()
        self._engine.flush(now_ms)
        return self._taken(branch.commit(now_ms))

    def merge(self, frontier: Iterable[bytes]) -> None:
        """Bring the history of `frontier` into this branch; open edits are committed before.

        Raises `UnknownNodeError` before anything changes.
        """
        branch = self._current()
        now_ms = self._clock_ms()
        if branch.has_open_edits:
            self._before_edit()
            self._engine.flush(now_ms)
        self._taken(branch.merge(frontier, now_ms))

    def _taken(self, ids: Iterable[bytes]) -> tuple[bytes, ...]:
        written = tuple(ids)
        if written:
            self._engine.take_own(written)
            self._after_commit()
        return written
