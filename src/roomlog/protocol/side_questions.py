"""What a session asks beside its log: older history, other keys, a state hash."""

from __future__ import annotations

from typing import final

from roomlog.protocol.client_events import (
    ClientEvent,
    Question,
    QuestionRefused,
    StateHashReceived,
    broken,
)
from roomlog.protocol.history_reader import HistoryReader
from roomlog.protocol.messages import Error, HashOf, Pack, Request, RequestEnd, StateHashReport
from roomlog.protocol.pack_answer import kind_of
from roomlog.protocol.subscription_change import SubscriptionChange


@final
class SideQuestions:
    """At most one of each kind is under way; answers find theirs by ref."""

    def __init__(self, history: HistoryReader, subscription: SubscriptionChange) -> None:
        self.history = history
        self.subscription = subscription
        self._hash_refs = 0
        self._hash_ref: str | None = None
        self._hash_patterns: tuple[str, ...] = ()

    def ask_state_hash(self, patterns: tuple[str, ...]) -> Request:
        """The request for the hash of these keys. Raises ValueError while one is under way."""
        if self._hash_ref is not None:
            raise ValueError("a state hash is under way")
        self._hash_refs += 1
        self._hash_ref = f"q{self._hash_refs}"
        self._hash_patterns = patterns
        return Request(ref=self._hash_ref, hash=HashOf(patterns=list(patterns)))

    def report(self, report: StateHashReport) -> StateHashReceived:
        """The answer to `ask_state_hash`. Raises `ServerFault`."""
        if report.ref is None or report.ref != self._hash_ref:
            raise broken("state-hash", "nobody asked for it")
        return StateHashReceived(
            patterns=self._hash_patterns,
            frontier=tuple(report.frontier),
            hash=report.hash,
            coverage=report.coverage,
        )

    def take(self, pack: Pack) -> ClientEvent | None:
        """A pack that answers a question, None for any other. Raises `ServerFault`."""
        if self.history.awaits(pack.ref):
            return self.history.take(pack)
        if self.subscription.awaits(pack.ref):
            return self.subscription.take(pack)
        return None

    def end(self, end: RequestEnd) -> list[ClientEvent] | None:
        """The end of an answer, None for any other. Raises `ServerFault`."""
        if self.history.awaits(end.ref):
            return [self.history.end(end)]
        if self.subscription.awaits(end.ref):
            return [self.subscription.end(end)]
        if self._hash_ref is not None and end.ref == self._hash_ref:
            self._hash_ref = None
            return []
        return None

    def refuse(self, error: Error) -> QuestionRefused | None:
        """An error in place of an answer, None when it answers no question."""
        if self.history.awaits(error.ref):
            self.history.refuse()
            question = Question.HISTORY
        elif self.subscription.awaits(error.ref):
            self.subscription.refuse()
            question = Question.SUBSCRIPTION
        elif self._hash_ref is not None and error.ref == self._hash_ref:
            self._hash_ref = None
            question = Question.STATE_HASH
        else:
            return None
        return QuestionRefused(
            question=question,
            reject_class=error.reject_class,
            kind=kind_of(error.reject_class, error.kind),
            message=error.message,
            retry_after_ms=error.retry_after_ms,
        )
