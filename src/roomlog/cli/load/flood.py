"""Floods of every kind end by themselves, and honest sessions hardly notice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp

from roomlog.cli.failure import Failure
from roomlog.cli.load.own_server import OwnServer
from roomlog.cli.load.scenario import Outcome
from roomlog.cli.load.session import LoadSession
from roomlog.client.address import Address
from roomlog.client.websocket import WebSocketClosed
from roomlog.core.node import CHANGE, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol.messages import After, Ping, PushPack, Request

ROOM: Final = "flood"
HONEST_PER_SECOND: Final = 20.0
HONEST_READERS: Final = 10
SILENT_SOCKETS: Final = 200
MOST_P99_MS: Final = 400.0
MOST_GROWTH_MIB: Final = 96.0


async def run(directory: Path, seconds: float) -> Outcome:
    """Nodes beyond credit, pings, requests, garbage and silent sockets beside honest sessions."""
    outcome = Outcome()
    settings = {"hello_wait_ms": 2_000}
    async with (
        OwnServer(directory, settings=settings) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        address = Address(server.url)
        writers = [
            await stack.enter_async_context(LoadSession(address, ROOM, Identity.generate()))
            for _ in range(2)
        ]
        readers = [
            await stack.enter_async_context(LoadSession(address, ROOM, None))
            for _ in range(HONEST_READERS)
        ]
        before_bytes = server.peak_bytes = server.resident_bytes()
        until_s = time.perf_counter() + seconds
        attacks = {
            "nodes beyond credit": asyncio.ensure_future(_attack(address, _push_all, until_s)),
            "pings": asyncio.ensure_future(_attack(address, _ping_all, until_s)),
            "requests": asyncio.ensure_future(_attack(address, _ask_all, until_s)),
            "garbage": asyncio.ensure_future(_attack(address, _rubbish, until_s)),
        }
        silent = asyncio.ensure_future(_sit_silent(server.port, until_s))
        await asyncio.gather(
            *(each.write(in_flight=32, rate=HONEST_PER_SECOND, until_s=until_s) for each in writers)
        )
        settled = await asyncio.gather(*(each.drained(15) for each in writers))
        outcome.exactly("honest writers without an answer", settled.count(False), 0)
        last_seq = max(seq for each in writers for seq in each.sent_at_s)
        arrived = await asyncio.gather(*(each.received_up_to(last_seq, 15) for each in readers))
        outcome.exactly("honest readers that missed something", arrived.count(False), 0)
        acks = [acked_s - sent_s for each in writers for sent_s, acked_s in each.acknowledged_s]
        outcome.latency("acks of honest writers", acks, MOST_P99_MS)
        refused = sum(sum(each.refusals.values()) for each in [*writers, *readers])
        outcome.exactly("refusals of honest sessions", refused, 0)
        for name, attack in attacks.items():
            codes = await attack
            outcome.at_least(f"attacks ended by the server: {name}", len(codes), 1)
            wrong = {code for code in codes if code not in (1006, 1007, 1013, 4008)}
            outcome.exactly(f"attacks that ended otherwise: {name}", len(wrong), 0)
        outcome.exactly("silent sockets left open", await silent, 0)
        outcome.memory(server, before_bytes, MOST_GROWTH_MIB)
    return outcome


Attack = Callable[[LoadSession], Awaitable[None]]


async def _attack(address: Address, attack: Attack, until_s: float) -> list[int]:
    """Attack again and again; the close codes the server ended the sessions with."""
    codes: list[int] = []
    while time.perf_counter() < until_s:
        session = LoadSession(address, ROOM, Identity.generate())
        try:
            await session.open()
            try:
                async with asyncio.timeout(max(until_s - time.perf_counter(), 0.1)):
                    await attack(session)
                    await session.ended()
            except (WebSocketClosed, TimeoutError, OSError, aiohttp.ClientError, Failure):
                pass
            if session.close_code:
                codes.append(session.close_code)
        except Failure:
            # Turned away at the door; it tries again.
            codes.append(session.close_code or 1013)
        finally:
            await session.close()
        await asyncio.sleep(0.05)
    return codes


async def _push_all(session: LoadSession) -> None:
    """Far more nodes than were granted."""
    hasher = NodeHasher(session.welcome.lineage)
    signer = Identity.generate()
    node = make_node(hasher, signer, CHANGE, 1, [], [MapSet("x", 1)])
    pack = encode_pack([node] * 512)
    for _ in range(200):
        await session.send(PushPack(lineage=session.welcome.lineage, nodes=pack))


async def _ping_all(session: LoadSession) -> None:
    for number in range(20_000):
        await session.send(Ping(t=number))


async def _ask_all(session: LoadSession) -> None:
    after = After(epoch=session.welcome.epoch, seq=0)
    for number in range(20_000):
        await session.send(Request(ref=str(number), after=after))


async def _rubbish(session: LoadSession) -> None:
    await session.send_bytes(b"\xc1" * 1_000)


async def _sit_silent(port: int, until_s: float) -> int:
    """Open sockets that never speak; how many of them the server still has at the end."""
    sockets = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SILENT_SOCKETS)]
    await asyncio.sleep(max(until_s - time.perf_counter(), 4.0))
    left = 0
    for reader, writer in sockets:
        try:
            async with asyncio.timeout(1.0):
                await reader.read()
        except TimeoutError:
            left += 1
        except OSError:
            pass
        writer.transport.abort()
    return left
