"""Canonical MessagePack: one value has exactly one encoding.

The rules are in ``docs/design/data-model.md``: shortest headers and integers, floats as float64
with one NaN, string keys that are unique and sorted by their UTF-8 bytes, valid UTF-8, no
extension types, bounded nesting. msgspec is the engine; what it leaves open is checked here.
"""

import struct
from typing import Final

import msgspec

from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.reject import Reject, RejectClass

MAX_DEPTH: Final = 16
"""Greatest nesting of arrays and maps, the outermost being 1."""

MIN_INTEGER: Final = -(1 << 63)
MAX_INTEGER: Final = (1 << 64) - 1
_NAN_BYTES: Final = bytes.fromhex("7ff8000000000000")
_NAN: Final = struct.unpack(">d", _NAN_BYTES)[0]
_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")
_DECODER: Final = msgspec.msgpack.Decoder()
_FLOAT64: Final = struct.Struct(">d")


def encode(value: object, *, enclosing_depth: int = 0) -> bytes:
    """Encode ``value`` in its one canonical form.

    Takes None, bool, int, float, str, bytes, list, tuple (as a list) and dict with str keys, of
    exactly these types. ``enclosing_depth`` is the number of containers the value will lie in.

    Raises `InvalidTypeError` or `InvalidValueError`, naming the place in the value, for what has
    no canonical form.
    """
    if _is_plain(value, enclosing_depth):
        try:
            return _ENCODER.encode(value)
        except UnicodeEncodeError:
            pass
    return _ENCODER.encode(_normalised(value, "value", enclosing_depth))


def decode(data: bytes, *, enclosing_depth: int = 0) -> object:
    """Decode one canonical value: None, bool, int, float, str, bytes, list or dict.

    Raises `Reject` (body_invalid) for everything that `encode` would not have written.
    """
    try:
        value: object = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise Reject(RejectClass.BODY_INVALID, f"not MessagePack: {error}") from None
    if not _is_plain(value, enclosing_depth):
        raise Reject(RejectClass.BODY_INVALID, "a value of no canonical form")
    if _ENCODER.encode(value) != data:
        raise Reject(RejectClass.BODY_INVALID, "not the canonical encoding of its value")
    return value


def _is_plain(value: object, depth: int) -> bool:
    """Whether msgspec writes ``value`` canonically; strings are left to its own UTF-8 check."""
    kind = type(value)
    if kind is str or kind is bytes or value is None or kind is bool:
        return True
    if kind is int:
        assert isinstance(value, int)
        return MIN_INTEGER <= value <= MAX_INTEGER
    if kind is float:
        return value == value or _FLOAT64.pack(value) == _NAN_BYTES
    depth += 1
    if depth > MAX_DEPTH:
        return False
    if kind is list:
        assert isinstance(value, list)
        for element in value:
            if not _is_plain(element, depth):
                return False
        return True
    if kind is tuple:
        assert isinstance(value, tuple)
        for element in value:
            if not _is_plain(element, depth):
                return False
        return True
    if kind is dict:
        assert isinstance(value, dict)
        for key, element in value.items():
            if type(key) is not str or not _is_plain(element, depth):
                return False
        return True
    return False


def _normalised(value: object, path: str, depth: int) -> object:
    """A copy with the one NaN, or the error that names the place of what cannot be written."""
    kind = type(value)
    if value is None or kind is bool or kind is bytes:
        return value
    if isinstance(value, str) and kind is str:
        _check_string(value, path)
        return value
    if isinstance(value, int) and kind is int:
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise InvalidValueError(f"{path}: integer outside -2^63..2^64-1")
        return value
    if kind is float:
        return value if value == value else _NAN
    if kind is not list and kind is not tuple and kind is not dict:
        raise InvalidTypeError(
            f"{path}: {kind.__qualname__} cannot be written; use None, bool, int, float, str, "
            "bytes, list, tuple or dict"
        )
    depth += 1
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"{path}: nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        copy: dict[str, object] = {}
        for key, element in value.items():
            if type(key) is not str:
                raise InvalidTypeError(f"{path}: map key {key!r} is not a str")
            _check_string(key, f"{path}: map key {key!r}")
            copy[key] = _normalised(element, f"{path}[{key!r}]", depth)
        return copy
    assert isinstance(value, list | tuple)
    return [_normalised(element, f"{path}[{index}]", depth) for index, element in enumerate(value)]


def _check_string(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(f"{path}: lone surrogate at {error.start}") from None
