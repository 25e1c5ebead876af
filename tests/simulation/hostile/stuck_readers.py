"""Those who ask and do not listen."""

from __future__ import annotations

import asyncio

from roomlog.core.operation import MapSet
from tests.simulation.hostile.attack import Attacker, attack
from tests.simulation.hostile.raw_session import RawSession

BULK_BYTES = 100_000


async def _with_bulk(attacker: Attacker) -> RawSession:
    """A session in a room with some bytes in it."""
    writer = attacker.session()
    await writer.join()
    for number in range(attacker.how.get("bulk", 3)):
        text = attacker.chance.randbytes(BULK_BYTES // 2).hex()
        node = writer.write(MapSet(f"hostile/bulk{number % 2}", text))
        await writer.push_and_wait(node)
    return writer


@attack("deaf reader")
async def deaf_reader(attacker: Attacker) -> None:
    """Asks for everything again and again, and reads none of it. T28, T58."""
    writer = await _with_bulk(attacker)
    session = attacker.session()
    welcome = await session.join()
    session.link.to_client.is_paused = True
    for number in range(attacker.how.get("count", 40)):
        after = {"epoch": welcome.epoch, "seq": 0}
        session.send({"type": "request", "ref": session.ref(), "after": after})
        session.send({"type": "request", "ref": session.ref(), "frontier": []})
        session.send({"type": "ping", "t": number})
        await asyncio.sleep(0.5)
    await asyncio.sleep(attacker.how.get("for_s", 20))
    is_gone = session.link.to_server.is_ended or session.link.is_over
    attacker.demand(is_gone, "a reader that takes nothing is still here")
    writer.leave()


@attack("slow reader")
async def slow_reader(attacker: Attacker) -> None:
    """Takes a little now and then: is fed from the store, at no cost in memory. T28."""
    writer = await _with_bulk(attacker)
    session = attacker.session()
    welcome = await session.join()
    lane = session.link.to_client
    for number in range(attacker.how.get("count", 20)):
        lane.is_paused = True
        after = {"epoch": welcome.epoch, "seq": 0}
        session.send({"type": "request", "ref": session.ref(), "after": after})
        writer.push(writer.write(MapSet("hostile/bulk", "x" * 20_000)))
        await asyncio.sleep(attacker.chance.random() * 3)
        lane.resume()
        await asyncio.sleep(attacker.chance.random() * 0.05)
        if session.link.is_over:
            return
        session.send({"type": "ping", "t": number})


@attack("dead socket")
async def dead_socket(attacker: Attacker) -> None:
    """Half open: nothing ever arrives, in either direction. T34."""
    session = attacker.session()
    await session.join()
    session.send({"type": "presence", "data": "gone", "ttl_ms": 5_000})
    await asyncio.sleep(1.0)
    session.link.freeze()
    await asyncio.sleep(attacker.how.get("for_s", 90))
