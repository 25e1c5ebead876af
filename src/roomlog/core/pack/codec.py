"""Packs: lists of nodes in topological order, to and from bytes."""

from collections.abc import Sequence
from typing import Final

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack.blocks import Frame, Layout, PackBlocks
from roomlog.core.pack.body_columns import BodyColumnsWriter
from roomlog.core.pack.columns import decode_columns
from roomlog.core.pack.header_columns import encode_header_columns, fits_columns
from roomlog.core.pack.rows import decode_rows, encode_body_rows, encode_header_rows
from roomlog.core.pack.varint import broken

DEFAULT_MAX_NODES: Final = 4096
COLUMNS_FROM_NODES: Final = 30
"""Fewer nodes are smaller as rows (measured)."""


def encode_pack(
    nodes: Sequence[Node],
    *,
    signatures: bool = True,
    bodies: bool = True,
    layout: Layout | None = None,
) -> bytes:
    """Write ``nodes``, parents before children, all of one lineage.

    Without ``signatures`` or ``bodies`` that block is left out. A node that has no body goes by
    its body hash; when none has one there is no bodies block. ``layout`` None chooses what is
    smaller, and rows for what columns cannot hold.

    Raises ValueError when signatures are asked for and a node has none, and when columns are
    asked for and cannot hold the nodes.
    """
    signature_block = _signature_block(nodes) if signatures else None
    hash_block: bytes | None = None
    count = len(nodes)
    lacking = _lacking_bodies(nodes)
    if lacking and lacking == count:
        bodies = False
    if lacking or not bodies:
        hash_block = b"".join([node.body_hash for node in nodes])
    if layout == Layout.COLUMNS or (layout is None and count >= COLUMNS_FROM_NODES):
        if _fit_columns(nodes):
            body_columns = _body_columns(nodes) if bodies else None
            if body_columns is not None or not bodies:
                return PackBlocks(
                    count,
                    True,
                    encode_header_columns(nodes),
                    signature_block,
                    body_columns,
                    hash_block,
                ).encode()
        if layout == Layout.COLUMNS:
            raise ValueError("columns cannot hold these nodes")
    return PackBlocks(
        count,
        False,
        encode_header_rows(nodes),
        signature_block,
        encode_body_rows(nodes) if bodies else None,
        hash_block,
    ).encode()


def decode_pack(
    data: bytes, hasher: NodeHasher, *, max_nodes: int = DEFAULT_MAX_NODES
) -> list[Node]:
    """The nodes of a pack, ids and body hashes computed under ``hasher``'s lineage.

    A single bad node is returned all the same and fails in `check_node`. Raises `Reject`
    (invalid_field, detail field "nodes" and the reason) when the pack itself is broken.
    """
    frame = Frame(data)
    if frame.count > max_nodes:
        raise broken(f"more than {max_nodes} nodes")
    if frame.columns:
        return decode_columns(PackBlocks.of(frame), hasher)
    return decode_rows(frame, hasher)


def _signature_block(nodes: Sequence[Node]) -> bytes:
    signatures: list[bytes] = []
    for node in nodes:
        signature = node.signature
        if signature is None:
            raise ValueError(f"node {node.id.hex()} is unsigned")
        signatures.append(signature)
    return b"".join(signatures)


def _lacking_bodies(nodes: Sequence[Node]) -> int:
    count = 0
    for node in nodes:
        if node.body is None:
            count += 1
    return count


def _fit_columns(nodes: Sequence[Node]) -> bool:
    return all(fits_columns(node) for node in nodes)


def _body_columns(nodes: Sequence[Node]) -> bytes | None:
    writer = BodyColumnsWriter()
    for node in nodes:
        if not writer.add(node):
            return None
    return writer.encode()
