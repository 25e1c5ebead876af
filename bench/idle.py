"""A thousand idle connections: what each costs the server in memory.

The socket library's own share is measured with a server of nothing but aiohttp, whose handler waits
for messages. Both serve connections that were welcomed and then say nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from bench.fanout_clients import finish
from bench.fanout_dialects import ReaderClient, RoomlogReader
from bench.measure import Claim, Figures, main
from bench.processes import free_port, resident_bytes, roomlog_command, server, store_directory
from bench.websocket import connect

CONNECTIONS = 1_000
SETTLE_SECONDS = 3.0


class Silent(ReaderClient):
    """A client of the bare server: joined once it is upgraded."""

    def opened(self) -> None:
        self.joined.set()

    def received(self, data: bytes, start: int, end: int) -> None:
        """The bare server says nothing."""


def serve_bare(port: int) -> None:
    """aiohttp, uvloop, and a handler that waits."""
    from aiohttp import web

    async def wait(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/ws/{room}", wait)
    uvloop.install()
    web.run_app(application, host="127.0.0.1", port=port, print=None)


async def grown_bytes(url: str, kind: type[ReaderClient], pid: int) -> int:
    """Resident bytes the server gains by the connections, after ten that warm it up."""

    def client() -> ReaderClient:
        return Silent(url) if kind is Silent else RoomlogReader(url, lambda edits: None)

    async def join(count: int) -> list[ReaderClient]:
        clients = [client() for _ in range(count)]
        for each in clients:
            await connect(each)
        async with asyncio.timeout(60):
            await finish(clients, [each.joined.wait() for each in clients])
        return clients

    warm = await join(10)
    await asyncio.sleep(SETTLE_SECONDS)
    before = resident_bytes(pid)
    idle = await join(CONNECTIONS)
    await asyncio.sleep(SETTLE_SECONDS)
    after = resident_bytes(pid)
    for each in [*warm, *idle]:
        each.transport.close()
    return after - before


def measure_roomlog() -> Figures:
    with store_directory() as directory:
        port = free_port()
        settings = {"ROOMLOG_HANDSHAKES_PER_ADDRESS_PER_SECOND": "100000"}
        with server(roomlog_command(directory, port), settings, port) as pid:
            url = f"ws://127.0.0.1:{port}/ws/idle"
            grown = uvloop.run(grown_bytes(url, RoomlogReader, pid))
    return {"bytes_a_connection": grown / CONNECTIONS}


def measure_bare() -> Figures:
    port = free_port()
    command = [sys.executable, "-c", f"from bench.idle import serve_bare; serve_bare({port})"]
    with server(command, {}, port) as pid:
        time.sleep(0.5)
        grown = uvloop.run(grown_bytes(f"ws://127.0.0.1:{port}/ws/idle", Silent, pid))
    return {"bytes_a_connection": grown / CONNECTIONS}


SIDES = {"aiohttp alone": measure_bare, "roomlog": measure_roomlog}
CLAIMS = [
    Claim(
        "bytes an idle connection, above aiohttp's own",
        ("roomlog", "bytes_a_connection"),
        ("aiohttp alone", "bytes_a_connection"),
        minus=True,
        at_most=20_000,
    )
]

if __name__ == "__main__":
    main("idle", "A thousand idle connections", SIDES, CLAIMS)
