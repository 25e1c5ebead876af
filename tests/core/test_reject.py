"""Reject classes and the caller's errors."""

from __future__ import annotations

import pytest

from roomlog.core.errors import (
    ClockExhaustedError,
    NodeTooLargeError,
    RoomlogError,
    UnknownNodeError,
)
from roomlog.core.reject import Reject, RejectClass, RejectKind


def test_every_class_is_found_by_its_wire_name_which_is_its_name_in_lower_case() -> None:
    for reject_class in RejectClass:
        assert reject_class.wire == reject_class.name.lower()
        assert RejectClass.from_wire(reject_class.wire) is reject_class
    assert RejectClass.from_wire("no_such_class") is None


def test_the_kinds_are_those_of_the_contract() -> None:
    by_kind = {
        kind: {member.wire for member in RejectClass if member.kind is kind} for kind in RejectKind
    }
    assert by_kind[RejectKind.RESEND] == {"parent_missing"}
    assert by_kind[RejectKind.REBASE] == {"ancestor_refused", "write_forbidden"}
    assert by_kind[RejectKind.RETRY] == {
        "clock_ahead",
        "rate_nodes",
        "rate_bytes",
        "rate_messages",
        "queue_full",
        "room_full",
        "store_unavailable",
        "draining",
        "presence_too_large",
        "subscription_invalid",
    }


def test_a_reject_carries_class_message_and_detail() -> None:
    bare = Reject(RejectClass.TIMEOUT)
    assert (bare.message, bare.detail) == ("timeout", {})
    full = Reject(RejectClass.INVALID_FIELD, "bad", {"field": "nodes"})
    assert str(full) == "bad"
    assert full.detail == {"field": "nodes"}
    assert repr(full) == "Reject(invalid_field, 'bad', {'field': 'nodes'})"


def test_the_callers_errors_say_what_they_are_about() -> None:
    unknown = UnknownNodeError(b"\xab" * 32)
    assert str(unknown) == "unknown node " + "ab" * 32
    large = NodeTooLargeError(7, 5)
    assert (large.size_bytes, large.limit_bytes) == (7, 5)
    for error in (unknown, large, ClockExhaustedError("end")):
        with pytest.raises(RoomlogError):
            raise error
