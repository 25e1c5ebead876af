"""The two ends of a link, as the server's connection and as the SDK know a socket."""

from __future__ import annotations

import asyncio
from types import TracebackType

from aiohttp import WSCloseCode, WSMessage, WSMsgType
from aiohttp.http_websocket import WebSocketError

from roomlog.client.websocket import ABNORMAL, WebSocketClosed
from roomlog.protocol.codec import Codec
from tests.simulation.loop import Life
from tests.simulation.network import (
    BINARY,
    BROKEN,
    CLOSE,
    MALFORMED,
    PING,
    PONG,
    TEXT,
    Link,
    Network,
)

SYSTEM_BUFFER_BYTES = 64 * 1024
"""What the operating systems at both ends take before the process notices that nobody reads."""
HIGH_WATER_BYTES = 256 * 1024
HEARTBEAT_S = 20.0
CLOSE_WAIT_S = 2.0
KINDS = {
    TEXT: WSMsgType.TEXT,
    BINARY: WSMsgType.BINARY,
    PING: WSMsgType.PING,
    PONG: WSMsgType.PONG,
    CLOSE: WSMsgType.CLOSE,
}


class ServerTransport(asyncio.Transport):
    """What a `Connection` writes to: whole server frames, in one piece or several."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._is_closing = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        at = 0
        while at < len(data):
            opcode, size = data[at] & 0x0F, data[at + 1]
            at += 2
            if size == 126:
                size = int.from_bytes(data[at : at + 2], "big")
                at += 2
            elif size == 127:
                size = int.from_bytes(data[at : at + 8], "big")
                at += 8
            assert at + size <= len(data), "the server writes whole frames"
            self._link.to_client.send(opcode, data[at : at + size])
            at += size

    def get_write_buffer_size(self) -> int:
        return max(0, self._link.to_client.waiting_bytes - SYSTEM_BUFFER_BYTES)

    def is_closing(self) -> bool:
        return self._is_closing or self._link.to_client.is_ended

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            # What was written still leaves, then the socket is gone.
            lane = self._link.to_client
            loop = self._link.network.loop
            loop.call_at(max(loop.time(), lane._last_at), self._link.abort, self._link.server)

    def abort(self) -> None:
        self._is_closing = True
        self._link.abort(self._link.server)

    async def drain(self) -> None:
        """Wait until most of what was written is gone. Raises ConnectionError."""
        await self._link.to_client.drained(HIGH_WATER_BYTES + SYSTEM_BUFFER_BYTES)
        await asyncio.sleep(0)


class ServerFrames:
    """What a server receives, as far as aiohttp lets it through: frames of `most_bytes` at most."""

    def __init__(self, link: Link, most_bytes: int) -> None:
        self._link = link
        self._most_bytes = most_bytes
        self.close_code: int | None = None

    async def receive(self) -> WSMessage:
        opcode, payload = await self._link.to_server.receive()
        if opcode == BROKEN:
            self.close_code = ABNORMAL
            return WSMessage(WSMsgType.CLOSED, None, None)
        if opcode == CLOSE:
            return WSMessage(WSMsgType.CLOSE, int.from_bytes(payload[:2], "big"), "")
        if opcode == MALFORMED:
            return self._refuse(WSCloseCode.PROTOCOL_ERROR, "no frame")
        if len(payload) > self._most_bytes:
            return self._refuse(WSCloseCode.MESSAGE_TOO_BIG, "too long")
        try:
            data = payload.decode() if opcode == TEXT else payload
        except UnicodeDecodeError:
            return self._refuse(WSCloseCode.INVALID_TEXT, "not UTF-8")
        return WSMessage(KINDS[opcode], data, "")

    def _refuse(self, code: WSCloseCode, reason: str) -> WSMessage:
        self._link.to_client.send(CLOSE, code.to_bytes(2, "big"))
        return WSMessage(WSMsgType.ERROR, WebSocketError(code, reason), None)


class ClientSocket:
    """As `roomlog.client.websocket.WebSocket`, over a link."""

    def __init__(
        self, network: Network, life: Life, conditions: object, url: str, codec: Codec
    ) -> None:
        self._network = network
        self._life = life
        self._conditions = conditions
        self._origin, _, self._room_id = url.partition("/ws/")
        self._codec = codec
        self._link: Link
        self._heard_at = 0.0
        self._heart: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ClientSocket:
        self._link = await self._network.dial(
            self._life,
            self._conditions,
            self._origin,
            self._room_id,
            self._codec,  # type: ignore[arg-type]
        )
        self._heard_at = self._network.loop.time()
        self._heart = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._heart is not None
        self._heart.cancel()
        self._link.abort(self._life)

    async def _beat(self) -> None:
        loop = self._network.loop
        while True:
            silent_s = loop.time() - self._heard_at
            if silent_s >= HEARTBEAT_S * 1.5:
                self._link.abort(self._life)
                return
            if silent_s >= HEARTBEAT_S:
                self._link.to_server.send(PING, b"")
                await asyncio.sleep(HEARTBEAT_S / 2)
            else:
                # No shorter than what changes the time: rounding must not make it stand still.
                await asyncio.sleep(max(0.001, HEARTBEAT_S - silent_s))

    async def receive(self) -> bytes:
        while True:
            opcode, payload = await self._link.to_client.receive()
            self._heard_at = self._network.loop.time()
            if opcode == PING:
                self._link.to_server.send(PONG, payload)
            elif opcode == CLOSE:
                self._link.to_server.send(CLOSE, payload[:2])
                raise WebSocketClosed(int.from_bytes(payload[:2], "big"), payload[2:].decode())
            elif opcode == BROKEN:
                raise WebSocketClosed(ABNORMAL, "")
            elif opcode == (TEXT if self._codec.is_text else BINARY):
                return payload
            elif opcode != PONG:
                raise WebSocketClosed(ABNORMAL, "the server sent the wrong kind of frame")

    async def send(self, frame: bytes) -> None:
        if self._link.to_client.is_ended:
            raise ConnectionResetError("the socket is gone")
        await self._link.to_server.drained(SYSTEM_BUFFER_BYTES * 2)
        self._link.to_server.send(TEXT if self._codec.is_text else BINARY, frame)

    async def close(self, code: int) -> None:
        if self._link.is_over:
            return
        self._link.to_server.send(CLOSE, code.to_bytes(2, "big"))
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                while (await self._link.to_client.receive())[0] not in (CLOSE, BROKEN):
                    pass
        except TimeoutError:
            pass
