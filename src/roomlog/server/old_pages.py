"""Pages of old history, kept for the next who reads them.

Writing many nodes in columns costs more than reading them from the store, and joiners mostly read
the same stretches. What is numbered never changes, so a page is good for as long as its epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple, final

from roomlog.server.history import Page

MOST_BYTES: Final = 32 << 20
Ranges = list[tuple[int, int]]


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
