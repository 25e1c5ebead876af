"""Every message of the protocol: one struct each, the same in JSON and MessagePack.

Unknown fields are ignored in both directions. `room` is reserved for several rooms on one socket.
`ref` is chosen by whoever asks and echoed by every answer.
"""

from __future__ import annotations

from roomlog.protocol.messages.client import (
    Hello,
    Ping,
    Presence,
    PushPack,
    Request,
    Signal,
    Subscribe,
)
from roomlog.protocol.messages.parts import (
    After,
    Count,
    CreditTotals,
    Cursor,
    Dialled,
    Epoch,
    Frontier,
    HashOf,
    Have,
    Identity,
    IdPrefix,
    Label,
    Lineage,
    Message,
    NodeId,
    Nonce,
    Patterns,
    Peer,
    Pending,
    PresenceEntry,
    PublicKey,
    Ref,
    Sequence,
    ShortText,
    Signature,
    SignedCheckpoint,
    Software,
)
from roomlog.protocol.messages.server import (
    CatchUp,
    Challenge,
    Checkpoint,
    Credit,
    Deprecation,
    Drain,
    Error,
    Moved,
    Notice,
    Pack,
    PackAck,
    PeerJoined,
    PeerLeft,
    Pong,
    PresenceLeft,
    PresenceShown,
    PresenceSnapshot,
    RejectedNode,
    RequestEnd,
    SignalReceived,
    Snapshot,
    StateHashReport,
    SubscribeAck,
    Welcome,
)

ClientMessage = Hello | PushPack | Request | Subscribe | Presence | Signal | Ping
ServerMessage = (
    Challenge
    | Welcome
    | Credit
    | Checkpoint
    | Snapshot
    | Pack
    | PackAck
    | Pong
    | RequestEnd
    | SubscribeAck
    | StateHashReport
    | PresenceShown
    | PresenceSnapshot
    | PresenceLeft
    | PeerJoined
    | PeerLeft
    | SignalReceived
    | Notice
    | Error
)

CLIENT_MESSAGES: tuple[type[Message], ...] = (
    Hello,
    PushPack,
    Request,
    Subscribe,
    Presence,
    Signal,
    Ping,
)
SERVER_MESSAGES: tuple[type[Message], ...] = (
    Challenge,
    Welcome,
    Credit,
    Checkpoint,
    Snapshot,
    Pack,
    PackAck,
    Pong,
    RequestEnd,
    SubscribeAck,
    StateHashReport,
    PresenceShown,
    PresenceSnapshot,
    PresenceLeft,
    PeerJoined,
    PeerLeft,
    SignalReceived,
    Notice,
    Error,
)

__all__ = [
    "CLIENT_MESSAGES",
    "SERVER_MESSAGES",
    "After",
    "CatchUp",
    "Challenge",
    "Checkpoint",
    "ClientMessage",
    "Count",
    "Credit",
    "CreditTotals",
    "Cursor",
    "Deprecation",
    "Dialled",
    "Drain",
    "Epoch",
    "Error",
    "Frontier",
    "HashOf",
    "Have",
    "Hello",
    "IdPrefix",
    "Identity",
    "Label",
    "Lineage",
    "Message",
    "Moved",
    "NodeId",
    "Nonce",
    "Notice",
    "Pack",
    "PackAck",
    "Patterns",
    "Peer",
    "PeerJoined",
    "PeerLeft",
    "Pending",
    "Ping",
    "Pong",
    "Presence",
    "PresenceEntry",
    "PresenceLeft",
    "PresenceShown",
    "PresenceSnapshot",
    "PublicKey",
    "PushPack",
    "Ref",
    "RejectedNode",
    "Request",
    "RequestEnd",
    "Sequence",
    "ServerMessage",
    "ShortText",
    "Signal",
    "SignalReceived",
    "Signature",
    "SignedCheckpoint",
    "Snapshot",
    "Software",
    "StateHashReport",
    "Subscribe",
    "SubscribeAck",
    "Welcome",
]
