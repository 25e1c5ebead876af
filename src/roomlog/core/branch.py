"""Editing at another version than the frontier, so that work stays where it was made."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, final

from roomlog.core.handles import CounterHandle, ListHandle, MapHandle, TextHandle
from roomlog.core.state_hash import StateHash

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

NodeIds: TypeAlias = list[bytes]


@final
class Branch:
    """A part of a replica's history with editing handles of its own.

    Its first commit has exactly the parents it was made with; from then on its frontier is what
    it wrote. What it commits is in the replica at once. Made by `Replica.branch`.
    """

    def __init__(self, replica: "Replica", part: "Replica", parents: NodeIds) -> None:
        self._replica = replica
        self._part = part
        self._parents = parents

    @property
    def frontier(self) -> NodeIds:
        """The parents of the next commit, ascending."""
        return self._parents[:]

    def map(self, prefix: str) -> MapHandle:
        """The map below one path segment."""
        return self._part.map(prefix)

    def counter(self, key: str) -> CounterHandle:
        """The counter of a key, one path segment."""
        return self._part.counter(key)

    def list(self, key: str) -> ListHandle:
        """The list of a key, one path segment."""
        return self._part.list(key)

    def text(self, key: str) -> TextHandle:
        """The text of a key, one path segment."""
        return self._part.text(key)

    def state(self) -> dict[str, dict[str, object]]:
        """Everything a reader of this branch sees, open edits included."""
        return self._part.state()

    def state_hash(self) -> StateHash:
        """The hash of the state at this branch's frontier; incomplete while edits are open."""
        return self._part.state_hash()

    @property
    def has_open_edits(self) -> bool:
        """Whether there is something to commit."""
        return self._part.has_open_edits

    def discard(self) -> None:
        """Forget the open edits of this branch."""
        self._part.discard()

    def commit(self, now_ms: int | None) -> NodeIds:
        """Write the open edits as nodes on this branch's frontier; their ids in order.

        ``now_ms`` is the wall clock in milliseconds since 1970, None to follow the parents alone.
        The replica's own open edits are committed first.
        """
        ids = self._part.commit_on(self._parents, now_ms)
        if ids:
            self._replica.add_nodes(
                [self._part.node(node_id) for node_id in ids], now_ms, verify=False
            )
            self._parents = self._part.frontier
        return ids

    def merge(self, frontier: Iterable[bytes], now_ms: int | None = None) -> NodeIds:
        """Bring the history of ``frontier`` into this branch; its own frontier grows by it.

        Open edits are committed first, where they were made; their ids are returned. Only what
        is new to the branch is merged. Raises `UnknownNodeError` before anything changes.
        """
        nodes = self._replica.nodes_between(self._parents, frontier)
        flushed = self.commit(now_ms)
        if nodes:
            self._part.add_nodes(nodes, verify=False)
            self._parents = self._part.frontier
        return flushed
