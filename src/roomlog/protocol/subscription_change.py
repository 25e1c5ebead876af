"""Which keys a session wants: one change at a time, the newest wish waiting for its turn."""

from __future__ import annotations

from typing import final

from roomlog.protocol.client_events import (
    BodiesFilled,
    SubscriptionChanged,
    SubscriptionComplete,
    broken,
)
from roomlog.protocol.messages import Pack, RequestEnd, Subscribe, SubscribeAck
from roomlog.protocol.received_pack import PackOpener


@final
class SubscriptionChange:
    """`patterns` are those in force, () for everything."""

    def __init__(self, patterns: tuple[str, ...], opener: PackOpener) -> None:
        self.patterns = patterns
        self._opener = opener
        self._refs = 0
        self._ref: str | None = None
        self._asked: tuple[str, ...] = ()
        self._is_acknowledged = False
        self._wanted: tuple[str, ...] | None = None
        opener.may_lack_bodies = bool(patterns)

    def ask(self, patterns: tuple[str, ...]) -> Subscribe | None:
        """The message to send, None when it has to wait for the answer to the one before."""
        if self._ref is not None:
            self._wanted = patterns
            return None
        self._refs += 1
        self._ref = f"b{self._refs}"
        self._asked = patterns
        self._is_acknowledged = False
        # Either set may be in force for what comes until the answer is whole.
        self._opener.may_lack_bodies = bool(patterns or self.patterns)
        return Subscribe(ref=self._ref, patterns=list(patterns))

    def take_waiting(self) -> Subscribe | None:
        """The message that waited, once there is an answer to the one before."""
        wanted = self._wanted
        if wanted is None or self._ref is not None:
            return None
        self._wanted = None
        return self.ask(wanted)

    def awaits(self, ref: str | None) -> bool:
        """Whether `ref` is the change under way."""
        return ref is not None and ref == self._ref

    def acknowledge(self, ack: SubscribeAck) -> SubscriptionChanged:
        """The server follows the new patterns. Raises `ServerFault`."""
        if not self.awaits(ack.ref) or self._is_acknowledged:
            raise broken("subscribe-ack", "nothing waits for it")
        if set(ack.patterns) != set(self._asked):
            raise broken("subscribe-ack", "other patterns than asked for")
        self._is_acknowledged = True
        self.patterns = self._asked
        return SubscriptionChanged(self.patterns, ack.seq)

    def take(self, pack: Pack) -> BodiesFilled:
        """Whole nodes that answer the change. Raises `ServerFault`."""
        if not self._is_acknowledged:
            raise broken("pack", "bodies before the subscribe-ack")
        opened = self._opener.open(pack, may_be_unsigned=False, may_have_gaps=True)
        if not opened.has_bodies:
            raise broken("pack", "a node without body in answer to a subscription")
        return BodiesFilled(
            nodes=opened.nodes, pack=pack.nodes, from_seq=pack.from_seq, to_seq=pack.to_seq
        )

    def end(self, end: RequestEnd) -> SubscriptionComplete:
        """Every body has come. Raises `ServerFault`."""
        if not self._is_acknowledged:
            raise broken("request-end", "before the subscribe-ack")
        self._settle()
        return SubscriptionComplete(self.patterns)

    def refuse(self) -> None:
        """The change was not taken, or its bodies could not all be sent."""
        self._settle()

    def _settle(self) -> None:
        self._ref = None
        self._opener.may_lack_bodies = bool(self.patterns)
