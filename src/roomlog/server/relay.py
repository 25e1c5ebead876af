"""The way of committed nodes to live readers: one frame for what came together.

A system call a reader is what relaying costs. While more is on its way to the store, what was
committed waits for it, in proportion to what the last relay took; a single edit never waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

from roomlog.core.node import NodeHasher
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.server_session import ENVELOPE_BYTES
from roomlog.server.history import Page, join_pages
from roomlog.server.metrics import Metrics
from roomlog.server.reader import Reader, Readers

RECENT_BYTES: Final = 256 * 1024
REST_PER_RELAY: Final = 8
"""How much longer than it relayed a room gathers before it relays again."""
LONGEST_REST_S: Final = 0.02


@final
class Relay:
    """What of one room's log its live readers do not have yet, and what they got last.

    `monotonic` tells seconds. Everybody is to be told of the log as far as `through`.
    """

    def __init__(
        self,
        lineage: bytes,
        readers: Readers,
        limits: SessionLimits,
        metrics: Metrics,
        monotonic: Callable[[], float],
    ) -> None:
        self._hasher = NodeHasher(lineage)
        self._readers = readers
        self._limits = limits
        self._metrics = metrics
        self._monotonic = monotonic
        self._waiting: list[Page] = []
        self._authors: set[Reader | None] = set()
        self._oldest_received = 0.0
        self._rest_until = 0.0
        self._is_due = False
        self._recent: deque[Page] = deque()
        self._recent_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be relayed."""
        return not self._waiting

    def through(self, head_seq: int) -> int:
        """Up to which seq live readers have the log whose head is `head_seq`."""
        return self._waiting[0].from_seq - 1 if self._waiting else head_seq

    def add(self, page: Page, author: Reader | None, received: float) -> None:
        """`page` is durable; `author` pushed it, and the server received it at that moment."""
        if not self._waiting:
            self._oldest_received = received
        self._waiting.append(page)
        self._authors.add(author)

    def publish(self, *, is_more_coming: bool) -> float:
        """Relay what waits, or gather on when more is coming.

        The seconds after which `publish_now` is to be called for it, 0 when it need not be.
        """
        if not self._waiting:
            return 0.0
        rest_s = self._rest_until - self._monotonic()
        if not is_more_coming or rest_s <= 0:
            self.publish_now()
            return 0.0
        if self._is_due:
            return 0.0
        self._is_due = True
        return rest_s

    def publish_now(self) -> None:
        """Relay what waits."""
        self._is_due = False
        if not self._waiting:
            return
        started = self._monotonic()
        pages = join_pages(
            self._waiting,
            self._hasher,
            max_nodes=self._limits.pack_nodes,
            max_bytes=self._limits.frame_bytes - ENVELOPE_BYTES,
        )
        authors = self._authors
        only_author = next(iter(authors)) if len(authors) == 1 else None
        self._waiting, self._authors = [], set()
        self._remember(pages)
        behind = self._readers.relay(pages, only_author)
        if behind:
            self._metrics.readers_behind_total.inc(behind)
        ended = self._monotonic()
        self._rest_until = ended + min((ended - started) * REST_PER_RELAY, LONGEST_REST_S)
        self._metrics.relay_lag_seconds.observe(ended - self._oldest_received)

    def recent_after(self, position: int, head_seq: int) -> list[Page] | None:
        """The relayed packs after `position` if memory still has them all, else None."""
        if position == self.through(head_seq):
            return []
        if not self._recent or self._recent[0].from_seq > position + 1:
            return None
        return [page for page in self._recent if page.to_seq > position]

    def forget(self) -> None:
        """The log was read again: what waited and what was sent last say nothing any more."""
        self._waiting, self._authors = [], set()
        self._recent.clear()
        self._recent_bytes = 0

    def _remember(self, pages: list[Page]) -> None:
        self._recent.extend(pages)
        self._recent_bytes += sum(len(page.nodes) for page in pages)
        while self._recent_bytes > RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popleft().nodes)
