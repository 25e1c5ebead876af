"""Reading a room's log back: its graph at opening, and pages of packs for readers behind.

Everything here blocks on the store and runs in a reader thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roomlog.core.graph import Graph
from roomlog.core.node import NodeHasher
from roomlog.core.pack import concatenate_rows, decode_pack, encode_pack, select
from roomlog.core.pack.blocks import COLUMNS_FLAG, PackBlocks
from roomlog.core.pack.codec import COLUMNS_FROM_NODES
from roomlog.core.pack.index import add_headers
from roomlog.core.reject import Reject
from roomlog.store.errors import StoreCorrupt
from roomlog.store.interface import LogRow, NodeStore, StoredRoom


class Page(NamedTuple):
    """One pack of nodes with contiguous seq."""

    from_seq: int
    to_seq: int
    nodes: bytes


def load_graph(store: NodeStore, room: StoredRoom) -> Graph:
    """The whole graph of a room's log, a node's local version being seq - 1.

    Raises `StoreCorrupt` when the log is not the one that `room` describes, `StoreUnavailable`.
    """
    graph = Graph()
    for row in store.load_index(room.room_id):
        try:
            add_headers(graph, row.head, row.ids)
        except (Reject, KeyError) as fault:
            detail = f"pack {row.from_seq}..{row.to_seq} cannot be read: {fault!r}"
            raise StoreCorrupt(room.room_id, detail) from None
        if len(graph) != row.to_seq:
            raise StoreCorrupt(room.room_id, f"a node of {row.from_seq}..{row.to_seq} comes twice")
    if len(graph) < room.head_seq:
        raise StoreCorrupt(room.room_id, f"{len(graph)} of {room.head_seq} nodes are there")
    return graph


def read_pages(
    store: NodeStore,
    room: StoredRoom,
    after_seq: int,
    through_seq: int,
    *,
    max_nodes: int,
    max_bytes: int,
    unsigned_through: int = 0,
) -> list[Page]:
    """The packs from `after_seq` + 1 on, not beyond `through_seq`: one read of the store's worth.

    Each has at most `max_nodes` nodes and `max_bytes` bytes, and those up to `unsigned_through`
    come without signatures. Empty only when nothing is there.
    """
    rows = store.read_log(room.room_id, after_seq, max_nodes, max_bytes)
    hasher = NodeHasher(room.lineage)
    pages = join_pages(
        _cut(rows, after_seq, through_seq, hasher), hasher, max_nodes=max_nodes, max_bytes=max_bytes
    )
    if not unsigned_through:
        return pages
    return [
        unsigned_page(page, hasher) if page.to_seq <= unsigned_through else page for page in pages
    ]


def read_ranges(
    store: NodeStore,
    room: StoredRoom,
    ranges: Sequence[tuple[int, int]],
    *,
    max_nodes: int,
    max_bytes: int,
    unsigned_through: int = 0,
) -> tuple[list[Page], list[tuple[int, int]]]:
    """Packs of the first of `ranges` (from_seq, to_seq), and the ranges that are left.

    Stops as soon as it has `max_nodes` nodes or `max_bytes` bytes. Packs up to `unsigned_through`
    come without signatures.
    """
    pages: list[Page] = []
    left = list(reversed(ranges))
    nodes = size_bytes = 0
    while left and nodes < max_nodes and size_bytes < max_bytes:
        first, last = left.pop()
        most = min(max_nodes, last - first + 1)
        read = read_pages(
            store,
            room,
            first - 1,
            last,
            max_nodes=most,
            max_bytes=max_bytes,
            unsigned_through=unsigned_through,
        )
        if not read:
            raise StoreCorrupt(room.room_id, f"nothing at {first}..{last}")
        pages += read
        reached = read[-1].to_seq
        nodes += reached - first + 1
        size_bytes += sum(len(page.nodes) for page in read)
        if reached < last:
            left.append((reached + 1, last))
    left.reverse()
    return pages, left


def join_pages(
    pages: Iterable[Page], hasher: NodeHasher, *, max_nodes: int, max_bytes: int
) -> list[Page]:
    """The same nodes in as few packs as the limits allow; packs in columns stay by themselves."""
    joined: list[Page] = []
    run: list[Page] = []
    run_bytes = 0
    for page in pages:
        if is_columns(page.nodes) or _is_over(page, max_nodes, max_bytes):
            _flush(run, joined)
            joined += _split(page, hasher, max_nodes, max_bytes)
            run_bytes = 0
            continue
        if run and (
            run_bytes + len(page.nodes) > max_bytes or page.to_seq - run[0].from_seq >= max_nodes
        ):
            _flush(run, joined)
            run_bytes = 0
        run.append(page)
        run_bytes += len(page.nodes)
    _flush(run, joined)
    return joined


def unsigned_page(page: Page, hasher: NodeHasher) -> Page:
    """The same nodes without signatures, in columns when they are many: a few bytes each."""
    count = page.to_seq - page.from_seq + 1
    if count < COLUMNS_FROM_NODES or is_columns(page.nodes):
        pack = PackBlocks.parse(page.nodes).without_signatures().encode()
    else:
        nodes = decode_pack(page.nodes, hasher, max_nodes=count)
        pack = encode_pack(nodes, signatures=False)
    return Page(page.from_seq, page.to_seq, pack)


def is_columns(pack: bytes) -> bool:
    """Whether a pack is in the columns layout."""
    return pack[1] & COLUMNS_FLAG != 0


def _flush(run: list[Page], joined: list[Page]) -> None:
    if len(run) == 1:
        joined.append(run[0])
    elif run:
        nodes = concatenate_rows([page.nodes for page in run])
        joined.append(Page(run[0].from_seq, run[-1].to_seq, nodes))
    run.clear()


def _is_over(page: Page, max_nodes: int, max_bytes: int) -> bool:
    return len(page.nodes) > max_bytes or page.to_seq - page.from_seq >= max_nodes


def _split(page: Page, hasher: NodeHasher, max_nodes: int, max_bytes: int) -> list[Page]:
    """The page in halves of halves until each fits, or is a single node."""
    count = page.to_seq - page.from_seq + 1
    if count == 1 or not _is_over(page, max_nodes, max_bytes):
        return [page]
    half = count // 2
    first = Page(page.from_seq, page.from_seq + half - 1, select(page.nodes, range(half), hasher))
    second = Page(page.from_seq + half, page.to_seq, select(page.nodes, range(half, count), hasher))
    return [
        *_split(first, hasher, max_nodes, max_bytes),
        *_split(second, hasher, max_nodes, max_bytes),
    ]


def _cut(
    rows: Sequence[LogRow], after_seq: int, through_seq: int, hasher: NodeHasher
) -> Iterable[Page]:
    """Rows are whole packs: drop what lies outside the stretch."""
    for row in rows:
        first, last = max(row.from_seq, after_seq + 1), min(row.to_seq, through_seq)
        if first > last:
            continue
        if first == row.from_seq and last == row.to_seq:
            yield Page(first, last, row.pack)
        else:
            indexes = range(first - row.from_seq, last - row.from_seq + 1)
            yield Page(first, last, select(row.pack, indexes, hasher))
