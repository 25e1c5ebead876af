"""A WebSocket client (RFC 6455) small enough not to be what is measured.

One asyncio protocol for every server under test, so that readers cost the same whoever they read
from. Messages are handed over as they lie in the receive buffer; frames of a client are masked with
zeros, which leaves their bytes as they are.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import cast
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocketClient(asyncio.Protocol):
    """One connection. Subclasses receive `opened` and `received`."""

    def __init__(self, url: str, subprotocol: str = "") -> None:
        self.url = url
        self._subprotocol = subprotocol
        self._rest = b""
        self._is_open = False
        self.transport: asyncio.Transport
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever does not wait for the end need not hear of it either.
        self.closed.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    def opened(self) -> None:
        """The upgrade succeeded."""

    def received(self, data: bytes, start: int, end: int) -> None:
        """One message: `data[start:end]`."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport
        self.transport = cast("asyncio.Transport", transport)
        parts = urlsplit(self.url)
        lines = [
            f"GET {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if self._subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {self._subprotocol}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_exception(error or ConnectionError(f"{self.url} closed the connection"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._is_open:
            self._read_frames(data, 0)
            return
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._rest = data
            return
        if not data.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(data.split(b"\r\n", 1)[0].decode())
        self._is_open = True
        self.opened()
        self._read_frames(data, end + 4)

    def _read_frames(self, data: bytes, position: int) -> None:
        size = len(data)
        while size - position >= 2:
            length = data[position + 1]
            start = position + 2
            if length == 126:
                start += 2
                length = int.from_bytes(data[position + 2 : start], "big")
            elif length == 127:
                start += 8
                length = int.from_bytes(data[position + 2 : start], "big")
            end = start + length
            if end > size or start > size:
                break
            first = data[position]
            position = end
            if first in (0x80 | BINARY, 0x80 | TEXT):
                self.received(data, start, end)
            elif first == 0x80 | PING:
                self._write(PONG, data[start:end])
            elif first == 0x80 | CLOSE:
                raise ConnectionError(f"closed: {data[start:end]!r}")
            elif first != 0x80 | PONG:
                raise ConnectionError(f"unexpected frame {first:#x}")
        if position < size:
            self._rest = data[position:]

    def send(self, message: bytes) -> None:
        """One binary message."""
        self._write(BINARY, message)

    def _write(self, opcode: int, payload: bytes) -> None:
        self.transport.write(frame(opcode, payload))


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame around `payload`, masked with zeros."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


async def connect(client: WebSocketClient) -> None:
    """Dials the client's URL."""
    parts = urlsplit(client.url)
    assert parts.hostname is not None
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: client, parts.hostname, parts.port)
