"""The log as a session with patterns gets it: nodes without a wanted key lack their bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, final

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.pack.blocks import SIGNATURES_FLAG
from roomlog.core.patterns import PatternSet, pattern_set
from roomlog.core.subscription import as_subscribed, touches
from roomlog.protocol.effects import ReadBodies
from roomlog.protocol.limits import LEAST_FRAME_BYTES
from roomlog.protocol.server_session import ENVELOPE_BYTES
from roomlog.server.history import Page, join_pages, read_pages, read_ranges
from roomlog.store.errors import StoreCorrupt
from roomlog.store.interface import NodeStore, StoredRoom

if TYPE_CHECKING:
    from roomlog.server.feeder import Feeder

SCANNED_NODES: Final = 4096
"""How many nodes are looked through for bodies in one turn."""
LIVE_NODES: Final = 1024
"""How many nodes are looked through on the event loop for one relay, for all sets of patterns
together; beyond, readers are fed from the store, by a thread."""
LIVE_WORK: Final = 64 * 1024
"""How many bytes of bodies are looked through on the event loop for one relay, by a set of a few
short patterns: some 6 ms at worst. With patterns made to be slow it is a sixtieth of that."""
SCAN_WORK: Final = 8 * LIVE_WORK
"""The same for one read by a thread."""
LIVE_PAGE_BYTES: Final = LEAST_FRAME_BYTES - ENVELOPE_BYTES
"""Hashes make pages longer. These fit every session's frame."""


def decode_page(page: Page, hasher: NodeHasher) -> list[Node]:
    """The nodes of a page of the log."""
    return decode_pack(page.nodes, hasher, max_nodes=page.to_seq - page.from_seq + 1)


