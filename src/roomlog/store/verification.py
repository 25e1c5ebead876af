"""Proving a store: everything that can be recomputed is, from the bytes of the packs.

A node is right when its bytes are, its id is the hash of its header under the room's lineage and
the one that was stored, its parents lie before it, its clock is greater than theirs and its author
signed it; a log, when its seq have no gaps and every node lies in exactly one admission record.
Signatures cost most and depend on nothing, so they are given away to be checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from blake3 import blake3
from msgspec import Struct, structs

from roomlog.core.graph import Graph
from roomlog.core.node import Node, NodeHasher, check_node
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.store.errors import SnapshotUnknown, StoreCorrupt
from roomlog.store.interface import NODE_ID_BYTES, NodeStore, ReconcileWindow, StoredRoom

PAGE_NODES: Final = 4_096
STORE_CORRUPT: Final = "store_corrupt"
ADMISSION_MISMATCH: Final = "admission_mismatch"
Signed = tuple[int, bytes, bytes, bytes]
"""Seq, author, id and signature of a node."""


class StoreFault(Struct, frozen=True):
    """The first thing that is wrong with a room.

    `fault_class` is a reject class, `store_corrupt` or `admission_mismatch`; `seq` is 0 and
    `node_id` empty when it is not about one node.
    """

    room_id: str
    seq: int
    node_id: bytes
    fault_class: str
    message: str


class RoomReport(Struct, frozen=True):
    """What a room that is right consists of."""

    room_id: str
    lineage: bytes
    nodes: int
    packs: int
    pack_bytes: int
    authors: int
    admission_records: int
    frontier: tuple[bytes, ...]
    snapshots: int = 0


@final
class FaultFound(Exception):
    """Ends the verification of a room."""

    def __init__(self, fault: StoreFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def verify_room(
    store: NodeStore,
    room: StoredRoom,
    *,
    on_signed: Callable[[list[Signed]], None],
    on_nodes: Callable[[int], None] = lambda _: None,
) -> RoomReport:
    """Recompute a room's log up to `room.head_seq`, page by page; it may grow meanwhile.

    `on_signed` is given what remains to be checked, at most `PAGE_NODES` at once and in order of
    seq, before a fault at a later seq is raised. `on_nodes` counts progress. Raises `FaultFound`.
    """
    try:
        return _verify(store, room, on_signed, on_nodes)
    except StoreCorrupt as error:
        raise FaultFound(StoreFault(room.room_id, 0, b"", STORE_CORRUPT, error.detail)) from error


def _verify(
    store: NodeStore,
    room: StoredRoom,
    on_signed: Callable[[list[Signed]], None],
    on_nodes: Callable[[int], None],
) -> RoomReport:
    graph = Graph()
    hasher = NodeHasher(room.lineage)
    authors: set[bytes] = set()
    packs = pack_bytes = 0
    index = store.load_index(room.room_id)
    seq = 0
    while seq < room.head_seq and (page := store.read_log(room.room_id, seq, PAGE_NODES)):
        signed: list[Signed] = []
        try:
            for row in page:
                if seq >= room.head_seq:
                    if not _has_grown_to(store, room, row.to_seq):
                        message = f"rows lie beyond the head {room.head_seq}"
                        raise _fault(room, seq + 1, b"", STORE_CORRUPT, message)
                    break
                stored = next(index, None)
                if row.from_seq != seq + 1 or stored is None or stored.to_seq != row.to_seq:
                    raise _fault(room, seq + 1, b"", STORE_CORRUPT, "the rows have a gap")
                nodes = _decoded(room, row.from_seq, row.pack, hasher)
                if len(nodes) != row.to_seq - seq:
                    raise _fault(
                        room, row.from_seq, b"", STORE_CORRUPT, f"a pack of {len(nodes)} nodes"
                    )
                packs += 1
                pack_bytes += len(row.pack)
                for position, node in enumerate(nodes):
                    seq += 1
                    start = position * NODE_ID_BYTES
                    _check(room, seq, node, stored.ids[start : start + NODE_ID_BYTES], graph)
                    authors.add(node.author)
                    signed.append((seq, node.author, node.id, node.signature or b""))
        finally:
            on_signed(signed)
        on_nodes(len(signed))
    if seq != room.head_seq:
        raise _fault(room, seq, b"", STORE_CORRUPT, f"the log ends before its head {room.head_seq}")
    records = _verify_admissions(store, room)
    snapshots = _verify_snapshots(store, room, graph)
    return RoomReport(
        room.room_id,
        room.lineage,
        seq,
        packs,
        pack_bytes,
        len(authors),
        records,
        tuple(graph.frontier_ids()),
        snapshots,
    )


def _has_grown_to(store: NodeStore, room: StoredRoom, seq: int) -> bool:
    """Whether what lies beyond the head was appended since that was looked up."""
    now = store.open_room(room.room_id)
    return now is not None and now.head_seq >= seq


def _decoded(room: StoredRoom, seq: int, pack: bytes, hasher: NodeHasher) -> list[Node]:
    try:
        return decode_pack(pack, hasher)
    except Reject as reject:
        raise _fault(room, seq, b"", reject.reject_class.wire, reject.message) from reject


def _check(room: StoredRoom, seq: int, node: Node, stored_id: bytes, graph: Graph) -> None:
    """One node against itself, the index and what lies before it."""
    try:
        check_node(node)
    except Reject as reject:
        raise _fault(room, seq, node.id, reject.reject_class.wire, reject.message) from reject
    if node.id != stored_id:
        message = f"its header hashes to {node.id.hex()}"
        raise _fault(room, seq, stored_id, RejectClass.HASH_MISMATCH.wire, message)
    if graph.index_of(node.id) >= 0:
        raise _fault(room, seq, node.id, STORE_CORRUPT, "the node is in the log twice")
    for parent in node.parents:
        lv = graph.index_of(parent)
        if lv < 0:
            message = f"its parent {parent.hex()} does not lie before it"
            raise _fault(room, seq, node.id, RejectClass.PARENT_MISSING.wire, message)
        if node.clock <= graph.clock_of(lv):
            message = f"its clock {node.clock} is not after its parent's"
            raise _fault(room, seq, node.id, RejectClass.CLOCK_BEHIND_PARENT.wire, message)
    if node.signature is None:
        raise _fault(room, seq, node.id, RejectClass.SIGNATURE_MISSING.wire, "it is unsigned")
    graph.add(node.id, node.author, node.clock, node.parents)


def _verify_admissions(store: NodeStore, room: StoredRoom) -> int:
    """Every seq lies in one record, of the epoch then in force. How many there are."""
    chain, room = _renewals(store, room)
    seq = count = 0
    for record in store.admissions(room.room_id):
        if seq >= room.head_seq:
            break
        if record.from_seq != seq + 1 or record.to_seq < record.from_seq:
            message = f"the record after seq {seq} covers {record.from_seq}..{record.to_seq}"
            raise _fault(room, seq + 1, b"", ADMISSION_MISMATCH, message)
        if record.epoch != _epoch_at(seq + 1, chain, room) or record.lineage != room.lineage:
            message = "the record is of another epoch or lineage"
            raise _fault(room, record.from_seq, b"", ADMISSION_MISMATCH, message)
        seq = record.to_seq
        count += 1
    if seq != room.head_seq:
        raise _fault(room, seq + 1, b"", ADMISSION_MISMATCH, "no record covers this seq")
    return count


def _verify_snapshots(store: NodeStore, room: StoredRoom, graph: Graph) -> int:
    """Every snapshot has its bytes, and heads that lie in its part of the log. How many."""
    whole = 0
    for snapshot in store.newest_snapshots(room.room_id):
        seq = snapshot.seq
        digest = blake3()
        try:
            for chunk in range(snapshot.chunks):
                digest.update(store.read_snapshot(room.room_id, seq, chunk))
        except SnapshotUnknown:
            # A newer one has taken its place.
            continue
        heads = _decoded(room, seq, snapshot.frontier, NodeHasher(room.lineage))
        lvs = [graph.index_of(node.id) for node in heads]
        if seq > room.head_seq:
            # Taken since the room was looked up, of a part that has not been read.
            is_placed = _has_grown_to(store, room, seq)
        else:
            is_placed = all(0 <= lv < seq for lv in lvs)
        if digest.digest() != snapshot.digest or not is_placed:
            raise _fault(room, seq, b"", STORE_CORRUPT, f"the snapshot at seq {seq} is not whole")
        whole += 1
    return whole


def _renewals(store: NodeStore, room: StoredRoom) -> tuple[list[ReconcileWindow], StoredRoom]:
    """The windows in which the room took its epochs, one after the other, up to its own.

    Also the room, with the epoch they lead to: it may have got another one meanwhile.
    """
    head_seq = room.head_seq
    while True:
        windows = store.reconcile_windows(room.room_id)
        broken = _broken_chain(windows, room)
        if not broken:
            return windows, structs.replace(room, head_seq=head_seq)
        now = store.open_room(room.room_id)
        if now is None or now.epoch == room.epoch:
            raise _fault(room, 0, b"", ADMISSION_MISMATCH, broken)
        room = now


def _broken_chain(windows: list[ReconcileWindow], room: StoredRoom) -> str:
    """What is wrong with the windows of a room, "" for nothing."""
    epoch = windows[0].old_epoch if windows else room.epoch
    head_seq = 0
    for window in windows:
        if window.old_epoch != epoch or window.head_seq < head_seq:
            return "the epochs do not follow each other"
        epoch, head_seq = window.new_epoch, window.head_seq
    if epoch != room.epoch or head_seq > room.head_seq:
        return "the epochs do not lead to the room's"
    return ""


def _epoch_at(seq: int, chain: list[ReconcileWindow], room: StoredRoom) -> bytes:
    """The epoch under which the node at `seq` was admitted."""
    return next((each.old_epoch for each in chain if seq <= each.head_seq), room.epoch)


def _fault(
    room: StoredRoom, seq: int, node_id: bytes, fault_class: str, message: str
) -> FaultFound:
    return FaultFound(StoreFault(room.room_id, seq, node_id, fault_class, message))
