"""The columns layout: header and body columns put together to nodes."""

from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, encode_header
from roomlog.core.operation import Operation
from roomlog.core.pack.blocks import PackBlocks
from roomlog.core.pack.body_columns import BodyColumnsReader
from roomlog.core.pack.header_columns import decode_header_columns
from roomlog.core.pack.varint import broken
from roomlog.core.reject import RejectClass
from roomlog.core.signing import SIGNATURE_BYTES


def decode_columns(blocks: PackBlocks, hasher: NodeHasher) -> list[Node]:
    """The nodes of a columns pack whose count the caller has bounded. Raises `Reject`."""
    count = blocks.count
    columns = decode_header_columns(blocks.headers, count)
    authors = columns.authors
    clocks = columns.clocks
    references_column = columns.parents
    external = columns.external
    signatures = blocks.signatures
    hashes = blocks.hashes
    bodies = None if blocks.bodies is None else BodyColumnsReader(blocks.bodies, count)
    nodes: list[Node] = []
    parents: tuple[bytes, ...] = ()
    node_id = b""
    for index in range(count):
        references = references_column[index]
        kind = CHANGE
        if references is None:
            parents = (node_id,)
        else:
            if references.is_merge:
                kind = MERGE
            parents = tuple(
                [
                    nodes[reference].id if reference >= 0 else external[-1 - reference]
                    for reference in references.references
                ]
            )
        body: bytes | None = None
        operations: list[Operation] | None = None
        if bodies is not None:
            body = bodies.next(kind == MERGE)
            operations = bodies.operations
        fault: RejectClass | None = None
        if body is not None:
            body_hash = hasher.body_hash(body)
            if hashes is not None:
                sent_hash = hashes[HASH_BYTES * index : HASH_BYTES * (index + 1)]
                if sent_hash != body_hash:
                    body_hash = sent_hash
                    fault = RejectClass.HASH_MISMATCH
        elif hashes is not None:
            body_hash = hashes[HASH_BYTES * index : HASH_BYTES * (index + 1)]
        else:
            raise broken("a node without body and hash")
        node_id = hasher.node_id(
            encode_header(kind, authors[index], clocks[index], parents, body_hash)
        )
        nodes.append(
            Node(
                node_id,
                authors[index],
                clocks[index],
                kind,
                parents,
                body_hash,
                body,
                None
                if signatures is None
                else signatures[SIGNATURE_BYTES * index : SIGNATURE_BYTES * (index + 1)],
                operations,
                None,
                fault,
            )
        )
    if bodies is not None:
        bodies.finish()
    return nodes
