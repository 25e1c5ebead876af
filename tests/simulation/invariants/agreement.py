"""Who has the same nodes has the same state; and in the end everybody has the same nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomlog.client.document import Document
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.replica import Replica
from tests.simulation.invariants.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.server_machine import ServerMachine

PAGE_NODES = 4_096


class Agreement:
    """`hashes` are those seen so far: by lineage, heads and patterns, the hash and who had it."""

    def __init__(self) -> None:
        self.hashes: dict[tuple[bytes, tuple[bytes, ...], tuple[str, ...]], tuple[str, str]] = {}

    def look(self, client: ClientMachine) -> str | None:
        """Compare a document with all that had the same heads; its hash, None if it has none."""
        document = client.document
        if document is None or document._engine.is_draft:
            return None
        replica = document._engine.replica
        if replica.has_open_edits or replica.awaits_bodies:
            return None
        if (replica.is_partial or replica.patterns) and client.had_damaged_line:
            # What it stands on may be a server's lie, until the history behind it is here; and a
            # body of its keys may have been withheld, as if it were of others, until it comes.
            return None
        return self._same(
            replica.lineage,
            tuple(replica.frontier),
            tuple(replica.patterns),
            replica.state_hash().hex,
            client.name,
        )

    def look_at_log(self, server: ServerMachine, room_id: str) -> tuple[Replica, str]:
        """Replay what a server's store has, from nothing; the replica and its hash."""
        room = server.store.open_room(room_id)
        assert room is not None
        replica = Replica(room_id, lineage=room.lineage)
        hasher = NodeHasher(room.lineage)
        seq = 0
        while page := server.store.read_log(room_id, seq, PAGE_NODES):
            nodes = [node for row in page for node in decode_pack(row.pack, hasher)]
            result = replica.add_nodes(nodes, verify=False)
            if result.rejected or result.waiting:
                raise Violation("log_cannot_be_replayed", f"{server.name} {room_id} after {seq}")
            seq = page[-1].to_seq
        digest = replica.state_hash().hex
        self._same(room.lineage, tuple(replica.frontier), (), digest, f"{server.name}'s log")
        return replica, digest

    def _same(
        self,
        lineage: bytes,
        frontier: tuple[bytes, ...],
        patterns: tuple[str, ...],
        digest: str,
        who: str,
    ) -> str:
        other, whose = self.hashes.setdefault((lineage, frontier, patterns), (digest, who))
        if other != digest:
            raise Violation("same_nodes_other_state", f"{who} and {whose}")
        return digest


def disagreement(client: ClientMachine, log: Replica) -> str:
    """Why a client does not agree with its server's log yet; "" when it does."""
    document: Document | None = client.document
    if document is None:
        return "is not open"
    engine = document._engine
    if engine.is_draft:
        return "has never met the room"
    if engine.replica.lineage != log.lineage:
        return "is of another lineage"
    if engine.replica.has_open_edits:
        return "has edits that are no node yet"
    if len(engine.pending):
        return f"waits for {len(engine.pending)} acknowledgements ({engine.put_off_class})"
    if engine.replica.awaits_bodies:
        return "waits for bodies"
    mine, theirs = set(engine.replica.frontier), set(log.frontier)
    if mine != theirs:
        return f"has other heads: {len(mine - theirs)} of its own, lacks {len(theirs - mine)}"
    return ""
