"""Between clients and an honest server: says something else than the server did, now and then."""

from __future__ import annotations

import asyncio
import contextlib
import random
from types import TracebackType
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

UNLIKELY_NUMBERS = (0, 1, 2, 64, 1 << 31, (1 << 53) + 1, (1 << 63) - 1, -1)
OTHERS: tuple[object, ...] = (None, True, "", "x", b"", bytes(32), [], {}, 1.5, [[]], [0, 0])
KEPT = ("type", "server_pubkey", "class", "kind")
"""Lies about these end sessions for good, as they should, or are other messages."""


class LyingProxy:
    """`async with LyingProxy(port, seed) as proxy`, then dial `proxy.url`.

    One in `one_in` messages of the server is changed, doubled, left out, put behind the next one,
    or told again from an earlier session. `is_honest` ends that.
    """

    def __init__(self, server_port: int, seed: int, *, one_in: int = 12) -> None:
        self.url = ""
        self.is_honest = False
        self.lies: list[str] = []
        self._server = f"ws://127.0.0.1:{server_port}"
        self._random = random.Random(seed)
        self._one_in = one_in
        self._told: list[bytes] = []
        self._sockets: set[web.WebSocketResponse] = set()

    async def __aenter__(self) -> LyingProxy:
        app = web.Application()
        app.router.add_get("/ws/{room}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.end_all()
        await self._runner.cleanup()

    async def end_all(self) -> None:
        """Whoever is here comes again."""
        for socket in list(self._sockets):
            await socket.close()

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        protocols = request.headers["Sec-WebSocket-Protocol"].split(",")
        socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0, autoping=True)
        await socket.prepare(request)
        self._sockets.add(socket)
        with contextlib.suppress(OSError, aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(
                    f"{self._server}{request.path}", protocols=protocols, max_msg_size=0
                ) as far,
            ):
                tasks = (
                    asyncio.ensure_future(self._up(socket, far)),
                    asyncio.ensure_future(self._down(far, socket)),
                )
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await socket.close(code=far.close_code or 1000)
        self._sockets.discard(socket)
        return socket

    async def _up(self, near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
        async for message in near:
            await far.send_bytes(message.data)

    async def _down(
        self, far: aiohttp.ClientWebSocketResponse, near: web.WebSocketResponse
    ) -> None:
        held: list[bytes] = []
        async for message in far:
            frame: bytes = message.data
            frames = [frame]
            if not self.is_honest and self._random.randrange(self._one_in) == 0:
                frames = self._lie(frame, held)
            else:
                frames += held
                held.clear()
            if len(self._told) < 200:
                self._told.append(frame)
            for each in frames:
                await near.send_bytes(each)

    def _lie(self, frame: bytes, held: list[bytes]) -> list[bytes]:
        message = msgspec.msgpack.decode(frame)
        kind = self._random.randrange(10)
        if kind == 0:
            self.lies.append(f"left out {message['type']}")
            return []
        if kind == 1:
            self.lies.append(f"doubled {message['type']}")
            return [frame, frame]
        if kind == 2:
            self.lies.append(f"late {message['type']}")
            held.append(frame)
            return []
        if kind == 3 and self._told:
            again = self._random.choice(self._told)
            self.lies.append(f"again {msgspec.msgpack.decode(again)['type']}")
            return [frame, again]
        place = self._change(message, str(message["type"]))
        self.lies.append(place)
        return [msgspec.msgpack.encode(message)]

    def _change(self, value: Any, place: str) -> str:
        """Change something in a map or list; which place."""
        keys = [key for key in value if key not in KEPT] if isinstance(value, dict) else []
        if isinstance(value, list):
            keys = list(range(len(value)))
        if not keys:
            return f"{place}: nothing"
        key = self._random.choice(keys)
        inner, place = value[key], f"{place}.{key}"
        if isinstance(inner, dict | list) and inner and self._random.random() < 0.7:
            return self._change(inner, place)
        choice = self._random.random()
        if choice < 0.15:
            del value[key]
        elif choice < 0.3:
            value[key] = self._random.choice(OTHERS)
        elif isinstance(inner, bool):
            value[key] = not inner
        elif isinstance(inner, int):
            near = inner + self._random.choice((-2, -1, 1, 2))
            value[key] = near if choice < 0.7 else self._random.choice(UNLIKELY_NUMBERS)
        elif isinstance(inner, bytes) and inner:
            value[key] = self._bent(inner)
        elif isinstance(inner, str):
            value[key] = inner + "x" if choice < 0.6 else inner[:-1]
        elif isinstance(inner, list):
            value[key] = inner[1:] if choice < 0.6 else inner + inner
        else:
            value[key] = self._random.choice(OTHERS)
        return f"{place} = {repr(value.get(key) if isinstance(value, dict) else None)[:60]}"

    def _bent(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        kind = self._random.randrange(4)
        if kind == 0:
            return data[:at]
        if kind == 1:
            return data + bytes(1)
        flipped = data[at] ^ (1 << self._random.randrange(8))
        return data[:at] + bytes([flipped]) + data[at + 1 :]
