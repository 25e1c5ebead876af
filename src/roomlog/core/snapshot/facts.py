"""What a server signs about a snapshot, and every check before a joiner builds on one."""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.collector import pause_collector, resume_collector
from roomlog.core.hashing import HASH_BYTES, hash_bytes
from roomlog.core.node import MAX_PARENTS, Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Purpose, Signer, verify
from roomlog.core.snapshot.format import SnapshotState, decode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.state_hash import hash_leaves

MAX_FRONTIER_NODES: Final = MAX_PARENTS
"""A node has to name every head of a snapshot to build on it: more heads than this nobody can."""
_SEQ_LIMIT: Final = 1 << 63


@final
class SnapshotFacts:
    """What the signature of a snapshot covers.

    ``frontier`` are the ids of the heads at ``seq``, ascending; ``state_hash`` and ``digest`` (the
    BLAKE3 of the state's bytes) have 32 bytes.
    """

    __slots__ = ("digest", "frontier", "lineage", "seq", "state_hash")

    def __init__(
        self, lineage: bytes, seq: int, frontier: Sequence[bytes], state_hash: bytes, digest: bytes
    ) -> None:
        self.lineage = lineage
        self.seq = seq
        self.frontier: list[bytes] = sorted(frontier)
        self.state_hash = state_hash
        self.digest = digest

    def payload(self) -> bytes:
        """lineage | seq u64 | frontier count u16 | frontier ids | state hash | digest."""
        return b"".join(
            (
                self.lineage,
                self.seq.to_bytes(8, "big"),
                len(self.frontier).to_bytes(2, "big"),
                *self.frontier,
                self.state_hash,
                self.digest,
            )
        )


@final
class OpenedSnapshot:
    """A snapshot that passed every check: what a replica can begin with.

    ``frontier`` are the heads, whole and signed, ascending by id. ``leaves`` are those of the
    state hash, by leaf kind and key.
    """

    __slots__ = ("facts", "frontier", "leaves", "state")

    def __init__(
        self,
        facts: SnapshotFacts,
        frontier: list[Node],
        state: SnapshotState,
        leaves: list[dict[str, bytes]],
    ) -> None:
        self.facts = facts
        self.frontier = frontier
        self.state = state
        self.leaves = leaves

    @property
    def seq(self) -> int:
        """The state is that of the log up to here."""
        return self.facts.seq


def sign_snapshot(signer: Signer, facts: SnapshotFacts) -> bytes:
    """The server's 64-byte signature."""
    return signer.sign(Purpose.SNAPSHOT, facts.payload())


def encode_frontier(nodes: Sequence[Node]) -> bytes:
    """The pack of a snapshot's heads as it travels: whole, signed, ascending by id.

    Raises ValueError for an unsigned node.
    """
    return encode_pack(sorted(nodes, key=_id_of))


def _id_of(node: Node) -> bytes:
    return node.id


def check_snapshot(  # noqa: PLR0917 - the fields of the message, in its order
    server_key: bytes,
    lineage: bytes,
    seq: int,
    frontier_pack: bytes,
    state_hash: bytes,
    digest: bytes,
    signature: bytes,
    data: bytes,
) -> OpenedSnapshot:
    """Open a snapshot of the room with that ``lineage`` by the server with that key.

    Checked are, in this order: the heads' bytes and ids, the server's signature over all facts,
    the heads' own signatures, the digest of ``data``, its form, and that its state hash and clock
    are the signed ones. That ``seq`` is not beyond the welcome's is for the session to check.

    Raises `Reject`: signature_invalid or signature_missing for a signature, what `check_node`
    raises for a head, else invalid_field.
    """
    if not 1 <= seq < _SEQ_LIMIT:
        raise _invalid("seq", f"{seq} is not the seq of a node")
    if len(state_hash) != HASH_BYTES:
        raise _invalid("state_hash", f"not {HASH_BYTES} bytes")
    frontier = _frontier_of(frontier_pack, lineage)
    if len(frontier) > seq:
        raise _invalid("frontier", f"{len(frontier)} heads of {seq} nodes")
    facts = SnapshotFacts(lineage, seq, [node.id for node in frontier], state_hash, digest)
    if not verify(server_key, Purpose.SNAPSHOT, facts.payload(), signature):
        raise Reject(RejectClass.SIGNATURE_INVALID, "not the server's signature of this snapshot")
    for node in frontier:
        check_signature(node)
    if hash_bytes(data) != digest:
        raise _invalid("digest", "not that of the data")
    was_running = pause_collector()
    try:
        return _open(facts, frontier, data)
    finally:
        resume_collector(was_running)


def _open(facts: SnapshotFacts, frontier: list[Node], data: bytes) -> OpenedSnapshot:
    """The snapshot of these facts, all signatures of which hold."""
    state = decode_state(data)
    # A node's clock is greater than its parents', so the greatest is a head's.
    if state.clock != max([node.clock for node in frontier]):
        raise _invalid("data", "its clock is not the greatest of the heads")
    leaves = leaves_of(state)
    if hash_leaves(leaves) != facts.state_hash:
        raise _invalid("state_hash", "not that of the state")
    return OpenedSnapshot(facts, frontier, state, leaves)


def _frontier_of(frontier_pack: bytes, lineage: bytes) -> list[Node]:
    """The heads: whole, ascending by id, none of them below another."""
    frontier = decode_pack(frontier_pack, NodeHasher(lineage))
    if not 1 <= len(frontier) <= MAX_FRONTIER_NODES:
        raise _invalid("frontier", f"{len(frontier)} heads")
    ids = [node.id for node in frontier]
    for index in range(1, len(ids)):
        if ids[index - 1] >= ids[index]:
            raise _invalid("frontier", "heads are not strictly ascending")
    for node in frontier:
        check_node(node)
        if not set(ids).isdisjoint(node.parents):
            raise _invalid("frontier", "a head that is another's parent")
    return frontier


def _invalid(field: str, problem: str) -> Reject:
    return Reject(RejectClass.INVALID_FIELD, f"snapshot: {field}: {problem}", {"field": field})
