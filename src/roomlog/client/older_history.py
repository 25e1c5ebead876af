"""The log at and below a snapshot, as it comes in from its newest end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from roomlog.client.store_writes import HistoryPack
from roomlog.protocol.client_events import HistoryPage


@final
class OlderHistory:
    """Packs that join into the log from `lowest_seq` up to `until_seq`, without a hole.

    They are kept as they came, and are decoded when a replica is made of them.
    """

    def __init__(self, until_seq: int, packs: Iterable[HistoryPack] = ()) -> None:
        self.until_seq = until_seq
        self.lowest_seq = until_seq + 1
        """The next page is asked for below this."""
        self._newest_first: list[HistoryPack] = []
        self._page: list[HistoryPack] = []
        for pack in sorted(packs, key=lambda each: each.from_seq, reverse=True):
            # A store that was cut short may have a hole; what lies below is read again.
            if pack.to_seq == self.lowest_seq - 1:
                self._newest_first.append(pack)
                self.lowest_seq = pack.from_seq

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing down to the first node of the log."""
        return self.lowest_seq <= 1

    @property
    def held_nodes(self) -> int:
        """How many nodes are here."""
        return self.until_seq + 1 - self.lowest_seq

    def packs(self) -> list[HistoryPack]:
        """What is here, ascending."""
        return self._newest_first[::-1]

    def take(self, page: HistoryPage) -> None:
        """One pack of the page that is under way, in ascending order."""
        self._page.append(HistoryPack(page.pack, page.from_seq, page.to_seq))

    def end_page(self) -> list[HistoryPack]:
        """The page is whole: what to store of it."""
        page, self._page = self._page, []
        self._newest_first += reversed(page)
        if page:
            self.lowest_seq = page[0].from_seq
        return page

    def drop_page(self) -> None:
        """The session is over: its page is asked for again."""
        self._page.clear()

    def cut(self, seq: int) -> None:
        """The log goes on from `seq` in another way: only what lies at and below it is history."""
        self._page.clear()
        if seq >= self.until_seq:
            return
        self.until_seq = seq
        kept: list[HistoryPack] = []
        for pack in self._newest_first:
            if pack.from_seq <= seq:
                kept.append(HistoryPack(pack.pack, pack.from_seq, min(pack.to_seq, seq)))
        self._newest_first = kept
        self.lowest_seq = min(self.lowest_seq, seq + 1)

    def drop(self) -> None:
        """It cannot be right: begin anew."""
        self._newest_first.clear()
        self._page.clear()
        self.lowest_seq = self.until_seq + 1
