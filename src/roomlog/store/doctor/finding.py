"""What a look at a store found, in words for the person who operates it."""

from __future__ import annotations

import enum

from msgspec import Struct


class Severity(enum.Enum):
    """How bad a finding is.

    NOTE: worth knowing, nothing is wrong. WARNING: something should be done, nothing is lost.
    DAMAGE: something that was written is not what it was.
    """

    NOTE = "note"
    WARNING = "warning"
    DAMAGE = "damage"


class Finding(Struct, frozen=True):
    """One thing that was found.

    `code` is its name for programs; `room` the room it is about, "" for the whole store. `meaning`,
    `lost` ("" for nothing) and `remedy` are sentences. `is_repairable` says that a repair changes
    something about it.
    """

    code: str
    severity: Severity
    room: str
    meaning: str
    lost: str
    remedy: str
    is_repairable: bool


def note(code: str, meaning: str, remedy: str = "Nothing has to be done.") -> Finding:
    """Worth knowing; a store with nothing but notes is healthy."""
    return Finding(code, Severity.NOTE, "", meaning, "", remedy, False)


def warning(code: str, meaning: str, remedy: str, *, is_repairable: bool = False) -> Finding:
    """Something should be done, and nothing is lost."""
    return Finding(code, Severity.WARNING, "", meaning, "", remedy, is_repairable)


def damage(
    code: str,
    meaning: str,
    *,
    remedy: str,
    lost: str = "",
    room: str = "",
    is_repairable: bool = True,
) -> Finding:
    """Something is not what was written."""
    return Finding(code, Severity.DAMAGE, room, meaning, lost, remedy, is_repairable)


def is_healthy(findings: list[Finding]) -> bool:
    """Whether nothing but notes was found."""
    return all(each.severity is Severity.NOTE for each in findings)
