"""What a session shows of the server's log, against what is held: places, heads, losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

from roomlog.client.log_places import LogPlaces
from roomlog.client.push_back import PushBack
from roomlog.core.errors import HistoryMissingError
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.protocol.client_events import Received
from roomlog.protocol.messages import Pending

_PUSH_AFTER: Final = ("cut", "walk")


@final
class ServerLog:
    """The log of the room as far as it is known.

    `places` outlive sessions; everything else is about the present one.
    """

    def __init__(self, places: LogPlaces) -> None:
        self.places = places
        """Which node has which seq in the log that the cursor is about."""
        self.push_back = PushBack()
        self.catch_up = ""
        """The rung by which the session catches up, "" when it has."""
        self.missing_size: Pending | None = None
        """How much the server was to be given back last: the next hello declares it."""
        self._heads: set[bytes] = set()
        self._is_missing_asked = False

    @property
    def is_compared(self) -> bool:
        """Whether own nodes wait: what they stand on may have to be pushed before them."""
        return self.catch_up in _PUSH_AFTER

    def opened(self, catch_up: str, frontier: Iterable[bytes]) -> None:
        """A session begins; `frontier` are the heads of the server's log."""
        self.catch_up = catch_up
        self._heads = set(frontier)

    def ended(self) -> None:
        """The session is over."""
        self.catch_up = ""
        self._heads = set()
        self._is_missing_asked = False
        self.push_back.clear()

    def missing_asked(self) -> None:
        """The server lost history, and takes it from anybody."""
        self._is_missing_asked = True

    def received(self, received: Received) -> None:
        """Nodes of the log came in."""
        nodes = received.nodes
        if self.catch_up:
            for node in nodes:
                self._heads.difference_update(node.parents)
                self._heads.add(node.id)
        self.places.hold(received.from_seq, [node.id for node in nodes])

    def acknowledged(self, seqs: Mapping[bytes, int]) -> None:
        """Nodes that were pushed are in the log."""
        for node_id, seq in seqs.items():
            self.places.hold(seq, [node_id])
        if self.catch_up:
            self._heads.update(seqs)
        if len(self.push_back):
            self.push_back.settle(seqs)

    def caught_up(self, replica: Replica) -> list[Node]:
        """What is held and not in the log, parents first; once for a session.

        All of the log is held now, so it is what is not in the history of its heads.
        """
        heads, self._heads = self._heads, set()
        self.catch_up = ""
        self.missing_size = None
        if heads.issuperset(replica.frontier):
            return []
        known = [node_id for node_id in heads if node_id in replica]
        try:
            return replica.nodes_between(known, replica.frontier)
        except HistoryMissingError:
            # The log ends below the snapshot that is here: it lacks its heads, and all above.
            base = replica.log.base
            assert base is not None
            return replica.log.nodes[base.first_head :]

    def bring_back(self, lost: Sequence[Node], own_author: bytes) -> bool:
        """Give all of it back to the server in this order, if it asked for it.

        Those of `own_author` are pending, and declared as such.
        """
        if not self._is_missing_asked:
            return False
        self._is_missing_asked = False
        self.push_back.add(
            node for node in lost if node.signature is not None and node.body is not None
        )
        self.missing_size = self.push_back.size_without(own_author)
        return True
