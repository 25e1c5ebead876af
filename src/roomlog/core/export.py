"""History as a pack file: all of it, what another replica lacks, or named nodes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from roomlog.core.errors import InvalidValueError
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack, write_pack_file

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

PACK_NODES: Final = 4096
"""How many nodes one pack of an export holds at most."""


def export_nodes(
    replica: "Replica",
    since: Iterable[bytes] | None,
    ids: Iterable[bytes] | None,
    signatures: bool,
) -> bytes:
    """`Replica.export`."""
    graph = replica.graph
    nodes: list[Node]
    if ids is not None:
        if since is not None:
            raise InvalidValueError("since: not together with ids")
        by_lv = {graph.index_of(node.id): node for node in map(replica.node, ids)}
        nodes = [by_lv[lv] for lv in sorted(by_lv)]
    elif since is not None:
        known = [node_id for node_id in since if node_id in replica]
        nodes = replica.nodes_between(known, replica.frontier)
    else:
        nodes = list(replica.nodes())
    packs = [
        encode_pack(nodes[start : start + PACK_NODES], signatures=signatures)
        for start in range(0, len(nodes), PACK_NODES)
    ]
    return write_pack_file(replica.lineage, packs)
