"""The model server behind a real WebSocket, for what the real server never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from aiohttp import WSMsgType, web

from roomlog.protocol.codec import CODEC_BY_SUBPROTOCOL, Codec
from tests.client.model_server import ModelServer, ModelSession


class ModelSocket:
    """`async with ModelSocket(model) as served`, then dial `served.url`."""

    def __init__(self, model: ModelServer) -> None:
        self.model = model
        self.url = ""
        self.before_welcome: list[bytes] = []
        """Frames to slip in between the challenge and the welcome."""
        self._sockets: set[web.WebSocketResponse] = set()
        self._activity = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a frame of a client, or a new one, after which `condition` holds."""
        async with asyncio.timeout(20):
            while not condition():
                self._activity.clear()
                await self._activity.wait()

    async def __aenter__(self) -> ModelSocket:
        application = web.Application()
        application.router.add_get("/ws/{room}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"ws://127.0.0.1:{port}"
        self.model.origin = self.url
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    async def drop(self, code: int = 1006) -> None:
        """End every connection: with a close frame, or without one for 1006."""
        for socket in list(self._sockets):
            if code == 1006:
                transport = socket._req.transport  # type: ignore[union-attr]
                if transport is not None:
                    transport.abort()
            else:
                await socket.close(code=code)

    async def send_to_all(self, frame: bytes) -> None:
        for socket in list(self._sockets):
            await socket.send_bytes(frame)

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=tuple(CODEC_BY_SUBPROTOCOL))
        await socket.prepare(request)
        codec = CODEC_BY_SUBPROTOCOL.get(socket.ws_protocol or "", Codec.MSGPACK)
        session = self.model.connect(codec)
        self._sockets.add(socket)
        self._activity.set()
        try:
            await self._flush(socket, session)
            async for message in socket:
                if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                    break
                data = message.data
                was_open = session.is_open
                session.receive(data.encode() if isinstance(data, str) else data)
                if session.is_open and not was_open:
                    session.outgoing[:0] = self.before_welcome
                await self._flush_all()
                self._activity.set()
                if session.close_code is not None:
                    await socket.close(code=session.close_code)
        finally:
            self._sockets.discard(socket)
            self.model.sessions.remove(session)
        return socket

    async def _flush_all(self) -> None:
        for session in list(self.model.sessions):
            socket = session.socket
            if socket is not None and not socket.closed:
                await self._flush(socket, session)

    async def _flush(self, socket: web.WebSocketResponse, session: ModelSession) -> None:
        session.socket = socket
        while session.outgoing:
            frame = session.outgoing.pop(0)
            if session.codec.is_text:
                await socket.send_str(frame.decode())
            else:
                await socket.send_bytes(frame)
        await asyncio.sleep(0)
