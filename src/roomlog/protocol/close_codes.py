"""WebSocket close codes: one table of what they mean and what a client does next.

Codes below 4000 are those of RFC 6455 and the IANA registry; 4000-4999 are ours.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from roomlog.core.reject import RejectClass


class Reaction(Enum):
    """What an SDK does when a connection ends with a code."""

    STOP = "stops and reports"
    BACK_OFF = "reconnects after a growing, jittered wait"
    RECONNECT = "reconnects at once, with its cursor"
    RECONNECT_AFTER_HINT = "reconnects after the notice's retry hint, with jitter"


@final
class CloseCode(Enum):
    """Every close code either side may send or see."""

    NORMAL = (1000, "normal", "the client leaves", Reaction.STOP)
    GOING_AWAY = (1001, "going away", "the page or process ends", Reaction.BACK_OFF)
    PROTOCOL_ERROR = (1002, "protocol error", "broken framing", Reaction.STOP)
    UNSUPPORTED_DATA = (1003, "unsupported data", "wrong kind of frame", Reaction.STOP)
    ABNORMAL = (1006, "abnormal", "no close frame arrived", Reaction.BACK_OFF)
    BAD_PAYLOAD = (1007, "bad payload", "a frame that cannot be decoded", Reaction.STOP)
    TOO_BIG = (1009, "too big", "a frame over the limit of its codec", Reaction.STOP)
    INTERNAL_ERROR = (
        1011,
        "internal error",
        "a fault of the server, after an error with an incident id",
        Reaction.BACK_OFF,
    )
    SERVICE_RESTART = (
        1012,
        "service restart",
        "drain, after a notice",
        Reaction.RECONNECT_AFTER_HINT,
    )
    TRY_AGAIN_LATER = (
        1013,
        "try again later",
        "the store is down or a limit is reached",
        Reaction.BACK_OFF,
    )
    RESYNC_REQUIRED = (
        4001,
        "resync required",
        "the reader stalled past the limit, the epoch changed under it, or a subscription failed",
        Reaction.RECONNECT,
    )
    FORBIDDEN = (4003, "forbidden", "the hello was refused", Reaction.STOP)
    NOT_A_HELLO = (
        4004,
        "not a hello",
        "nothing valid within the hello limit",
        Reaction.STOP,
    )
    UNSUPPORTED_PROTOCOL = (
        4005,
        "unsupported protocol",
        "no protocol version or codec in common",
        Reaction.STOP,
    )
    RATE_LIMIT_EXCEEDED = (
        4008,
        "rate limit exceeded",
        "more was sent than the granted credit",
        Reaction.BACK_OFF,
    )

    def __init__(self, code: int, label: str, when: str, reaction: Reaction) -> None:
        self.code = code
        self.label = label
        self.when = when
        self.reaction = reaction


BY_CODE: dict[int, CloseCode] = {each.code: each for each in CloseCode}


def reaction_to(code: int) -> Reaction:
    """What a client does on `code`; on one from a newer server it backs off, never loops fast."""
    known = BY_CODE.get(code)
    return Reaction.BACK_OFF if known is None else known.reaction


_BY_REFUSAL: Final = {
    RejectClass.STORE_UNAVAILABLE: CloseCode.TRY_AGAIN_LATER,
    RejectClass.ROOM_FULL: CloseCode.TRY_AGAIN_LATER,
    RejectClass.QUEUE_FULL: CloseCode.TRY_AGAIN_LATER,
    RejectClass.DRAINING: CloseCode.SERVICE_RESTART,
    RejectClass.UNSUPPORTED_PROTOCOL: CloseCode.UNSUPPORTED_PROTOCOL,
    RejectClass.TIMEOUT: CloseCode.NOT_A_HELLO,
}


def close_code_of(refusal: RejectClass) -> CloseCode:
    """How a server closes a session that it refuses for this reason."""
    return _BY_REFUSAL.get(refusal, CloseCode.FORBIDDEN)
