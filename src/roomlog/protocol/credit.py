"""Push credit: running totals since welcome of what a client may send, as QUIC does (RFC 9000, 4).

The grant is a bucket of one slice that refills at the live rate. A declared backlog is granted
again as it is settled, outside the live rate, until it is used up.
"""

from __future__ import annotations

from typing import Final, final

from roomlog.core.node import MAX_NODE_BYTES
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import CreditTotals

LONGEST_PUSH_BYTES: Final = MAX_NODE_BYTES + 1024
"""More than a pack of the largest node alone takes: whoever has less credit may be stuck."""


@final
class Bucket:
    """A level of `depth` that refills at `per_second`; time is the caller's clock in ms."""

    __slots__ = ("_at_ms", "_depth", "_level_thousandths", "_per_second")

    def __init__(self, depth: int, per_second: int, now_ms: int) -> None:
        self._depth = depth
        self._per_second = per_second
        self._level_thousandths = depth * 1000
        self._at_ms = now_ms

    def take(self, cost: int, now_ms: int) -> int:
        """Take `cost`; the level left, below zero when more was taken than there was."""
        if now_ms > self._at_ms:
            refilled = self._level_thousandths + (now_ms - self._at_ms) * self._per_second
            self._level_thousandths = min(refilled, self._depth * 1000)
            self._at_ms = now_ms
        self._level_thousandths -= cost * 1000
        return self._level_thousandths // 1000

    def wait_ms(self, cost: int = 0) -> int:
        """How long until `cost` can be taken, at least 1."""
        missing = cost * 1000 - self._level_thousandths
        return max(1, -(-missing // self._per_second))


@final
class _Meter:
    """One running total: granted, spent, and what is left of the declared backlog."""

    __slots__ = ("backlog", "granted", "per_second", "remainder", "slice", "spent")

    def __init__(self, slice_size: int, per_second: int, backlog: int) -> None:
        self.slice = slice_size
        self.per_second = per_second
        self.backlog = backlog
        self.granted = slice_size
        self.spent = 0
        self.remainder = 0

    def refill(self, elapsed_ms: int) -> None:
        earned = elapsed_ms * self.per_second + self.remainder
        self.granted += earned // 1000
        self.remainder = earned % 1000
        fullest = self.spent + self.slice
        if self.granted >= fullest:
            self.granted = fullest
            self.remainder = 0

    def settle(self, amount: int) -> None:
        given = min(amount, self.backlog, self.spent + self.slice - self.granted)
        self.backlog -= min(amount, self.backlog)
        if given > 0:
            self.granted += given


@final
class PushCredit:
    """What one session may push."""

    __slots__ = ("_announced_bytes", "_announced_nodes", "_at_ms", "_bytes", "_nodes")

    def __init__(
        self, limits: SessionLimits, *, backlog_nodes: int, backlog_bytes: int, now_ms: int
    ) -> None:
        self._nodes = _Meter(
            limits.slice_nodes,
            limits.live_nodes_per_second,
            min(backlog_nodes, limits.backlog_nodes),
        )
        self._bytes = _Meter(
            limits.slice_bytes,
            limits.live_bytes_per_second,
            min(backlog_bytes, limits.backlog_bytes),
        )
        self._at_ms = now_ms
        self._announced_nodes = 0
        self._announced_bytes = 0

    def spend_bytes(self, amount: int) -> bool:
        """Count `amount` bytes as sent; whether they were within what was announced."""
        self._bytes.spent += amount
        return self._bytes.spent <= self._announced_bytes

    def spend_nodes(self, amount: int) -> bool:
        """Count `amount` nodes as sent; whether they were within what was announced."""
        self._nodes.spent += amount
        return self._nodes.spent <= self._announced_nodes

    def settle(self, nodes: int, size_bytes: int) -> None:
        """A pack of that size has its answer: its share of the backlog is granted again."""
        self._nodes.settle(nodes)
        self._bytes.settle(size_bytes)

    def refill(self, now_ms: int) -> None:
        """Let the live rate run up to `now_ms`."""
        if now_ms > self._at_ms:
            elapsed_ms = now_ms - self._at_ms
            self._at_ms = now_ms
            self._nodes.refill(elapsed_ms)
            self._bytes.refill(elapsed_ms)

    def announce(self) -> CreditTotals:
        """The totals to tell the client, who may then use them."""
        self._announced_nodes = self._nodes.granted
        self._announced_bytes = self._bytes.granted
        return CreditTotals(nodes=self._announced_nodes, bytes=self._announced_bytes)

    def is_worth_announcing(self) -> bool:
        """Whether the client may be short of credit that it could have.

        A client that has a quarter of a slice left, and enough for one node whatever its size,
        needs no message: acks bring it more.
        """
        return _is_short(self._nodes, self._announced_nodes, 1) or _is_short(
            self._bytes, self._announced_bytes, LONGEST_PUSH_BYTES
        )


def _is_short(meter: _Meter, announced: int, least: int) -> bool:
    if announced - meter.spent >= min(meter.slice, max(least, meter.slice // 4)):
        return False
    # A tenth of a slice at a time, so that a starved client is not fed one node a message.
    return meter.granted - announced >= max(1, min(meter.slice // 10, meter.per_second))
