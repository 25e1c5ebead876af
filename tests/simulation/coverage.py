"""Everything that must happen somewhere in the simulator, and what of it has.

The lists come from the declarations of what the project has. Whoever adds a message, a reject
class, a close code, a rung of the ladder, a capability, an attack or a fault finds it missing here
until some run produces it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

from roomlog.core.reject import RejectClass
from roomlog.protocol.capabilities import CAPABILITIES
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import (
    Codec,
    MessageRefused,
    Undecodable,
    client_frames,
    server_frames,
)
from roomlog.protocol.message_cost import REQUEST_KINDS, kinds_of
from roomlog.protocol.messages import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    CatchUp,
    Error,
    Message,
    PackAck,
    Request,
    Welcome,
)
from tests.simulation import all_actions  # noqa: F401  (registers them)
from tests.simulation.actions import ACTIONS
from tests.simulation.disk import Call, Fault, Loss
from tests.simulation.hostile.every import ATTACKS, LIES
from tests.simulation.network import BINARY, TEXT, Conditions, Link
from tests.simulation.network_faults import LINE_FAULTS
from tests.simulation.server_machine import ServerMachine

if TYPE_CHECKING:
    from tests.simulation.world import World

CLASSES_LEFT_OUT: dict[RejectClass, str] = {
    RejectClass.WRITE_FORBIDDEN: "declared for rooms with rules, and nothing makes rules yet",
    RejectClass.ROOM_ID_INVALID: "said over HTTP, before there is a socket: test_routes.py",
}
"""What no server says over a socket, each with the reason."""

CODES_LEFT_OUT: dict[CloseCode, str] = {
    CloseCode.NORMAL: "only clients leave like this",
    CloseCode.GOING_AWAY: "only clients leave like this",
}


def _tag(message: type[Message]) -> str:
    return str(message.__struct_config__.tag)


def _messages(direction: str, messages: Iterable[type[Message]]) -> list[str]:
    return [
        f"message {direction} {_tag(each)} {codec.name.lower()}"
        for each in messages
        for codec in Codec
    ]


def _disk() -> list[str]:
    failing = [f"disk {call.value} {Fault.ERROR.value}" for call in Call if call is not Call.ANY]
    return [
        *failing,
        f"disk {Call.WRITE.value} {Fault.FULL.value}",
        "disk disk full",
        "disk write lost",
        "disk write torn",
        "disk older copy",
        f"disk power loss {Loss.RANDOM.value}",
    ]


MUST_BE_SEEN: dict[str, list[str]] = {
    "messages of clients": _messages("to_server", CLIENT_MESSAGES),
    "messages of servers": _messages("to_client", SERVER_MESSAGES),
    "requests": [f"request {kind}" for kind in REQUEST_KINDS],
    "reject classes": [
        f"class {each.wire}" for each in RejectClass if each not in CLASSES_LEFT_OUT
    ],
    "close codes of servers": [
        f"close {each.code}" for each in CloseCode if each not in CODES_LEFT_OUT
    ],
    "ways to catch up": [f"catch-up {each}" for each in get_args(CatchUp)],
    "capabilities": [
        f"capability {row.name} {state}" for row in CAPABILITIES for state in ("on", "off")
    ],
    "steps": [f"step {name}" for name in ACTIONS],
    "attacks to their end": [f"attack {name}" for name in ATTACKS],
    "lies": [f"lie {name}" for name in LIES],
    "faults of the network": [
        "network cut",
        "network half-open",
        "network not read",
        *(f"network {each.name}" for each in fields(Conditions) if each.name[:3] != "to_"),
        *(f"frame {fault}" for fault in LINE_FAULTS),
    ],
    "faults of machines": [
        *(f"{who} {what}" for who in ("server", "client") for what in ("kill", "power loss")),
        "power loss within a call",
        "clock ahead",
        "clock behind or right",
        "store put back",
    ],
    "faults of disks": _disk(),
}
"""By what they are, the names that `World.seen` has for them."""


class Coverage:
    """Counts in a world what its machines say to each other: each frame is read once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._of_client = {codec: client_frames(codec).read for codec in Codec}
        self._of_server = {codec: server_frames(codec).read for codec in Codec}
        world.network.observers.append(self._look)

    def _look(self, link: Link, lane: str, opcode: int, payload: bytes) -> None:
        if opcode not in (TEXT, BINARY):
            return
        server = self._world.network.servers.get(link.origin)
        # What a hostile server says is no evidence of what an honest one can say.
        if not isinstance(server, ServerMachine) or server.life is not link.server:
            return
        read = self._of_client if lane == "to_server" else self._of_server
        try:
            message: Message = read[link.codec](payload)
        except (MessageRefused, Undecodable):
            # Only clients send such.
            return
        saw = self._world.saw
        saw(f"message {lane} {_tag(type(message))} {link.codec.name.lower()}")
        if isinstance(message, Error):
            saw(f"class {message.reject_class}")
        elif isinstance(message, PackAck):
            for refused in message.rejected:
                saw(f"class {refused.reject_class}")
        elif isinstance(message, Request):
            for kind in kinds_of(message):
                saw(f"request {kind}")
        elif isinstance(message, Welcome):
            saw(f"catch-up {message.catch_up}")
            for row in CAPABILITIES:
                saw(f"capability {row.name} {'on' if row.name in message.caps else 'off'}")


def missing(seen: Counter[str]) -> list[str]:
    """What must be seen and was not, by group."""
    return [
        f"{group}: {name}"
        for group, names in MUST_BE_SEEN.items()
        for name in names
        if not seen[name]
    ]


def table(seen: Counter[str]) -> str:
    """A line a group: how much of it was seen, and what was not."""
    lines = []
    for group, names in MUST_BE_SEEN.items():
        lacking = [name for name in names if not seen[name]]
        shown = f"; never: {', '.join(lacking)}" if lacking else ""
        lines.append(f"  {group:<24} {len(names) - len(lacking):>3} of {len(names):>3}{shown}")
    return "\n".join(lines)
