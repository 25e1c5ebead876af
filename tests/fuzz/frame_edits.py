"""Frames changed as an input says, byte by byte or field by field."""

from __future__ import annotations

from random import Random

import msgspec

from roomlog.protocol.codec import Codec
from tests.fuzz.choices import Choices
from tests.fuzz.value_edits import edited_value


def edited_frame(frame: bytes, choices: Choices, codec: Codec) -> bytes:
    """A frame that differs from `frame` in a field, or in a few bytes."""
    if choices.is_one_in(3):
        edited = bytearray(frame)
        for _ in range(1 + choices.below(3)):
            if edited:
                edited[choices.below(min(len(edited), 65_536))] = choices.byte()
        return bytes(edited)
    random = Random(choices.number(2))
    format_ = msgspec.json if codec is Codec.JSON else msgspec.msgpack
    try:
        value = format_.decode(frame)
        for _ in range(1 + choices.below(2)):
            value = edited_value(value, random)
        return format_.encode(value)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
        return frame[: len(frame) // 2]