def scan_bytes(max_bytes: int, *sets: PatternSet | None) -> int:
    """How much to read at once, at most `max_bytes`, to be looked through by all these sets."""
    step_cost = sum(patterns.step_cost for patterns in sets if patterns is not None)
    return min(max_bytes, SCAN_WORK // max(1, step_cost))


def subscribed_page(page: Page, nodes: Sequence[Node], patterns: PatternSet) -> Page:
    """A page, whose decoded `nodes` are given, as `patterns` want it."""
    sent = as_subscribed(nodes, patterns)
    if all(node.body is not None for node in sent):
        return page
    signatures = page.nodes[1] & SIGNATURES_FLAG != 0
    return Page(page.from_seq, page.to_seq, encode_pack(sent, signatures=signatures))


def subscribed_pages(
    pages: Sequence[Page],
    patterns: PatternSet | None,
    hasher: NodeHasher,
    *,
    max_nodes: int,
    max_bytes: int,
) -> list[Page]:
    """Pages as `patterns` want them, None for whole ones; hashes may make more pages of them."""
    if patterns is None:
        return list(pages)
    wanted = [subscribed_page(page, decode_page(page, hasher), patterns) for page in pages]
    split: list[Page] = []
    for page in wanted:
        # By itself: pages with and without hashes cannot be joined.
        split += join_pages([page], hasher, max_nodes=max_nodes, max_bytes=max_bytes)
    return split


@final
class PagesAsWanted:
    """Pages that were just committed, as each set of patterns wants them: on the event loop.

    Nodes are decoded once, and only if somebody has patterns.
    """

    __slots__ = (
        "_hasher",
        "_nodes",
        "_nodes_left",
        "_pages",
        "_size_bytes",
        "_wanted",
        "_work_left",
    )

    def __init__(self, pages: Sequence[Page], lineage: bytes) -> None:
        self._pages = pages
        self._hasher = NodeHasher(lineage)
        self._nodes_left = LIVE_NODES
        self._work_left = LIVE_WORK
        self._size_bytes = sum(len(page.nodes) for page in pages)
        self._nodes: list[list[Node]] = []
        self._wanted: dict[PatternSet, list[Page] | None] = {}

    def of(self, patterns: PatternSet | None) -> Sequence[Page] | None:
        """The pages for `patterns`, None when that is too much for the loop: then read them."""
        if patterns is None:
            return self._pages
        if patterns not in self._wanted:
            self._wanted[patterns] = self._make(patterns)
        return self._wanted[patterns]

    def _make(self, patterns: PatternSet) -> list[Page] | None:
        pages = self._pages
        self._nodes_left -= pages[-1].to_seq - pages[0].from_seq + 1
        self._work_left -= self._size_bytes * patterns.step_cost
        if self._nodes_left < 0 or self._work_left < 0:
            return None
        if not self._nodes:
            self._nodes = [decode_page(page, self._hasher) for page in pages]
        wanted: list[Page] = []
        for page, nodes in zip(pages, self._nodes, strict=True):
            sent = subscribed_page(page, nodes, patterns)
            wanted += join_pages(
                [sent], self._hasher, max_nodes=len(nodes), max_bytes=LIVE_PAGE_BYTES
            )
        return wanted


def read_subscribed_pages(
    store: NodeStore,
    room: StoredRoom,
    after_seq: int,
    through_seq: int,
    patterns: PatternSet | None,
    *,
    max_nodes: int,
    max_bytes: int,
    unsigned_through: int = 0,
) -> list[Page]:
    """`read_pages` for a session with `patterns`, None for everything. Blocks."""
    pages = read_pages(
        store,
        room,
        after_seq,
        through_seq,
        max_nodes=max_nodes,
        max_bytes=max_bytes,
        unsigned_through=unsigned_through,
    )
    hasher = NodeHasher(room.lineage)
    if patterns is not None:
        pages = _as_many_as(pages, max_bytes)
    return subscribed_pages(pages, patterns, hasher, max_nodes=max_nodes, max_bytes=max_bytes)


def _as_many_as(pages: Sequence[Page], max_bytes: int) -> list[Page]:
    """The first pages up to so many bytes: what the store has in one piece may be far longer."""
    first: list[Page] = []
    size_bytes = 0
    for page in pages:
        size_bytes += len(page.nodes)
        if first and size_bytes > max_bytes:
            break
        first.append(page)
    return first


def read_subscribed_ranges(
    store: NodeStore,
    room: StoredRoom,
    ranges: Sequence[tuple[int, int]],
    patterns: PatternSet | None,
    *,
    max_nodes: int,
    max_bytes: int,
    unsigned_through: int = 0,
) -> tuple[list[Page], list[tuple[int, int]]]:
    """`read_ranges` for a session with `patterns`, None for everything. Blocks."""
    pages, left = read_ranges(
        store,
        room,
        ranges,
        max_nodes=max_nodes,
        max_bytes=max_bytes,
        unsigned_through=unsigned_through,
    )
    hasher = NodeHasher(room.lineage)
    wanted = subscribed_pages(pages, patterns, hasher, max_nodes=max_nodes, max_bytes=max_bytes)
    return wanted, left


def read_bodies(
    store: NodeStore,
    room: StoredRoom,
    after_seq: int,
    through_seq: int,
    *,
    wanted: PatternSet | None,
    held: PatternSet | None,
    max_nodes: int,
    max_bytes: int,
) -> tuple[list[Page], int]:
    """Whole nodes from `after_seq` + 1 on that touch a `wanted` key and none `held`.

    A page has the nodes between its seqs that were asked for, not every one. Also returns how far
    it looked: at `through_seq` nothing is left. Blocks.
    """
    hasher = NodeHasher(room.lineage)
    found: list[tuple[int, Node]] = []
    size_bytes = 0
    position = after_seq
    last = min(through_seq, after_seq + SCANNED_NODES)
    most_scanned = scan_bytes(SCAN_WORK, wanted, held)
    scanned_bytes = 0
    while (
        position < last
        and len(found) < max_nodes
        and size_bytes < max_bytes
        and scanned_bytes < most_scanned
    ):
        most_bytes = min(max_bytes, most_scanned)
        pages = read_pages(store, room, position, last, max_nodes=max_nodes, max_bytes=most_bytes)
        if not pages:
            raise StoreCorrupt(room.room_id, f"nothing after seq {position}")
        for page in pages:
            scanned_bytes += len(page.nodes)
            for seq, node in enumerate(decode_page(page, hasher), page.from_seq):
                if is_new(node, wanted, held):
                    assert node.body is not None
                    found.append((seq, node))
                    size_bytes += len(node.body)
            position = page.to_seq
            if scanned_bytes >= most_scanned:
                break
    return _packed(found, hasher, max_nodes=max_nodes, max_bytes=max_bytes), position


def is_new(node: Node, wanted: PatternSet | None, held: PatternSet | None) -> bool:
    """Whether a session that comes to want `wanted` lacks the body of this whole node."""
    if held is None or not node.operations() or touches(node, held):
        return False
    return wanted is None or touches(node, wanted)


def _packed(
    found: Sequence[tuple[int, Node]], hasher: NodeHasher, *, max_nodes: int, max_bytes: int
) -> list[Page]:
    """Nodes in packs of at most so many; halves of halves until each fits."""
    if not found:
        return []
    pack = encode_pack([node for _, node in found])
    if len(found) == 1 or (len(found) <= max_nodes and len(pack) <= max_bytes):
        return [Page(found[0][0], found[-1][0], pack)]
    half = len(found) // 2
    return [
        *_packed(found[:half], hasher, max_nodes=max_nodes, max_bytes=max_bytes),
        *_packed(found[half:], hasher, max_nodes=max_nodes, max_bytes=max_bytes),
    ]


@final
class BodiesAnswer:
    """The bodies that a change of patterns asks for, up to the seq where it took effect."""

    __slots__ = ("_held", "_position", "_read", "_started", "_through", "_wanted")

    def __init__(self, read: ReadBodies, through_seq: int, now: float) -> None:
        self._read = read
        self._wanted = pattern_set(read.patterns)
        self._held = pattern_set(read.before)
        # Who had everything lacks nothing.
        self._position = through_seq if self._held is None else 0
        self._through = through_seq
        self._started = now

    async def turn(self, feeder: Feeder) -> bool:
        """One read's worth; True when that was all."""
        await feeder.drained()
        if feeder.is_stopped:
            return True
        if self._position < self._through:
            hub = feeder.connection.hub
            room, reader = feeder.place()
            started = hub.monotonic()
            pages, self._position = await hub.store_reader.read(
                "read_bodies",
                read_bodies,
                hub.store,
                room.stored,
                self._position,
                self._through,
                wanted=self._wanted,
                held=self._held,
                max_nodes=self._read.page_nodes,
                max_bytes=feeder.page_bytes(reader),
            )
            if feeder.is_stopped:
                return True
            feeder.send_pages(self._read, pages)
            if not pages:
                # Where nothing is found the socket holds nobody back: leave the threads to others
                # for as long as this had one.
                await asyncio.sleep(hub.monotonic() - started)
        if self._position < self._through:
            return False
        feeder.finish(self._read, "bodies", self._started)
        return True
