"""History as a pack file: all of it, what another replica lacks, or named nodes; and back."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from roomlog.core.pack import encode_pack, read_pack_file, write_pack_file
from roomlog.core.reject import Reject, RejectClass

if TYPE_CHECKING:
    from roomlog.core.replica import Replica

PACK_NODES: Final = 4096
"""How many nodes one pack of an export holds at most."""


def packs_of_file(data: bytes, lineage: bytes) -> list[bytes]:
    """The packs of a pack file. Raises `Reject` when it is broken or of another lineage."""
    found, packs = read_pack_file(data)
    if found != lineage:
        raise Reject(
            RejectClass.LINEAGE_MISMATCH,
            f"lineage {found.hex()} is not this room's",
            {"lineage": found, "expected": lineage},
        )
    return packs


def export_nodes(
    replica: "Replica",
    since: Iterable[bytes] | None,
    ids: Iterable[bytes] | None,
    signatures: bool,
) -> bytes:
    """`Replica.export`."""
    nodes = replica.log.select(since, ids)
    packs = [
        encode_pack(nodes[start : start + PACK_NODES], signatures=signatures)
        for start in range(0, len(nodes), PACK_NODES)
    ]
    return write_pack_file(replica.lineage, packs)
