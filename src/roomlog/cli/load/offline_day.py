"""An honest client back from a day offline is drained, not punished, and nobody suffers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from roomlog.cli.load.link import Link
from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import Outcome, agree
from roomlog.cli.load.session import LoadSession
from roomlog.client.address import Address
from roomlog.client.connect import connect
from roomlog.client.document import Document
from roomlog.identity import Identity

ROOM: Final = "offline-day"
BACKLOG_NODES: Final = 50_000
LIVE_WRITERS: Final = 3
LIVE_PER_SECOND: Final = 20.0
MOST_DRAIN_S: Final = 120.0
MOST_P99_MS: Final = 500.0


async def run(directory: Path, seconds: float) -> Outcome:
    """50,000 nodes written without a server, then pushed beside three live writers."""
    outcome = Outcome()
    link = Link()
    async with link, OwnServer(directory, (link,)) as server:
        me = Identity.generate()
        async with (
            contextlib.AsyncExitStack() as stack,
            connect(link.url, room=ROOM, identity=me, close_timeout_s=0) as away,
        ):
            away.counter("edits").add(1)
            await away.synced(30)
            link.is_up = False
            link.cut()
            started_s = time.perf_counter()
            for number in range(BACKLOG_NODES):
                away.map("day")[str(number % 500)] = number
                await away.flush()
                if number % 100 == 0:
                    await asyncio.sleep(0)
            outcome.figures["seconds to write offline"] = round(time.perf_counter() - started_s, 1)
            address = Address(server.url)
            live = [
                await stack.enter_async_context(LoadSession(address, ROOM, Identity.generate()))
                for _ in range(LIVE_WRITERS)
            ]
            before_bytes = server.peak_bytes = server.resident_bytes()
            back_s = time.perf_counter()
            link.is_up = True
            until_s = back_s + seconds
            drained_s = asyncio.ensure_future(_drained_s(away, back_s))
            await asyncio.gather(
                *(each.write(in_flight=32, rate=LIVE_PER_SECOND, until_s=until_s) for each in live)
            )
            outcome.at_most("seconds to drain", await drained_s, MOST_DRAIN_S)
            acks = [acked_s - sent_s for each in live for sent_s, acked_s in each.acknowledged_s]
            outcome.latency("acks of live writers", acks, MOST_P99_MS)
            refused = sum(sum(each.refusals.values()) for each in live)
            outcome.exactly("refused writes of live writers", refused, 0)
            outcome.exactly("refused writes of the one who was away", len(away.rejections()), 0)
            for code in ("4008", "4001", "1011"):
                closes = await server.metric("roomlog_closes_total", code=code)
                outcome.exactly(f"sessions closed with {code}", closes, 0)
            outcome.memory(server, before_bytes, 96)
            async with connect(server.url, room=ROOM) as fresh:
                await agree(outcome, (away, fresh))
                outcome.at_least("nodes in the room", len(fresh.replica), BACKLOG_NODES + 1)
    return outcome


async def _drained_s(document: Document, since_s: float) -> float:
    """Seconds until nothing is pending."""
    await document.until(lambda status: status.pending_nodes == 0, MOST_DRAIN_S * 2)
    return time.perf_counter() - since_s
