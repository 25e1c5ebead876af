"""Reject classes: what can be wrong with what a peer sent, declared once.

A class is stable on the wire. Its kind tells the sender what to do next.
"""

from enum import Enum


class RejectKind(Enum):
    """What the sender of refused data does next."""

    FINAL = "final"
    """It will never be taken: stop and report."""
    RETRY = "retry"
    """The same bytes may be taken later."""
    RESEND = "resend"
    """Send it again together with what was missing."""
    REBASE = "rebase"
    """Drop the refused operations and write the rest anew."""


class RejectClass(Enum):
    """Every class this build can produce. ``wire`` is its name in messages, ``kind`` its kind."""

    # protocol
    UNKNOWN_TYPE = ("unknown_type", RejectKind.FINAL)
    INVALID_MESSAGE = ("invalid_message", RejectKind.FINAL)
    INVALID_FIELD = ("invalid_field", RejectKind.FINAL)
    MESSAGE_TOO_LARGE = ("message_too_large", RejectKind.FINAL)
    UNSUPPORTED_PROTOCOL = ("unsupported_protocol", RejectKind.FINAL)
    NOT_NEGOTIATED = ("not_negotiated", RejectKind.FINAL)
    ROOM_ID_INVALID = ("room_id_invalid", RejectKind.FINAL)
    TIMEOUT = ("timeout", RejectKind.FINAL)
    INTERNAL = ("internal", RejectKind.FINAL)
    # identity
    PROOF_MISSING = ("proof_missing", RejectKind.FINAL)
    PROOF_INVALID = ("proof_invalid", RejectKind.FINAL)
    PEER_UNKNOWN = ("peer_unknown", RejectKind.FINAL)
    # node
    HEADER_INVALID = ("header_invalid", RejectKind.FINAL)
    VERSION_UNSUPPORTED = ("version_unsupported", RejectKind.FINAL)
    HASH_MISMATCH = ("hash_mismatch", RejectKind.FINAL)
    SIGNATURE_INVALID = ("signature_invalid", RejectKind.FINAL)
    SIGNATURE_MISSING = ("signature_missing", RejectKind.FINAL)
    PARENT_MISSING = ("parent_missing", RejectKind.RESEND)
    CLOCK_BEHIND_PARENT = ("clock_behind_parent", RejectKind.FINAL)
    CLOCK_AHEAD = ("clock_ahead", RejectKind.RETRY)
    LINEAGE_MISMATCH = ("lineage_mismatch", RejectKind.FINAL)
    BODY_INVALID = ("body_invalid", RejectKind.FINAL)
    BODY_MISSING = ("body_missing", RejectKind.FINAL)
    NODE_TOO_LARGE = ("node_too_large", RejectKind.FINAL)
    ANCESTOR_REFUSED = ("ancestor_refused", RejectKind.REBASE)
    AUTHOR_NOT_SESSION = ("author_not_session", RejectKind.FINAL)
    # authority
    WRITE_FORBIDDEN = ("write_forbidden", RejectKind.REBASE)
    # limits
    RATE_NODES = ("rate_nodes", RejectKind.RETRY)
    RATE_BYTES = ("rate_bytes", RejectKind.RETRY)
    RATE_MESSAGES = ("rate_messages", RejectKind.RETRY)
    QUEUE_FULL = ("queue_full", RejectKind.RETRY)
    ROOM_FULL = ("room_full", RejectKind.RETRY)
    STORE_UNAVAILABLE = ("store_unavailable", RejectKind.RETRY)
    DRAINING = ("draining", RejectKind.RETRY)
    PRESENCE_TOO_LARGE = ("presence_too_large", RejectKind.RETRY)
    SUBSCRIPTION_INVALID = ("subscription_invalid", RejectKind.RETRY)
    # history
    EPOCH_UNKNOWN = ("epoch_unknown", RejectKind.FINAL)
    CHECKPOINT_NOT_FOUND = ("checkpoint_not_found", RejectKind.FINAL)
    # rooms
    ROOM_NOT_FOUND = ("room_not_found", RejectKind.FINAL)

    wire: str
    kind: RejectKind

    def __init__(self, wire: str, kind: RejectKind) -> None:
        self.wire = wire
        self.kind = kind

    @classmethod
    def from_wire(cls, wire: str) -> "RejectClass | None":
        """The class of that wire name, or None when this build does not know it."""
        return _BY_WIRE.get(wire)


_BY_WIRE = {member.wire: member for member in RejectClass}


class Reject(Exception):
    """A peer's fault: the class, a message for people, and detail for programs."""

    def __init__(
        self,
        reject_class: RejectClass,
        message: str = "",
        detail: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message or reject_class.wire)
        self.reject_class = reject_class
        self.message = message or reject_class.wire
        self.detail: dict[str, object] = {} if detail is None else detail

    def __repr__(self) -> str:
        return f"Reject({self.reject_class.wire}, {self.message!r}, {self.detail!r})"
