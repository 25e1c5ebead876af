"""Nodes of anybody that a server lost, on their way back to it (`sync.md`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from roomlog.client.refusals import is_paused, paused_until, retry_wait_ms
from roomlog.core.node import Node
from roomlog.core.reject import RejectClass
from roomlog.protocol.client_events import RefusedNode
from roomlog.protocol.messages import Pending

MOST_ATTEMPTS: Final = 16
"""How often a node whose parents others have to bring is tried in one session."""

_ALWAYS_AGAIN: Final = frozenset(
    (
        RejectClass.PARENT_MISSING.wire,
        RejectClass.ANCESTOR_REFUSED.wire,
        RejectClass.STORE_UNAVAILABLE.wire,
        RejectClass.DRAINING.wire,
    )
)


@final
class PushBack:
    """What one session is asked to bring back; what is refused for good is left to others."""

    def __init__(self) -> None:
        self.paused_until_ms = 0
        """Nothing is to be sent before this time."""
        self._nodes: dict[bytes, Node] = {}
        self._unsent: dict[bytes, None] = {}
        self._attempts: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many nodes the server has not taken yet."""
        return len(self._nodes)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._nodes

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to send."""
        return bool(self._unsent)

    def size_without(self, author: bytes) -> Pending:
        """How much it is that others than `author` wrote, as a hello declares it."""
        others = [node for node in self._nodes.values() if node.author != author]
        return Pending(nodes=len(others), bytes=sum(map(size_bytes, others)))

    def add(self, nodes: Iterable[Node]) -> None:
        """Bring these, parents first."""
        for node in nodes:
            self._nodes[node.id] = node
            self._unsent[node.id] = None

    def clear(self) -> None:
        """The server does not take them, or the session is over."""
        self.paused_until_ms = 0
        self._nodes.clear()
        self._unsent.clear()
        self._attempts.clear()

    def take_unsent(self, now_ms: int) -> list[Node]:
        """What to send now, parents first."""
        if is_paused(self.paused_until_ms, now_ms):
            return []
        # In the order in which they were added, however often they were refused.
        unsent = [node for node_id, node in self._nodes.items() if node_id in self._unsent]
        self._unsent.clear()
        return unsent

    def settle(self, node_ids: Iterable[bytes]) -> None:
        """The server has these."""
        for node_id in node_ids:
            self._forget(node_id)

    def _forget(self, node_id: bytes) -> None:
        self._nodes.pop(node_id, None)
        self._unsent.pop(node_id, None)
        self._attempts.pop(node_id, None)

    def refused(self, refused: RefusedNode, now_ms: int) -> list[bytes]:
        """The server did not take one: again later, or never in this session.

        Returns the ids of nodes that need not be sent any more.
        """
        if refused.id not in self._nodes:
            return []
        if refused.reject_class == RejectClass.AUTHOR_NOT_SESSION.wire:
            # The window is closed.
            withdrawn = list(self._nodes)
            self.clear()
            return withdrawn
        attempts = self._attempts.get(refused.id, 0) + 1
        if refused.reject_class not in _ALWAYS_AGAIN or attempts > MOST_ATTEMPTS:
            self._forget(refused.id)
            return []
        self._attempts[refused.id] = attempts
        self._unsent[refused.id] = None
        # Somebody else has to do something first: never at once.
        wait_ms = retry_wait_ms(refused, attempts + 1)
        self.paused_until_ms = paused_until(self.paused_until_ms, now_ms, wait_ms)
        return []


def size_bytes(node: Node) -> int:
    """About what a node takes in a pack."""
    return 256 + len(node.body or b"")
