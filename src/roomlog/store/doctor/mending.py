"""One room made whole: what of its log stays, what moves behind it, what is kept beside it.

The log stays as it is up to the first node that is missing or cannot be proven. What lies behind
is not numbered any more; every node of it that proves itself by its hash and its author's signature
goes on under a new epoch if all that it builds upon is there, and beside the store if not. Nothing
here writes: a look and a repair do the same, and a repair hands on what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from blake3 import blake3
from msgspec import Struct

from roomlog.core.graph import Graph
from roomlog.core.node import Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject
from roomlog.store.doctor.epochs import EpochChain, chain_of, newest_epoch
from roomlog.store.doctor.found_rows import AdmissionRow, PackRow, RoomRow, SnapshotRow
from roomlog.store.doctor.survey import PackPlace, Survey
from roomlog.store.interface import EPOCH_BYTES, NODE_ID_BYTES

PACK_NODES: Final = 256
MOST_CLAIMED_NODES: Final = 1 << 24
"""How far beyond its last row a head is believed: nothing vouches for the number."""


class Stretch(Struct, frozen=True):
    """Seqs of the old log from `first` to `last`, and what becomes of their nodes.

    `fate` is `kept`, `moved` (to the end of the log), `aside` (into a pack file) or `lost`; where
    nodes of one pack fare differently it is the worst.
    """

    first: int
    last: int
    fate: str


class MendedRoom(Struct, frozen=True):
    """What becomes of a room.

    `head_seq` is where the part ends that stays as it is, `old_head_seq` where the log ended as far
    as anything tells. `lineage` is empty when nothing tells it; then nothing stays.
    """

    number: int
    room_id: str
    lineage: bytes
    created_ms: int
    chain: EpochChain
    head_seq: int
    old_head_seq: int
    written_head_seq: int
    moved_nodes: int
    aside_nodes: int
    stretches: tuple[Stretch, ...]
    admissions_made: int
    rows_corrected: int
    snapshots: tuple[SnapshotRow, ...]
    snapshots_left_out: int
    is_row_whole: bool

    @property
    def is_named(self) -> bool:
        """Whether there is enough to have a room at all."""
        return bool(self.room_id and self.lineage)

    @property
    def is_log_lost(self) -> bool:
        """Whether the log does not go on as it was: it needs another epoch."""
        return self.head_seq < self.old_head_seq or not self.is_row_whole

    @property
    def lost_seqs(self) -> int:
        """How many numbers of the old log have no node any more."""
        return sum(each.last - each.first + 1 for each in self.stretches if each.fate == "lost")

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it has to be mended."""
        return not (
            self.is_log_lost
            or self.written_head_seq != self.head_seq
            or self.admissions_made
            or self.rows_corrected
            or self.chain.made
            or self.snapshots_left_out
        )


OnKept = Callable[[PackPlace, PackRow, AdmissionRow | None], None]
OnNodes = Callable[[list[Node]], None]


def _ignore(*_: object) -> None:
    return None


