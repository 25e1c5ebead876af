"""Nodes: header bytes, ids, and the checks that need nothing but the node itself."""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.errors import NodeTooLargeError
from roomlog.core.hashing import BODY_KEY, HASH_BYTES, KeyedHasher
from roomlog.core.operation import Operation, decode_body, encode_body
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import PUBLIC_KEY_BYTES, Purpose, Signer, verify

HEADER_VERSION: Final = 1
CHANGE: Final = 1
MERGE: Final = 2
MAX_PARENTS: Final = 64
MAX_NODE_BYTES: Final = 256 * 1024
"""Header and body together."""
FIXED_PREFIX_BYTES: Final = 43
"""Version, kind, author, clock and parent count."""

_PREFIX: Final = struct.Struct(">BB32sQB")
# Bound methods: looking one up costs as much as the call.
_pack_prefix: Final[Callable[..., bytes]] = _PREFIX.pack
_unpack_prefix: Final = _PREFIX.unpack_from
_pack_with_one_parent: Final[Callable[..., bytes]] = struct.Struct(">BB32sQB32s32s").pack
_NODE: Final = Purpose.NODE


@final
class NodeHasher:
    """The two keyed hashes of one lineage. Reuses its state: one thread at a time."""

    __slots__ = ("_bodies", "_headers", "lineage")

    def __init__(self, lineage: bytes) -> None:
        self.lineage = lineage
        self._bodies = KeyedHasher(BODY_KEY)
        self._headers = KeyedHasher(lineage)

    def body_hash(self, body: bytes) -> bytes:
        """The 32-byte hash of a body, the same in every lineage."""
        return self._bodies.digest(body)

    def node_id(self, header: bytes) -> bytes:
        """The 32-byte id of the node with that header in this lineage."""
        return self._headers.digest(header)


@final
class Node:
    """One signed step of history. Immutable by convention; equal by id.

    ``body`` is None when the node came without one, ``signature`` None when it came unsigned.
    ``fault`` is what the decoder found wrong with its bytes, raised by `check_node`.
    """

    __slots__ = (
        "_header",
        "_operations",
        "author",
        "body",
        "body_hash",
        "clock",
        "fault",
        "id",
        "kind",
        "parents",
        "signature",
    )

    def __init__(  # noqa: PLR0917 - positional is what is fast
        self,
        id: bytes,
        author: bytes,
        clock: int,
        kind: int,
        parents: tuple[bytes, ...],
        body_hash: bytes,
        body: bytes | None,
        signature: bytes | None,
        operations: list[Operation] | None = None,
        header: bytes | None = None,
        fault: RejectClass | None = None,
    ) -> None:
        self.id = id
        self.author = author
        self.clock = clock
        self.kind = kind
        self.parents = parents
        self.body_hash = body_hash
        self.body = body
        self.signature = signature
        self._operations = operations
        self._header = header
        self.fault = fault

    def operations(self) -> list[Operation]:
        """What the node does, parsed once; not to be changed.

        Raises `Reject` (body_missing, body_invalid).
        """
        operations = self._operations
        if operations is None:
            if self.body is None:
                raise Reject(RejectClass.BODY_MISSING, "the node came without its body")
            operations = decode_body(self.body)
            self._operations = operations
        return operations

    def forget_operations(self) -> None:
        """Let go of the parsed operations: a long history is kept as bytes, and parsed if asked."""
        if self.body is not None:
            self._operations = None

    def known_operations(self) -> list[Operation]:
        """`operations`, none for a node without its body: nobody here reads what it touches."""
        return [] if self.body is None else self.operations()

    def header(self) -> bytes:
        """The header bytes that the id is the hash of."""
        if self._header is not None:
            return self._header
        return encode_header(self.kind, self.author, self.clock, self.parents, self.body_hash)

    def header_prefix(self) -> bytes:
        """The header without its last field, the body hash."""
        if self._header is not None:
            return self._header[:-HASH_BYTES]
        parents = self.parents
        prefix = _pack_prefix(HEADER_VERSION, self.kind, self.author, self.clock, len(parents))
        if len(parents) == 1:
            return prefix + parents[0]
        return b"".join((prefix, *parents))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Node({self.id.hex()}, clock={self.clock}, parents={len(self.parents)})"


def encode_header(
    kind: int, author: bytes, clock: int, parents: tuple[bytes, ...], body_hash: bytes
) -> bytes:
    """The one header of these fields, version 1. ``parents`` are in ascending order already."""
    if len(parents) == 1:
        return _pack_with_one_parent(HEADER_VERSION, kind, author, clock, 1, parents[0], body_hash)
    prefix = _pack_prefix(HEADER_VERSION, kind, author, clock, len(parents))
    return b"".join((prefix, *parents, body_hash))


