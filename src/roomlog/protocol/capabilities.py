"""Capabilities: declared once; a session has the meet of what both sides offer.

A flag is met when both sides offer it; a number is met as the smaller of the two. What one side
does not know or does not offer is left out, and the older path beside it is used.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

import msgspec

from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits

PROTOCOL_VERSION: Final = 1
FEATURE_LEVEL: Final = 1


class CapabilityKind(Enum):
    """How two offers meet."""

    FLAG = "flag"
    SMALLER = "smaller number"


@final
class Capability(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    kind: CapabilityKind
    introduced_at_level: int
    meaning: str


CAPABILITIES: Final[tuple[Capability, ...]] = (
    Capability("codec_msgpack", CapabilityKind.FLAG, 1, "speaks roomlog.v1+msgpack"),
    Capability("cursor_resume", CapabilityKind.FLAG, 1, "resumes from a cursor {epoch, seq, id}"),
    Capability("log_cut", CapabilityKind.FLAG, 1, "finds where two logs part by `request {have}`"),
    Capability(
        "snapshot_join", CapabilityKind.FLAG, 1, "joins by a snapshot and what came after it"
    ),
    Capability(
        "header_only_nodes", CapabilityKind.FLAG, 1, "subscribes to keys; other nodes lack bodies"
    ),
    Capability("unsigned_bulk", CapabilityKind.FLAG, 1, "takes old history without signatures"),
    Capability("presence_ttl", CapabilityKind.FLAG, 1, "presence, peers and signals, with expiry"),
    Capability("feature_level", CapabilityKind.SMALLER, 1, "highest feature level understood"),
    Capability(
        "max_frame_bytes",
        CapabilityKind.SMALLER,
        1,
        "longest MessagePack frame accepted, in bytes, and two thirds of the longest JSON frame;"
        " less than 524,288 counts as that",
    ),
    Capability("max_pack_nodes", CapabilityKind.SMALLER, 1, "most nodes accepted in one pack"),
)

Offer = dict[str, object]


def own_offer(limits: SessionLimits = DEFAULT_LIMITS) -> Offer:
    """What this build offers under `limits`."""
    return {
        "codec_msgpack": True,
        "cursor_resume": True,
        "log_cut": True,
        "snapshot_join": True,
        "header_only_nodes": True,
        "unsigned_bulk": True,
        "presence_ttl": True,
        "feature_level": FEATURE_LEVEL,
        "max_frame_bytes": limits.frame_bytes,
        "max_pack_nodes": limits.pack_nodes,
    }


def meet(ours: Offer, theirs: Offer) -> Offer:
    """The capabilities both sides have; anything malformed in `theirs` counts as not offered."""
    met: Offer = {}
    for row in CAPABILITIES:
        a, b = ours.get(row.name), theirs.get(row.name)
        if row.kind is CapabilityKind.FLAG:
            if a is True and b is True:
                met[row.name] = True
        elif _is_positive(a) and _is_positive(b):
            assert isinstance(a, int)
            assert isinstance(b, int)
            met[row.name] = min(a, b)
    return met


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
