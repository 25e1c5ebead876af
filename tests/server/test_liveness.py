"""Dead sockets are noticed, living ones are left alone."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import RawClient, dial


async def silent(url: str) -> RawClient:
    """A client that answers no pings."""
    client = await dial(url)
    await client.http.close()
    client.http = aiohttp.ClientSession()
    client.socket = await client.http.ws_connect(
        f"{url}/ws/room", protocols=(client.subprotocol,), autoping=False
    )
    return client


async def test_t34_a_socket_that_answers_no_ping_is_cut(start: Start) -> None:
    service = await start(ping_interval_ms=30, pings_missed=2, tick_ms=5)
    async with await silent(service.url) as client:
        assert (await client.greet())["type"] == "welcome"
        await eventually(lambda: not service.hub.connections)
    assert b'closes_total{code="1006"}' in service.metrics.exposition()


async def test_t34_any_frame_counts_as_life(start: Start) -> None:
    service = await start(ping_interval_ms=40, pings_missed=1, tick_ms=5)
    async with await silent(service.url) as client:
        await client.greet()
        pings = 0
        while pings < 6:
            message = await client.socket.receive(timeout=5)
            assert message.type == aiohttp.WSMsgType.PING
            pings += 1
            # Not the pong it wants, but a sign of life.
            await client.send({"type": "ping"})
            answer = await client.socket.receive(timeout=5)
            assert answer.type is aiohttp.WSMsgType.BINARY
        assert len(service.hub.connections) == 1


async def test_an_answering_client_stays_however_idle(start: Start, enter: Join) -> None:
    service = await start(ping_interval_ms=10, pings_missed=1, tick_ms=2)
    client = await enter(service)
    reading = asyncio.create_task(client.receive_type("pong"))
    pongs = 0
    (connection,) = service.hub.connections
    heard = connection.receive_pong

    def counted() -> None:
        nonlocal pongs
        pongs += 1
        heard()

    connection.receive_pong = counted  # type: ignore[method-assign]
    await eventually(lambda: pongs >= 5)
    await client.send({"type": "ping"})
    await reading
    assert len(service.hub.connections) == 1


async def test_a_websocket_ping_of_the_client_is_answered(start: Start) -> None:
    service = await start()
    async with await silent(service.url) as client:
        await client.greet()
        await client.socket.ping(b"are you there")
        message = await client.socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there")
