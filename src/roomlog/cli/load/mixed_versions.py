"""Clients of every age and skill write into one room and see the same."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from roomlog.cli.load.link import Link
from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import Outcome, agree
from roomlog.client.connect import connect
from roomlog.client.document import Document
from roomlog.identity import Identity
from roomlog.protocol.capabilities import CAPABILITIES, CapabilityKind
from roomlog.protocol.codec import Codec

ROOM: Final = "mixed-versions"
WRITES_PER_SECOND: Final = 5.0
HISTORY_NODES: Final = 600
FLAGS: Final = tuple(
    row.name for row in CAPABILITIES if row.kind is CapabilityKind.FLAG and row.name[:6] != "codec_"
)


async def run(directory: Path, seconds: float) -> Outcome:
    """A protocol-1 client without capabilities in either codec, one without each, one with all."""
    outcome = Outcome()
    link = Link()
    settings = {"snapshot_every_nodes": 200, "snapshot_worth_nodes": 100, "tick_ms": 250}
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(link)
        server = await stack.enter_async_context(OwnServer(directory, (link,), settings))
        elder = await stack.enter_async_context(
            connect(server.url, room=ROOM, identity=Identity.generate())
        )
        for number in range(HISTORY_NODES):
            elder.text("notes").insert(number, "abcdefghij"[number % 10])
            await elder.flush()
        await elder.synced(30)
        await asyncio.sleep(2.0)

        kinds: list[tuple[str, Codec, tuple[str, ...]]] = [
            ("all", Codec.MSGPACK, FLAGS),
            ("all, JSON", Codec.JSON, FLAGS),
            ("none", Codec.MSGPACK, ()),
            ("none, JSON", Codec.JSON, ()),
            *(
                (f"without {name}", Codec.MSGPACK, tuple(each for each in FLAGS if each != name))
                for name in FLAGS
            ),
        ]
        documents: dict[str, Document] = {}
        for name, codec, offered in kinds:
            document = connect(
                link.url,
                room=ROOM,
                identity=Identity.generate(),
                codec=codec,
                capabilities=offered,
            )
            documents[name] = await stack.enter_async_context(document)
        await asyncio.gather(*(document.synced(30) for document in documents.values()))
        modes = sorted({document.status.catch_up for document in documents.values()})
        outcome.figures["ways of catching up"] = ", ".join(modes)
        outcome.figures["clients"] = len(documents)
        outcome.at_least("ways of catching up", len(modes), 2)

        writing = [
            asyncio.ensure_future(_write(document, number, seconds))
            for number, document in enumerate(documents.values())
        ]
        for _ in range(2):
            await asyncio.sleep(seconds / 3)
            link.cut()
        written = sum(await asyncio.gather(*writing))
        outcome.figures["writes"] = written
        everybody = [elder, *documents.values()]
        await agree(outcome, everybody)
        await asyncio.gather(*(document.history() for document in everybody))
        outcome.exactly("counted writes", elder.counter("writes").value, written)
        outcome.exactly(
            "different numbers of nodes", len({len(each.replica) for each in everybody}), 1
        )
        for code in ("1002", "1007", "1011", "4008"):
            closes = await server.metric("roomlog_closes_total", code=code)
            outcome.exactly(f"sessions closed with {code}", closes, 0)
    return outcome


async def _write(document: Document, number: int, seconds: float) -> int:
    written = 0
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        document.counter("writes").add(1)
        document.text("notes").insert(number % (len(document.text("notes")) + 1), f"{number}.")
        document.list("log").append([number, written])
        document.map("last")[str(number)] = written
        written += 1
        await asyncio.sleep(1 / WRITES_PER_SECOND)
    return written
