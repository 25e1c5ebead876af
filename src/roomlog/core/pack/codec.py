"""Packs: lists of nodes in topological order, to and from bytes."""

from collections.abc import Sequence
from typing import Final

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack.blocks import Layout, PackBlocks
from roomlog.core.pack.rows import decode_rows, encode_body_rows, encode_header_rows
from roomlog.core.pack.varint import broken

DEFAULT_MAX_NODES: Final = 4096


def encode_pack(
    nodes: Sequence[Node],
    *,
    signatures: bool = True,
    bodies: bool = True,
    layout: Layout | None = None,
) -> bytes:
    """Write ``nodes``, parents before children, all of one lineage.

    Without ``signatures`` or ``bodies`` that block is left out. A node that has no body goes by
    its body hash. ``layout`` None lets the number of nodes decide.

    Raises ValueError when signatures are asked for and a node has none.
    """
    signature_block: bytes | None = None
    if signatures:
        parts: list[bytes] = []
        for node in nodes:
            if node.signature is None:
                raise ValueError(f"node {node.id.hex()} is unsigned")
            parts.append(node.signature)
        signature_block = b"".join(parts)
    hash_block: bytes | None = None
    if not bodies or any(node.body is None for node in nodes):
        hash_block = b"".join([node.body_hash for node in nodes])
    body_block = encode_body_rows(nodes) if bodies else None
    return PackBlocks(
        len(nodes), False, encode_header_rows(nodes), signature_block, body_block, hash_block
    ).encode()


def decode_pack(
    data: bytes, hasher: NodeHasher, *, max_nodes: int = DEFAULT_MAX_NODES
) -> list[Node]:
    """The nodes of a pack, ids and body hashes computed under ``hasher``'s lineage.

    A single bad node is returned all the same and fails in `check_node`. Raises `Reject`
    (invalid_field, detail field "nodes" and the reason) when the pack itself is broken.
    """
    blocks = PackBlocks.parse(data)
    if blocks.count > max_nodes:
        raise broken(f"more than {max_nodes} nodes")
    if blocks.columns:
        raise broken("columns are unknown")
    return decode_rows(blocks, hasher)
