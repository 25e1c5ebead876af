"""Older history, backwards: one page at a time of what lies below a seq."""

from __future__ import annotations

from typing import Final, final

from roomlog.protocol.client_events import HistoryEnd, HistoryPage, broken
from roomlog.protocol.messages import After, Pack, Request, RequestEnd
from roomlog.protocol.received_pack import PackOpener

HISTORY_PAGE_NODES: Final = 1024
"""Nodes of one page: as many as a client decodes without leaving its loop for long."""


@final
class HistoryReader:
    """Asks for one page at a time, and sees to it that nothing of it is left out."""

    def __init__(
        self, epoch: bytes, opener: PackOpener, *, allows_unsigned: bool, page_nodes: int
    ) -> None:
        self._epoch = epoch
        self._opener = opener
        self._allows_unsigned = allows_unsigned
        self._page_nodes = min(HISTORY_PAGE_NODES, page_nodes)
        self._refs = 0
        self._ref: str | None = None
        self._before_seq = 0
        self._first_seq = 0
        self._next_seq = 0

    def ask(self, seq: int) -> Request:
        """The request for the page below `seq`. Raises ValueError while another is under way."""
        if seq < 1:
            raise ValueError(f"nothing lies below {seq}")
        if self._ref is not None:
            raise ValueError("a page of history is under way")
        self._refs += 1
        self._ref = f"h{self._refs}"
        self._before_seq = seq
        self._first_seq = self._next_seq = 0
        return Request(
            ref=self._ref,
            before=After(epoch=self._epoch, seq=seq),
            page=self._page_nodes,
            signatures=not self._allows_unsigned,
        )

    def awaits(self, ref: str | None) -> bool:
        """Whether `ref` is the page that is under way."""
        return ref is not None and ref == self._ref

    def take(self, pack: Pack) -> HistoryPage:
        """One pack of the page. Raises `ServerFault`."""
        if self._next_seq == 0:
            self._first_seq = self._next_seq = pack.from_seq
        is_over = pack.to_seq >= self._before_seq
        is_long = pack.to_seq - self._first_seq >= self._page_nodes
        if pack.from_seq != self._next_seq or is_over or is_long:
            raise broken("pack", f"{pack.from_seq}..{pack.to_seq} is not of the page asked for")
        opened = self._opener.open(pack, may_be_unsigned=self._allows_unsigned)
        self._next_seq = pack.to_seq + 1
        return HistoryPage(
            nodes=opened.nodes,
            pack=pack.nodes,
            from_seq=pack.from_seq,
            to_seq=pack.to_seq,
            is_signed=opened.is_signed,
            has_bodies=opened.has_bodies,
        )

    def end(self, end: RequestEnd) -> HistoryEnd:
        """The page is answered. Raises `ServerFault` when something of it is missing."""
        self._ref = None
        if self._before_seq == 1:
            return HistoryEnd(1)
        if self._next_seq != self._before_seq:
            raise broken("request-end", f"the page below {self._before_seq} has a hole")
        return HistoryEnd(self._first_seq)

    def refuse(self) -> None:
        """There is no answer; it may be asked again."""
        self._ref = None
