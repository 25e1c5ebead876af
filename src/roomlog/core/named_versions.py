"""Versions with a name, kept in the room itself: map keys below one reserved first segment."""

from __future__ import annotations

from typing import Final, NamedTuple

from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.hashing import HASH_BYTES
from roomlog.core.path_key import check_segment

VERSIONS_SEGMENT: Final = "@versions"
"""The map that versions are kept in: the version ``name`` is the key ``@versions/name``."""

MAX_NAME_BYTES: Final = 256
MAX_NOTE_BYTES: Final = 4096


class NamedVersion(NamedTuple):
    """A version of the room that somebody gave a name.

    `frontier` has the ids of its heads, ascending. `author` is the public key of who saved it, as
    they say; `time_ms` is their wall clock then, in milliseconds since 1970.
    """

    name: str
    frontier: tuple[bytes, ...]
    author: bytes
    time_ms: int
    note: str


def is_reserved(key: str) -> bool:
    """Whether a path key belongs to roomlog itself."""
    return key == VERSIONS_SEGMENT or key.startswith(f"{VERSIONS_SEGMENT}/")


def check_name(name: object) -> None:
    """Raise `InvalidTypeError` or `InvalidValueError` for what cannot name a version."""
    if not isinstance(name, str):
        raise InvalidTypeError(f"name: a str, not {name!r}")
    check_segment(name)
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidValueError(f"name: more than {MAX_NAME_BYTES} bytes")


def check_note(note: object) -> None:
    """Raise `InvalidTypeError` or `InvalidValueError` for what cannot be a version's note."""
    if not isinstance(note, str):
        raise InvalidTypeError(f"note: a str, not {note!r}")
    try:
        size_bytes = len(note.encode())
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"note: lone surrogate at {error.start}") from None
    if size_bytes > MAX_NOTE_BYTES:
        raise InvalidValueError(f"note: {size_bytes} bytes, at most {MAX_NOTE_BYTES}")


def value_of_version(version: NamedVersion) -> list[object]:
    """What the version's key holds: ``[frontier, author, time in ms, note]``."""
    return [list(version.frontier), version.author, version.time_ms, version.note]


def version_of_value(name: str, value: object) -> NamedVersion | None:
    """The version that a value of the reserved map says; None for anything else."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    frontier, author, time_ms, note = value
    if (
        not isinstance(frontier, list)
        or not all(type(each) is bytes and len(each) == HASH_BYTES for each in frontier)
        or frontier != sorted(set(frontier))
        or type(author) is not bytes
        or len(author) != HASH_BYTES
        or type(time_ms) is not int
        or type(note) is not str
    ):
        return None
    return NamedVersion(name, tuple(frontier), author, time_ms, note)
