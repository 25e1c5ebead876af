"""What can be made out in a damaged local store of a client, and a new one made of it.

Its rows have no checksums: a node proves itself by its hash, its author's signature, and what it
builds upon. What came from the server comes again; what the server never got is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, TypeVar, final

import msgspec

from roomlog.client.local_store import LocalStore
from roomlog.client.parents_first import parents_first
from roomlog.client.store_writes import (
    CheckpointKept,
    LineageAdopted,
    OwnNodes,
    PatternsChanged,
    ReceivedPack,
    ServerPinned,
    SnapshotKept,
    StoreWrite,
)
from roomlog.core.node import CHANGE, Node, NodeHasher, check_node, check_signature
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject
from roomlog.core.signing import PUBLIC_KEY_BYTES
from roomlog.core.snapshot.facts import check_snapshot
from roomlog.protocol.messages import SignedCheckpoint
from roomlog.store.doctor.page_images import PageImages
from roomlog.store.doctor.records import Cell, Unreadable, cells_of
from roomlog.store.doctor.untouched import WAL_SUFFIX, beside

Value = TypeVar("Value")
PACK_NODES: Final = 256
META_KINDS: Final[dict[str, type[Any]]] = {
    "room_id": str,
    "lineage": bytes,
    "is_draft": int,
    "checkpoint": bytes,
    "patterns": bytes,
    "patterns_before": bytes,
}
ORIGINS: Final = ("ws://", "wss://")
LINEAGE_BYTES: Final = 32


@final
class LocalSalvage:
    """Everything that is left of a local store, and what of it can stay.

    `kept` are nodes that are proven and stand on nothing that is missing, parents first; `aside`
    those that do not; `unsent` are ids of own nodes among both that no server has acknowledged.
    """

    def __init__(self, path: Path) -> None:
        """Reads the files, changes nothing. Raises OSError."""
        self.meta: dict[str, Any] = {}
        self.server_keys: dict[str, bytes] = {}
        self.snapshot: SnapshotKept | None = None
        self.unreadable_packs = 0
        self._packs: dict[int, tuple[bytes | None, int | None, bytes]] = {}
        self._snapshots: list[SnapshotKept] = []
        images = PageImages(path, beside(path, WAL_SUFFIX))
        try:
            # What was deleted was replaced by something else: it must not come back.
            for image in filter(images.counts, images.order()):
                for cell in cells_of(images, image):
                    self._take(cell)
        finally:
            images.close()
        self.kept: list[Node] = []
        self.aside: list[Node] = []
        self.unsent: list[bytes] = []
        if self.is_named:
            self._sort_out()

    @property
    def is_named(self) -> bool:
        """Whether the room's id and lineage are known: without them nothing can be proven."""
        return "room_id" in self.meta and len(self.meta.get("lineage", b"")) == LINEAGE_BYTES

    @property
    def packs(self) -> list[bytes]:
        """The packs as they are, in order of arrival."""
        return [self._packs[position][2] for position in sorted(self._packs)]

    def write_to(self, path: Path) -> None:
        """Make a new local store at `path` of everything that is kept. Raises `LocalStoreError`."""
        lineage = self.meta["lineage"]
        store = LocalStore(path, self.meta["room_id"], lineage)
        try:
            if not self.meta.get("is_draft"):
                store.write([LineageAdopted(lineage, [])])
            store.write([ServerPinned(*each) for each in self.server_keys.items()])
            store.write(self._derived())
            unsent = set(self.unsent)
            store.write(list(_rows_of(self.kept, unsent)))
        finally:
            store.close()
        if store.failure is not None:
            raise store.failure

    def _derived(self) -> list[StoreWrite]:
        writes: list[StoreWrite] = []
        checkpoint = _decoded(self.meta.get("checkpoint"), SignedCheckpoint)
        if checkpoint is not None:
            writes.append(CheckpointKept(checkpoint))
        patterns = _decoded(self.meta.get("patterns"), tuple[str, ...])
        before = _decoded(self.meta.get("patterns_before"), tuple[str, ...])
        if patterns or before is not None:
            writes.append(PatternsChanged(patterns or (), before))
        if self.snapshot is not None:
            writes.append(self.snapshot)
        return writes

    def _take(self, cell: Cell) -> None:
        """A record, if it has the shape of one that matters."""
        try:
            shape = "".join(map(_letter, cell.types))
            if cell.is_table and len(shape) in (4, 6) and shape[0] == "n" and shape[3] == "b":
                _, own_id, seq, pack, *_ = cell.values()
                if isinstance(pack, bytes):
                    own = own_id if isinstance(own_id, bytes) else None
                    place = seq if isinstance(seq, int) else None
                    self._packs.setdefault(cell.rowid, (own, place, pack))
            elif cell.is_table and shape == "nibbbbbbi":
                _, seq, frontier, state, state_hash, digest, signature, key, _ = cell.values()
                self._snapshots.append(
                    SnapshotKept(
                        seq=seq,  # type: ignore[arg-type]
                        frontier_pack=frontier,  # type: ignore[arg-type]
                        state=state,  # type: ignore[arg-type]
                        state_hash=state_hash,  # type: ignore[arg-type]
                        digest=digest,  # type: ignore[arg-type]
                        signature=signature,  # type: ignore[arg-type]
                        server_key=key,  # type: ignore[arg-type]
                        # The history below is read anew.
                        history_seq=seq,  # type: ignore[arg-type]
                    )
                )
            elif not cell.is_table and len(shape) == 2 and shape[0] == "t":
                name, value = cell.values()
                if isinstance(name, str) and name.startswith(ORIGINS) and isinstance(value, bytes):
                    # A key of another length would make an impostor of the true server.
                    if len(value) == PUBLIC_KEY_BYTES:
                        self.server_keys.setdefault(name, value)
                elif isinstance(name, str) and isinstance(value, META_KINDS.get(name, ())):
                    self.meta.setdefault(name, value)
        except Unreadable:
            return

    def _sort_out(self) -> None:
        hasher = NodeHasher(self.meta["lineage"])
        held = self._open_snapshot()
        is_partial = bool(self.meta.get("patterns") or self.meta.get("patterns_before"))
        index: dict[bytes, Node] = {}
        for position in sorted(self._packs):
            own_id, seq, pack = self._packs[position]
            if position < 0 and own_id is None and self.snapshot is not None:
                # History below the snapshot: it is read anew. Release 0.1.0 filed own nodes there.
                continue
            try:
                nodes = decode_pack(pack, hasher)
            except Reject:
                self.unreadable_packs += 1
                continue
            proven = [node for node in nodes if _is_proven(node, is_partial=is_partial)]
            self.unreadable_packs += len(proven) < len(nodes)
            for node in proven:
                known = index.setdefault(node.id, node)
                known.body = node.body if known.body is None else known.body
                known.signature = node.signature if known.signature is None else known.signature
            if own_id is not None and seq is None:
                # A row of its own says that it is unsent, whatever became of the id beside it.
                self.unsent += [node.id for node in proven if node.signature is not None]
        places = {node_id: at for at, node_id in enumerate(index)}
        for node in parents_first(list(index.values()), places):
            if node.id in held:
                continue
            if held.issuperset(node.parents):
                held.add(node.id)
                self.kept.append(node)
            else:
                self.aside.append(node)

    def _open_snapshot(self) -> set[bytes]:
        """The heads of the snapshot that nodes may stand on, if there is one and it is right."""
        for each in self._snapshots:
            try:
                opened = check_snapshot(
                    each.server_key,
                    self.meta["lineage"],
                    each.seq,
                    each.frontier_pack,
                    each.state_hash,
                    each.digest,
                    each.signature,
                    each.state,
                )
            except (Reject, msgspec.MsgspecError):
                continue
            self.snapshot = each
            return {node.id for node in opened.frontier}
        return set()


