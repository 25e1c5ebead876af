"""Rooms nobody is in cost nothing, and a thousand of them are written and read side by side."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import Outcome
from roomlog.cli.load.session import LoadSession
from roomlog.client.address import Address
from roomlog.identity import Identity

ROOMS: Final = 1_000
AT_ONCE: Final = 50
NODES_A_ROOM: Final = 10
EVICTION_MS: Final = 1_000
MOST_P99_MS: Final = 1_000.0
MOST_BYTES_A_ROOM: Final = 40_000


async def run(directory: Path, seconds: float) -> Outcome:
    """A thousand rooms, each opened, written to, left, evicted, and opened again."""
    outcome = Outcome()
    settings = {"idle_eviction_ms": EVICTION_MS, "tick_ms": 250}
    async with OwnServer(directory, settings=settings) as server:
        address = Address(server.url)
        before_bytes = server.resident_bytes()
        at_once = asyncio.Semaphore(AT_ONCE)
        heads: dict[int, int] = {}

        async def visit(number: int, nodes: int) -> float:
            async with at_once:
                started_s = time.perf_counter()
                async with LoadSession(address, f"room-{number}", Identity.generate()) as session:
                    opened_s = time.perf_counter() - started_s
                    if nodes:
                        await session.write_nodes(nodes)
                        await session.drained(30)
                    heads[number] = max([session.welcome.seq, *session.sent_at_s])
                return opened_s

        first_s = await asyncio.gather(*(visit(number, NODES_A_ROOM) for number in range(ROOMS)))
        outcome.latency("opening a new room", first_s, MOST_P99_MS)
        written = sum(heads.values())
        outcome.exactly("nodes acknowledged", written, ROOMS * NODES_A_ROOM)
        if before_bytes:
            grown = (server.peak_bytes - before_bytes) / ROOMS
            outcome.at_most("peak bytes of memory a room", grown, MOST_BYTES_A_ROOM)
        until_s = time.perf_counter() + max(seconds, 5.0)
        resident = float(ROOMS)
        while resident and time.perf_counter() < until_s:
            await asyncio.sleep(0.5)
            resident = await server.metric("roomlog_rooms_resident")
        outcome.exactly("rooms in memory when all have left", resident, 0)
        heads.clear()
        again_s = await asyncio.gather(*(visit(number, 0) for number in range(ROOMS)))
        outcome.latency("opening a room again", again_s, MOST_P99_MS)
        outcome.exactly("nodes found again", sum(heads.values()), written)
    return outcome
