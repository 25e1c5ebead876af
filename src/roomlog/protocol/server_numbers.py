"""What a server says in free numbers and details, made such that a client can count and store it.

JSON has numbers of any length, and MessagePack has details that nobody can keep. A server that says
such things is odd, but no danger: a wait becomes a long wait, and a detail goes without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from roomlog.protocol.codec import Codec, server_frames
from roomlog.protocol.messages import Error, Notice, PackAck, ServerMessage, Welcome

GREATEST: Final = 1 << 53
"""Exact in a float64, as which milliseconds become seconds."""

_ENCODE: Final = msgspec.msgpack.Encoder().encode


def bounded_server_frames(codec: Codec) -> Callable[[bytes], ServerMessage]:
    """Reads what a server sends, as `server_frames`."""
    read = server_frames(codec).read

    def read_bounded(frame: bytes) -> ServerMessage:
        message = read(frame)
        bound = _BOUNDS.get(type(message))
        if bound is not None:
            bound(message)
        return message

    return read_bounded


def _bounded(number: int) -> int:
    return max(-GREATEST, min(number, GREATEST))


def _bound_error(error: Error) -> None:
    if error.retry_after_ms is not None:
        error.retry_after_ms = max(0, _bounded(error.retry_after_ms))
    error.detail = _kept(error.detail)


def _bound_notice(notice: Notice) -> None:
    drain = notice.drain
    if drain is not None:
        drain.deadline_ms = _bounded(drain.deadline_ms)
        drain.retry_after_ms = _bounded(drain.retry_after_ms)


def _bound_welcome(welcome: Welcome) -> None:
    welcome.limits = {name: _bounded(limit) for name, limit in welcome.limits.items()}


def _bound_ack(ack: PackAck) -> None:
    for node in ack.rejected:
        node.detail = _kept(node.detail)


def _kept(detail: dict[str, object]) -> dict[str, object]:
    """The detail without what cannot be stored."""
    return {name: value for name, value in detail.items() if _is_storable(value)}


def _is_storable(value: object) -> bool:
    try:
        _ENCODE(value)
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError, RecursionError):
        return False
    return True


_BOUNDS: Final[dict[type, Callable[[Any], None]]] = {
    Error: _bound_error,
    Notice: _bound_notice,
    PackAck: _bound_ack,
    Welcome: _bound_welcome,
}
