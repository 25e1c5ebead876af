"""What a client's session tells its shell after a frame has arrived."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias, final

import msgspec

from roomlog.core.node import Node
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.protocol.close_codes import CloseCode, Reaction


class Fault(Enum):
    """Why a client leaves a server, each with the close code it sends and what it does next."""

    PROTOCOL = ("broken protocol", CloseCode.PROTOCOL_ERROR, Reaction.BACK_OFF)
    """The server sent what this protocol does not allow."""
    TOO_BIG = ("frame too big", CloseCode.TOO_BIG, Reaction.BACK_OFF)
    """The server sent a frame over the limit of its codec."""
    UNSUPPORTED_PROTOCOL = ("no common protocol", CloseCode.UNSUPPORTED_PROTOCOL, Reaction.STOP)
    """The server speaks no version that this build speaks."""
    SERVER_KEY_CHANGED = ("another server key", CloseCode.NORMAL, Reaction.STOP)
    """Another server than the pinned one answers at this origin."""
    WELCOME_UNPROVEN = ("unproven welcome", CloseCode.NORMAL, Reaction.STOP)
    """The welcome is not signed by the server's key over this handshake: a relay, or a server that
    does not know itself by the origin dialled."""
    LINEAGE_MISMATCH = ("another lineage", CloseCode.NORMAL, Reaction.STOP)
    """The server's room is not the one this client has history of."""

    def __init__(self, label: str, code: CloseCode, reaction: Reaction) -> None:
        # The label also keeps members with equal codes and reactions apart.
        self.label = label
        self.code = code
        self.reaction = reaction


@final
class ServerFault(Exception):
    """Raised inside a session when the server broke the protocol; becomes `Faulted`."""

    def __init__(self, fault: Fault, reject: Reject) -> None:
        super().__init__(str(reject))
        self.fault = fault
        self.reject = reject


def broken(message: str, reason: str) -> ServerFault:
    """The fault of a message that is readable and makes no sense."""
    return ServerFault(Fault.PROTOCOL, Reject(RejectClass.INVALID_MESSAGE, f"{message}: {reason}"))


@final
class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The session is open: the server proved who it is and said how its log stands."""

    lineage: bytes
    epoch: bytes
    seq: int
    server_key: bytes
    server_name: str
    server_version: str
    session: str
    catch_up: str
    is_proven: bool
    """False only for a session without a key whose welcome could not be checked."""


@final
class Received(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of the log, in its order; `pack` is what they came in.

    `is_live` is False for what answers a request for history.
    """

    nodes: list[Node]
    pack: bytes
    from_seq: int
    to_seq: int
    is_live: bool


@final
class Acknowledged(msgspec.Struct, frozen=True):
    """Own nodes that are durably in the log, with their seq."""

    seqs: dict[bytes, int]


@final
class RefusedNode(msgspec.Struct, frozen=True, kw_only=True):
    """One own node that the server did not take."""

    id: bytes
    reject_class: str
    kind: RejectKind
    message: str
    detail: dict[str, object]
    root: bytes | None


@final
class Refused(msgspec.Struct, frozen=True):
    """Own nodes that the server did not take."""

    nodes: list[RefusedNode]


@final
class CaughtUp(msgspec.Struct, frozen=True):
    """Everything up to `seq` has been received; from here on the session is live."""

    seq: int


@final
class PongReceived(msgspec.Struct, frozen=True):
    """The head of the durable log when the server read the ping numbered `t`."""

    t: int
    seq: int


@final
class Draining(msgspec.Struct, frozen=True):
    """The server will close with 1012; come back after the hint."""

    deadline_ms: int
    retry_after_ms: int


@final
class Deprecated(msgspec.Struct, frozen=True):
    """Something this client uses will go."""

    what: str
    until: str


@final
class Moved(msgspec.Struct, frozen=True):
    """The room is served at another address."""

    url: str


@final
class ErrorReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The server refused something that is no node, or failed."""

    reject_class: str
    message: str
    kind: RejectKind
    retry_after_ms: int | None
    detail: dict[str, object]
    incident: str | None
    ref: str | None


@final
class Ignored(msgspec.Struct, frozen=True):
    """A message of a type this build does not know."""

    type: str


@final
class Faulted(msgspec.Struct, frozen=True):
    """The session is over by this side's decision: close with `fault.code`."""

    fault: Fault
    reject: Reject


ClientEvent: TypeAlias = (
    Opened
    | Received
    | Acknowledged
    | Refused
    | CaughtUp
    | PongReceived
    | Draining
    | Deprecated
    | Moved
    | ErrorReceived
    | Ignored
    | Faulted
)
