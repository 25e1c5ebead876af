"""One WebSocket, as the SDK needs it: whole frames in and out, and how it ended."""

from __future__ import annotations

from types import TracebackType
from typing import Final, final

import aiohttp
from yarl import URL

from roomlog.protocol.codec import Codec

DIAL_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
HEARTBEAT_S: Final = 20.0
"""A server that shows no life for this long is pinged; half as long again, and it is given up."""

ABNORMAL: Final = 1006
_FRAME_ROOM_BYTES: Final = 1024


@final
class WebSocketClosed(Exception):
    """The socket ended; `code` is the close code, 1006 when there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


@final
class WebSocket:
    """`async with WebSocket(url, codec, ...) as socket`.

    Raises OSError, TimeoutError or aiohttp.ClientError when it cannot be opened.
    """

    def __init__(self, url: str, codec: Codec, frame_limit_bytes: int) -> None:
        self._url = url
        self._codec = codec
        self._frame_limit_bytes = frame_limit_bytes
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> WebSocket:
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(sock_connect=DIAL_TIMEOUT_S)
        )
        try:
            self._socket = await self._http.ws_connect(
                # As it is: "." and ".." are rooms, not ways to another path.
                URL(self._url, encoded=True),
                protocols=(self._codec.subprotocol,),
                heartbeat=HEARTBEAT_S,
                max_msg_size=self._frame_limit_bytes + _FRAME_ROOM_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                compress=0,
            )
        except BaseException:
            await self._http.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._http is not None
        await self._http.close()

    async def receive(self) -> bytes:
        """The next frame. Raises `WebSocketClosed`."""
        assert self._socket is not None
        message = await self._socket.receive()
        if message.type == aiohttp.WSMsgType.BINARY and not self._codec.is_text:
            return bytes(message.data)
        if message.type == aiohttp.WSMsgType.TEXT and self._codec.is_text:
            return str(message.data).encode()
        if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
            await self.close(1003)
            raise WebSocketClosed(ABNORMAL, "the server sent the wrong kind of frame")
        code = self._socket.close_code
        reason = message.extra if isinstance(message.extra, str) else ""
        raise WebSocketClosed(ABNORMAL if code is None else code, reason)

    async def send(self, frame: bytes) -> None:
        """Write one frame; waits while the socket's buffer is full. Raises OSError when it is
        gone."""
        assert self._socket is not None
        if self._codec.is_text:
            await self._socket.send_str(frame.decode())
        else:
            await self._socket.send_bytes(frame)

    async def close(self, code: int) -> None:
        """Say goodbye, and wait a little for the answer."""
        assert self._socket is not None
        await self._socket.close(code=code)


def busy_hint_ms(error: Exception) -> int | None:
    """How long an HTTP answer in place of the upgrade asked to wait (RFC 9110, section 10.2.3)."""
    if not isinstance(error, aiohttp.WSServerHandshakeError) or error.headers is None:
        return None
    seconds = error.headers.get("Retry-After", "")
    return int(seconds) * 1000 if seconds.isascii() and seconds.isdigit() else None
