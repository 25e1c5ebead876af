"""More of everything than was granted: refused with a hint, and at last sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from roomlog.core.pack.varint import uvarint
from roomlog.core.reject import RejectClass
from roomlog.protocol.messages import Error
from tests.simulation.hostile.attack import Attacker, attack
from tests.simulation.hostile.raw_session import Closed, RawSession
from tests.simulation.network import PING, PONG

FLOODED = (4008,)


@attack("flood of nodes")
async def flood_of_nodes(attacker: Attacker) -> None:
    """A pack that claims more nodes than were granted."""
    session = attacker.session()
    welcome = await session.join()
    claimed = b"\x01\x06" + uvarint(welcome.credit.nodes + welcome.limits["pack_nodes"])
    for _ in range(2):
        session.push(nodes=claimed)
    await attacker.demand_close(session, *FLOODED)


@attack("flood of bytes")
async def flood_of_bytes(attacker: Attacker) -> None:
    """Packs longer than what was granted, most of it nothing."""
    session = attacker.session()
    welcome = await session.join()
    share = 3 if session.codec.is_text else 2
    size_bytes = welcome.limits["frame_bytes"] // share
    for _ in range(welcome.credit.bytes // size_bytes + 2):
        session.push(nodes=b"\x01\x06\x01" + bytes(size_bytes))
    await attacker.demand_close(session, *FLOODED)


Message = Callable[[RawSession, int], dict[str, Any]]
WORDS: dict[str, Message] = {
    "pings": lambda session, n: {"type": "ping", "t": n},
    "hellos": lambda session, n: session.hello(),
    "requests": lambda session, n: {"type": "request", "ids": [], "ref": f"f{n}"},
    "snapshots": lambda session, n: {"type": "request", "snapshot": True, "ref": f"f{n}"},
    "hashes": lambda session, n: {"type": "request", "hash": {}, "ref": f"f{n}"},
    "subscriptions": lambda session, n: {"type": "subscribe", "patterns": [f"k/{n}"]},
    "presence": lambda session, n: {"type": "presence", "data": {"n": n, "x": "x" * 500}},
    "signals": lambda session, n: {
        "type": "signal",
        "to": {"pubkey": session.identity.public_key if session.identity else bytes(32)},
        "data": n,
    },
    "empty packs": lambda session, n: {
        "type": "pack",
        "lineage": session.welcome.lineage,
        "nodes": b"\x01\x06\x00\x00\x00",
    },
    "broken packs": lambda session, n: {
        "type": "pack",
        "lineage": session.welcome.lineage,
        "nodes": b"",
    },
    "unknown words": lambda session, n: {"type": f"word {n}"},
    "errors": lambda session, n: {"type": "error", "class": "internal", "message": "", "kind": ""},
    "nonsense": lambda session, n: {"type": "ping", "t": "now"},
}
"""None of them is free. T30"""


@attack("flood of words")
async def flood_of_words(attacker: Attacker) -> None:
    """One kind of message as fast as the socket takes it."""
    kinds = attacker.how.get("kinds") or [attacker.chance.choice(list(WORDS))]
    for kind in kinds:
        session = attacker.session()
        welcome = await session.join()
        # Twice the bucket, and a second's refill.
        most = welcome.limits["messages_per_second"] * 21 + 20
        reading = asyncio.create_task(session.closed())
        try:
            for number in range(most):
                if reading.done():
                    break
                session.send(WORDS[kind](session, number))
                if number % 64 == 0:
                    await asyncio.sleep(0.001)
            code = await reading
        except TimeoutError:
            attacker.demand(False, f"a flood of {kind} was borne")
            return
        finally:
            reading.cancel()
        attacker.demand(code in (4008, 4001, 1006, 1011, 1012, 1013), f"{kind}: {code}")
        refused = {error.reject_class for error in session.errors}
        if code == 4008:
            attacker.demand(
                RejectClass.RATE_MESSAGES.wire in refused, f"{kind}: ended without a warning"
            )


@attack("flood of control frames")
async def flood_of_control_frames(attacker: Attacker) -> None:
    """WebSocket pings and pongs draw on the same bucket."""
    session = attacker.session()
    welcome = await session.join()
    for number in range(welcome.limits["messages_per_second"] * 21 + 20):
        session.send_frame(b"x", PING if number % 2 else PONG)
    await attacker.demand_close(session, *FLOODED)


@attack("many sockets")
async def many_sockets(attacker: Attacker) -> None:
    """As many sessions as there is room for, and some more."""
    sessions = [attacker.session() for _ in range(attacker.how.get("count", 12))]
    turned_away = 0
    for session in sessions:
        try:
            answer = await session.greet()
        except (Closed, TimeoutError):
            turned_away += 1
            continue
        if isinstance(answer, Error):
            turned_away += 1
            attacker.demand_class(answer)
    attacker.world.write(attacker.name, f"{turned_away} of {len(sessions)} were turned away")
    await asyncio.sleep(attacker.how.get("for_s", 2))


@attack("rude company")
async def rude_company(attacker: Attacker) -> None:
    """Presence and signals that are too long, too deep, for nobody, or no data at all."""
    session = attacker.session()
    await session.join(label="rude", peer_type="x" * 128)
    nobody = {"pubkey": attacker.stranger().public_key, "label": ""}
    deep: Any = 1
    for _ in range(17):
        deep = [deep]
    tries: list[tuple[dict[str, Any], RejectClass]] = [
        ({"type": "presence", "data": "x" * 5_000}, RejectClass.PRESENCE_TOO_LARGE),
        ({"type": "presence", "data": deep}, RejectClass.INVALID_FIELD),
        ({"type": "presence", "data": 1, "ttl_ms": 0}, RejectClass.INVALID_FIELD),
        ({"type": "signal", "to": nobody, "data": 1}, RejectClass.PEER_UNKNOWN),
        ({"type": "signal", "to": nobody, "data": "x" * 20_000}, RejectClass.MESSAGE_TOO_LARGE),
        ({"type": "signal", "to": nobody, "data": deep}, RejectClass.INVALID_FIELD),
        ({"type": "signal", "to": {}, "data": 1}, RejectClass.INVALID_FIELD),
    ]
    for message, reject_class in tries:
        ref = session.ref()
        session.send({**message, "ref": ref})
        attacker.demand_class(await session.answer_to(ref), reject_class)
    # Shown, and never taken away: it expires by itself. T49
    session.send({"type": "presence", "data": {"here": True}, "ttl_ms": 1_500})
    await asyncio.sleep(5.0)
    session.send({"type": "presence", "data": "again", "ttl_ms": 1 << 60})
    await asyncio.sleep(1.0)
