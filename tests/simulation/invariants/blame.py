"""An honest client and an honest server never say that the other broke the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roomlog.core.reject import RejectClass
from roomlog.protocol.close_codes import CloseCode
from tests.simulation.invariants.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

BLAMES = {
    code.code
    for code in (
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.BAD_PAYLOAD,
        CloseCode.TOO_BIG,
        CloseCode.INTERNAL_ERROR,
        CloseCode.FORBIDDEN,
        CloseCode.UNSUPPORTED_PROTOCOL,
        CloseCode.RATE_LIMIT_EXCEEDED,
    )
}


def check_endings(world: World) -> None:
    """Look at how sessions ended since the last time. Raises `Violation`."""
    for server in world.servers.values():
        endings, server.log.endings = server.log.endings, []
        for name, by, code, reason in endings:
            client = world.clients.get(name)
            if client is None or client.had_damaged_line or code not in BLAMES:
                continue
            if client.is_reader and reason == RejectClass.ROOM_NOT_FOUND.wire:
                continue
            if server.had_fault and code == CloseCode.INTERNAL_ERROR.code:
                continue
            raise Violation("honest_blamed", f"{name} at {server.name}: by {by}, {code} {reason}")
