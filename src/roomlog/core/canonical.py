"""Canonical MessagePack: one value has exactly one encoding.

The rules are in ``docs/design/data-model.md``: shortest headers and integers, floats as float64
with one NaN, string keys that are unique and sorted by their UTF-8 bytes, valid UTF-8, no
extension types, bounded nesting. msgspec is the engine; what it leaves open is checked here.
"""

import math
import struct
from typing import Final

import msgspec

from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.reject import Reject, RejectClass

MAX_DEPTH: Final = 16
"""Greatest nesting of arrays and maps, the outermost being 1."""

MIN_INTEGER: Final = -(1 << 63)
MAX_INTEGER: Final = (1 << 64) - 1
_FLOAT64: Final = struct.Struct(">d")
_NAN_BYTES: Final = bytes.fromhex("7ff8000000000000")
_NAN: Final = _FLOAT64.unpack(_NAN_BYTES)[0]

# "deterministic" sorts map keys by their UTF-8 bytes.
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_decode: Final = msgspec.msgpack.Decoder().decode


def encode(
    value: object, *, enclosing_depth: int = 0, name: str = "value", is_checked: bool = False
) -> bytes:
    """Encode ``value`` in its one canonical form.

    Takes None, bool, int, float, str, bytes, list, tuple (as a list) and dict with str keys, of
    exactly these types. ``enclosing_depth`` is the number of containers the value will lie in;
    ``name`` is what errors call it. ``is_checked`` says that `is_canonical` holds already.

    Raises `InvalidTypeError` or `InvalidValueError`, naming the place in the value, for what has
    no canonical form.

    >>> encode({"b": 1, "a": [None, 2.5]}).hex()
    '82a16192c0cb4004000000000000a16201'
    """
    if is_checked or is_canonical(value, enclosing_depth):
        try:
            return _encode(value)
        except UnicodeEncodeError:
            # A lone surrogate: found again below, with its place.
            pass
    return _encode(_normalised(value, name, enclosing_depth))


def decode(data: bytes, *, enclosing_depth: int = 0) -> object:
    """Decode one canonical value: None, bool, int, float, str, bytes, list or dict.

    Raises `Reject` (body_invalid) for everything that `encode` would not have written.
    """
    value = decode_loosely(data)
    if not is_canonical(value, enclosing_depth):
        raise Reject(RejectClass.BODY_INVALID, "a value that has no canonical form")
    check_encoding(value, data)
    return value


def decode_loosely(data: bytes) -> object:
    """The value of MessagePack bytes that need not be canonical: the first step of `decode`.

    The caller still has to apply `is_canonical` and `check_encoding`. Raises `Reject`
    (body_invalid).
    """
    try:
        return _decode(data)
    except (
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise Reject(RejectClass.BODY_INVALID, f"not MessagePack: {error}") from None


def check_encoding(value: object, data: bytes) -> None:
    """The last step of `decode`: raise `Reject` unless ``data`` is how ``value`` is written."""
    if _encode(value) != data:
        raise Reject(RejectClass.BODY_INVALID, "not the canonical encoding of its value")


def is_canonical(value: object, enclosing_depth: int = 0) -> bool:
    """Whether ``value`` has types, ranges and nesting that are written canonically.

    Says nothing about lone surrogates: those show when the value is encoded.
    """
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool or kind is bytes:
        return kind is not int or _is_in_range(value)
    if isinstance(value, float):
        return kind is float and (not math.isnan(value) or _FLOAT64.pack(value) == _NAN_BYTES)
    depth = enclosing_depth + 1
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, list):
        if kind is not list:
            return False
        return all(is_canonical(element, depth) for element in value)
    if isinstance(value, dict):
        if kind is not dict:
            return False
        for key, element in value.items():
            if type(key) is not str or not is_canonical(element, depth):
                return False
        return True
    if isinstance(value, tuple):
        if kind is not tuple:
            return False
        return all(is_canonical(element, depth) for element in value)
    return False


def _is_in_range(value: object) -> bool:
    assert isinstance(value, int)
    return MIN_INTEGER <= value <= MAX_INTEGER


def _normalised(value: object, path: str, depth: int) -> object:
    """A copy with the one NaN, or the error that names the place of what cannot be written."""
    kind = type(value)
    if value is None or kind is bool or kind is bytes:
        return value
    if isinstance(value, str) and kind is str:
        _check_string(value, path)
        return value
    if kind is int:
        if not _is_in_range(value):
            raise InvalidValueError(f"{path}: integer outside -2^63..2^64-1")
        return value
    if isinstance(value, float) and kind is float:
        return _NAN if math.isnan(value) else value
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
