"""Coming back with nothing missing: a room of a thousand nodes beside one of a million.

A client with a cursor at the head and its frontier dials, is welcomed as caught up, and leaves; a
thousand times. Bytes are those of the frames in both directions; CPU is the server's.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop

from bench.fanout_clients import finish
from bench.fanout_dialects import RoomlogReader
from bench.histories import ROOM
from bench.measure import Claim, Figures, main
from bench.processes import cpu_seconds, free_port, roomlog_command, server, store_directory
from bench.rooms import LogOf, RoomWriter, UnsignedSigner, typed
from bench.websocket import connect

RECONNECTS = 1_000
SLICE_NODES = 1 << 16
SETTINGS = {"ROOMLOG_HANDSHAKES_PER_ADDRESS_PER_SECOND": "100000"}


class Returning(RoomlogReader):
    """A client that holds the whole log."""

    def __init__(self, url: str, log: LogOf) -> None:
        super().__init__(url, lambda edits: None)
        self._log = log
        self.bytes = 0
        self.catch_up = ""

    def hello(self, challenge: Any) -> Any:
        hello = super().hello(challenge)
        log = self._log
        hello.lineage = log.lineage
        head = log.ids[-1]
        hello.cursor = self._messages.Cursor(epoch=log.epoch, seq=len(log.ids), id=head)
        hello.frontier = [head]
        hello.caps = {"cursor_resume": True}
        return hello

    def received(self, data: bytes, start: int, end: int) -> None:
        self.bytes += end - start
        super().received(data, start, end)

    def send(self, message: bytes) -> None:
        self.bytes += len(message)
        super().send(message)

    def welcomed(self, welcome: Any) -> None:
        self.catch_up = welcome.catch_up


async def come_back(url: str, log: LogOf, times: int) -> int:
    """Bytes of the last of so many reconnects."""
    size = 0
    for _ in range(times):
        client = Returning(url, log)
        await connect(client)
        async with asyncio.timeout(30):
            await finish([client], [client.joined.wait()])
        assert client.catch_up == "none", client.catch_up
        size = client.bytes
        client.transport.close()
    return size


def fill(directory: str, nodes: int) -> LogOf:
    writer = RoomWriter(directory)
    author = UnsignedSigner(bytes([7]) * 32)
    parents: list[bytes] = []
    for first in range(0, nodes, SLICE_NODES):
        part = typed(writer.hasher, author, min(SLICE_NODES, nodes - first), first, parents)
        parents = [part[-1].id]
        writer.add(part)
    writer.close()
    return writer.log


def measure(nodes: int) -> Figures:
    with store_directory() as directory:
        log = fill(directory, nodes)
        port = free_port()
        with server(roomlog_command(directory, port), SETTINGS, port) as pid:
            url = f"ws://127.0.0.1:{port}/ws/{ROOM}"
            uvloop.run(come_back(url, log, 20))
            before = cpu_seconds(pid)
            size = uvloop.run(come_back(url, log, RECONNECTS))
            spent = cpu_seconds(pid) - before
    return {"frame_bytes": size, "server_cpu_ms_a_reconnect": 1000 * spent / RECONNECTS}


SMALL, LARGE = "roomlog, 1,000 nodes", "roomlog, 1,000,000 nodes"
SIDES = {SMALL: lambda: measure(1_000), LARGE: lambda: measure(1_000_000)}
CLAIMS = [
    Claim(
        "bytes of a reconnect, a million nodes: times those of a thousand",
        (LARGE, "frame_bytes"),
        (SMALL, "frame_bytes"),
        at_most=1.01,
    ),
    Claim(
        "server CPU of a reconnect, a million nodes: times that of a thousand",
        (LARGE, "server_cpu_ms_a_reconnect"),
        (SMALL, "server_cpu_ms_a_reconnect"),
        at_most=1.5,
    ),
]

if __name__ == "__main__":
    main("reconnect", "Reconnecting with nothing missing", SIDES, CLAIMS)
