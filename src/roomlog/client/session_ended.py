"""How a session ended, and what its connection does next."""

from __future__ import annotations

from typing import Final, final

from roomlog.client.errors import (
    ConnectionStoppedError,
    LineageMismatchError,
    RoomlogError,
    ServerKeyChangedError,
    ServerUnprovenError,
)
from roomlog.client.websocket import WebSocketClosed
from roomlog.core.reject import RejectClass
from roomlog.protocol.client_events import ErrorReceived, Fault, ServerFault
from roomlog.protocol.close_codes import CloseCode, Reaction, reaction_to

_FAULT_ERRORS: Final[dict[Fault, type[ConnectionStoppedError]]] = {
    Fault.SERVER_KEY_CHANGED: ServerKeyChangedError,
    Fault.WELCOME_UNPROVEN: ServerUnprovenError,
    Fault.LINEAGE_MISMATCH: LineageMismatchError,
}


@final
class SessionEnded(Exception):
    """A session is over: what to do next, why, and how long the server asked to wait.

    `is_at_once`: it was ended from here, for another one that does better.
    """

    def __init__(
        self,
        reaction: Reaction,
        problem: RoomlogError | None,
        hint_ms: int | None = None,
        *,
        is_at_once: bool = False,
    ) -> None:
        super().__init__(str(problem))
        self.reaction = reaction
        self.problem = problem
        self.hint_ms = hint_ms
        self.is_at_once = is_at_once


def ended_by_server(
    closed: WebSocketClosed, error: ErrorReceived | None, hint_ms: int | None
) -> SessionEnded:
    """What to do about a socket that the server closed.

    `error` is what it reported last, `hint_ms` how long its notice asked to stay away.
    """
    reaction = reaction_to(closed.code)
    if closed.code == CloseCode.NORMAL.code:
        reaction = Reaction.BACK_OFF
    message, reject_class = str(closed), ""
    if error is not None:
        message, reject_class = f"{error.message} ({closed})", error.reject_class
        if hint_ms is None:
            hint_ms = error.retry_after_ms
    kind: type[ConnectionStoppedError] = ConnectionStoppedError
    if reject_class == RejectClass.LINEAGE_MISMATCH.wire:
        kind = LineageMismatchError
    return SessionEnded(reaction, kind(message, reject_class), hint_ms)


def ended_by_fault(fault: ServerFault) -> SessionEnded:
    """What to do about a server that broke the protocol, or cannot go on for now."""
    kind = _FAULT_ERRORS.get(fault.fault, ConnectionStoppedError)
    problem = kind(fault.reject.message, fault.reject.reject_class.wire)
    hint_ms = fault.reject.detail.get("retry_after_ms") if fault.fault is Fault.NOT_NOW else None
    return SessionEnded(
        fault.fault.reaction, problem, hint_ms if isinstance(hint_ms, int) else None
    )
