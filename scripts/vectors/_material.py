"""What the topics share: identities from fixed seeds, and values as JSON."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from roomlog.core.hashing import serverless_lineage
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, encode_header, make_node
from roomlog.core.operation import Operation
from roomlog.identity import Identity

ROOM_ID = "vectors"
LINEAGE = serverless_lineage(ROOM_ID)
HASHER = NodeHasher(LINEAGE)
SEEDS = [bytes([number + 1]) * 32 for number in range(3)]
IDENTITIES = [Identity.from_seed(seed) for seed in SEEDS]
FIRST_CLOCK = 1_700_000_000_000 * 2048


def change(
    *operations: Operation, parents: Sequence[Node] = (), clock: int = FIRST_CLOCK, author: int = 0
) -> Node:
    """A signed change in the vectors' lineage."""
    ids = [parent.id for parent in parents]
    return make_node(HASHER, IDENTITIES[author], CHANGE, clock, ids, operations)


def merge(*parents: Node, clock: int, author: int = 0) -> Node:
    """A signed merge in the vectors' lineage."""
    ids = [parent.id for parent in parents]
    return make_node(HASHER, IDENTITIES[author], MERGE, clock, ids, [])


def forged(
    body: bytes, *, kind: int = CHANGE, clock: int = FIRST_CLOCK, parents: Sequence[bytes] = ()
) -> Node:
    """A node of these very fields, valid or not, unsigned."""
    author = IDENTITIES[0].public_key
    body_hash = HASHER.body_hash(body)
    header = encode_header(kind, author, clock, tuple(parents), body_hash)
    return Node(
        HASHER.node_id(header), author, clock, kind, tuple(parents), body_hash, body, bytes(64)
    )


def as_json(value: object) -> object:
    """A canonical value as JSON: bytes, floats and maps are objects that say so."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if isinstance(value, list | tuple):
        return [as_json(element) for element in value]
    if isinstance(value, dict):
        return {"map": [[key, as_json(element)] for key, element in value.items()]}
    return value


def node_as_json(node: Node) -> dict[str, object]:
    """All fields of a well-formed node."""
    return {
        "kind": node.kind,
        "author": node.author.hex(),
        "clock": node.clock,
        "parents": [parent.hex() for parent in node.parents],
        "body": None if node.body is None else node.body.hex(),
        "body_hash": node.body_hash.hex(),
        "header": node.header().hex(),
        "id": node.id.hex(),
        "signature": None if node.signature is None else node.signature.hex(),
    }
