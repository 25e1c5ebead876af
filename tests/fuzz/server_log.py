"""The log that the fuzzed servers have, what clients hold of it, and snapshots of it."""

from __future__ import annotations

from functools import cache
from typing import Final

from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet
from roomlog.core.replica import Replica
from roomlog.core.snapshot.format import decode_state, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import TakenSnapshot, take_snapshot
from roomlog.core.state_hash import hash_leaves
from tests.protocol.client_wire import ADA, HASHER, LINEAGE, chain

MOST_STEPS: Final = 48
MOST_FRAMES_A_STEP: Final = 70
"""What one frame may make a client send: no more than packs may be in flight, and a few."""
LOG: Final = 24
HELD: Final = 16


@cache
def log_nodes() -> list[Node]:
    """The server's log: a chain."""
    return chain(LOG)


@cache
def own_nodes() -> list[Node]:
    """What the client has written on the last that it holds."""
    parents = [log_nodes()[HELD - 1].id]
    nodes: list[Node] = []
    for clock in range(LOG + 1, LOG + 6):
        nodes.append(make_node(HASHER, ADA, CHANGE, clock, parents, [MapSet("k", clock)]))
        parents = [nodes[-1].id]
    return nodes


@cache
def snapshot_of_log() -> TakenSnapshot:
    """The room at the place up to which a client holds the log."""
    replica = Replica("demo", None, LINEAGE)
    replica.add_nodes(log_nodes())
    return take_snapshot(replica, HELD)


@cache
def lying_snapshot() -> TakenSnapshot:
    """One of the same place that says what the log does not."""
    true = snapshot_of_log()
    state = decode_state(true.data)
    state.maps.append(("~", "nobody wrote this"))
    state_hash = hash_leaves(leaves_of(state))
    data = encode_state(state)
    return TakenSnapshot(LINEAGE, true.seq, true.frontier, true.frontier_pack, state_hash, data)


@cache
def wide_nodes() -> list[Node]:
    """A client's own history with many heads, joined from the side here and there."""
    nodes = list(log_nodes()[:HELD])
    for branch in range(24):
        parents = [nodes[(branch * 5) % HELD].id]
        if branch % 4 == 3:
            parents = sorted({parents[0], nodes[-1].id, nodes[-3].id})
        for step in range(1 + branch % 3):
            clock = 200 + 10 * branch + step
            nodes.append(make_node(HASHER, ADA, CHANGE, clock, parents, [MapSet("w", clock)]))
            parents = [nodes[-1].id]
    return nodes


def heads_of(nodes: list[Node]) -> list[bytes]:
    below = {parent for node in nodes for parent in node.parents}
    return [node.id for node in nodes if node.id not in below]
