"""The rows layout: each node's header without its body hash, and each body, by length."""

from collections.abc import Sequence

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import Node, NodeHasher, parse_header_prefix
from roomlog.core.pack.blocks import PackBlocks
from roomlog.core.pack.varint import Reader, broken, uvarint
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import SIGNATURE_BYTES


def encode_header_rows(nodes: Sequence[Node]) -> bytes:
    """The headers block."""
    parts: list[bytes] = []
    for node in nodes:
        prefix = node.header_prefix()
        parts.append(uvarint(len(prefix)))
        parts.append(prefix)
    return b"".join(parts)


def encode_body_rows(nodes: Sequence[Node]) -> bytes:
    """The bodies block. Lengths are one more than they are; zero is a body left out."""
    parts: list[bytes] = []
    for node in nodes:
        body = node.body
        if body is None:
            parts.append(b"\x00")
        else:
            parts.append(uvarint(len(body) + 1))
            parts.append(body)
    return b"".join(parts)


def decode_rows(blocks: PackBlocks, hasher: NodeHasher) -> list[Node]:
    """The nodes of a rows pack; a malformed one carries its fault. Raises `Reject`."""
    headers = Reader(blocks.headers, 0, len(blocks.headers))
    bodies_block = blocks.bodies
    bodies = None if bodies_block is None else Reader(bodies_block, 0, len(bodies_block))
    signatures = blocks.signatures
    hashes = blocks.hashes
    nodes: list[Node] = []
    for index in range(blocks.count):
        prefix = headers.take(headers.uvarint())
        body: bytes | None = None
        if bodies is not None:
            size = bodies.uvarint()
            if size:
                body = bodies.take(size - 1)
        sent_hash: bytes | None = None
        if hashes is not None:
            sent_hash = hashes[HASH_BYTES * index : HASH_BYTES * (index + 1)]
        signature: bytes | None = None
        if signatures is not None:
            signature = signatures[SIGNATURE_BYTES * index : SIGNATURE_BYTES * (index + 1)]
        nodes.append(_node(hasher, prefix, body, sent_hash, signature))
    headers.finish()
    if bodies is not None:
        bodies.finish()
    return nodes


def _node(
    hasher: NodeHasher,
    prefix: bytes,
    body: bytes | None,
    sent_hash: bytes | None,
    signature: bytes | None,
) -> Node:
    fault: RejectClass | None = None
    if body is not None:
        body_hash = hasher.body_hash(body)
        if sent_hash is not None and sent_hash != body_hash:
            body_hash = sent_hash
            fault = RejectClass.HASH_MISMATCH
    elif sent_hash is not None:
        body_hash = sent_hash
    else:
        raise broken("a node without body and hash")
    header = prefix + body_hash
    malformed: bytes | None = None
    try:
        kind, author, clock, parents = parse_header_prefix(prefix)
    except Reject as reject:
        kind, author, clock, parents = 0, b"", 0, ()
        fault = reject.reject_class
        malformed = header
    return Node(
        hasher.node_id(header),
        author,
        clock,
        kind,
        parents,
        body_hash,
        body,
        signature,
        None,
        malformed,
        fault,
    )
