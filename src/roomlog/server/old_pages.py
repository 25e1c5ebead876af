"""Pages of old history, kept for the next who reads them.

Writing many nodes in columns costs more than reading them from the store, and joiners mostly read
the same stretches. What is numbered never changes, so a page is good for as long as its epoch.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, final

from roomlog.server.history import Page, read_pages
from roomlog.store.interface import StoredRoom

if TYPE_CHECKING:
    from roomlog.server.store_reader import StoreReader

MOST_BYTES: Final = 32 << 20


class Stretch(NamedTuple):
    """What was read, and how: the key of a page."""

    room_id: str
    epoch: bytes
    from_seq: int
    to_seq: int
    max_nodes: int
    max_bytes: int


@final
class OldPages:
    """The pages read last, at most `most_bytes` of them. Only unsigned ones are worth it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.size_bytes = 0
        self._most_bytes = most_bytes
        self._pages: OrderedDict[Stretch, list[Page]] = OrderedDict()
        self._reading: dict[Stretch, asyncio.Task[list[Page]]] = {}

    async def read(
        self, reader: StoreReader, room: StoredRoom, stretch: Stretch, unsigned_through: int
    ) -> list[Page]:
        """The first pages of a stretch, unsigned up to `unsigned_through`.

        However many ask at once, they are made once. Raises `StoreError`.
        """
        pages = self.find(stretch)
        if pages is not None:
            return pages
        task = self._reading.get(stretch)
        if task is None:
            task = asyncio.create_task(self._read(reader, room, stretch, unsigned_through))
            self._reading[stretch] = task
            task.add_done_callback(lambda _: self._reading.pop(stretch, None))
        # Who gives up must not take it away from those who wait beside it.
        return await asyncio.shield(task)

    async def _read(
        self, reader: StoreReader, room: StoredRoom, stretch: Stretch, unsigned_through: int
    ) -> list[Page]:
        pages = await reader.read(
            "read_old",
            read_pages,
            reader.store,
            room,
            stretch.from_seq - 1,
            stretch.to_seq,
            max_nodes=stretch.max_nodes,
            max_bytes=stretch.max_bytes,
            unsigned_through=unsigned_through,
        )
        if pages and pages[-1].to_seq <= unsigned_through:
            self.keep(stretch, pages)
        return pages

    def find(self, stretch: Stretch) -> list[Page] | None:
        """The first pages of a stretch, if they are kept."""
        pages = self._pages.get(stretch)
        if pages is not None:
            self._pages.move_to_end(stretch)
        return pages

    def keep(self, stretch: Stretch, pages: list[Page]) -> None:
        """Keep the first pages of a stretch; the longest unused go."""
        before = self._pages.pop(stretch, None)
        if before is not None:
            self.size_bytes -= _size_of(before)
        self._pages[stretch] = pages
        self.size_bytes += _size_of(pages)
        while self.size_bytes > self._most_bytes:
            _, oldest = self._pages.popitem(last=False)
            self.size_bytes -= _size_of(oldest)


def _size_of(pages: list[Page]) -> int:
    return sum(len(page.nodes) for page in pages)
