"""Databases with a little of everything in them: quicker to damage and read than released ones."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from roomlog.client.local_store import LocalStore
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import (
    Admitted,
    CheckpointKept,
    CursorMoved,
    HistoryPack,
    LineageAdopted,
    LogCut,
    OwnNodes,
    PatternsChanged,
    ReceivedPack,
    Rewritten,
    ServerPinned,
    SnapshotKept,
    StoreWrite,
)
from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet, TextInsert
from roomlog.core.pack import Layout, encode_pack
from roomlog.core.replica import Replica
from roomlog.core.snapshot.taking import take_snapshot
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.messages import Cursor, SignedCheckpoint
from roomlog.store.interface import Append, NewRoom, ReconcileWindow, StoredSnapshot
from roomlog.store.sqlite import SqliteStore
from tests.fuzz.built_nodes import AUTHORS, HASHER, LINEAGE

ROOM_ID: Final = "small"
EPOCH: Final = b"e" * 16
NEW_EPOCH: Final = b"f" * 16
_ADA: Final = AUTHORS[0]


@cache
def chain() -> list[Node]:
    """A log of ten nodes."""
    nodes: list[Node] = []
    for seq in range(1, 11):
        parents = [nodes[-1].id] if nodes else []
        operations = [MapSet(f"k/{seq % 3}", seq), TextInsert("t", 0, "ab")]
        nodes.append(make_node(HASHER, _ADA, CHANGE, seq, parents, operations))
    return nodes


@cache
def server_database() -> bytes:
    """A room of three packs in both layouts, with a lost epoch and a snapshot."""
    nodes = chain()
    with tempfile.TemporaryDirectory() as directory:
        store = SqliteStore.open(directory, store_id=bytes(16), now_ms=1)
        store.create_rooms([NewRoom(ROOM_ID, LINEAGE, EPOCH, 1)])
        seq, epoch = 1, EPOCH
        for count, layout in ((1, Layout.ROWS), (4, Layout.COLUMNS), (3, Layout.ROWS)):
            chosen = nodes[seq - 1 : seq - 1 + count]
            ids = b"".join(node.id for node in chosen)
            pack = encode_pack(chosen, layout=layout)
            append = Append(ROOM_ID, epoch, seq, count, pack, ids, _ADA.public_key, 5)
            (outcome,) = store.commit([append])
            assert outcome.is_committed, outcome
            seq += count
            if seq == 6:
                window = ReconcileWindow(b"l" * 16, epoch, NEW_EPOCH, 5, 3, 9, 6, 99)
                store.renew_epoch(ROOM_ID, window)
                epoch = NEW_EPOCH
        replica = Replica(ROOM_ID, None, LINEAGE)
        replica.add_nodes(nodes[:8])
        taken = take_snapshot(replica, 7)
        store.write_snapshot_chunks(ROOM_ID, 7, 0, [taken.data])
        size = len(taken.data)
        facts = (taken.frontier_pack, taken.state_hash, taken.digest, taken.sign(_ADA), size)
        store.finish_snapshot(ROOM_ID, StoredSnapshot(7, 7, *facts))
        store.close()
        return (Path(directory) / "roomlog.sqlite3").read_bytes()


@cache
def client_databases() -> tuple[bytes, ...]:
    """A draft with a refusal; a reader of some keys; one that began with a snapshot."""
    nodes = chain()
    cursor = Cursor(epoch=EPOCH, seq=6, id=nodes[5].id)
    signature = sign_checkpoint(_ADA, lineage=LINEAGE, epoch=EPOCH, seq=6, frontier=[nodes[5].id])
    assert signature is not None
    checkpoint = SignedCheckpoint(
        lineage=LINEAGE, epoch=EPOCH, seq=6, frontier=[nodes[5].id], signature=signature
    )
    replica = Replica(ROOM_ID, None, LINEAGE)
    replica.add_nodes(nodes)
    taken = take_snapshot(replica, 4)
    rejection = Rejection(
        node_id=nodes[9].id,
        reject_class="write_forbidden",
        kind="rebase",
        message="no",
        detail={"ops": [0]},
        node=nodes[9],
        operation_indexes=(0,),
    )
    known: list[StoreWrite] = [
        LineageAdopted(LINEAGE, []),
        ServerPinned("ws://one", _ADA.public_key),
        LogCut(EPOCH, 0, None),
    ]
    draft = [OwnNodes(nodes[:3]), Rewritten([nodes[2].id], nodes[2:4], [rejection])]
    reader = [
        *known,
        ReceivedPack(encode_pack(nodes[:4]), 1, 4),
        ReceivedPack(encode_pack(nodes[4:6], layout=Layout.COLUMNS), 5, 6),
        CursorMoved(cursor),
        CheckpointKept(checkpoint),
        PatternsChanged(("k/**",), ("t",)),
        OwnNodes(nodes[6:9]),
        Admitted({nodes[6].id: 7}),
    ]
    joined = [
        *known,
        SnapshotKept(
            seq=4,
            frontier_pack=taken.frontier_pack,
            state=taken.data,
            state_hash=taken.state_hash,
            digest=taken.digest,
            signature=taken.sign(_ADA),
            server_key=_ADA.public_key,
            history_seq=4,
        ),
        HistoryPack(encode_pack(nodes[2:4]), 3, 4),
        ReceivedPack(encode_pack(nodes[4:7]), 5, 7),
    ]
    return tuple(_client_database(writes) for writes in (draft, reader, joined))


def _client_database(writes: list[StoreWrite]) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "client.db"
        store = LocalStore(path, ROOM_ID, LINEAGE)
        store.write(writes)
        store.close()
        assert store.failure is None, store.failure
        return path.read_bytes()
