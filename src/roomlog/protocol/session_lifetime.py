"""The states of a server's session, and every way in which it ends."""

from __future__ import annotations

from enum import Enum

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.answers import Answers
from roomlog.protocol.close_codes import CloseCode, close_code_of
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import Close, ServerEffect


class State(Enum):
    """Where a session stands."""

    CREATED = "created"
    GREETING = "greeting"
    OPENING = "opening"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class SessionLifetime:
    """A session from its beginning to its close; the conversation itself is a subclass's."""

    def __init__(self, codec: Codec) -> None:
        self.state = State.CREATED
        self.codec = codec
        self.close_code: CloseCode | None = None
        """Why this side closed, None while it has not."""
        self.close_reason = ""
        self._answers = Answers(codec)

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self.state is State.CLOSED

    @property
    def is_welcomed(self) -> bool:
        """Whether the session is in its room: open, or about to leave."""
        return self.state is State.OPEN or self.state is State.DRAINING

    def disconnected(self) -> None:
        """The socket is gone, whoever closed it."""
        self.state = State.CLOSED

    def receive_wrong_kind(self) -> list[ServerEffect]:
        """A text frame in a binary session, or the reverse."""
        return self._close(CloseCode.UNSUPPORTED_DATA, f"not a {self.codec.subprotocol} frame")

    def resync(self, reason: str) -> list[ServerEffect]:
        """What the client knows of the log holds no more: it comes back with its cursor."""
        return self._close(CloseCode.RESYNC_REQUIRED, reason)

    def stall(self) -> list[ServerEffect]:
        """The client has not read for too long."""
        return self.resync("send stall")

    def epoch_renewed(self) -> list[ServerEffect]:
        """The log goes on under another epoch: no number of the old one means anything here."""
        return self.resync("epoch renewed")

    def turn_away(self, reject: Reject) -> list[ServerEffect]:
        """The server cannot take this session now; `reject` says why."""
        if self.state is State.CLOSED:
            return []
        return self._refuse(reject)

    def fail(self, incident: str) -> list[ServerEffect]:
        """A fault of the server's own; `incident` finds it in the log."""
        if self.state is State.CLOSED:
            return []
        reject = Reject(RejectClass.INTERNAL, "a fault of the server")
        error = self._answers.error(reject, None, incident)
        return [error, *self._close(CloseCode.INTERNAL_ERROR, incident)]

    def _refuse(
        self, reject: Reject, ref: str | None = None, code: CloseCode | None = None
    ) -> list[ServerEffect]:
        """The error, then the close its class has unless `code` says otherwise."""
        if code is None:
            code = close_code_of(reject.reject_class)
        effects: list[ServerEffect] = [self._answers.error(reject, ref)]
        return effects + self._close(code, reject.reject_class.wire)

    def _close(self, code: CloseCode, reason: str) -> list[ServerEffect]:
        if self.state is State.CLOSED:
            return []
        self.disconnected()
        self.close_code = code
        self.close_reason = reason
        return [Close(code, reason)]
