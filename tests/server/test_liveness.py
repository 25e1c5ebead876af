"""Dead sockets are noticed, living ones are left alone."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

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


async def test_t34_a_half_open_socket_is_cut_although_nothing_ever_fails(
    start: Start, enter: Join
) -> None:
    # Neither end nor reset arrives, as from a machine that lost its power: writes still succeed.
    service = await start(ping_interval_ms=30, pings_missed=2, tick_ms=5, send_stall_ms=60_000)
    writer = await enter(service, "other")
    half = await enter(service)
    connection = half.socket._response.connection
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    room = service.hub.registry.rooms["room"]
    reading = asyncio.create_task(writer.receive_type("pong"))
    await eventually(lambda: not room.sessions)
    # The one that answers stays.
    assert len(service.hub.connections) == 1
    await writer.send({"type": "ping"})
    await reading
    assert b'closes_total{code="1006"} 1.0' in service.metrics.exposition()
    transport.abort()


async def test_t34_any_frame_counts_as_life(start: Start) -> None:
    service = await start(ping_interval_ms=100, pings_missed=3, tick_ms=5)
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


async def test_t34_a_socket_that_never_becomes_a_session_is_cut(start: Start) -> None:
    service = await start(hello_wait_ms=60, tick_ms=5)
    heads = [
        b"",
        b"GET /ws/room HTTP/1.1\r\nHost: a\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    for head in heads:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head)
        async with asyncio.timeout(5):
            # An aborted socket may be reset.
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()
    async with await dial(service.url) as client:
        assert (await client.greet())["type"] == "welcome"
        for _ in range(3):
            await asyncio.sleep(0.03)
            await client.send({"type": "ping"})
            await client.receive_type("pong")


@pytest.mark.parametrize("opcode", [aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG])
async def test_t30_a_flood_of_websocket_pings_or_pongs_ends_the_session(
    start: Start, opcode: aiohttp.WSMsgType
) -> None:
    service = await start(messages_per_second=1)
    async with await silent(service.url) as client:
        await client.greet()
        answered = 0
        for _ in range(40):
            if opcode is aiohttp.WSMsgType.PING:
                await client.socket.ping(b"x" * 125)
            else:
                await client.socket.pong(b"x" * 125)
        while True:
            message = await client.socket.receive(timeout=5)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
                break
            answered += message.type is aiohttp.WSMsgType.PONG
        assert client.socket.close_code == 4008
        assert answered <= 10


async def test_t28_a_reader_that_asks_for_more_than_it_takes_is_cut(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.connection.ANSWERS_BYTES", 1 << 16)
    service = await start(
        messages_per_second=1_000_000, reader_buffer_bytes=1 << 16, tick_ms=5, send_stall_ms=60_000
    )
    client = await enter(service)
    connection = client.socket._response.connection
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    most_bytes = 0
    with contextlib.suppress(ConnectionError):
        while service.hub.connections and most_bytes < 1 << 23:
            for _ in range(200):
                await client.send({"type": "ping", "ref": "r" * 65})
            await asyncio.sleep(0)
            waiting = [each.waiting_bytes for each in service.hub.connections]
            most_bytes = max(most_bytes, *waiting, 0)
    assert most_bytes < 1 << 23
    # Long before the limit of a reader that makes no progress at all.
    assert b'resyncs_total{reason="send_stall"} 1.0' in service.metrics.exposition()


async def test_a_close_without_a_code_is_answered_without_one(start: Start) -> None:
    service = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        b"GET /ws/room HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: roomlog.v1+msgpack\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    # A masked close frame without a payload.
    writer.write(b"\x88\x80abcd")
    async with asyncio.timeout(5):
        answered = await reader.read(-1)
    assert answered.endswith(b"\x88\x00")
    writer.close()
