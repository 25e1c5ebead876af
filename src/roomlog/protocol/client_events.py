"""What a client's session tells its shell after a frame has arrived."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias, final

import msgspec

from roomlog.core.node import Node
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.protocol.close_codes import CloseCode, Reaction
from roomlog.protocol.messages import Peer, SignedCheckpoint


class Fault(Enum):
    """Why a client leaves a server, each with the close code it sends and what it does next."""

    PROTOCOL = ("broken protocol", CloseCode.PROTOCOL_ERROR, Reaction.BACK_OFF)
    """The server sent what this protocol does not allow."""
    TOO_BIG = ("frame too big", CloseCode.TOO_BIG, Reaction.BACK_OFF)
    """The server sent a frame over the limit of its codec."""
    NOT_NOW = ("history refused for now", CloseCode.NORMAL, Reaction.BACK_OFF)
    """No fault, but nothing to go on with: the server wants to be asked for its history later."""
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
    """How it begins to catch up: `none`, `cursor`, `cut`, `walk` or `snapshot`."""
    is_proven: bool
    """False only for a session without a key whose welcome could not be checked."""
    frontier: tuple[bytes, ...] = ()
    """The heads of the log at `seq`."""
    subscribed: tuple[str, ...] = ()
    """The patterns in force, () for everything."""
    resend_window_ms: int = 0
    """How long ago nodes were admitted that may come unsigned."""
    limits: dict[str, int] = {}
    """What the server enforces, by the keys of its configuration."""


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
    is_signed: bool = True
    """False only in answer to a request that allowed it."""
    has_bodies: bool = True
    """False when some node came without its body: only under a subscription."""


@final
class CutFound(msgspec.Struct, frozen=True):
    """Both logs are the same up to `seq` and nothing is known to be the same beyond.

    `seq` counts in the client's old log and in the server's. What the client held of its log
    beyond it the server has only if it comes in this session.
    """

    seq: int


@final
class WalkFound(msgspec.Struct, frozen=True):
    """Where the histories part: the server has everything at or below `known`.

    It lacks the nodes of `unknown` and whatever stands on them. Held nodes that are neither below
    `known` nor come in this session, the server lacks.
    """

    known: tuple[bytes, ...]
    unknown: tuple[bytes, ...]


@final
class CatchUpChanged(msgspec.Struct, frozen=True):
    """Another rung of the ladder is taken than before; `reason` is for people."""

    catch_up: str
    reason: str


@final
class SnapshotReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A whole snapshot whose bytes have the digest it gives; nothing else of it was checked.

    What follows is read from `seq` on. `signature` and `state_hash` are still to be checked.
    """

    seq: int
    frontier_pack: bytes
    state: bytes
    state_hash: bytes
    digest: bytes
    signature: bytes


@final
class MissingAsked(msgspec.Struct, frozen=True):
    """The server lost what the log of `epoch` had after `after_seq`, and takes it from anybody."""

    epoch: bytes
    after_seq: int


@final
class CheckpointReceived(msgspec.Struct, frozen=True):
    """The server's word on how far its log has come, its signature checked: to be kept."""

    checkpoint: SignedCheckpoint


@final
class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Older nodes that were asked for, in the order of the log."""

    nodes: list[Node]
    pack: bytes
    from_seq: int
    to_seq: int
    is_signed: bool
    has_bodies: bool


@final
class HistoryEnd(msgspec.Struct, frozen=True):
    """The page is there; 1 is the end of history, else more lies below `from_seq`."""

    from_seq: int


@final
class SubscriptionChanged(msgspec.Struct, frozen=True):
    """Nodes after `seq` follow `patterns`; the bodies of earlier ones are under way."""

    patterns: tuple[str, ...]
    seq: int


@final
class BodiesFilled(msgspec.Struct, frozen=True, kw_only=True):
    """Whole nodes, some of which were held without their bodies."""

    nodes: list[Node]
    pack: bytes
    from_seq: int
    to_seq: int


@final
class SubscriptionComplete(msgspec.Struct, frozen=True):
    """Every body that `patterns` wants is there."""

    patterns: tuple[str, ...]


@final
class StateHashReceived(msgspec.Struct, frozen=True, kw_only=True):
    """The server's state hash at `frontier`, for the `patterns` that were asked for."""

    patterns: tuple[str, ...]
    frontier: tuple[bytes, ...]
    hash: str
    coverage: dict[str, object]


class Question(Enum):
    """What a session may ask for beside its log."""

    HISTORY = "history"
    SUBSCRIPTION = "subscription"
    STATE_HASH = "state hash"


@final
class QuestionRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A question has no answer; it may be asked again."""

    question: Question
    reject_class: str
    kind: RejectKind
    message: str
    retry_after_ms: int | None


@final
class PresenceChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What another session shows of itself."""

    pubkey: bytes
    label: str
    session: str
    data: object


@final
class PresenceGone(msgspec.Struct, frozen=True, kw_only=True):
    """Another session shows nothing any more; `reason` is `left` or `expired`."""

    pubkey: bytes
    label: str
    session: str
    reason: str


@final
class PresenceRefused(msgspec.Struct, frozen=True, kw_only=True):
    """What this session wanted to show was not taken."""

    reject_class: str
    kind: RejectKind
    message: str
    retry_after_ms: int | None


@final
class PeerCame(msgspec.Struct, frozen=True):
    """An identity is in the room."""

    peer: Peer


@final
class PeerWent(msgspec.Struct, frozen=True):
    """The last session of an identity is gone."""

    peer: Peer


@final
class SignalReceived(msgspec.Struct, frozen=True, kw_only=True):
    """A word from one peer."""

    pubkey: bytes
    label: str
    session: str
    data: object


@final
class SignalRefused(msgspec.Struct, frozen=True, kw_only=True):
    """A signal reached nobody; `ref` is what `send_signal` returned."""

    ref: str
    reject_class: str
    kind: RejectKind
    message: str
    retry_after_ms: int | None


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
class PingRefused(msgspec.Struct, frozen=True):
    """The server does not answer the ping numbered `t`; `retry_after_ms` is its hint, if any."""

    t: int
    retry_after_ms: int | None


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
    | CutFound
    | WalkFound
    | CatchUpChanged
    | SnapshotReceived
    | MissingAsked
    | CheckpointReceived
    | HistoryPage
    | HistoryEnd
    | SubscriptionChanged
    | BodiesFilled
    | SubscriptionComplete
    | StateHashReceived
    | QuestionRefused
    | PresenceChanged
    | PresenceGone
    | PresenceRefused
    | PeerCame
    | PeerWent
    | SignalReceived
    | SignalRefused
    | Acknowledged
    | Refused
    | CaughtUp
    | PongReceived
    | PingRefused
    | Draining
    | Deprecated
    | Moved
    | ErrorReceived
    | Ignored
    | Faulted
)