def packs_of(nodes: Iterable[Node]) -> Iterator[bytes]:
    """Packs of nodes in this order, each of which keeps the signature that it has."""
    for is_signed, alike in groupby(nodes, key=lambda node: node.signature is not None):
        while some := list(islice(alike, PACK_NODES)):
            yield encode_pack(some, signatures=is_signed)


def _rows_of(nodes: Sequence[Node], unsent: set[bytes]) -> Iterable[StoreWrite]:
    """The rows of a store for nodes in this order: own ones alone, others in packs."""
    for is_unsent, alike in groupby(nodes, key=lambda node: node.id in unsent):
        if is_unsent:
            yield from (OwnNodes([node]) for node in alike)
        else:
            yield from map(ReceivedPack, packs_of(alike))


def _is_proven(node: Node, *, is_partial: bool) -> bool:
    """As far as it can prove itself: history that was read on the server's word is unsigned."""
    try:
        check_node(node, is_partial and node.kind == CHANGE)
        if node.signature is not None:
            check_signature(node)
    except Reject:
        return False
    return True


def _decoded(encoded: object, kind: type[Value]) -> Value | None:
    if not isinstance(encoded, bytes):
        return None
    try:
        return msgspec.msgpack.decode(encoded, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _letter(kind: int) -> str:
    if kind == 0:
        return "n"
    if kind <= 6 or kind in (8, 9):
        return "i"
    return "?" if kind < 12 else "t" if kind % 2 else "b"
