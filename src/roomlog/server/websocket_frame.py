"""Server frames of RFC 6455: unmasked and, as no extension is negotiated, without state.

One buffer therefore serves every socket that gets the same message.
"""

from __future__ import annotations

import struct
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_FINAL: Final = 0x80
_SHORT: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


def server_frame(opcode: int, payload: bytes) -> bytes:
    """The whole frame of one message."""
    size = len(payload)
    if size < 126:
        return bytes((_FINAL | opcode, size)) + payload
    if size < 65_536:
        return _SHORT.pack(_FINAL | opcode, 126, size) + payload
    return _LONG.pack(_FINAL | opcode, 127, size) + payload
