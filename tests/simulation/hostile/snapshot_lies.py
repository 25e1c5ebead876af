"""Snapshots that are not what the log says, or not what they say themselves. T56"""

from __future__ import annotations

from typing import Any

import msgspec
from blake3 import blake3

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.replica import Replica
from roomlog.core.snapshot.facts import SnapshotFacts, sign_snapshot
from roomlog.core.snapshot.format import decode_state, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import TakenSnapshot, take_snapshot
from roomlog.core.state_hash import hash_leaves
from roomlog.identity import Identity
from roomlog.protocol.messages import Request, RequestEnd, Snapshot, Welcome
from tests.simulation.hostile.false_server import FalseSession
from tests.simulation.hostile.lie import lie

CHUNKS = 2


class SnapshotLiar(FalseSession):
    """Offers a snapshot to everybody who has nothing yet."""

    def welcome(self, welcome: Welcome) -> Any:
        if self.taken() is not None and welcome.catch_up == "cursor":
            return msgspec.structs.replace(welcome, catch_up="snapshot")
        return welcome

    def taken(self) -> TakenSnapshot | None:
        """An honest one at the head of the log; None when there is no place for it."""
        server = self.server
        heads = server.frontier()
        if not 1 <= len(heads) <= 8:
            return None
        replica = Replica(server.room_id, lineage=server.lineage)
        replica.add_nodes(server.log, verify=False)
        return take_snapshot(replica, server.head)

    def on_request(self, request: Request) -> None:
        taken = self.taken() if request.snapshot else None
        if taken is None:
            super().on_request(request)
            return
        for chunk in self.chunks(taken):
            chunk.ref = request.ref
            self.send(chunk)
        self.position = self.server.head
        self.send(RequestEnd(ref=request.ref, seq=self.position))

    def chunks(self, taken: TakenSnapshot) -> list[Snapshot]:
        """The messages of a snapshot that is as it should be."""
        return self.signed(taken, taken.frontier_pack, taken.state_hash, taken.data)

    def signed(
        self, taken: TakenSnapshot, frontier_pack: bytes, state_hash: bytes, data: bytes
    ) -> list[Snapshot]:
        """Any facts at all, with this server's signature."""
        server = self.server
        digest = blake3(data).digest()
        frontier = [node.id for node in self.heads(frontier_pack)]
        facts = SnapshotFacts(server.lineage, taken.seq, frontier, state_hash, digest)
        middle = max(1, len(data) // CHUNKS)
        pieces = [piece for piece in (data[:middle], data[middle:]) if piece]
        first = Snapshot(
            chunk=0,
            data=pieces[0],
            chunks=len(pieces),
            size_bytes=len(data),
            seq=taken.seq,
            frontier=frontier_pack,
            state_hash=state_hash,
            digest=digest,
            signature=sign_snapshot(server.identity, facts),
        )
        rest = [Snapshot(chunk=at, data=piece) for at, piece in enumerate(pieces[1:], 1)]
        return [first, *rest]

    def heads(self, frontier_pack: bytes) -> list[Node]:
        """The nodes of a snapshot's heads."""
        return decode_pack(frontier_pack, NodeHasher(self.server.lineage))


@lie("a true snapshot")
class TrueSnapshot(SnapshotLiar):
    """So that what follows lies about nothing else."""


@lie("broken snapshots")
class BrokenSnapshot(SnapshotLiar):
    """Bytes that are not those that were promised, or promises that cannot be kept."""

    def chunks(self, taken: TakenSnapshot) -> list[Snapshot]:
        chunks = super().chunks(taken)
        first = chunks[0]
        kind = self.chance.randrange(9)
        if kind == 0:
            first.data = bytes(len(first.data))
        elif kind == 1:
            first.digest = bytes(32)
        elif kind == 2:
            first.signature = bytes(64)
        elif kind == 3:
            first.seq = taken.seq + 1
        elif kind == 4:
            first.chunks = 1 << 40
        elif kind == 5:
            first.size_bytes = 1 << 40
        elif kind == 6:
            return [*chunks, *chunks]
        elif kind == 7:
            return chunks[::-1]
        else:
            first.frontier = b""
        return chunks


@lie("a forged frontier")
class ForgedFrontier(SnapshotLiar):
    """T56: heads without their authors' signatures, or another hash than that of the state."""

    def chunks(self, taken: TakenSnapshot) -> list[Snapshot]:
        heads = self.heads(taken.frontier_pack)
        kind = self.chance.randrange(4)
        if kind == 0:
            for head in heads:
                head.signature = bytes(64)
            return self.signed(taken, encode_pack(heads), taken.state_hash, taken.data)
        if kind == 1:
            return self.signed(taken, taken.frontier_pack, bytes(32), taken.data)
        if kind == 2:
            # The server's signature is for another lineage, or of somebody else.
            stranger = Identity.from_seed(self.chance.randbytes(32))
            chunks = super().chunks(taken)
            chunks[0].signature = taken.sign(stranger)
            return chunks
        below = self.server.log[0]
        pack = encode_pack(sorted({node.id: node for node in (*heads, below)}.values(), key=_id))
        return self.signed(taken, pack, taken.state_hash, taken.data)


def _id(node: Node) -> bytes:
    return node.id


@lie("a false state")
class FalseState(SnapshotLiar):
    """Signed as it should be, and not what the log says: the history behind it shows that."""

    def taken(self) -> TakenSnapshot | None:
        is_found_out = all(
            client._options.history == "full" for client in self.server.world.clients.values()
        )
        return super().taken() if is_found_out else None

    def chunks(self, taken: TakenSnapshot) -> list[Snapshot]:
        state = decode_state(taken.data)
        state.maps.clear()
        state.texts = [(key, text[::-1]) for key, text in state.texts]
        state.counters = [(key, total + 1) for key, total in state.counters]
        state_hash = hash_leaves(leaves_of(state))
        return self.signed(taken, taken.frontier_pack, state_hash, encode_state(state))
