"""Packs made from packs: joined, or some of their nodes."""

from collections.abc import Sequence

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import NodeHasher
from roomlog.core.pack.blocks import PackBlocks
from roomlog.core.pack.codec import decode_pack, encode_pack
from roomlog.core.pack.varint import Reader
from roomlog.core.signing import SIGNATURE_BYTES


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


def select(data: bytes, indexes: Sequence[int], hasher: NodeHasher) -> bytes:
    """A pack of the nodes at ``indexes`` (ascending) with the same blocks.

    Rows are cut out; columns are decoded, for which ids are needed, and written again in the
    layout that suits the smaller number. Raises IndexError for an index beyond the pack.
    """
    blocks = PackBlocks.parse(data)
    if not blocks.columns:
        return _select_rows(blocks, indexes).encode()
    nodes = decode_pack(data, hasher, max_nodes=blocks.count)
    return encode_pack(
        [nodes[index] for index in indexes],
        signatures=blocks.signatures is not None,
        bodies=blocks.bodies is not None,
    )


def _joined(blocks: Sequence[bytes | None]) -> bytes | None:
    present = [block for block in blocks if block is not None]
    if not present:
        return None
    if len(present) != len(blocks):
        raise ValueError("packs with different blocks")
    return b"".join(present)


def _select_rows(blocks: PackBlocks, indexes: Sequence[int]) -> PackBlocks:
    headers = _cut(blocks.headers, blocks.count, 0)
    bodies = None if blocks.bodies is None else _cut(blocks.bodies, blocks.count, 1)
    return PackBlocks(
        len(indexes),
        False,
        b"".join([headers[index] for index in indexes]),
        _fixed(blocks.signatures, SIGNATURE_BYTES, indexes),
        None if bodies is None else b"".join([bodies[index] for index in indexes]),
        _fixed(blocks.hashes, HASH_BYTES, indexes),
    )


def _cut(block: bytes, count: int, surplus: int) -> list[bytes]:
    """The rows of a block with their lengths, which are written ``surplus`` too great."""
    reader = Reader(block, 0, len(block))
    rows: list[bytes] = []
    for _ in range(count):
        start = reader.position
        size = reader.uvarint()
        reader.take(max(size - surplus, 0))
        rows.append(block[start : reader.position])
    reader.finish()
    return rows


def _fixed(block: bytes | None, size_bytes: int, indexes: Sequence[int]) -> bytes | None:
    if block is None:
        return None
    return b"".join([block[size_bytes * index : size_bytes * (index + 1)] for index in indexes])
