"""Requests that are answered beside the log: each in turns of one read from the store at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol, final

from roomlog.core.difference import Difference
from roomlog.protocol.effects import Read, ReadBefore, ReadMissing, ReadNodes
from roomlog.server.history import Page
from roomlog.server.old_pages import Stretch
from roomlog.server.reader import Reader
from roomlog.server.room import Room
from roomlog.server.subscriptions import read_subscribed_ranges
from roomlog.store.errors import StoreCorrupt

if TYPE_CHECKING:
    from roomlog.server.feeder import Feeder

FREE_SEARCH_SECONDS: Final = 0.002
CHAINS_A_STEP: Final = 400
"""How much of the graph is searched before others get their turn: about a millisecond."""
REST_PER_SEARCH: Final = 4
"""How much longer than it searched the graph a session rests before it may search again."""
Ranges = list[tuple[int, int]]
Found = tuple[Ranges, tuple[bytes, ...]]
"""Stretches of seq, first and last, and ids that are not there."""


class Answer(Protocol):
    """One request on its way.

    `turn` does a bounded piece of it, after the socket has taken the one before, and says whether
    that was the last; it tells the session itself (`Feeder.finish` or `Feeder.give_up`).
    """

    async def turn(self, feeder: Feeder) -> bool: ...


@final
class NodesAnswer:
    """Nodes of the log: what to send is looked for when the answer's turn has come.

    `find` gets the room and the reading position, and yields None while it has to look further;
    `mode` is the label in the metrics.
    """

    def __init__(
        self,
        read: ReadMissing | ReadNodes | ReadBefore,
        mode: str,
        find: Callable[[Room, int], Iterator[Found | None]],
        now: float,
    ) -> None:
        self._read = read
        self._mode = mode
        self._find = find
        self._started = now
        self._search: Iterator[Found | None] | None = None
        self._is_found = False
        self._ranges: Ranges = []
        self._missing: tuple[bytes, ...] = ()
        self._search_seconds = 0.0

    async def turn(self, feeder: Feeder) -> bool:
        hub = feeder.connection.hub
        room, reader = feeder.place()
        if not self._is_found:
            if self._search is None:
                self._search = self._find(room, feeder.position())
            started = hub.monotonic()
            found = next(self._search)
            self._search_seconds += hub.monotonic() - started
            if found is None:
                # Others get their turn.
                await asyncio.sleep(0)
                return False
            self._ranges, self._missing = found
            self._is_found = True
        await feeder.drained()
        if feeder.is_stopped:
            return True
        read = self._read
        if self._ranges:
            pages = await self._next_pages(feeder, room, reader)
            if feeder.is_stopped:
                return True
            feeder.send_pages(read, pages)
        if self._ranges:
            return False
        feeder.finish(read, self._mode, self._started, self._missing)
        if self._search_seconds > FREE_SEARCH_SECONDS:
            # Searching held up everybody: this session's next one waits in proportion.
            await asyncio.sleep(self._search_seconds * REST_PER_SEARCH)
        return True

    async def _next_pages(self, feeder: Feeder, room: Room, reader: Reader) -> list[Page]:
        """The first of what is left to send, which is then left no more."""
        read, ranges = self._read, self._ranges
        max_bytes = feeder.page_bytes(reader)
        unsigned_through = await feeder.unsigned_through(read)
        first, last = ranges[0]
        store_reader = feeder.connection.hub.store_reader
        if len(ranges) == 1 and reader.patterns is None and unsigned_through >= first:
            end, most_nodes = min(last, first + read.page_nodes - 1), read.page_nodes
            stretch = Stretch(room.room_id, room.epoch, first, end, most_nodes, max_bytes)
            pages = await store_reader.old_pages.read(
                store_reader, room.stored, stretch, unsigned_through
            )
            if not pages:
                raise StoreCorrupt(room.room_id, f"nothing at {first}..{last}")
            reached = pages[-1].to_seq
            self._ranges = [(reached + 1, last)] if reached < last else []
            return pages
        pages, self._ranges = await store_reader.read(
            "read_ranges",
            read_subscribed_ranges,
            store_reader.store,
            room.stored,
            ranges,
            reader.patterns,
            max_nodes=read.page_nodes,
            max_bytes=max_bytes,
            unsigned_through=unsigned_through,
        )
        return pages


def answer_missing(read: ReadMissing, now: float) -> Answer:
    """What is not in the history of a frontier; unknown ids count as nothing."""

    def find(room: Room, position: int) -> Iterator[Found | None]:
        graph = room.graph
        known = [lv for lv in map(graph.index_of, read.frontier) if lv >= 0]
        difference = Difference(graph, graph.frontier, known)
        while not difference.advance(CHAINS_A_STEP):
            yield None
        ranges = difference.ranges()
        yield (
            [(start + 1, min(end, position)) for start, end in ranges if start + 1 <= position],
            (),
        )

    return NodesAnswer(read, "walk", find, now)


def answer_nodes(read: ReadNodes, now: float) -> Answer:
    """Nodes by their ids."""

    def find(room: Room, position: int) -> Iterator[Found | None]:
        yield named_ranges(room, read.ids)

    return NodesAnswer(read, "ids", find, now)


def answer_before(read: ReadBefore, now: float) -> Answer:
    """One page backwards: the newest of what lies below a seq."""

    def find(room: Room, position: int) -> Iterator[Found | None]:
        last = min(read.seq - 1, room.head_seq)
        yield [(max(1, last - read.page_nodes + 1), last)] if last > 0 else [], ()

    return NodesAnswer(read, "before", find, now)


def named_ranges(room: Room, ids: tuple[bytes, ...]) -> Found:
    """Stretches of seq of the nodes with these ids, and the ids that are unknown."""
    graph = room.graph
    missing = tuple(node_id for node_id in dict.fromkeys(ids) if graph.index_of(node_id) < 0)
    ranges: Ranges = []
    for lv in sorted({lv for lv in map(graph.index_of, ids) if lv >= 0}):
        if ranges and ranges[-1][1] == lv:
            ranges[-1] = (ranges[-1][0], lv + 1)
        else:
            ranges.append((lv + 1, lv + 1))
    return ranges, missing


def signatures_wanted(read: Read) -> bool:
    """Whether every node of the answer must come signed."""
    return bool(getattr(read, "signatures", True))
