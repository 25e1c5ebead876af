"""What one session gets from the store: the way back to the head of the log, and its requests.

A task exists only while there is something to send. Before each read it waits for the socket, so
that a slow reader costs one page of memory at most.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, final

from aiohttp.abc import AbstractStreamWriter

from roomlog.core.node import NodeHasher
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.effects import Read, ReadAfter, ReadMissing, ReadNodes
from roomlog.protocol.requests import DEFAULT_PAGE_NODES
from roomlog.server.history import Page, join_pages, read_pages, read_ranges
from roomlog.server.reader import Reader, pack_frames
from roomlog.server.room import RETRY_AFTER_MS, Room
from roomlog.store.errors import StoreCorrupt, StoreError

if TYPE_CHECKING:
    from roomlog.server.connection import Connection

PAGE_BYTES: Final = 256 * 1024
"""How much is read from the store at once, unless a single pack is longer."""
FREE_SEARCH_SECONDS: Final = 0.002
REST_PER_SEARCH: Final = 4
"""How much longer than it searched the graph a session rests before it may search again."""
Ranges = list[tuple[int, int]]


@final
class _Job:
    """A request {frontier} or {ids} on its way: stretches of seq still to send."""

    __slots__ = ("is_found", "missing", "ranges", "read", "search_seconds", "started")

    def __init__(self, read: ReadMissing | ReadNodes, now: float) -> None:
        self.read = read
        self.started = now
        self.is_found = False
        self.ranges: Ranges = []
        self.missing: tuple[bytes, ...] = ()
        self.search_seconds = 0.0

    def find(self, room: Room, position: int) -> None:
        """Look for what to send, once its turn has come."""
        if isinstance(self.read, ReadMissing):
            self.ranges = missing_ranges(room, self.read.frontier, position)
        else:
            self.ranges, self.missing = named_ranges(room, self.read.ids)
        self.is_found = True


@final
class Feeder:
    """Feeds one connection, a page at a time, its requests in turn with the log."""

    def __init__(self, connection: Connection, writer: AbstractStreamWriter) -> None:
        self._connection = connection
        self._writer = writer
        self._task: asyncio.Task[None] | None = None
        self._after: ReadAfter | None = None
        self._after_started = 0.0
        self._jobs: list[_Job] = []
        self._is_stopped = False

    def move_back(self, read: ReadAfter) -> None:
        """Feed the session from `read.seq` on until it is at the head again."""
        room, reader = self._place()
        room.readers.leave(reader, read.seq)
        self._after = read
        self._after_started = self._connection.hub.monotonic()
        if self._task is None and self._feed_from_memory(room, reader):
            return
        self.wake()

    def answer(self, read: ReadMissing | ReadNodes) -> None:
        """Answer a request, after those before it."""
        self._jobs.append(_Job(read, self._connection.hub.monotonic()))
        self.wake()

    def wake(self) -> None:
        """There is something to send."""
        if self._task is None and not self._is_stopped:
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """The session is over."""
        self._is_stopped = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _place(self) -> tuple[Room, Reader]:
        room, reader = self._connection.room, self._connection.reader
        assert room is not None
        assert reader is not None
        return room, reader

    async def _run(self) -> None:
        try:
            await self._send_all()
        except (ConnectionError, asyncio.CancelledError):
            # The socket is gone; whoever watches it clears up.
            pass
        except StoreError as error:
            self._connection.hub.report(error, session=self._connection.session.session_id)
            self._connection.turn_away(_unavailable())
        except Exception as error:
            self._connection.fail(error)
        finally:
            self._task = None

    async def _send_all(self) -> None:
        while not self._is_stopped:
            room, reader = self._place()
            if not reader.is_live:
                await self._feed(room, reader)
            elif not self._jobs:
                return
            if self._jobs and not self._is_stopped:
                await self._serve(room, reader, self._jobs[0])

    async def _feed(self, room: Room, reader: Reader) -> None:
        """One page of the log from the reading position on."""
        await self._writer.drain()
        if self._is_stopped or self._feed_from_memory(room, reader):
            return
        position = reader.position
        pages = await self._connection.hub.store_reader.read(
            "read_log",
            read_pages,
            self._connection.hub.store,
            room.stored,
            position,
            room.head_seq,
            max_nodes=DEFAULT_PAGE_NODES if self._after is None else self._after.page_nodes,
            max_bytes=min(PAGE_BYTES, reader.pack_bytes_limit),
        )
        if self._is_stopped or reader.is_live or reader.position != position:
            return
        if not pages:
            raise StoreCorrupt(room.room_id, f"nothing after seq {position}")
        self._send_log(room, reader, pages)
        if reader.position == room.head_seq:
            self._caught_up(room, reader)

    def _feed_from_memory(self, room: Room, reader: Reader) -> bool:
        """Bring the reader to the head from what the room has at hand; whether it could."""
        recent = room.recent_after(reader.position)
        if recent is None or (recent and recent[0].from_seq != reader.position + 1):
            return False
        if recent:
            hasher = NodeHasher(room.lineage)
            most_nodes = self._after.page_nodes if self._after else DEFAULT_PAGE_NODES
            pages = join_pages(
                recent, hasher, max_nodes=most_nodes, max_bytes=reader.pack_bytes_limit
            )
            self._send_log(room, reader, pages)
        self._caught_up(room, reader)
        return True

    def _send_log(self, room: Room, reader: Reader, pages: list[Page]) -> None:
        connection = self._connection
        if self._after is None:
            connection.write(pack_frames(reader.codec, room.lineage, pages))
        else:
            self._send_pages(self._after, pages)
        connection.hub.metrics.catch_up_bytes.inc(sum(len(page.nodes) for page in pages))
        reader.position = pages[-1].to_seq

    def _send_pages(self, read: Read, pages: list[Page]) -> None:
        connection = self._connection
        for page in pages:
            connection.perform(
                connection.session.page(read, page.nodes, page.from_seq, page.to_seq)
            )
        connection.flush()

    def _caught_up(self, room: Room, reader: Reader) -> None:
        read, self._after = self._after, None
        room.readers.go_live(reader)
        if read is not None:
            self._finish(read, reader.position, (), "cursor", self._after_started)

    async def _serve(self, room: Room, reader: Reader, job: _Job) -> None:
        """One read's worth of a request."""
        hub = self._connection.hub
        position = room.head_seq if reader.is_live else reader.position
        if not job.is_found:
            started = hub.monotonic()
            job.find(room, position)
            job.search_seconds = hub.monotonic() - started
        await self._writer.drain()
        if self._is_stopped:
            return
        if job.ranges:
            pages, job.ranges = await hub.store_reader.read(
                "read_ranges",
                read_ranges,
                hub.store,
                room.stored,
                job.ranges,
                max_nodes=job.read.page_nodes,
                max_bytes=min(PAGE_BYTES, reader.pack_bytes_limit),
            )
            if self._is_stopped:
                return
            self._send_pages(job.read, pages)
            hub.metrics.catch_up_bytes.inc(sum(len(page.nodes) for page in pages))
            position = room.head_seq if reader.is_live else reader.position
        if not job.ranges:
            self._jobs.remove(job)
            mode = "walk" if isinstance(job.read, ReadMissing) else "ids"
            self._finish(job.read, position, job.missing, mode, job.started)
            if job.search_seconds > FREE_SEARCH_SECONDS:
                # Searching held up everybody: this session's next one waits in proportion.
                await asyncio.sleep(job.search_seconds * REST_PER_SEARCH)

    def _finish(
        self, read: Read, position: int, missing: tuple[bytes, ...], mode: str, started: float
    ) -> None:
        connection = self._connection
        connection.perform(connection.session.request_done(read, position, missing))
        connection.flush()
        seconds = connection.hub.monotonic() - started
        connection.hub.metrics.catch_up_seconds.labels(mode).observe(seconds)


def missing_ranges(room: Room, frontier: tuple[bytes, ...], position: int) -> Ranges:
    """Stretches of seq up to `position` that are not in the history of `frontier`.

    Unknown ids count as nothing.
    """
    graph = room.graph
    known = sorted({lv for lv in map(graph.index_of, frontier) if lv >= 0})
    only_here, _ = graph.diff(graph.frontier, known)
    return [(start + 1, min(end, position)) for start, end in only_here if start + 1 <= position]


def named_ranges(room: Room, ids: tuple[bytes, ...]) -> tuple[Ranges, tuple[bytes, ...]]:
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


def _unavailable() -> Reject:
    detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
    return Reject(RejectClass.STORE_UNAVAILABLE, "the store is unavailable", detail)
