"""A pack from the server, opened: what every one of them must be, whatever it answers."""

from __future__ import annotations

from typing import final

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.client_events import Fault, ServerFault, broken
from roomlog.protocol.messages import Pack


@final
class OpenedPack:
    """The nodes of one pack, and which blocks it came with."""

    __slots__ = ("has_bodies", "is_signed", "nodes")

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.is_signed = nodes[0].signature is not None
        self.has_bodies = all(node.body is not None for node in nodes)


@final
class PackOpener:
    """Opens the packs of one session."""

    __slots__ = ("_hasher", "_most_nodes", "may_lack_bodies")

    def __init__(self, lineage: bytes, most_nodes: int) -> None:
        self.may_lack_bodies = False
        """Whether patterns are in force, or were when packs under way were made."""
        self._hasher = NodeHasher(lineage)
        self._most_nodes = most_nodes

    def check(self, pack: Pack) -> None:
        """Refuse, by `ServerFault`, a pack of another lineage or with seqs that cannot be."""
        if pack.lineage != self._hasher.lineage:
            raise ServerFault(
                Fault.PROTOCOL, Reject(RejectClass.LINEAGE_MISMATCH, "a pack of another lineage")
            )
        if pack.from_seq < 1 or pack.to_seq < pack.from_seq:
            raise broken("pack", f"seq from {pack.from_seq} to {pack.to_seq}")

    def open(self, pack: Pack, *, may_be_unsigned: bool, may_have_gaps: bool = False) -> OpenedPack:
        """The nodes of a checked pack, one a seq unless it `may_have_gaps`.

        Raises `ServerFault` for what cannot be or was not asked.
        """
        nodes = self.decode(pack.nodes)
        most = pack.to_seq - pack.from_seq + 1
        if len(nodes) > most or not nodes or (len(nodes) < most and not may_have_gaps):
            raise broken("pack", f"{len(nodes)} nodes for {pack.from_seq}..{pack.to_seq}")
        opened = OpenedPack(nodes)
        if not opened.is_signed and not may_be_unsigned:
            raise ServerFault(
                Fault.PROTOCOL, Reject(RejectClass.SIGNATURE_MISSING, "a pack came unsigned")
            )
        if not opened.has_bodies and not self.may_lack_bodies:
            raise ServerFault(
                Fault.PROTOCOL, Reject(RejectClass.BODY_MISSING, "a node came without its body")
            )
        return opened

    def decode(self, pack: bytes) -> list[Node]:
        """The nodes of a pack's bytes. Raises `ServerFault` when they cannot be read."""
        try:
            return decode_pack(pack, self._hasher, max_nodes=self._most_nodes)
        except Reject as reject:
            raise ServerFault(Fault.PROTOCOL, reject) from None
