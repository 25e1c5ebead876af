"""A client's place in the log: up to where it holds everything, and what it holds beyond."""

from __future__ import annotations

from typing import Final, final

MAX_STRETCHES: Final = 4096
"""More stretches beyond a gap than this are a fault of the server."""


@final
class ReadingPosition:
    """Greatest seq at and below which everything is held, with the id of the node there.

    Own nodes are known by their acks, which may run ahead of what is relayed; such stretches wait
    here until the gap below them closes.
    """

    __slots__ = ("_ahead", "id", "seq")

    def __init__(self, seq: int, node_id: bytes | None) -> None:
        self.seq = seq
        self.id = node_id
        """None while the node at `seq` is not known by name, and at 0."""
        self._ahead: dict[int, tuple[int, bytes]] = {}

    def hold(self, from_seq: int, to_seq: int, last_id: bytes) -> bool:
        """Take note that `from_seq..to_seq` is held and ends with `last_id`.

        False when there are too many stretches beyond gaps; then it was not noted.
        """
        if from_seq > self.seq + 1:
            known = self._ahead.get(from_seq)
            if known is None and len(self._ahead) >= MAX_STRETCHES:
                return False
            if known is None or known[0] < to_seq:
                self._ahead[from_seq] = (to_seq, last_id)
            return True
        if to_seq > self.seq or (to_seq == self.seq and self.id is None):
            self.seq = to_seq
            self.id = last_id
        if self._ahead:
            self._absorb()
        return True

    def restart(self, seq: int, node_id: bytes | None) -> None:
        """Everything up to `seq` is held after all; what is held beyond stays so."""
        self.seq = seq
        self.id = node_id
        self._absorb()

    def continues_at(self, from_seq: int) -> bool:
        """Whether a stretch from `from_seq` leaves no gap."""
        return from_seq <= self.seq + 1

    def _absorb(self) -> None:
        for from_seq in sorted(self._ahead):
            if from_seq > self.seq + 1:
                return
            to_seq, last_id = self._ahead.pop(from_seq)
            if to_seq > self.seq:
                self.seq = to_seq
                self.id = last_id
