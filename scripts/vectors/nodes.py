"""Nodes: header, body hash, id and signature; and single nodes that are refused.

"lineage" keys the ids; "seeds" are the authors' Ed25519 seeds. Every entry of "hostile" is a header
(without its last 32 bytes, the body hash) and a body, refused with its class before any signature,
parent or clock is looked at.
"""

from __future__ import annotations

import struct

from scripts.vectors._material import (
    FIRST_CLOCK,
    IDENTITIES,
    LINEAGE,
    ROOM_ID,
    SEEDS,
    change,
    merge,
    node_as_json,
)

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.operation import CounterAdd, MapDelete, MapSet, TextInsert, encode_body

_BODY = encode_body([MapDelete("k")])


def _prefix(
    *, version: int = 1, kind: int = 1, clock: int = 1, count: int = 0, parents: bytes = b""
) -> bytes:
    author = IDENTITIES[0].public_key
    return struct.pack(">BB32sQB", version, kind, author, clock, count) + parents


_ONE, _TWO = b"\x01" * 32, b"\x02" * 32

HOSTILE: dict[str, tuple[bytes, bytes, str]] = {
    "no header": (b"", _BODY, "version_unsupported"),
    "version 2": (_prefix(version=2), _BODY, "version_unsupported"),
    "kind 0": (_prefix(kind=0), _BODY, "header_invalid"),
    "kind 3": (_prefix(kind=3), _BODY, "header_invalid"),
    "clock at the limit": (_prefix(clock=CLOCK_LIMIT), _BODY, "header_invalid"),
    "header cut short": (_prefix()[:-1], _BODY, "header_invalid"),
    "header too long": (_prefix() + b"\0", _BODY, "header_invalid"),
    "fewer parents than counted": (_prefix(count=2, parents=_ONE), _BODY, "header_invalid"),
    "parents descending": (_prefix(count=2, parents=_TWO + _ONE), _BODY, "header_invalid"),
    "a parent twice": (_prefix(count=2, parents=_ONE + _ONE), _BODY, "header_invalid"),
    "65 parents": (
        _prefix(count=65, parents=b"".join(bytes([n]) * 32 for n in range(65))),
        _BODY,
        "header_invalid",
    ),
    "merge without parents": (_prefix(kind=2), b"\x90", "header_invalid"),
    "merge of one parent": (_prefix(kind=2, count=1, parents=_ONE), b"\x90", "header_invalid"),
    "merge with an operation": (
        _prefix(kind=2, count=2, parents=_ONE + _TWO),
        _BODY,
        "body_invalid",
    ),
    "change without operations": (_prefix(), b"\x90", "body_invalid"),
    "body of no bytes": (_prefix(), b"", "body_invalid"),
}


def vectors() -> dict[str, object]:
    """A small history with every shape of header, and refused nodes."""
    root = change(MapSet("title", "vectors"))
    left = change(TextInsert("notes", 0, "left"), parents=[root], clock=FIRST_CLOCK + 1, author=1)
    right = change(CounterAdd("votes", 2), parents=[root], clock=FIRST_CLOCK + 2048, author=2)
    both = merge(left, right, clock=FIRST_CLOCK + 2049)
    late = change(MapDelete("title"), parents=[root, both], clock=FIRST_CLOCK + 2050)
    last = change(MapDelete("k"), clock=CLOCK_LIMIT - 1, author=1)
    wide = [change(MapSet("k", number), clock=number, author=2) for number in range(64)]
    gathered = change(MapDelete("k"), parents=wide, clock=64, author=2)
    named = {
        "change without parents": root,
        "change on one parent": left,
        "change of a third author": right,
        "merge of two": both,
        "parents that are no antichain": late,
        "greatest clock": last,
        "64 parents": gathered,
    }
    return {
        "room_id": ROOM_ID,
        "lineage": LINEAGE.hex(),
        "seeds": [seed.hex() for seed in SEEDS],
        "valid": [{"name": name, **node_as_json(node)} for name, node in named.items()],
        "hostile": [
            {"name": name, "header": header.hex(), "body": body.hex(), "class": reject_class}
            for name, (header, body, reject_class) in HOSTILE.items()
        ],
    }
