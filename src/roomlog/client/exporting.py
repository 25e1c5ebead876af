"""A room as a pack file, whatever it holds signatures of."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from roomlog.core.node import Node
from roomlog.core.pack import encode_pack, write_pack_file
from roomlog.core.replica import Replica

PACK_NODES: Final = 4096


def export_all(replica: Replica) -> bytes:
    """All nodes of a replica, each with its signature if that is here, parents first.

    A pack has signatures of all its nodes or of none, so the file goes from pack to pack.
    """
    packs: list[bytes] = []
    for is_signed, run in groupby(replica.log.select(None, None), _is_signed):
        group = list(run)
        packs += [
            encode_pack(group[start : start + PACK_NODES], signatures=is_signed)
            for start in range(0, len(group), PACK_NODES)
        ]
    return write_pack_file(replica.lineage, packs)


def _is_signed(node: Node) -> bool:
    return node.signature is not None
