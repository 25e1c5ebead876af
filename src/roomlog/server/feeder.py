"""What one session gets from the store: the way back to the head of the log, and its requests.

A task exists only while there is something to send. Before each read it waits for the socket, so
that a slow reader costs one page of memory at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, final

from aiohttp.abc import AbstractStreamWriter

from roomlog.core.node import NodeHasher
from roomlog.core.patterns import pattern_set
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.effects import Read, ReadAfter, ReadBodies, ReadSnapshot
from roomlog.protocol.requests import DEFAULT_PAGE_NODES
from roomlog.server.answers import Answer, signatures_wanted
from roomlog.server.history import Page, join_pages
from roomlog.server.old_pages import Stretch
from roomlog.server.reader import Reader, pack_frames
from roomlog.server.room import RETRY_AFTER_MS, Room
from roomlog.server.subscriptions import (
    LIVE_NODES,
    LIVE_WORK,
    BodiesAnswer,
    read_subscribed_pages,
    scan_bytes,
    subscribed_pages,
)
from roomlog.store.errors import StoreCorrupt, StoreError

if TYPE_CHECKING:
    from roomlog.server.connection import Connection

PAGE_BYTES: Final = 256 * 1024
"""How much is read from the store at once, unless a single pack is longer."""
READERS_A_RELAY: Final = 4
"""What is looked through for a single reader is that much less than for all at once."""
LEAST_UNSIGNED_NODES: Final = 64
"""Fewer old nodes than this may come from memory, signed: they are not worth a read."""


class News(Protocol):
    """Small things that wait for the socket: what `send_some` leaves over comes another time."""

    @property
    def is_waiting(self) -> bool: ...
    def send_some(self) -> None: ...


@final
class Feeder:
    """Feeds one connection, a page at a time, its requests in turn with the log."""

    __slots__ = (
        "_after",
        "_after_started",
        "_answers",
        "_prelude",
        "_task",
        "_writer",
        "connection",
        "is_stopped",
        "news",
    )

    def __init__(self, connection: Connection, writer: AbstractStreamWriter) -> None:
        self.connection = connection
        self.is_stopped = False
        self.news: News | None = None
        self._writer = writer
        self._task: asyncio.Task[None] | None = None
        self._after: ReadAfter | ReadSnapshot | None = None
        self._after_started = 0.0
        self._prelude: Answer | None = None
        self._answers: deque[Answer] | None = None

    def move_back(
        self, read: ReadAfter | ReadSnapshot, seq: int, prelude: Answer | None = None
    ) -> None:
        """Feed the session from `seq` on until it is at the head again, after `prelude`."""
        room, reader = self.place()
        # The client may know more by its acks than was relayed.
        room.publish_now()
        room.readers.leave(reader, seq)
        self._after = read
        self._after_started = self.connection.hub.monotonic()
        self._prelude = prelude
        is_bulk = not signatures_wanted(read) and room.head_seq - seq >= LEAST_UNSIGNED_NODES
        can_be_now = not is_bulk and prelude is None and self._task is None
        if not can_be_now or not self._feed_from_memory(room, reader):
            self.wake()

    def subscribe(self, read: ReadBodies) -> None:
        """Change what the session gets from its reading position on, then send it the bodies."""
        room, reader = self.place()
        room.readers.subscribe(reader, pattern_set(read.patterns))
        position = self.position()
        connection = self.connection
        connection.perform(connection.session.subscribed(read, position))
        connection.flush()
        self.answer(BodiesAnswer(read, position, connection.hub.monotonic()))

    def answer(self, answer: Answer) -> None:
        """Answer a request, after those before it."""
        if self._answers is None:
            self._answers = deque()
        self._answers.append(answer)
        self.wake()

    def wake(self) -> None:
        """There is something to send."""
        if self._task is None and not self.is_stopped:
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """The session is over."""
        self.is_stopped = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    # for answers

    def place(self) -> tuple[Room, Reader]:
        """Where the session reads."""
        room, reader = self.connection.room, self.connection.reader
        assert room is not None
        assert reader is not None
        return room, reader

    def position(self) -> int:
        """The session's reading position: a seq."""
        room, reader = self.place()
        return room.relayed_seq if reader.is_live else reader.position

    def page_bytes(self, reader: Reader) -> int:
        """Most bytes of one page."""
        return scan_bytes(min(PAGE_BYTES, reader.pack_bytes_limit), reader.patterns)

    def page_nodes(self, reader: Reader) -> int:
        """Most nodes of one page of the log."""
        if self._after is not None:
            return self._after.page_nodes
        return min(DEFAULT_PAGE_NODES, reader.pack_nodes_limit)

    async def drained(self) -> None:
        """Wait until the socket has taken most of what was written. Raises ConnectionError."""
        await self._writer.drain()

    async def unsigned_through(self, read: Read) -> int:
        """The greatest seq up to which nodes may be sent to `read` without signatures, or 0."""
        if signatures_wanted(read):
            return 0
        room, _ = self.place()
        hub = self.connection.hub
        return await room.resend_window.old_through(
            hub.store_reader, room.stored, room.head_seq, hub.wall_ms()
        )

    def send_pages(self, read: Read, pages: list[Page]) -> None:
        """Packs of the answer to `read`."""
        connection = self.connection
        for page in pages:
            connection.perform(
                connection.session.page(read, page.nodes, page.from_seq, page.to_seq)
            )
        connection.flush()
        connection.hub.metrics.catch_up_bytes.inc(sum(len(page.nodes) for page in pages))

    def finish(
        self, read: Read, mode: str, started: float, missing: tuple[bytes, ...] = ()
    ) -> None:
        """`read` is answered in full; `started` is when it was asked (monotonic seconds)."""
        connection = self.connection
        connection.perform(connection.session.request_done(read, self.position(), missing))
        connection.flush()
        seconds = connection.hub.monotonic() - started
        connection.hub.metrics.catch_up_seconds.labels(mode).observe(seconds)

    def give_up(self, read: Read, reject: Reject) -> None:
        """`read` cannot be answered in full."""
        self.connection.perform(self.connection.session.request_failed(read, reject))
        self.connection.flush()

    # the task

    async def _run(self) -> None:
        try:
            await self._send_all()
        except (ConnectionError, asyncio.CancelledError):
            # The socket is gone; whoever watches it clears up.
            pass
        except StoreError as error:
            self.connection.hub.report(error, session=self.connection.session.session_id)
            self.connection.turn_away(_unavailable())
        except Exception as error:
            self.connection.fail(error)
        finally:
            self._task = None

    async def _send_all(self) -> None:
        while not self.is_stopped:
            room, reader = self.place()
            news, answers = self.news, self._answers
            if self._prelude is not None:
                if await self._prelude.turn(self):
                    self._prelude = None
            elif not reader.is_live:
                await self._feed(room, reader)
            elif not answers and (news is None or not news.is_waiting):
                self._answers = None
                return
            if answers and not self.is_stopped and await answers[0].turn(self):
                answers.popleft()
            if news is not None and news.is_waiting and not self.is_stopped:
                await self.drained()
                if not self.is_stopped:
                    news.send_some()

    async def _feed(self, room: Room, reader: Reader) -> None:
        """One page of the log from the reading position on."""
        after = self._after
        await self.drained()
        if self.is_stopped:
            return
        unsigned_through = 0 if after is None else await self.unsigned_through(after)
        is_bulk = unsigned_through - reader.position >= LEAST_UNSIGNED_NODES
        if self.is_stopped or (not is_bulk and self._feed_from_memory(room, reader)):
            return
        position, patterns = reader.position, reader.patterns
        max_nodes = self.page_nodes(reader)
        max_bytes = self.page_bytes(reader)
        store_reader = self.connection.hub.store_reader
        head_seq = room.head_seq
        if patterns is None and unsigned_through > position:
            # No farther than one read, so that everybody who reads from here means the same.
            last = min(position + max_nodes, unsigned_through, head_seq)
            stretch = Stretch(room.room_id, room.epoch, position + 1, last, max_nodes, max_bytes)
            pages = await store_reader.old_pages.read(
                store_reader, room.stored, stretch, unsigned_through
            )
        else:
            pages = await store_reader.read(
                "read_log",
                read_subscribed_pages,
                store_reader.store,
                room.stored,
                position,
                head_seq,
                patterns,
                max_nodes=max_nodes,
                max_bytes=max_bytes,
                unsigned_through=unsigned_through,
            )
        if self.is_stopped or reader.is_live or reader.position != position:
            return
        if reader.patterns != patterns:
            # What comes after the subscribe-ack follows the new ones: read it again.
            return
        if not pages:
            raise StoreCorrupt(room.room_id, f"nothing after seq {position}")
        self._send_log(room, reader, pages)
        if reader.position == room.relayed_seq:
            self._caught_up(room, reader)

    def _feed_from_memory(self, room: Room, reader: Reader) -> bool:
        """Bring the reader to the head from what the room has at hand; whether it could."""
        recent = room.recent_after(reader.position)
        if recent is None or (recent and recent[0].from_seq != reader.position + 1):
            return False
        if recent:
            hasher = NodeHasher(room.lineage)
            most_nodes = self.page_nodes(reader)
            most_bytes = reader.pack_bytes_limit
            pages = join_pages(recent, hasher, max_nodes=most_nodes, max_bytes=most_bytes)
            if reader.patterns is not None:
                size_bytes = sum(len(page.nodes) for page in recent)
                is_much = size_bytes * reader.patterns.step_cost > LIVE_WORK // READERS_A_RELAY
                if is_much or room.head_seq - reader.position > LIVE_NODES:
                    return False
                pages = subscribed_pages(
                    pages, reader.patterns, hasher, max_nodes=most_nodes, max_bytes=most_bytes
                )
            self._send_log(room, reader, pages)
        self._caught_up(room, reader)
        return True

    def _send_log(self, room: Room, reader: Reader, pages: list[Page]) -> None:
        connection = self.connection
        if self._after is None:
            connection.write(pack_frames(reader.codec, room.lineage, pages))
            connection.hub.metrics.catch_up_bytes.inc(sum(len(page.nodes) for page in pages))
        else:
            self.send_pages(self._after, pages)
        reader.position = pages[-1].to_seq

    def _caught_up(self, room: Room, reader: Reader) -> None:
        read, self._after = self._after, None
        room.readers.go_live(reader)
        if read is not None:
            mode = "cursor" if isinstance(read, ReadAfter) else "snapshot"
            self.finish(read, mode, self._after_started)


def _unavailable() -> Reject:
    detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
    return Reject(RejectClass.STORE_UNAVAILABLE, "the store is unavailable", detail)
