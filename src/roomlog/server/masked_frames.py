"""Refuses client frames that are not masked (RFC 6455, 5.1): aiohttp's parser takes them.

Masking keeps a script that chooses what a browser sends from writing bytes that a proxy on the way
would take for something else. Only the heads of frames are looked at; parsing stays with aiohttp.
"""

from __future__ import annotations

from typing import Final, Protocol, final

from aiohttp import WSCloseCode, web
from aiohttp.http_websocket import WebSocketError, WebSocketWriter

_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MASK_BYTES: Final = 4
_HEAD_BYTES: Final = 2
_LONGEST_HEAD_BYTES: Final = 10


class FrameParser(Protocol):
    """What aiohttp asks of a parser."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]: ...
    def feed_eof(self) -> None: ...


class MessageQueue(Protocol):
    """Where the reader of messages hears of a fault."""

    def set_exception(self, exc: BaseException) -> None: ...


@final
class MaskGuard:
    """Hands bytes on to `parser` up to the first unmasked frame, then fails `queue` (1002)."""

    __slots__ = ("_head", "_is_failed", "_left", "_parser", "_queue")

    def __init__(self, parser: FrameParser, queue: MessageQueue) -> None:
        self._parser = parser
        self._queue = queue
        self._head = b""
        self._left = 0
        self._is_failed = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the socket, cut anywhere."""
        if self._is_failed:
            return False, b""
        good = self._masked_bytes(data)
        answer = self._parser.feed_data(data if good == len(data) else data[:good])
        if self._is_failed:
            fault = WebSocketError(WSCloseCode.PROTOCOL_ERROR, "a client frame is not masked")
            self._queue.set_exception(fault)
        return answer

    def feed_eof(self) -> None:
        """The socket has ended."""
        self._parser.feed_eof()

    def _masked_bytes(self, data: bytes) -> int:
        """How many of `data` belong to masked frames; notes a fault."""
        position = min(self._left, len(data))
        self._left -= position
        end = len(data)
        while position < end:
            if not self._head and end - position >= _LONGEST_HEAD_BYTES:
                # Nearly always: the whole head is here.
                second = data[position + 1]
                if second < _MASKED:
                    self._is_failed = True
                    return position
                length = second & _LENGTH
                if length < _LENGTH_16:
                    position += _HEAD_BYTES + _MASK_BYTES + length
                elif length == _LENGTH_16:
                    length = data[position + 2] << 8 | data[position + 3]
                    position += _HEAD_BYTES + 2 + _MASK_BYTES + length
                else:
                    length = int.from_bytes(data[position + 2 : position + 10])
                    position += _HEAD_BYTES + 8 + _MASK_BYTES + length
                if position > end:
                    self._left = position - end
                    position = end
                continue
            known = len(self._head)
            head = self._head + data[position : position + _HEAD_BYTES + 8 - known]
            size = _head_bytes(head)
            if size < 0:
                self._is_failed = True
                return position
            if len(head) < size or size == 0:
                self._head = head
                return len(data)
            self._head = b""
            position += size - known
            self._left = _MASK_BYTES + _payload_bytes(head)
            step = min(self._left, len(data) - position)
            self._left -= step
            position += step
        return position


def _head_bytes(head: bytes) -> int:
    """The length of a frame's head without its mask: 0 not known yet, -1 for an unmasked frame."""
    if len(head) < _HEAD_BYTES:
        return 0
    if not head[1] & _MASKED:
        return -1
    length = head[1] & _LENGTH
    if length == _LENGTH_16:
        return _HEAD_BYTES + 2
    return _HEAD_BYTES + 8 if length == _LENGTH_64 else _HEAD_BYTES


def _payload_bytes(head: bytes) -> int:
    length = head[1] & _LENGTH
    if length == _LENGTH_16:
        return int.from_bytes(head[2:4])
    return int.from_bytes(head[2:10]) if length == _LENGTH_64 else length


@final
class MaskedSocket(web.WebSocketResponse):
    """A WebSocket whose peer has to mask its frames."""

    def _post_start(
        self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        handler = request.protocol
        # What came with the upgrade must not pass the guard.
        tail, handler._message_tail = handler._message_tail, b""
        super()._post_start(request, protocol, writer)
        parser, queue = handler._payload_parser, self._reader
        assert parser is not None
        assert queue is not None
        guard = MaskGuard(parser, queue)
        handler._payload_parser = guard
        if tail:
            guard.feed_data(tail)
