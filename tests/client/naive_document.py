"""What a local store holds, by the meaning of each write: sets, lists and dicts of nodes."""

from __future__ import annotations

from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import (
    Admitted,
    CheckpointKept,
    CursorMoved,
    LineageAdopted,
    LogCut,
    OwnNodes,
    PendingAgain,
    ReceivedPack,
    Rewritten,
    StoreWrite,
)
from roomlog.client.stored_document import StoredDocument
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.protocol.messages import Cursor, SignedCheckpoint


class NaiveDocument:
    """The nodes of one whole room: no snapshot, no patterns."""

    def __init__(self, lineage: bytes) -> None:
        self.lineage = lineage
        self.is_draft = True
        self.nodes: set[bytes] = set()
        self.pending: set[bytes] = set()
        self.places: dict[int, bytes] = {}
        self.epoch: bytes | None = None
        self.cursor: Cursor | None = None
        self.checkpoint: SignedCheckpoint | None = None
        self.rejections: list[Rejection] = []

    def apply(self, write: StoreWrite) -> None:
        if isinstance(write, OwnNodes):
            ids = [node.id for node in write.nodes]
            self.nodes.update(ids)
            self.pending.update(ids)
        elif isinstance(write, ReceivedPack):
            ids = [node.id for node in decode_pack(write.pack, NodeHasher(self.lineage))]
            self.nodes.update(ids)
            if write.from_seq:
                self.places.update(enumerate(ids, write.from_seq))
        elif isinstance(write, Admitted):
            for node_id, seq in write.seqs.items():
                if node_id in self.pending:
                    self.pending.remove(node_id)
                    self.places[seq] = node_id
        elif isinstance(write, CursorMoved):
            self.cursor = write.cursor
        elif isinstance(write, LogCut):
            self.places = {seq: each for seq, each in self.places.items() if seq <= write.seq}
            self.epoch, self.cursor = write.epoch, write.cursor
        elif isinstance(write, PendingAgain):
            self.pending.update(node.id for node in write.nodes)
        elif isinstance(write, CheckpointKept):
            self.checkpoint = write.checkpoint
        elif isinstance(write, Rewritten):
            self.nodes.difference_update(write.removed, write.lost_once)
            self.pending.difference_update(write.removed)
            self.nodes.update(node.id for node in write.nodes)
            self.pending.update(node.id for node in write.nodes)
            self.rejections.extend(write.rejections)
        elif isinstance(write, LineageAdopted):
            self.lineage, self.is_draft = write.lineage, False
            self.nodes = {node.id for node in write.nodes}
            self.pending = set(self.nodes)
            self.places, self.epoch, self.cursor = {}, None, None
        else:
            raise AssertionError(f"not of a whole room: {write}")

    def assert_is(self, stored: StoredDocument) -> None:
        """The store says what this document says, in an order that can be restored."""
        assert stored.lineage == self.lineage
        assert stored.is_draft == self.is_draft
        assert stored.cursor == self.cursor
        assert stored.checkpoint == self.checkpoint
        assert stored.places.epoch == self.epoch
        found = {
            seq: node_id
            for start, ids in stored.places.stretches()
            for seq, node_id in enumerate(ids, start)
        }
        assert found == self.places
        order = [node.id for node in stored.nodes]
        assert len(order) == len(self.nodes)
        assert set(order) == self.nodes
        held: set[bytes] = set()
        for node in stored.nodes:
            assert held.issuperset(node.parents)
            held.add(node.id)
        assert len(stored.pending) == len(self.pending)
        assert set(stored.pending) == self.pending
        assert stored.pending == [node_id for node_id in order if node_id in self.pending]
        assert [each.node_id for each in stored.rejections] == [
            each.node_id for each in self.rejections
        ]
