"""What nobody can bring back after a server's files were replaced by an older copy.

Every client pushes again what it wrote itself. What others wrote, or the server, comes back only
within a reconcile window. So a node may stay away for good that none of its author's devices has
any more, and with it whatever stands on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roomlog.core.node import Node
    from roomlog.server.room import Room
    from tests.simulation.client_machine import ClientMachine


def lost_for_good(room: Room, clients: list[ClientMachine]) -> set[bytes]:
    """Ids of nodes that clients of this room hold, the server lacks, and nobody has to bring."""
    here: dict[bytes, Node] = {}
    brought: set[bytes] = set()
    for client in clients:
        assert client.document is not None
        own = None if client.identity is None else client.identity.public_key
        for node in client.document.replica.nodes():
            if not room.knows(node.id):
                here.setdefault(node.id, node)
                if node.author == own and node.body is not None:
                    brought.add(node.id)
    lost: set[bytes] = set()
    # A parent's clock is less than its children's.
    for node in sorted(here.values(), key=lambda node: node.clock):
        if node.id not in brought or not lost.isdisjoint(node.parents):
            lost.add(node.id)
    return lost


def lacks_only(client: ClientMachine, room: Room, lost: set[bytes]) -> str:
    """Why a client does not agree with the server but for what is lost; "" when it does."""
    assert client.document is not None
    replica = client.document.replica
    graph = room.graph
    lacking = [lv for lv in range(len(graph)) if replica.graph.index_of(graph.id_of(lv)) < 0]
    if lacking and not replica.base_seq:
        return f"lacks {len(lacking)} nodes of the log"
    more = [node.id for node in replica.nodes() if not room.knows(node.id)]
    if not lost.issuperset(more):
        return f"has {len(more)} nodes that the log lacks"
    # What stands on a lost node is sent again and again, with those parents of it that are there.
    if any(node_id not in lost and not room.knows(node_id) for node_id in client.document.pending):
        return "waits for acknowledgements"
    return ""
