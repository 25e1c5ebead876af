"""A room in which somebody always writes: late forks and joiners freeze nobody."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

from roomlog.cli.load.link import Link
from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import SETTLE_S, Outcome, agree, percentile
from roomlog.client.changes import Origin
from roomlog.client.connect import connect
from roomlog.client.document import Document
from roomlog.identity import Identity

ROOM: Final = "never-quiet"
WRITERS: Final = 20
DELAYS_S: Final = (0.01, 0.03, 0.06, 0.1)
WRITES_PER_SECOND: Final = 4.0
FORK_NODES: Final = 300
DAY_MS: Final = 24 * 3600 * 1000
MOST_SILENCE_S: Final = 5.0
MOST_JOIN_S: Final = 5.0


async def run(directory: Path, seconds: float) -> Outcome:
    """Twenty writers behind slow lines; two come back with a day of writing; others join."""
    outcome = Outcome()
    async with contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Link(delay_s=each)) for each in DELAYS_S]
        away = [await stack.enter_async_context(Link(delay_s=0.05)) for _ in range(2)]
        settings = {"snapshot_every_nodes": 200, "tick_ms": 250, "snapshot_worth_nodes": 100}
        await stack.enter_async_context(OwnServer(directory, (*links, *away), settings=settings))
        now_ms = time.time_ns() // 1_000_000
        forks = [
            await stack.enter_async_context(_document(link, clock_ms=lambda: now_ms - DAY_MS))
            for link in away
        ]
        writers = [
            await stack.enter_async_context(_document(links[number % len(links)]))
            for number in range(WRITERS)
        ]
        for fork in forks:
            fork.text("shared").insert(0, "Once upon a time. ")
            fork.map("days")["first"] = True
            await fork.synced(30)
        for link in away:
            link.is_up = False
            link.cut()
        for fork in forks:
            for number in range(FORK_NODES):
                fork.text("shared").insert(0, f"day {number} ")
                fork.map("days")[str(number)] = number
                await fork.flush()
        await asyncio.gather(*(writer.synced(30) for writer in writers))

        watched = [_Watch(writer) for writer in writers]
        until_s = time.perf_counter() + seconds
        writing = [
            asyncio.ensure_future(_write(writer, number, until_s))
            for number, writer in enumerate(writers)
        ]
        await asyncio.sleep(seconds / 3)
        joined: list[Document] = []
        join_s = [await _join(stack, links[0], joined)]
        away[0].is_up = True
        await asyncio.sleep(seconds / 6)
        join_s.append(await _join(stack, links[1], joined))
        away[1].is_up = True
        await asyncio.sleep(seconds / 6)
        join_s.append(await _join(stack, links[2], joined))
        watched += [_Watch(document) for document in joined]
        outcome.figures["writes"] = sum(await asyncio.gather(*writing))
        silences = sorted(watch.longest_silence_s() for watch in watched)
        outcome.figures["longest silence, p50 s"] = round(percentile(silences, 0.5), 2)
        outcome.at_most("longest silence anybody met, s", silences[-1], MOST_SILENCE_S)
        outcome.at_most("seconds from joining to reading and writing", max(join_s), MOST_JOIN_S)
        await agree(outcome, [*writers, *forks, *joined])
        outcome.figures["nodes"] = len(writers[0].replica)
        modes = sorted({document.status.catch_up for document in joined})
        outcome.figures["joiners came in by"] = ", ".join(modes)
        for watch in watched:
            watch.stop()
    return outcome


def _document(link: Link, clock_ms: Callable[[], int] | None = None) -> Document:
    me = Identity.generate()
    if clock_ms is None:
        return connect(link.url, room=ROOM, identity=me)
    return connect(link.url, room=ROOM, identity=me, clock_ms=clock_ms)


async def _join(stack: contextlib.AsyncExitStack, link: Link, joined: list[Document]) -> float:
    """Seconds until a new client reads the room and has written into it."""
    started_s = time.perf_counter()
    document = await stack.enter_async_context(_document(link))
    joined.append(document)
    await document.until(lambda _: "first" in document.map("days"), SETTLE_S)
    document.text("shared").insert(0, "joined ")
    await document.synced(30)
    return time.perf_counter() - started_s


async def _write(writer: Document, number: int, until_s: float) -> int:
    written = 0
    await asyncio.sleep(number / WRITERS / WRITES_PER_SECOND)
    while time.perf_counter() < until_s:
        text = writer.text("shared")
        if number % 2:
            writer.map("cursor")[str(number)] = written
        elif len(text) > 2_000:
            text.delete(number * 7 % 1_000, 5)
        else:
            text.insert(number * 13 % (len(text) + 1), f"{number} ")
        written += 1
        await asyncio.sleep(1 / WRITES_PER_SECOND)
    return written


class _Watch:
    """When somebody else's writes became visible to one client."""

    def __init__(self, document: Document) -> None:
        self._feed = document.changes()
        self._moments_s = [time.perf_counter()]
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        async for change in self._feed:
            if change.origin is Origin.REMOTE:
                self._moments_s.append(time.perf_counter())

    def longest_silence_s(self) -> float:
        """The longest time without news, up to now."""
        moments = [*self._moments_s, time.perf_counter()]
        return max(later - earlier for earlier, later in pairwise(moments))

    def stop(self) -> None:
        self._task.cancel()
