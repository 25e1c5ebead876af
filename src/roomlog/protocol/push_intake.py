"""Pushed packs from their arrival to their ack: credit, what can be refused at sight, order."""

from __future__ import annotations

from typing import final

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.credit import PushCredit
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.message_cost import cost_of
from roomlog.protocol.message_rate import MessageRate
from roomlog.protocol.messages import CreditTotals, PackAck, Pending, PushPack
from roomlog.protocol.pushed_packs import PushedPack, PushedPacks, claimed_count
from roomlog.protocol.refusals import field_reject


@final
class Flood(Exception):
    """More was sent than granted: the session ends. `reject` says of what."""

    def __init__(self, reject: Reject) -> None:
        super().__init__(str(reject))
        self.reject = reject


@final
class PushIntake:
    """What one session pushes into the room of `lineage`; `author` None only reads.

    `pending` is the backlog it declared. What costs no credit draws on `rate`.
    """

    __slots__ = ("_author", "_credit", "_limits", "_lineage", "_packs", "_rate")

    def __init__(
        self,
        limits: SessionLimits,
        rate: MessageRate,
        *,
        lineage: bytes,
        author: bytes | None,
        pending: Pending,
        now_ms: int,
    ) -> None:
        self._limits = limits
        self._rate = rate
        self._lineage = lineage
        self._author = author
        self._packs = PushedPacks()
        self._credit = PushCredit(
            limits, backlog_nodes=pending.nodes, backlog_bytes=pending.bytes, now_ms=now_ms
        )

    def __len__(self) -> int:
        """Packs without an answer."""
        return len(self._packs)

    def announce(self) -> CreditTotals:
        """The totals to tell the client."""
        return self._credit.announce()

    def top_up(self, now_ms: int) -> CreditTotals | None:
        """New totals for a client that is short of credit, at `now_ms`; None for any other."""
        if self._author is None:
            return None
        self._credit.refill(now_ms)
        return self._credit.announce() if self._credit.is_worth_announcing() else None

    def receive(
        self, message: PushPack, now_ms: int, draining: Reject | None
    ) -> tuple[PushedPack, Reject | None]:
        """Count a pack; with the reason why nothing of it can be taken, if that is plain.

        `draining` refuses every pack. Raises `Flood` beyond the credit.
        """
        credit = self._credit
        credit.refill(now_ms)
        size_bytes = len(message.nodes)
        if not credit.spend_bytes(size_bytes):
            raise Flood(Reject(RejectClass.RATE_BYTES, "more bytes than granted"))
        nodes = 0
        fault = draining
        try:
            nodes = claimed_count(message.nodes)
            self._check(message, nodes)
        except Reject as refusal:
            fault = fault or refusal
        if not credit.spend_nodes(nodes):
            raise Flood(Reject(RejectClass.RATE_NODES, "more nodes than granted"))
        if nodes == 0 or fault is not None:
            # It costs no credit, or buys nothing with it: then it is a message like any other.
            fault = self._rate.take(cost_of(message, size_bytes), now_ms) or fault
            if fault is not None and self._rate.is_flooded:
                raise Flood(fault)
        return self._packs.push(message.ref, nodes, size_bytes), fault

    def answer(
        self, ticket: int, answer: PackAck | Reject
    ) -> list[tuple[str | None, PackAck | Reject]]:
        """What became of a pack; all answers that may leave now, each with its `ref`.

        Raises `ProtocolMisuse` for a ticket that waits for none.
        """
        pushed = self._packs.find(ticket)
        pushed.answer = answer
        self._credit.settle(pushed.nodes, pushed.size_bytes)
        ready: list[tuple[str | None, PackAck | Reject]] = []
        while (oldest := self._packs.pop_answered()) is not None:
            assert oldest.answer is not None
            ready.append((oldest.ref, oldest.answer))
        return ready

    def clear(self) -> None:
        """Forget everything: the session is over."""
        self._packs.clear()

    def _check(self, message: PushPack, nodes: int) -> None:
        if self._author is None:
            raise Reject(RejectClass.PROOF_MISSING, "a session without a key only reads")
        if message.lineage != self._lineage:
            raise Reject(RejectClass.LINEAGE_MISMATCH, "the pack is of another lineage")
        if nodes > self._limits.pack_nodes:
            raise field_reject("nodes", f"more than {self._limits.pack_nodes} nodes")
