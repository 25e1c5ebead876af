"""Own nodes on their way to the server: what waits, what is in flight, what credit allows."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from typing import Final, final

from roomlog.core.node import FIXED_PREFIX_BYTES, Node
from roomlog.core.pack import encode_pack

MAX_PACKS_IN_FLIGHT: Final = 64
"""Beyond this many unanswered packs, nodes wait and share the next one."""

MAX_NODES_IN_A_PACK: Final = 512
"""Small enough that acks keep coming while a backlog is sent."""

_NODE_OVERHEAD_BYTES: Final = 64 + 16
"""A signature, and more than the length prefixes take."""
_PACK_OVERHEAD_BYTES: Final = 256
"""More than a frame of columns takes beside what its nodes would take as rows."""


@final
class OutgoingPack:
    """One pack as it was sent, until its answer has come."""

    __slots__ = ("data", "nodes", "ref")

    def __init__(self, ref: str, nodes: list[Node], data: bytes) -> None:
        self.ref = ref
        self.nodes = nodes
        self.data = data


@final
class PushQueue:
    """Cuts own nodes into packs that stay within the limits and never exceed the credit."""

    def __init__(self, max_nodes: int, max_bytes: int) -> None:
        """`max_nodes` and `max_bytes` bound one pack; a node over the latter goes alone."""
        self._max_nodes = min(max_nodes, MAX_NODES_IN_A_PACK)
        self._max_bytes = max_bytes
        self._waiting: OrderedDict[bytes, Node] = OrderedDict()
        self._in_flight: deque[OutgoingPack] = deque()
        self._in_flight_ids: set[bytes] = set()
        self._alone: set[bytes] = set()
        self._granted_nodes = 0
        self._granted_bytes = 0
        self._sent_nodes = 0
        self._sent_bytes = 0
        self._refs = 0

    def __contains__(self, node_id: bytes) -> bool:
        """Whether the node waits or is in flight."""
        return node_id in self._waiting or node_id in self._in_flight_ids

    @property
    def in_flight(self) -> int:
        """How many packs have no answer yet."""
        return len(self._in_flight)

    def grant(self, nodes: int, size_bytes: int) -> None:
        """Running totals since welcome; they never shrink."""
        self._granted_nodes = max(self._granted_nodes, nodes)
        self._granted_bytes = max(self._granted_bytes, size_bytes)

    def add(self, nodes: Iterable[Node]) -> None:
        """Queue nodes, parents first. What waits or is in flight already stays where it is."""
        for node in nodes:
            if node.id not in self._in_flight_ids:
                self._waiting.setdefault(node.id, node)

    def withdraw(self, ids: Collection[bytes]) -> None:
        """Forget waiting nodes; those in flight will be answered all the same."""
        for node_id in ids:
            if self._waiting.pop(node_id, None) is not None:
                self._alone.discard(node_id)

    def next_pack(self) -> OutgoingPack | None:
        """The next pack to send, or None: nothing waits, or an ack or credit has to come first."""
        if len(self._in_flight) >= MAX_PACKS_IN_FLIGHT:
            return None
        chosen = self._choose()
        if not chosen:
            return None
        for node in chosen:
            del self._waiting[node.id]
            self._in_flight_ids.add(node.id)
        data = encode_pack(chosen)
        self._refs += 1
        pack = OutgoingPack(f"p{self._refs}", chosen, data)
        self._sent_nodes += len(chosen)
        self._sent_bytes += len(data)
        self._in_flight.append(pack)
        return pack

    def _choose(self) -> list[Node]:
        """The longest start of the queue that fits into one pack and into the credit."""
        nodes_left = min(self._max_nodes, self._granted_nodes - self._sent_nodes)
        credit_bytes = self._granted_bytes - self._sent_bytes
        chosen: list[Node] = []
        size_bytes = _PACK_OVERHEAD_BYTES
        for node in self._waiting.values():
            size_bytes += _most_bytes_of(node)
            if nodes_left <= len(chosen) or size_bytes > credit_bytes:
                break
            if chosen and (size_bytes > self._max_bytes or node.id in self._alone):
                break
            chosen.append(node)
            if node.id in self._alone:
                break
        return chosen

    def settle(self, ref: str | None) -> OutgoingPack | None:
        """Take out the pack that an answer is for: the oldest, which `ref` must name if given.

        None when the answer is for no such pack.
        """
        if not self._in_flight or ref not in (None, self._in_flight[0].ref):
            return None
        return self._take_out(0)

    def settle_any(self, ref: str) -> OutgoingPack | None:
        """Take out the pack of that ref wherever it stands: an error may overtake acks."""
        for index, pack in enumerate(self._in_flight):
            if pack.ref == ref:
                return self._take_out(index)
        return None

    def resend_singly(self, pack: OutgoingPack) -> None:
        """Queue the nodes of a refused pack again in front, each in a pack of its own."""
        for node in reversed(pack.nodes):
            self._waiting[node.id] = node
            self._waiting.move_to_end(node.id, last=False)
            self._alone.add(node.id)

    def _take_out(self, index: int) -> OutgoingPack:
        pack = self._in_flight[index]
        del self._in_flight[index]
        for node in pack.nodes:
            self._in_flight_ids.discard(node.id)
            self._alone.discard(node.id)
        return pack


def _most_bytes_of(node: Node) -> int:
    """At least what the node takes in a signed pack, whichever its layout."""
    body = node.body
    assert body is not None
    return FIXED_PREFIX_BYTES + 32 * (len(node.parents) + 1) + len(body) + _NODE_OVERHEAD_BYTES
