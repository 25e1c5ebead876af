"""A replica of all history, made in small steps beside the one that lives on a snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, final

from roomlog.client.partial_room import PartialRoom
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica

STEP_NODES: Final = 256
"""Nodes merged without leaving the loop."""


@final
class HistoryBuild:
    """One attempt: take all `steps`, then `finish`.

    Both raise `Reject` when the history is not what it has to be.
    """

    def __init__(self, room: PartialRoom, *, verify: bool) -> None:
        assert room.older is not None
        self._room = room
        self._generation = room.generation
        self._verify = verify
        self._hasher = NodeHasher(room.replica.lineage)
        present = room.replica
        self._replica = Replica(present.room_id, present.identity, present.lineage)
        self._packs = room.older.packs()[::-1]
        self._until_seq = room.older.until_seq
        self._decoded: list[Node] = []
        self._decoded_count = 0
        self._living_count = 0
        self._is_compared = False
        self.lone_heads: list[Node] = []
        """Heads of the snapshot that no history has: they are nowhere but in it."""

    @property
    def is_stale(self) -> bool:
        """Whether own history was rewritten, or the log was cut, meanwhile: begin again."""
        older = self._room.older
        return (
            self._generation != self._room.generation
            or older is None
            or older.until_seq != self._until_seq
        )

    def steps(self) -> Iterator[None]:
        """Go on until nothing is left or the attempt is stale, with a rest after each step."""
        while not self.is_stale and self.step():
            yield

    def step(self) -> bool:
        """Do a little; False when all that there is now has been taken."""
        if self._decoded_count < len(self._decoded):
            start = self._decoded_count
            self._decoded_count += STEP_NODES
            self._take(self._decoded[start : self._decoded_count], verify=self._verify)
            return True
        if self._packs:
            pack = self._packs.pop()
            count = pack.to_seq - pack.from_seq + 1
            # A pack that a cut went through has nodes beyond it, which are no part of this log.
            self._decoded = decode_pack(pack.pack, self._hasher)[:count]
            self._decoded_count = 0
            return True
        if not self._is_compared:
            self._is_compared = True
            self._compare()
            return True
        log = self._room.replica.log
        start = log.first + self._living_count
        nodes = log.nodes[start : start + STEP_NODES]
        self._living_count += len(nodes)
        self._take(nodes, verify=False)
        return bool(nodes)

    def _take(self, nodes: Sequence[Node], *, verify: bool) -> None:
        result = self._replica.add_nodes(nodes, verify=verify)
        if result.rejected:
            first = result.rejected[0]
            raise Reject(first.reject_class, f"a bad node of history: {first.message}")

    def _compare(self) -> None:
        """With everything verified, the snapshot's word can be checked as well."""
        snapshot = self._room.snapshot
        assert snapshot is not None
        if not self._verify or self._until_seq != snapshot.seq:
            return
        found = self._replica.state_hash()
        if not found.complete or found.hex != snapshot.state_hash.hex():
            raise SnapshotLie(snapshot.seq)

    def finish(self) -> Replica | None:
        """The replica with everything that has come meanwhile; None when history has a hole.

        A hole is what a server lost, and others have to bring back.
        """
        while self.step():
            pass
        snapshot = self._room.snapshot
        assert snapshot is not None
        # The snapshot's own heads are history below it, unless the log was cut below them.
        heads = decode_pack(snapshot.frontier_pack, self._hasher)
        self.lone_heads = [node for node in heads if node.id not in self._replica]
        self._take(heads, verify=False)
        self._take(list(self._room.replica.log.held), verify=False)
        return None if len(self._replica.waiting) else self._replica


class SnapshotLie(Reject):
    """The state that the server signed is not the one that its history makes."""

    def __init__(self, seq: int) -> None:
        super().__init__(
            RejectClass.HASH_MISMATCH, f"the snapshot at {seq} is not what the history says"
        )
