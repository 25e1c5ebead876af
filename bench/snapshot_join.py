"""Joining the room of automerge-paper (259,778 nodes, one edit each) by its snapshot.

Time is from `connect` of the SDK to a text that can be read and edited; beside it stands the same
client's way to the welcome of an empty room and one ping, which is what the machine charges for the
round trips alone. Catch-up bytes are those of the whole history without signatures.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from typing import Any

from bench.fanout_clients import finish
from bench.fanout_dialects import RoomlogReader
from bench.measure import Claim, Figures, main
from bench.open_room import ROOM, write_store
from bench.processes import free_port, roomlog_command, server, store_directory
from bench.websocket import connect

TARGET_MS = 50.0
JOINS = 5
SETTINGS = {
    "ROOMLOG_SNAPSHOT_EVERY_NODES": "1000",
    "ROOMLOG_TICK_MS": "200",
    "ROOMLOG_RESEND_WINDOW_MS": "1",
}
WAIT_SECONDS = 120


class Whole(RoomlogReader):
    """Reads the whole log without signatures, and counts its bytes."""

    def __init__(self, url: str) -> None:
        super().__init__(url, self._add)
        self.nodes = self.pack_bytes = self.head = 0
        self.complete = asyncio.Event()

    def hello(self, challenge: Any) -> Any:
        hello = super().hello(challenge)
        hello.caps = {"unsigned_bulk": True}
        return hello

    def welcomed(self, welcome: Any) -> None:
        self.head = welcome.seq
        after = self._messages.After(epoch=welcome.epoch, seq=0)
        request = self._messages.Request(ref="all", after=after, signatures=False, page=4096)
        self.send(self._encode(self._codec, request))

    def received(self, data: bytes, start: int, end: int) -> None:
        self._size = end - start
        super().received(data, start, end)

    def _add(self, nodes: int) -> None:
        self.nodes += nodes
        self.pack_bytes += self._size
        if self.nodes == self.head:
            self.complete.set()


def wait_for_snapshot(port: int) -> None:
    """Until the server has taken the snapshot of the room."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.rpartition(" ")
                if name.startswith("roomlog_snapshot_seconds_count") and float(value) > 0:
                    return
        time.sleep(0.1)
    raise TimeoutError("no snapshot was taken")


async def open_room(url: str) -> None:
    """Keeps a session in the room, so that it is resident and looked after."""
    client = Whole(url)
    await connect(client)
    async with asyncio.timeout(WAIT_SECONDS):
        await finish([client], [client.complete.wait()])
    client.transport.close()


async def whole_bytes(url: str) -> tuple[int, int]:
    client = Whole(url)
    await connect(client)
    async with asyncio.timeout(WAIT_SECONDS):
        await finish([client], [client.complete.wait()])
    client.transport.close()
    return client.pack_bytes, client.nodes


async def join_ms(url: str, room: str, *, is_empty: bool) -> float:
    """Milliseconds from `connect` to an editable text, or of an empty room to a ping's answer."""
    import roomlog

    identity = roomlog.Identity.generate()
    start = time.perf_counter()
    async with roomlog.connect(url, room=room, identity=identity, history="recent") as doc:
        if is_empty:
            await doc.synced(WAIT_SECONDS)
        else:
            await doc.until(lambda status: status.seq > 0, WAIT_SECONDS)
            assert len(doc.text("text")) > 100_000
            doc.text("text").insert(0, "x")
        return (time.perf_counter() - start) * 1000


async def joins(url: str) -> tuple[float, float]:
    """Medians of (an empty room, the large one), after one that warms up."""
    empty, full = [], []
    for number in range(JOINS + 1):
        empty.append(await join_ms(url, f"empty-{number}", is_empty=True))
        full.append(await join_ms(url, ROOM, is_empty=False))
    return sorted(empty[1:])[JOINS // 2], sorted(full[1:])[JOINS // 2]


def measure() -> Figures:
    with store_directory() as directory:
        nodes = write_store(directory, 1)
        port = free_port()
        with server(roomlog_command(directory, port), SETTINGS, port):
            asyncio.run(open_room(f"ws://127.0.0.1:{port}/ws/{ROOM}"))
            wait_for_snapshot(port)
            empty_ms, full_ms = asyncio.run(joins(f"ws://127.0.0.1:{port}"))
            size, count = asyncio.run(whole_bytes(f"ws://127.0.0.1:{port}/ws/{ROOM}"))
    assert count >= nodes
    return {
        "join_ms": full_ms,
        "round_trips_ms": empty_ms,
        "allowed_ms": max(TARGET_MS, 3 * empty_ms),
        "unsigned_bytes_an_edit": size / count,
    }


SIDE = "roomlog"
SIDES = {SIDE: measure, f"{SIDE}, pure": measure}
CLAIMS = [
    Claim(
        "joining automerge-paper by snapshot: of 50 ms or three times the round trips",
        (SIDE, "join_ms"),
        (SIDE, "allowed_ms"),
        at_most=1.0,
    ),
    Claim("milliseconds to an editable text", (SIDE, "join_ms"), None),
    Claim(
        "catch-up bytes an edit without signatures, one edit a node",
        (SIDE, "unsigned_bytes_an_edit"),
        None,
        at_most=3.0,
    ),
]

if __name__ == "__main__":
    main("snapshot_join", "Joining by snapshot: automerge-paper", SIDES, CLAIMS)