def make_node(  # noqa: PLR0917
    hasher: NodeHasher,
    signer: Signer | None,
    kind: int,
    clock: int,
    parents: Iterable[bytes],
    operations: Sequence[Operation],
    *,
    author: bytes | None = None,
) -> Node:
    """Write and sign a node. Without a signer it stays unsigned and ``author`` must be given.

    Raises ValueError (`InvalidValueError` for operations) for what `check_node` would refuse.
    """
    if signer is not None:
        author = signer.public_key
    if author is None or len(author) != PUBLIC_KEY_BYTES:
        raise ValueError("a node needs a signer or a 32-byte author")
    if clock < 0:
        raise ValueError(f"clock {clock} is negative")
    ordered = tuple(parents)
    if len(ordered) > 1:
        ordered = tuple(sorted(ordered))
    for parent in ordered:
        if len(parent) != HASH_BYTES:
            raise ValueError(f"a parent's id has {HASH_BYTES} bytes")
    kept = list(operations)
    problem = _shape_problem(kind, clock, ordered) or _body_problem(kind, kept)
    if problem:
        raise ValueError(problem)
    body = encode_body(kept)
    body_hash = hasher.body_hash(body)
    header = encode_header(kind, author, clock, ordered, body_hash)
    if len(header) + len(body) > MAX_NODE_BYTES:
        raise NodeTooLargeError(len(header) + len(body), MAX_NODE_BYTES)
    node_id = hasher.node_id(header)
    signature = None if signer is None else signer.sign(_NODE, node_id)
    return Node(node_id, author, clock, kind, ordered, body_hash, body, signature, kept)


def check_node(node: Node, header_only: bool = False) -> None:
    """Raise `Reject` unless the node's own bytes are valid.

    ``header_only`` takes a change without its body as well; a merge always has its own. Parents,
    clock order and signature are checked by others: they need more than the node.
    """
    fault = node.fault
    if fault is not None and fault is not RejectClass.HASH_MISMATCH:
        raise Reject(fault)
    problem = _shape_problem(node.kind, node.clock, node.parents)
    if problem:
        raise Reject(RejectClass.HEADER_INVALID, problem)
    if fault is not None:
        raise Reject(fault, "the body is not the one of its hash")
    body = node.body
    size_bytes = FIXED_PREFIX_BYTES + HASH_BYTES * (len(node.parents) + 1)
    if body is not None:
        size_bytes += len(body)
    if size_bytes > MAX_NODE_BYTES:
        raise Reject(RejectClass.NODE_TOO_LARGE, f"{size_bytes} bytes", {"bytes": size_bytes})
    if body is None and header_only and node.kind == CHANGE:
        return
    problem = _body_problem(node.kind, node.operations())
    if problem:
        raise Reject(RejectClass.BODY_INVALID, problem)


def check_signature(node: Node) -> None:
    """Raise `Reject` (signature_missing, signature_invalid) unless the author signed the node."""
    signature = node.signature
    if signature is None:
        raise Reject(RejectClass.SIGNATURE_MISSING, "the node came unsigned")
    if not verify(node.author, _NODE, node.id, signature):
        raise Reject(RejectClass.SIGNATURE_INVALID, "not the author's signature of this node")


def parse_header_prefix(prefix: bytes) -> tuple[int, bytes, int, tuple[bytes, ...]]:
    """Kind, author, clock and parents of a header without its body hash.

    Raises `Reject` (version_unsupported, header_invalid).
    """
    size = len(prefix)
    if size == 0 or prefix[0] != HEADER_VERSION:
        raise Reject(RejectClass.VERSION_UNSUPPORTED, "another header version")
    if size < FIXED_PREFIX_BYTES or size != FIXED_PREFIX_BYTES + HASH_BYTES * prefix[42]:
        raise Reject(RejectClass.HEADER_INVALID, "header length differs from its parent count")
    _, kind, author, clock, parent_count = _unpack_prefix(prefix)
    if parent_count == 1:
        return kind, author, clock, (prefix[FIXED_PREFIX_BYTES:],)
    parents = [
        prefix[start : start + HASH_BYTES] for start in range(FIXED_PREFIX_BYTES, size, HASH_BYTES)
    ]
    return kind, author, clock, tuple(parents)


def _shape_problem(kind: int, clock: int, parents: tuple[bytes, ...]) -> str:
    count = len(parents)
    if kind != CHANGE:
        if kind != MERGE:
            return f"kind {kind} is unknown"
        if count < 2:
            return "a merge has at least two parents"
    if clock >= CLOCK_LIMIT:
        return f"clock {clock} is not below {CLOCK_LIMIT}"
    if count > 1:
        if count > MAX_PARENTS:
            return f"more than {MAX_PARENTS} parents"
        for index in range(1, count):
            if parents[index - 1] >= parents[index]:
                return "parents are not strictly ascending"
    return ""


def _body_problem(kind: int, operations: list[Operation]) -> str:
    if kind == CHANGE:
        return "" if operations else "a change has at least one operation"
    return "a merge has no operations" if operations else ""
