"""After a restart hundreds of clients come back spread out, and miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Final

from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import Outcome, agree
from roomlog.client.connect import connect
from roomlog.client.document import Document
from roomlog.client.status import Phase, Status
from roomlog.identity import Identity

ROOM: Final = "reconnect-storm"
CLIENTS: Final = 200
WRITERS: Final = 10
DRAIN_DEADLINE_MS: Final = 10_000
SPREAD_MS: Final = 4_000
MOST_BACK_S: Final = 30.0
MOST_IN_A_QUARTER: Final = 0.35
"""The greatest share of clients that may come back within the same quarter second."""


async def run(directory: Path, seconds: float) -> Outcome:
    """200 clients, of which ten write; the server is drained and started again, then killed."""
    outcome = Outcome()
    settings = {
        "drain_deadline_ms": DRAIN_DEADLINE_MS,
        "drain_retry_after_ms": 500,
        "drain_spread_ms": SPREAD_MS,
    }
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(OwnServer(directory, settings=settings))
        documents: list[Document] = []
        for number in range(CLIENTS):
            identity = Identity.generate() if number < WRITERS else None
            document = connect(server.url, room=ROOM, identity=identity)
            documents.append(await stack.enter_async_context(document))
            if number == 0:
                document.counter("edits").add(1)
                await document.synced(30)
        await asyncio.gather(*(document.synced(30) for document in documents))
        writing = asyncio.ensure_future(_write(documents[:WRITERS], seconds))

        await asyncio.sleep(seconds / 4)
        drained_s = time.perf_counter()
        code = await server.stop(signal.SIGTERM)
        outcome.exactly("exit code of the drained server", code, 0)
        took_s = time.perf_counter() - drained_s
        outcome.at_most("seconds to drain", took_s, DRAIN_DEADLINE_MS / 1_000 + 1)
        await server.start()
        back_s = await _back(documents)
        outcome.at_most("seconds until all are back, after a drain", max(back_s), MOST_BACK_S)
        outcome.at_most("share back in one quarter second", _densest(back_s), MOST_IN_A_QUARTER)

        await asyncio.sleep(seconds / 4)
        await server.stop(signal.SIGKILL)
        await server.start()
        back_s = await _back(documents)
        outcome.at_most("seconds until all are back, after a kill", max(back_s), MOST_BACK_S)

        written = await writing
        outcome.figures["writes"] = written
        await agree(outcome, documents)
        outcome.exactly("counted writes", documents[-1].counter("edits").value, written + 1)
    return outcome


async def _write(writers: list[Document], seconds: float) -> int:
    written = 0
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        for writer in writers:
            writer.counter("edits").add(1)
            written += 1
        await asyncio.sleep(0.2)
    return written


async def _back(documents: list[Document]) -> list[float]:
    """Seconds from now until each client is live."""
    started_s = time.perf_counter()

    async def live(document: Document) -> float:
        await document.until(_is_live, 2 * MOST_BACK_S)
        return time.perf_counter() - started_s

    return list(await asyncio.gather(*(live(document) for document in documents)))


def _is_live(status: Status) -> bool:
    return status.phase is Phase.LIVE


def _densest(moments_s: list[float]) -> float:
    """The greatest share of moments within a quarter second."""
    ordered = sorted(moments_s)
    most, first = 0, 0
    for last, moment_s in enumerate(ordered):
        while ordered[first] < moment_s - 0.25:
            first += 1
        most = max(most, last - first + 1)
    return most / len(ordered)
