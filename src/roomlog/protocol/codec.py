"""Frames to messages and back, in two encodings.

`roomlog.v1+msgpack` has binary frames, `roomlog.v1+json` text frames with bytes as padded base64.
What cannot be read at all is `Undecodable` (the connection ends with 1007); what can be read but is
not a valid message is a `MessageRefused` with its class and the `ref` to answer.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Generic, TypeVar, final

import msgspec

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.messages import ClientMessage, Message, ServerMessage

Read = TypeVar("Read")

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")


class Codec(Enum):
    """The two encodings of the same messages, by subprotocol name."""

    MSGPACK = "roomlog.v1+msgpack"
    JSON = "roomlog.v1+json"

    @property
    def subprotocol(self) -> str:
        """The name offered in `Sec-WebSocket-Protocol`."""
        return self.value

    @property
    def is_text(self) -> bool:
        """Whether frames are text frames."""
        return self is Codec.JSON


CODEC_BY_SUBPROTOCOL = {codec.subprotocol: codec for codec in Codec}


class Undecodable(Exception):
    """A frame that is not MessagePack, or not JSON: close 1007."""


@final
class MessageRefused(Exception):
    """A readable frame that is no valid message; `reject` says why, `ref` is what to echo."""

    def __init__(self, reject: Reject, ref: str | None) -> None:
        super().__init__(str(reject))
        self.reject = reject
        self.ref = ref


@final
class FrameReader(Generic[Read]):
    """Decodes the frames of one direction."""

    def __init__(self, codec: Codec, union: object) -> None:
        self._codec = codec
        self._decode = _decoder(codec, union)
        self._decode_anything = _decoder(codec, object)

    def read(self, frame: bytes) -> Read:
        """The message in `frame`. Raises `Undecodable` or `MessageRefused`."""
        try:
            return self._decode(frame)  # type: ignore[no-any-return]
        except msgspec.ValidationError as fault:
            raise self._refusal(frame, str(fault)) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
            raise Undecodable(str(fault)) from None

    def _refusal(self, frame: bytes, fault: str) -> MessageRefused:
        try:
            envelope = self._decode_anything(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as unreadable:
            raise Undecodable(str(unreadable)) from None
        if not isinstance(envelope, dict):
            return _refused(RejectClass.INVALID_MESSAGE, "a message is a map with a type", {}, None)
        ref = envelope.get("ref")
        if not isinstance(ref, str) or not 1 <= len(ref) <= 64:
            ref = None
        kind = envelope.get("type")
        if not isinstance(kind, str):
            detail: dict[str, object] = {"field": "type"}
            return _refused(RejectClass.INVALID_MESSAGE, "a message has a type", detail, ref)
        path = _PATH.search(fault)
        field = path["path"] if path else ""
        if field == "type":
            shown = kind[:64]
            return _refused(
                RejectClass.UNKNOWN_TYPE, f"no message is called {shown!r}", {"type": shown}, ref
            )
        missing = _MISSING.search(fault)
        if missing:
            field = f"{field}.{missing['field']}" if field else missing["field"]
        reason = fault[: path.start()] if path else fault
        return _refused(
            RejectClass.INVALID_FIELD,
            f"{kind[:64]}.{field}: {reason}",
            {"field": field, "reason": reason},
            ref,
        )


def client_frames(codec: Codec) -> FrameReader[ClientMessage]:
    """Reads what a client sends."""
    return FrameReader(codec, ClientMessage)


def server_frames(codec: Codec) -> FrameReader[ServerMessage]:
    """Reads what a server sends."""
    return FrameReader(codec, ServerMessage)


def encode(codec: Codec, message: Message) -> bytes:
    """The frame payload of `message` (UTF-8 text for JSON)."""
    return _ENCODE_JSON(message) if codec is Codec.JSON else _ENCODE_MSGPACK(message)


_ENCODE_JSON = msgspec.json.Encoder().encode
_ENCODE_MSGPACK = msgspec.msgpack.Encoder().encode


def _decoder(codec: Codec, union: object):  # type: ignore[no-untyped-def]
    if codec is Codec.JSON:
        return msgspec.json.Decoder(union).decode
    return msgspec.msgpack.Decoder(union).decode


def _refused(
    reject_class: RejectClass, message: str, detail: dict[str, object], ref: str | None
) -> MessageRefused:
    return MessageRefused(Reject(reject_class, message, detail), ref)
