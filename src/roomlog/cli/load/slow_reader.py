"""Readers that take little or nothing cost the server no memory and lose no node."""

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

ROOM: Final = "slow-reader"
VALUE_BYTES: Final = 16 * 1024
NODES_PER_SECOND: Final = 120
GOOD_READERS: Final = 20
SLOW_BYTES_PER_SECOND: Final = 200_000
MOST_P99_MS: Final = 250.0
MOST_GROWTH_MIB: Final = 48.0


async def run(directory: Path, seconds: float) -> Outcome:
    """A writer of 2 MB/s, twenty good readers, a slow one, and one that stops reading."""
    outcome = Outcome()
    slow, stuck = Link(bytes_per_second=SLOW_BYTES_PER_SECOND), Link()
    async with slow, stuck, OwnServer(directory, (slow, stuck)) as server:
        address = Address(server.url)
        async with (
            contextlib.AsyncExitStack() as stack,
            connect(server.url, room=ROOM, identity=Identity.generate()) as writer,
            connect(slow.url, room=ROOM) as slow_reader,
            connect(stuck.url, room=ROOM) as stuck_reader,
        ):
            documents = (writer, slow_reader, stuck_reader)
            writer.map("load")["start"] = True
            for document in documents:
                await document.synced(30)
            good = [
                await stack.enter_async_context(LoadSession(address, ROOM, None))
                for _ in range(GOOD_READERS)
            ]
            before_bytes = server.peak_bytes = server.resident_bytes()
            stuck.bytes_per_second = 0
            first_seq = writer.status.seq
            sent_s = await _write(writer, seconds)
            wrote_s = time.perf_counter()
            await writer.synced(30)
            outcome.figures["MB written"] = round(len(sent_s) * VALUE_BYTES / 1e6, 1)
            outcome.figures["nodes behind: slow reader"] = (
                writer.status.seq - slow_reader.status.seq
            )
            outcome.memory(server, before_bytes, MOST_GROWTH_MIB)
            last_seq = first_seq + len(sent_s)
            arrived = await asyncio.gather(*(each.received_up_to(last_seq, 30) for each in good))
            delays = [
                received_s - sent_s[seq - first_seq - 1]
                for each in good
                for from_seq, to_seq, received_s in each.received
                for seq in range(max(from_seq, first_seq + 1), min(to_seq, last_seq) + 1)
            ]
            outcome.exactly("good readers that missed something", arrived.count(False), 0)
            outcome.latency("delivery to good readers", delays, MOST_P99_MS)
            slow.bytes_per_second = stuck.bytes_per_second = None
            await agree(outcome, documents)
            outcome.figures["seconds to catch up"] = round(time.perf_counter() - wrote_s, 1)
            outcome.at_least("readers that fell behind", await _behind(server), 1)
    return outcome


async def _write(writer: Document, seconds: float) -> list[float]:
    """When each node was written, in order of seq."""
    filling = writer.map("load")
    sent_s: list[float] = []
    started_s = time.perf_counter()
    while (now_s := time.perf_counter()) < started_s + seconds:
        due_s = started_s + len(sent_s) / NODES_PER_SECOND
        if now_s < due_s:
            await asyncio.sleep(due_s - now_s)
        number = len(sent_s)
        filling[str(number % 32)] = f"{number:08}" * (VALUE_BYTES // 8)
        sent_s.append(time.perf_counter())
        await writer.flush()
    return sent_s


async def _behind(server: OwnServer) -> float:
    return await server.metric("roomlog_readers_behind_total")
