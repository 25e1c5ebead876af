"""Canonical MessagePack read strictly, from `docs/design/data-model.md` alone.

Recursive and slow. What it refuses is refused by the real decoder too, and the other way round.
"""

from __future__ import annotations

import struct

MOST_DEPTH = 16


class NotCanonical(Exception):
    """The bytes are not how any value is written."""


def read(data: bytes, most_depth: int = MOST_DEPTH) -> object:
    """The one value of all these bytes. Raises `NotCanonical`."""
    value, end = _value(data, 0, MOST_DEPTH - most_depth)
    _require(end == len(data))
    return value


def _require(holds: bool) -> None:
    if not holds:
        raise NotCanonical


def _take(data: bytes, start: int, size: int) -> bytes:
    _require(start + size <= len(data))
    return data[start : start + size]


def _value(data: bytes, start: int, depth: int) -> tuple[object, int]:
    (code,) = _take(data, start, 1)
    after = start + 1
    if code < 0x80:
        return code, after
    if code < 0x90:
        return _map(data, after, code & 15, depth + 1)
    if code < 0xA0:
        return _array(data, after, code & 15, depth + 1)
    if code < 0xC0:
        return _text(data, after, code & 31)
    if code in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[code], after
    if code == 0xCB:
        encoded = _take(data, after, 8)
        (number,) = struct.unpack(">d", encoded)
        _require(number == number or encoded == bytes.fromhex("7ff8000000000000"))
        return number, after + 8
    if code >= 0xE0:
        return code - 256, after
    if 0xCC <= code <= 0xCF:
        width = 1 << (code - 0xCC)
        unsigned = int.from_bytes(_take(data, after, width), "big")
        _require(unsigned >= (128 if width == 1 else 1 << (4 * width)))
        return unsigned, after + width
    if 0xD0 <= code <= 0xD3:
        width = 1 << (code - 0xD0)
        signed = int.from_bytes(_take(data, after, width), "big", signed=True)
        _require(signed < (-32 if width == 1 else -(1 << (4 * width - 1))))
        return signed, after + width
    widths = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}
    widths |= {0xDE: 2, 0xDF: 4}
    _require(code in widths)
    width = widths[code]
    size = int.from_bytes(_take(data, after, width), "big")
    after += width
    if code <= 0xC6:
        _require(width == 1 or size >= 1 << (4 * width))
        return _take(data, after, size), after + size
    if code <= 0xDB:
        _require(size >= (32 if width == 1 else 1 << (4 * width)))
        return _text(data, after, size)
    _require(size >= (16 if width == 2 else 1 << 16))
    if code <= 0xDD:
        return _array(data, after, size, depth + 1)
    return _map(data, after, size, depth + 1)


def _text(data: bytes, start: int, size: int) -> tuple[str, int]:
    try:
        return _take(data, start, size).decode("utf-8"), start + size
    except UnicodeDecodeError:
        raise NotCanonical from None


def _array(data: bytes, start: int, count: int, depth: int) -> tuple[object, int]:
    _require(depth <= MOST_DEPTH and count <= len(data))
    elements = []
    for _ in range(count):
        element, start = _value(data, start, depth)
        elements.append(element)
    return elements, start


def _map(data: bytes, start: int, count: int, depth: int) -> tuple[object, int]:
    _require(depth <= MOST_DEPTH and count <= len(data))
    entries: dict[str, object] = {}
    last = None
    for _ in range(count):
        key, start = _value(data, start, depth)
        if not isinstance(key, str):
            raise NotCanonical
        _require(last is None or last < key.encode())
        last = key.encode()
        entries[key], start = _value(data, start, depth)
    return entries, start


def shown(value: object) -> str:
    """A text that is equal for two values only if they are the same, NaN and zeros included."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {shown(each)}' for key, each in value.items())}}}"
    if isinstance(value, float):
        return f"float {struct.pack('>d', value).hex()}"
    return repr(value)
