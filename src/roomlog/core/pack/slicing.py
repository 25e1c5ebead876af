"""Packs made from packs: joined, or some of their nodes."""

from collections.abc import Sequence

from roomlog.core.node import NodeHasher
from roomlog.core.pack.blocks import PackBlocks
from roomlog.core.pack.codec import decode_pack, encode_pack


def concatenate_rows(packs: Sequence[bytes]) -> bytes:
    """One rows pack of all nodes of rows packs that have the same blocks, in order.

    Raises ValueError for a columns pack, or when one has a block that another lacks.
    """
    if not packs:
        raise ValueError("nothing to concatenate")
    parts = [PackBlocks.parse(pack) for pack in packs]
    if any(part.columns for part in parts):
        raise ValueError("columns cannot be joined")
    return PackBlocks(
        sum(part.count for part in parts),
        False,
        b"".join([part.headers for part in parts]),
        _joined([part.signatures for part in parts]),
        _joined([part.bodies for part in parts]),
        _joined([part.hashes for part in parts]),
    ).encode()


def _joined(blocks: Sequence[bytes | None]) -> bytes | None:
    present = [block for block in blocks if block is not None]
    if not present:
        return None
    if len(present) != len(blocks):
        raise ValueError("packs with different blocks")
    return b"".join(present)


def select(data: bytes, indexes: Sequence[int], hasher: NodeHasher) -> bytes:
    """A pack of the nodes at ``indexes`` (ascending) with the same blocks."""
    blocks = PackBlocks.parse(data)
    nodes = decode_pack(data, hasher, max_nodes=blocks.count)
    return encode_pack(
        [nodes[index] for index in indexes],
        signatures=blocks.signatures is not None,
        bodies=blocks.bodies is not None,
    )
