"""What a document makes of the events of a session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from roomlog.client.backoff import Backoff
from roomlog.client.company import Company
from roomlog.client.engine import Engine
from roomlog.client.history_stream import HistoryStream
from roomlog.client.pings import Pings
from roomlog.client.session_ended import SessionEnded
from roomlog.client.standing import Standing
from roomlog.client.status import Phase
from roomlog.core.reject import RejectClass
from roomlog.protocol.client_events import (
    Acknowledged,
    BodiesFilled,
    CatchUpChanged,
    CaughtUp,
    CheckpointReceived,
    ClientEvent,
    CutFound,
    Deprecated,
    Draining,
    Faulted,
    HistoryEnd,
    HistoryPage,
    MissingAsked,
    Moved,
    Opened,
    PingRefused,
    PongReceived,
    Question,
    QuestionRefused,
    Received,
    Refused,
    ServerFault,
    SnapshotReceived,
    SubscriptionComplete,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.close_codes import Reaction
from roomlog.protocol.limits import DEFAULT_LIMITS

_LOGGER: Final = logging.getLogger(__name__)

DECLARE_NODES: Final = DEFAULT_LIMITS.slice_nodes
"""With so much more to push than the hello declared, a new session that declares it is quicker."""


@final
class SessionEvents:
    """Takes the events of one session to where they belong.

    `verify_all`: history is checked like what is live. `after_send` is called when the session has
    something to send that no event of it asked for.
    """

    def __init__(
        self,
        session: ClientSession,
        engine: Engine,
        standing: Standing,
        company: Company,
        history: HistoryStream,
        *,
        backoff: Backoff,
        clock_ms: Callable[[], int],
        verify_all: bool,
        pin: Callable[[bytes], None],
        after_send: Callable[[], None],
    ) -> None:
        self.pings = Pings(session, after_send)
        self._session = session
        self._engine = engine
        self._standing = standing
        self._company = company
        self._history = history
        self._backoff = backoff
        self._clock_ms = clock_ms
        self._verify_all = verify_all
        self._pin = pin
        self._after_send = after_send
        self._declared_nodes = 0 if engine.backlog is None else engine.backlog.nodes
        self._opened: Opened | None = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            Received: self._on_received,
            Acknowledged: self._on_acknowledged,
            Refused: self._on_refused,
            Opened: self._on_opened,
            CutFound: self._on_cut_found,
            CatchUpChanged: self._on_catch_up_changed,
            CaughtUp: self._on_caught_up,
            SnapshotReceived: self._on_snapshot,
            MissingAsked: self._on_missing_asked,
            CheckpointReceived: self._on_checkpoint,
            HistoryPage: self._on_history_page,
            HistoryEnd: self._on_history_end,
            BodiesFilled: self._on_bodies_filled,
            SubscriptionComplete: self._on_subscription_complete,
            QuestionRefused: self._on_question_refused,
            PongReceived: self.pings.answered,
            PingRefused: self.pings.refused,
            Draining: self._on_draining,
            Moved: self._on_moved,
            Deprecated: self._on_deprecated,
            Faulted: self._on_faulted,
        }

    def handle(self, events: Sequence[ClientEvent]) -> None:
        """Take the events of one frame.

        Raises `ServerFault` when the server is at fault, `SessionEnded` when another session would
        do better.
        """
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
            else:
                self._company.handle(event)
        if self._session.is_live and self._engine.log.catch_up:
            self._go_live()

    def _go_live(self) -> None:
        """Once a session: the server's log is held, so what it lacks is known."""
        engine = self._engine
        engine.caught_up()
        if self._standing.phase is Phase.CATCHING_UP:
            self._standing.phase = Phase.LIVE
        self._history.live(self._session)
        backlog = engine.backlog
        if backlog is not None and backlog.nodes - self._declared_nodes > DECLARE_NODES:
            raise SessionEnded(Reaction.RECONNECT, None, is_at_once=True)

    def _on_opened(self, opened: Opened) -> None:
        self._opened = opened
        engine, standing = self._engine, self._standing
        cursor = engine.cursor
        engine.opened(opened, self._clock_ms())
        standing.opened(opened)
        if opened.is_proven:
            self._pin(opened.server_key)
        start = cursor.seq if cursor is not None and opened.catch_up == "cursor" else 0
        standing.reads(0 if opened.catch_up == "walk" else opened.seq - start)
        self._company.connected(self._session, opened, self._after_send)
        wanted = engine.patterns
        is_other = engine.replica.awaits_bodies or set(wanted) != set(opened.subscribed)
        if "header_only_nodes" not in self._session.caps:
            engine.take_what_is_here()
        elif is_other:
            self._session.subscribe(wanted)

    @property
    def _is_other_asked(self) -> bool:
        """Whether the server does not follow the wanted patterns yet."""
        return set(self._engine.patterns) != set(self._session.subscribed)

    def _head_seq(self) -> int:
        return 0 if self._opened is None else self._opened.seq

    def _epoch(self) -> bytes:
        assert self._opened is not None
        return self._opened.epoch

    def _on_cut_found(self, found: CutFound) -> None:
        self._engine.cut_found(self._epoch(), found.seq)
        self._standing.reads(self._head_seq() - found.seq)

    def _on_catch_up_changed(self, changed: CatchUpChanged) -> None:
        self._engine.catch_up_changed(self._epoch(), changed.catch_up)
        self._standing.catch_up = changed.catch_up
        self._standing.reads(0 if changed.catch_up == "walk" else self._head_seq())

    def _on_snapshot(self, snapshot: SnapshotReceived) -> None:
        assert self._opened is not None
        if not self._engine.snapshot_received(snapshot, self._opened.server_key):
            # The log is read from its beginning instead.
            raise SessionEnded(Reaction.RECONNECT, None, is_at_once=True)
        self._standing.reads(self._head_seq() - snapshot.seq)

    def _on_received(self, received: Received) -> None:
        verify = received.is_live or self._verify_all
        held = len(self._engine.replica)
        try:
            self._engine.received(received, self._session.cursor, self._clock_ms(), verify=verify)
        except ServerFault as fault:
            if fault.reject.reject_class is RejectClass.BODY_MISSING and self._is_other_asked:
                # Sent before the server knew of the keys that are wanted now.
                raise SessionEnded(Reaction.RECONNECT, None, is_at_once=True) from None
            raise
        if len(self._engine.replica) > held:
            self._backoff.learned()
        self._standing.has_read(len(received.nodes))
        self._history.carry_on()

    def _on_caught_up(self, caught_up: CaughtUp) -> None:
        # What was read behind a cut counts from now on, though no node came with it.
        self._engine.acknowledged(Acknowledged({}), self._session.cursor)
        if self._standing.phase is Phase.CATCHING_UP:
            self._standing.phase = Phase.LIVE

    def _on_acknowledged(self, acknowledged: Acknowledged) -> None:
        self._engine.acknowledged(acknowledged, self._session.cursor)
        # Nodes of before this session are no progress of it.
        if max(acknowledged.seqs.values(), default=0) > self._head_seq():
            self._backoff.progressed()

    def _on_refused(self, refused: Refused) -> None:
        self._engine.refused(refused, self._clock_ms())

    def _on_missing_asked(self, asked: MissingAsked) -> None:
        self._engine.missing_asked()

    def _on_checkpoint(self, received: CheckpointReceived) -> None:
        self._engine.checkpoint_received(received.checkpoint)

    def _on_history_page(self, page: HistoryPage) -> None:
        self._engine.history_page(page)

    def _on_history_end(self, end: HistoryEnd) -> None:
        self._engine.history_page_end()
        self._history.page_ended()

    def _on_bodies_filled(self, filled: BodiesFilled) -> None:
        self._engine.bodies_filled(filled, self._clock_ms())

    def _on_subscription_complete(self, complete: SubscriptionComplete) -> None:
        self._engine.subscription_complete(complete.patterns)

    def _on_question_refused(self, refused: QuestionRefused) -> None:
        if refused.question is Question.HISTORY:
            self._history.refused(refused)
        elif refused.question is Question.SUBSCRIPTION:
            # What came under it may lack bodies: the next session asks for all of them again.
            raise SessionEnded(Reaction.BACK_OFF, None, refused.retry_after_ms)

    def _on_draining(self, draining: Draining) -> None:
        self._standing.hint_ms = draining.retry_after_ms
        self._standing.phase = Phase.DRAINING

    def _on_moved(self, moved: Moved) -> None:
        _LOGGER.warning("the room moves to %s", moved.url)

    def _on_deprecated(self, deprecated: Deprecated) -> None:
        _LOGGER.warning("the server will drop %s %s", deprecated.what, deprecated.until)

    def _on_faulted(self, faulted: Faulted) -> None:
        raise ServerFault(faulted.fault, faulted.reject)
