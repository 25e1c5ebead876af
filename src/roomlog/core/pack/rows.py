"""The rows layout: each node's header without its body hash, and each body, by length."""

from collections.abc import Sequence

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import Node, NodeHasher, parse_header_prefix
from roomlog.core.pack.blocks import Frame
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


def decode_rows(frame: Frame, hasher: NodeHasher) -> list[Node]:
    """The nodes of a rows pack; a malformed one carries its fault. Raises `Reject`."""
    data = frame.data
    headers = Reader(data, frame.headers_start, frame.headers_end)
    bodies: Reader | None = None
    if frame.bodies_start >= 0:
        bodies = Reader(data, frame.bodies_start, frame.bodies_end)
    signature_start = frame.signatures_start
    hash_start = frame.hashes_start
    nodes: list[Node] = []
    for _ in range(frame.count):
        prefix = headers.take(headers.uvarint())
        body: bytes | None = None
        if bodies is not None:
            size = bodies.uvarint()
            if size:
                body = bodies.take(size - 1)
        sent_hash: bytes | None = None
        if hash_start >= 0:
            sent_hash = data[hash_start : hash_start + HASH_BYTES]
            hash_start += HASH_BYTES
        signature: bytes | None = None
        if signature_start >= 0:
            signature = data[signature_start : signature_start + SIGNATURE_BYTES]
            signature_start += SIGNATURE_BYTES
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