@final
class RoomMender:
    """Goes through what is left of one room.

    `on_kept` is given each row that stays, with its admission record if that is left; `on_moved`
    the nodes that go on behind them, in packs; `on_aside` the packs (bytes) of what is kept beside.
    """

    def __init__(
        self,
        survey: Survey,
        number: int,
        *,
        on_kept: OnKept = _ignore,
        on_moved: OnNodes = _ignore,
        on_aside: Callable[[bytes], None] = _ignore,
    ) -> None:
        self._survey = survey
        self._number = number
        self._on_kept = on_kept
        self._on_moved = on_moved
        self._on_aside = on_aside
        self._graph = Graph()
        self._moved: list[Node] = []
        self._moved_nodes = 0
        self._aside_nodes = 0
        self._fates: list[list[object]] = []

    def mend(self) -> MendedRoom:
        """Do it, in one pass over the rows."""
        survey, number = self._survey, self._number
        records = survey.admissions.get(number, {})
        ordered = [records[seq] for seq in sorted(records)]
        row = survey.rooms.get(number) or self._made_up_row(ordered)
        places = survey.packs(number)
        if not row.lineage:
            return self._nameless(row, places)
        hasher = NodeHasher(row.lineage)
        kept: list[AdmissionRow] = []
        head_seq = admissions_made = rows_corrected = taken = 0
        for place in places:
            pack = survey.read_pack(place) if place.from_seq == head_seq + 1 else None
            if pack is None or not pack.is_intact or not self._is_right(place, pack, hasher):
                break
            record = records.get(place.from_seq)
            if record is not None and (record.to_seq, record.lineage) != (
                place.to_seq,
                row.lineage,
            ):
                record = None
            if record is None:
                admissions_made += 1
            else:
                kept.append(record)
            self._on_kept(place, pack, record)
            head_seq = place.to_seq
            taken += 1
            rows_corrected += place.is_corrected
        old_head_seq = _claimed_head(row, places, ordered, head_seq)
        if head_seq:
            self._fates.append([1, head_seq, "kept"])
        self._go_behind(places[taken:], head_seq, old_head_seq, hasher)
        windows = survey.windows.get(number, [])
        chain = chain_of(windows, kept, newest_epoch(row.epoch, windows), head_seq)
        # A record of another epoch than the log had there is no record.
        admissions_made += sum(chain.epoch_at(each.to_seq) != each.epoch for each in kept)
        snapshots = survey.snapshots.get(number, [])
        whole = tuple(each for each in snapshots if self._is_whole_snapshot(each, head_seq, hasher))
        return MendedRoom(
            number,
            row.room_id,
            row.lineage,
            row.created_ms,
            chain,
            head_seq,
            old_head_seq,
            row.head_seq,
            self._moved_nodes,
            self._aside_nodes,
            tuple(Stretch(*each) for each in self._fates),  # type: ignore[arg-type]
            admissions_made,
            rows_corrected,
            whole,
            len(snapshots) - len(whole),
            number in survey.rooms,
        )

    def _made_up_row(self, records: Sequence[AdmissionRow]) -> RoomRow:
        """What the other tables tell of a room whose row is gone."""
        first = records[0] if records else None
        name = self._survey.names.get(self._number, "")
        if any(name == each.room_id for each in self._survey.rooms.values()):
            name = ""
        if first is None:
            return RoomRow(self._number, name, b"", b"", 0, 0)
        last = records[-1]
        return RoomRow(self._number, name, first.lineage, last.epoch, 0, first.admitted_ms)

    def _nameless(self, row: RoomRow, places: Sequence[PackPlace]) -> MendedRoom:
        """Nobody knows the lineage, so no hash can be checked: intact packs are kept as they are.

        Each of them would have to be tried under the lineage of every room that clients know.
        """
        nodes = last = 0
        for place in places:
            pack = self._survey.read_pack(place)
            fate = "lost"
            if pack is not None and pack.is_intact:
                self._on_aside(pack.head + pack.tail)
                nodes += place.to_seq - place.from_seq + 1
                fate = "aside"
            self._note(max(place.from_seq, last + 1), place.to_seq, fate)
            last = max(last, place.to_seq)
        return MendedRoom(
            self._number, row.room_id, b"", 0, EpochChain((), b"", 0), 0, last, 0, 0, nodes,
            tuple(Stretch(*each) for each in self._fates), 0, 0, (), 0, False,  # type: ignore[arg-type]
        )  # fmt: skip

    def _is_right(self, place: PackPlace, row: PackRow, hasher: NodeHasher) -> bool:
        """Whether the whole row follows the log so far; then its nodes are in the graph."""
        try:
            nodes = decode_pack(row.head + row.tail, hasher)
            if len(nodes) != place.to_seq - place.from_seq + 1:
                return False
            for position, node in enumerate(nodes):
                check_node(node)
                check_signature(node)
                start = position * NODE_ID_BYTES
                if node.id != row.ids[start : start + NODE_ID_BYTES]:
                    return False
        except Reject:
            return False
        earlier: dict[bytes, int] = {}
        for node in nodes:
            if node.id in earlier or not self._has_parents(node, earlier):
                return False
            earlier[node.id] = node.clock
        for node in nodes:
            self._graph.add(node.id, node.author, node.clock, node.parents)
        return True

    def _has_parents(self, node: Node, earlier: dict[bytes, int]) -> bool:
        """Whether the node is new, and all it builds upon is there with lesser clocks."""
        graph = self._graph
        if graph.index_of(node.id) >= 0:
            return False
        for parent in node.parents:
            clock = earlier.get(parent)
            if clock is None:
                lv = graph.index_of(parent)
                if lv < 0:
                    return False
                clock = graph.clock_of(lv)
            if node.clock <= clock:
                return False
        return True

    def _go_behind(
        self, places: Sequence[PackPlace], head_seq: int, old_head_seq: int, hasher: NodeHasher
    ) -> None:
        last = head_seq
        groups: list[list[Node]] = []
        for place in places:
            nodes = self._provable(place, hasher)
            left = self._move(nodes)
            if left:
                groups.append(left)
            if place.to_seq > old_head_seq:
                # Nobody believes its numbers; what is in it counts all the same.
                continue
            self._note(last + 1, place.from_seq - 1, "lost")
            fate = "aside" if left else "moved"
            if len(nodes) < place.to_seq - place.from_seq + 1:
                fate = "lost"
            self._note(max(place.from_seq, last + 1), place.to_seq, fate)
            last = max(place.to_seq, last)
        self._note(last + 1, old_head_seq, "lost")
        while groups:
            # A row whose seq is not what it was may lie before what it builds upon.
            before = self._moved_nodes
            groups = [left for each in groups if (left := self._move(each))]
            if self._moved_nodes == before:
                break
        self._flush(0)
        seen: set[bytes] = set()
        for group in groups:
            unseen = [each for each in group if each.id not in seen and not self._is_here(each)]
            seen.update(each.id for each in unseen)
            if unseen:
                self._aside_nodes += len(unseen)
                self._on_aside(encode_pack(unseen))

    def _provable(self, place: PackPlace, hasher: NodeHasher) -> list[Node]:
        """The nodes of a row that are whole and signed, whatever else is wrong with it."""
        row = self._survey.read_pack(place)
        if row is None:
            return []
        try:
            nodes = decode_pack(row.head + row.tail, hasher)
        except Reject:
            return []
        return [node for node in nodes if _is_proven(node)]

    def _move(self, nodes: Iterable[Node]) -> list[Node]:
        """Let those go on behind the log that can; the others, but for what is there already."""
        left: list[Node] = []
        for node in nodes:
            if self._is_here(node):
                continue
            if not self._has_parents(node, {}):
                left.append(node)
                continue
            self._graph.add(node.id, node.author, node.clock, node.parents)
            self._moved.append(node)
            self._moved_nodes += 1
            self._flush(PACK_NODES - 1)
        return left

    def _is_here(self, node: Node) -> bool:
        return self._graph.index_of(node.id) >= 0

    def _flush(self, most: int) -> None:
        if len(self._moved) > most:
            self._on_moved(self._moved)
            self._moved = []

    def _note(self, first: int, last: int, fate: str) -> None:
        """Say what becomes of some seqs, joined to what was said before where it is the same."""
        if last < first:
            return
        fates = self._fates
        if fates and fates[-1][2] == fate and fates[-1][1] == first - 1:
            fates[-1][1] = last
        else:
            fates.append([first, last, fate])

    def _is_whole_snapshot(self, row: SnapshotRow, head_seq: int, hasher: NodeHasher) -> bool:
        snapshot = row.snapshot
        if not 1 <= snapshot.seq <= head_seq:
            return False
        digest = blake3()
        expected = size_bytes = 0
        for number, data in self._survey.chunks(self._number, snapshot.seq):
            if number == expected < snapshot.chunks:
                digest.update(data)
                size_bytes += len(data)
                expected += 1
        if (size_bytes, digest.digest()) != (snapshot.size_bytes, snapshot.digest):
            return False
        try:
            heads = decode_pack(snapshot.frontier, hasher)
        except Reject:
            return False
        return all(0 <= self._graph.index_of(head.id) < snapshot.seq for head in heads)


def new_epoch_of(mended: MendedRoom, fresh: bytes) -> bytes:
    """The epoch of the mended room: `fresh` (16 bytes) if its log does not go on as it was."""
    if len(fresh) != EPOCH_BYTES:
        raise ValueError(f"an epoch has {EPOCH_BYTES} bytes")
    return fresh if mended.is_log_lost else mended.chain.epoch


def _claimed_head(
    row: RoomRow, places: Sequence[PackPlace], records: Sequence[AdmissionRow], head_seq: int
) -> int:
    """Where the log ended as far as anything tells."""
    last = max(head_seq, max((each.to_seq for each in records), default=0))
    for place in places:
        if place.to_seq <= last + MOST_CLAIMED_NODES:
            last = max(last, place.to_seq)
    return max(last, min(row.head_seq, last + MOST_CLAIMED_NODES))


def _is_proven(node: Node) -> bool:
    try:
        check_node(node)
        check_signature(node)
    except Reject:
        return False
    return True
