"""How long the server's loop is held up while heavy work goes on beside it.

A room of 260,000 nodes is opened, snapshotted and caught up by several readers at once, while
another room is written to at a pace. Lag is what the server's own histogram says, and what the
paced writer sees as the time to its acknowledgments.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request

import uvloop

from bench.fanout_clients import finish
from bench.fanout_dialects import RoomlogWriter
from bench.measure import Claim, Figures, main
from bench.open_room import ROOM, write_store
from bench.processes import free_port, roomlog_command, server, store_directory
from bench.snapshot_join import Whole, wait_for_snapshot
from bench.websocket import connect

READERS = 4
SECONDS = 12.0
PACE_PER_SECOND = 50.0
LIMIT_MS = 50.0
SETTINGS = {"ROOMLOG_SNAPSHOT_EVERY_NODES": "1000", "ROOMLOG_TICK_MS": "200"}


async def paced(url: str) -> list[float]:
    """Milliseconds from sending to the acknowledgment of each edit."""
    acks: list[float] = []
    sent: list[float] = []
    count = int(SECONDS * PACE_PER_SECOND)
    complete = asyncio.Event()

    def confirmed(edits: int) -> None:
        for _ in range(edits):
            acks.append((time.perf_counter() - sent[len(acks)]) * 1000)
        if len(acks) == count:
            complete.set()

    client = RoomlogWriter(url, confirmed)
    await connect(client)
    await finish([client], [client.joined.wait()])
    frames = client.prepare(count)
    begun = time.perf_counter()
    for number, frame in enumerate(frames):
        await asyncio.sleep(max(0.0, begun + number / PACE_PER_SECOND - time.perf_counter()))
        sent.append(time.perf_counter())
        client.send(frame)
    async with asyncio.timeout(30):
        await finish([client], [complete.wait()])
    client.transport.close()
    return sorted(acks)


async def catch_up(url: str) -> None:
    client = Whole(url)
    await connect(client)
    async with asyncio.timeout(60):
        await finish([client], [client.complete.wait()])
    client.transport.close()


async def load(address: str) -> list[float]:
    """The paced room beside readers that read the large one, again and again."""
    writing = asyncio.ensure_future(paced(f"{address}/ws/paced"))
    while not writing.done():
        await asyncio.gather(*(catch_up(f"{address}/ws/{ROOM}") for _ in range(READERS)))
    return await writing


def lag_share_above_limit(port: int) -> tuple[float, float]:
    """(share of the loop's lags above the limit, how many there were)."""
    counts: dict[str, float] = {}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("roomlog_event_loop_lag_seconds_bucket"):
                name, _, value = line.rpartition(" ")
                counts[name.partition('le="')[2].partition('"')[0]] = float(value)
    total = counts["+Inf"]
    within = max(
        count for bound, count in counts.items() if bound != "+Inf" and float(bound) <= 0.0501
    )
    return (total - within) / total, total


def measure() -> Figures:
    with store_directory() as directory:
        write_store(directory, 1)
        port = free_port()
        with server(roomlog_command(directory, port), SETTINGS, port):
            acks = uvloop.run(load(f"ws://127.0.0.1:{port}"))
            wait_for_snapshot(port)
            above, lags = lag_share_above_limit(port)
    return {
        "share_of_lags_above_50_ms": above,
        "lags_measured": lags,
        "ack_p50_ms": acks[len(acks) // 2],
        "ack_p99_ms": acks[len(acks) * 99 // 100],
        "ack_max_ms": acks[-1],
    }


SIDE = "roomlog"
SIDES = {SIDE: measure}
CLAIMS = [
    Claim(
        "share of the loop's lags above 50 ms, heavy work beside it",
        (SIDE, "share_of_lags_above_50_ms"),
        None,
        at_most=0.001,
    ),
    Claim("p99 in ms of acks in a room beside it", (SIDE, "ack_p99_ms"), None),
]

if __name__ == "__main__":
    main("loop_lag", "The loop beside heavy work", SIDES, CLAIMS)
