"""The processes at the sockets of the fan-out bench: all readers in one, the writer in another.

`readers` prints `ready` when every reader is served, takes `expect N` on standard input, and when
each reader has counted N edits writes one JSON line with the moment of the last one. With
`--arrivals FILE` it also writes when each edit reached each reader (doubles, reader by reader).
`writer` sends edits for a while, with a window or at a pace, and prints what it sent.
All moments are of the monotonic clock, which is one for all processes of a machine.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.fanout_dialects import READERS, WRITERS, ReaderClient
from bench.websocket import connect

JOIN_SECONDS = 30
FINISH_SECONDS = 120


class Count:
    """What has reached one reader."""

    def __init__(self) -> None:
        self.edits = 0
        self.frames = 0
        self.last_arrival = 0.0
        self.arrivals = array.array("d")
        self.complete = asyncio.Event()
        self._expected: int | None = None

    def expect(self, edits: int) -> None:
        """`complete` is set as soon as so many edits have come."""
        self._expected = edits
        if self.edits >= edits:
            self.complete.set()

    def add(self, edits: int) -> None:
        now = time.perf_counter()
        self.edits += edits
        self.frames += 1
        self.last_arrival = now
        for _ in range(edits):
            self.arrivals.append(now)
        if self._expected is not None and self.edits >= self._expected:
            self.complete.set()


async def read(kind: str, url: str, readers: int) -> list[Count]:
    counts = [Count() for _ in range(readers)]
    clients = [READERS[kind](url, count.add) for count in counts]
    for client in clients:
        await connect(client)
    async with asyncio.timeout(JOIN_SECONDS):
        await finish(clients, [client.joined.wait() for client in clients])
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    line = await loop.run_in_executor(None, sys.stdin.readline)
    expected = int(line.removeprefix("expect "))
    for count in counts:
        count.expect(expected)
    async with asyncio.timeout(FINISH_SECONDS):
        await finish(clients, [count.complete.wait() for count in counts])
    surplus = sum(count.edits for count in counts) - expected * readers
    if surplus:
        raise ValueError(f"{surplus} edits too many arrived")
    return counts


def report(counts: Sequence[Count], arrivals: Path | None) -> None:
    """Says when the last edit arrived; writes when each did to `arrivals`."""
    if arrivals is not None:
        arrivals.write_bytes(b"".join(count.arrivals.tobytes() for count in counts))
    result = {
        "last_arrival": max(count.last_arrival for count in counts),
        "frames": sum(count.frames for count in counts),
    }
    print(json.dumps(result), flush=True)


async def finish(clients: Sequence[ReaderClient], work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Waits until all of `work` is done; raises what ends a client's connection before."""
    everything = asyncio.gather(*work)
    await asyncio.wait(
        [everything, *(client.closed for client in clients)], return_when=asyncio.FIRST_COMPLETED
    )
    for client in clients:
        if client.closed.done():
            client.closed.result()
    await everything


class Window:
    """How many edits are under way, and a wake-up when some are confirmed."""

    def __init__(self) -> None:
        self.confirmed = 0
        self.moved = asyncio.Event()

    def confirm(self, edits: int) -> None:
        self.confirmed += edits
        self.moved.set()


async def write(kind: str, url: str, seconds: float, window: int, pace: float, most: int) -> None:
    under_way = Window()
    client = WRITERS[kind](url, under_way.confirm)
    await connect(client)
    async with asyncio.timeout(JOIN_SECONDS):
        await finish([client], [client.joined.wait()])
    edits = client.edits_a_message
    frames = client.prepare(int(pace * seconds) if pace else most // edits)
    moments: list[float] = []
    begun = time.perf_counter()
    for number, frame in enumerate(frames):
        if pace:
            await asyncio.sleep(max(0.0, begun + number / pace - time.perf_counter()))
        else:
            while number * edits - under_way.confirmed >= window * edits:
                under_way.moved.clear()
                await under_way.moved.wait()
        moment = time.perf_counter()
        if not pace and moment - begun > seconds:
            break
        moments.append(moment)
        client.send(frame)
    else:
        if not pace:
            raise ValueError(f"{most} edits were not enough for {seconds} seconds")
    sent = len(moments) * edits
    async with asyncio.timeout(FINISH_SECONDS):
        while under_way.confirmed < sent:
            under_way.moved.clear()
            await under_way.moved.wait()
    result = {"sent": sent, "begun": begun, "moments": moments if pace else []}
    print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout_clients")
    parser.add_argument("part", choices=["readers", "writer"])
    parser.add_argument("kind", choices=list(READERS))
    parser.add_argument("url")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--arrivals", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--window", type=int, default=32)
    parser.add_argument("--pace", type=float, default=0.0, help="edits a second; 0: as fast as can")
    parser.add_argument("--most", type=int, default=200_000, help="edits made ready beforehand")
    chosen = parser.parse_args()
    if chosen.part == "readers":
        counts = uvloop.run(read(chosen.kind, chosen.url, chosen.readers))
        report(counts, chosen.arrivals)
    else:
        uvloop.run(
            write(chosen.kind, chosen.url, chosen.seconds, chosen.window, chosen.pace, chosen.most)
        )


if __name__ == "__main__":
    main()
