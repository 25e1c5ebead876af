"""The WebSocket edge: from an HTTP upgrade to a `Connection`, and its frames one by one."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, final

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.http_websocket import WebSocketError

from roomlog.protocol.codec import CODEC_BY_SUBPROTOCOL, Codec
from roomlog.server.connection import CLOSE_WAIT_SECONDS, Connection
from roomlog.server.hub import Hub
from roomlog.server.masked_frames import MaskedSocket
from roomlog.server.routes import ROOM_ID, Routes, problem

FRAMES_PER_TURN: Final = 16
"""Frames of one socket after which the others get their turn."""
WRITE_HIGH_WATER_BYTES: Final = 256 * 1024


def make_application(hub: Hub) -> web.Application:
    """The whole HTTP application of a server."""
    application = web.Application()
    Routes(hub).add_to(application)
    application.router.add_get("/ws/{room_id}", Edge(hub).upgrade)
    return application


@final
class Edge:
    """Upgrades requests and drives their connections."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def upgrade(self, request: web.Request) -> web.StreamResponse:
        """`GET /ws/{room_id}`."""
        room_id = request.match_info["room_id"]
        if not ROOM_ID.fullmatch(room_id):
            return problem(
                404, "room_id_invalid", "a room id has 1 to 128 letters, digits, '.', '_', '~', '-'"
            )
        codec = offered_codec(request.headers.getall("Sec-WebSocket-Protocol", []))
        limits = self._hub.config.limits
        socket = MaskedSocket(
            protocols=() if codec is None else (codec.subprotocol,),
            compress=False,
            autoping=False,
            autoclose=False,
            # aiohttp refuses a frame of exactly its limit.
            max_msg_size=limits.frame_limit(codec.subprotocol if codec else "") + 1,
            timeout=CLOSE_WAIT_SECONDS,
        )
        if not socket.can_prepare(request):
            return problem(426, "invalid_message", "this address speaks WebSocket, version 13")
        writer = await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)
        session = self._hub.new_session(room_id, codec)
        connection = Connection(self._hub, session, transport, writer, request.remote or "unknown")
        await drive(connection, socket)
        return socket


class Frames(Protocol):
    """What of a WebSocket driving a connection needs."""

    @property
    def close_code(self) -> int | None: ...
    async def receive(self) -> WSMessage: ...


async def drive(connection: Connection, socket: Frames) -> None:
    """A connection's life, from the challenge to the end of its socket."""
    hub, transport = connection.hub, connection.transport
    hub.admit_connection(connection)
    try:
        await _receive(socket, connection)
    except Exception as error:
        connection.fail(error)
    finally:
        hub.forget(connection)
        # What was written still leaves; a socket that does not take it is cut.
        transport.close()
        asyncio.get_running_loop().call_later(CLOSE_WAIT_SECONDS, transport.abort)


async def _receive(socket: Frames, connection: Connection) -> None:
    turn = 0
    while True:
        message = await socket.receive()
        kind = message.type
        if kind is WSMsgType.BINARY:
            connection.receive(message.data, is_text=False)
        elif kind is WSMsgType.TEXT:
            connection.receive(message.data.encode(), is_text=True)
        elif kind is WSMsgType.PING:
            connection.receive_ping(message.data)
        elif kind is WSMsgType.PONG:
            connection.receive_pong()
        elif kind is WSMsgType.CLOSE:
            connection.receive_close(message.data or None)
            return
        else:
            fault = message.data
            is_frame = isinstance(fault, WebSocketError)
            connection.socket_failed(fault.code if is_frame else socket.close_code or 1006)
            return
        turn += 1
        if turn == FRAMES_PER_TURN:
            turn = 0
            await asyncio.sleep(0)


def offered_codec(headers: list[str]) -> Codec | None:
    """The first subprotocol the client offers that we speak."""
    for header in headers:
        for name in header.split(","):
            codec = CODEC_BY_SUBPROTOCOL.get(name.strip())
            if codec is not None:
                return codec
    return None
