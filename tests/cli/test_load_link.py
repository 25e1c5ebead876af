"""The network that load scenarios run through."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from roomlog.cli.load.link import Link

LIMIT_S = 20.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def test_a_reset_of_the_far_side_reaches_the_client() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read(5) == b"hello"
        own = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with asyncio.timeout(LIMIT_S), server, Link() as link:
        link.target_port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"hello")
        assert await reader.read() == b""
        writer.close()


async def test_bytes_pass_unchanged_both_ways_until_the_link_is_cut() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with asyncio.timeout(LIMIT_S), server, Link(delay_s=0.01) as link:
        link.target_port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        sent = bytes(range(256)) * 1000
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        link.cut()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
