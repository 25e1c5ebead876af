"""Refusals that several parts of a session make in the same words."""

from __future__ import annotations

from roomlog.core.reject import Reject, RejectClass


def field_reject(field: str, reason: str) -> Reject:
    """The refusal (invalid_field) of one field."""
    return Reject(
        RejectClass.INVALID_FIELD, f"{field}: {reason}", {"field": field, "reason": reason}
    )


def not_negotiated(capability: str) -> Reject:
    """The refusal of what needs a capability that the two sides do not both have."""
    return Reject(
        RejectClass.NOT_NEGOTIATED, f"this needs {capability}", {"capability": capability}
    )


def queue_full(reason: str) -> Reject:
    """The refusal of a request before those before it are answered."""
    return Reject(RejectClass.QUEUE_FULL, reason)
