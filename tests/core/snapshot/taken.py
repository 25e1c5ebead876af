"""Rooms that fall quiet now and then, and snapshots of them opened without a server."""

from __future__ import annotations

from random import Random

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.replica import Replica
from roomlog.core.signing import Signer
from roomlog.core.snapshot.facts import OpenedSnapshot, SnapshotFacts
from roomlog.core.snapshot.format import decode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import TakenSnapshot, take_snapshot
from tests.oracle.histories import Graph
from tests.oracle.room_histories import LINEAGE, ROOM_ID


def quieting_graph(random: Random, node_count: int, author_count: int) -> Graph:
    """Authors that write and exchange a little; now and then everybody gets everything at once."""
    graph = Graph()
    views: list[frozenset[int]] = [frozenset() for _ in range(author_count)]
    quiet = random.choice([0.1, 0.3, 0.5])
    while len(graph.nodes) < node_count:
        dice = random.random()
        if dice < quiet:
            views = [frozenset().union(*views)] * author_count
        elif dice < quiet + 0.2:
            views[random.randrange(author_count)] |= random.choice(views)
        author = random.randrange(author_count)
        index = graph.add(author, 0, views[author])
        views[author] |= {index}
    return graph


def critical_places(graph: Graph) -> list[int]:
    """By the definition: everything numbered above has everything up to there in its history."""
    count = len(graph.nodes)
    return [
        seq
        for seq in range(1, count + 1)
        if all(
            graph.histories[later].issuperset(graph.histories[earlier])
            for later in range(seq, count)
            for earlier in range(seq)
        )
    ]


def opened(taken: TakenSnapshot) -> OpenedSnapshot:
    """What `check_snapshot` returns, for nodes that nobody really signed."""
    facts = SnapshotFacts(taken.lineage, taken.seq, taken.frontier, taken.state_hash, taken.digest)
    state = decode_state(taken.data)
    frontier = decode_pack(taken.frontier_pack, NodeHasher(taken.lineage))
    return OpenedSnapshot(facts, frontier, state, leaves_of(state))


def replica_of(nodes: list[Node], identity: Signer | None = None) -> Replica:
    """Everything, merged in one batch."""
    replica = Replica(ROOM_ID, identity, LINEAGE)
    assert not replica.add_nodes(nodes, verify=False).rejected
    return replica


def partial_at(nodes: list[Node], seq: int, identity: Signer | None = None) -> Replica:
    """A replica that begins with a snapshot at ``seq``."""
    snapshot = opened(take_snapshot(replica_of(nodes), seq))
    return Replica.from_snapshot(ROOM_ID, identity, LINEAGE, snapshot)
