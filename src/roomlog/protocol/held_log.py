"""What a client can say of the log it held before, so that the place where logs part is found."""

from __future__ import annotations

from typing import Protocol, final

from roomlog.core.graph import Graph
from roomlog.protocol.messages import Cursor


class HeldLog(Protocol):
    """A client's own log, of its cursor's epoch. Everything answers at once, from memory."""

    @property
    def graph(self) -> Graph:
        """Everything held, in the order in which it came."""

    def id_at(self, seq: int) -> bytes | None:
        """The node with this seq, None when that is not known."""


@final
class Past:
    """What a client brings to a session: its cursor, its heads, and the log behind them."""

    __slots__ = ("cursor", "frontier", "held")

    def __init__(
        self, cursor: Cursor | None, frontier: list[bytes], held: HeldLog | None = None
    ) -> None:
        self.cursor = cursor
        self.frontier = frontier
        self.held = held
