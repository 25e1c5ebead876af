"""A target with a bug in it: what the runner does with a crash is tried on this one."""

from __future__ import annotations

from collections.abc import Iterable

from roomlog.core.pack.varint import Reader
from roomlog.core.reject import Reject
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """No input has 300 and 7 in it, one would think."""
    reader = Reader(data, 0, len(data))
    try:
        numbers = [reader.uvarint(), reader.uvarint()]
    except Reject:
        return
    assert numbers != [300, 7], "the planted bug"


def seeds() -> Iterable[bytes]:
    """Not far from the bug."""
    return [b"\xac\x02\x01", b"\x01\x07"]


TARGET = Target(check, seeds, most_bytes=4)
