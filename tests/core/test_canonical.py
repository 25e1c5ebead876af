"""Canonical MessagePack: one value, one encoding."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core import canonical
from roomlog.core.errors import InvalidTypeError, InvalidValueError
from roomlog.core.reject import Reject, RejectClass
from tests.core.building import values


def naive_encode(value: object) -> bytes:
    """The rules of the data model, written down once more without msgspec."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return naive_integer(value)
    if isinstance(value, float):
        return b"\xcb" + (b"\x7f\xf8" + bytes(6) if math.isnan(value) else struct.pack(">d", value))
    if isinstance(value, str):
        data = value.encode()
        return sized(len(data), 0xA0, 32, [0xD9, 0xDA, 0xDB]) + data
    if isinstance(value, bytes):
        return sized(len(value), 0, 0, [0xC4, 0xC5, 0xC6]) + value
    if isinstance(value, list | tuple):
        header = sized(len(value), 0x90, 16, [None, 0xDC, 0xDD])
        return header + b"".join(naive_encode(element) for element in value)
    assert isinstance(value, dict)
    pairs = sorted((key.encode(), key) for key in value)
    header = sized(len(value), 0x80, 16, [None, 0xDE, 0xDF])
    return header + b"".join(naive_encode(key) + naive_encode(value[key]) for _, key in pairs)


def sized(count: int, fixed: int, fixed_limit: int, tags: list[int | None]) -> bytes:
    if count < fixed_limit:
        return bytes([fixed | count])
    for tag, width in zip(tags, (1, 2, 4), strict=True):
        if tag is not None and count < 1 << (8 * width):
            return bytes([tag]) + count.to_bytes(width, "big")
    raise AssertionError("too long for a test")


def naive_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return value.to_bytes(1, "big", signed=value < 0)
    if value > 0:
        for tag, width in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 1 << (8 * width):
                return bytes([tag]) + value.to_bytes(width, "big")
    for tag, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        if -(1 << (8 * width - 1)) <= value:
            return bytes([tag]) + value.to_bytes(width, "big", signed=True)
    raise AssertionError("too large for a test")


def same(one: object, other: object) -> bool:
    """Equal with NaN equal to itself, -0.0 different from 0.0 and True different from 1."""
    return naive_encode(one) == naive_encode(other)


@given(values)
def test_what_is_encoded_is_what_the_rules_say_and_comes_back(value: object) -> None:
    data = canonical.encode(value)
    assert data == naive_encode(value)
    assert same(canonical.decode(data), value)


@pytest.mark.parametrize(
    "value",
    [
        0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1,
        -1, -32, -33, -128, -129, -32_768, -32_769, -(1 << 31), -(1 << 31) - 1, -(1 << 63),
        0.0, -0.0, 1.5, math.inf, -math.inf, math.nan,
        "", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65_536, "\0", "é\U0001f600",
        b"", b"x" * 255, b"x" * 256, b"x" * 65_536,
        [], [1] * 15, [1] * 16, [1] * 65_536, {},
        {str(number): number for number in range(20)},
        {"\uffff": 1, "\U00010000": 2, "": 3, "a": 4, "aa": 5},
    ],
)  # fmt: skip
def test_every_width_is_the_shortest(value: object) -> None:
    data = canonical.encode(value)
    assert data == naive_encode(value)
    assert same(canonical.decode(data), value)


def test_tuples_are_written_as_arrays() -> None:
    assert canonical.encode((1, (2,))) == canonical.encode([1, [2]])


def test_a_nan_of_other_bits_is_written_as_the_one_nan_at_any_depth() -> None:
    odd = struct.unpack(">d", b"\xff\xf8\0\0\0\0\0\1")[0]
    assert canonical.encode([{"a": (odd, 1.5)}, None, True, b"b", 3, "s"]) == canonical.encode(
        [{"a": [math.nan, 1.5]}, None, True, b"b", 3, "s"]
    )


def test_nesting_reaches_sixteen_and_no_further() -> None:
    value: object = 1
    for _ in range(16):
        value = [value]
    assert canonical.decode(canonical.encode(value)) == value
    with pytest.raises(InvalidValueError, match="nested deeper"):
        canonical.encode([value])
    with pytest.raises(InvalidValueError, match="nested deeper"):
        canonical.encode(value, enclosing_depth=1)
    with pytest.raises(Reject):
        canonical.decode(b"\x91" + canonical.encode(value))
    with pytest.raises(Reject):
        canonical.decode(canonical.encode(value), enclosing_depth=1)


class IntSubclass(int):
    pass


class FloatSubclass(float):
    pass


class ListSubclass(list[int]):
    pass


class DictSubclass(dict[str, int]):
    pass


class TupleSubclass(tuple[int, ...]):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "error", "place"),
    [
        ({1, 2}, InvalidTypeError, "value: set"),
        ([0, {"k": object()}], InvalidTypeError, "value[1]['k']: object"),
        ({1: 2}, InvalidTypeError, "value: map key 1"),
        ({"a": {b"b": 2}}, InvalidTypeError, "value['a']: map key b'b'"),
        ([1 << 64], InvalidValueError, "value[0]: integer"),
        (-(1 << 63) - 1, InvalidValueError, "value: integer"),
        (["ok", "\ud800"], InvalidValueError, "value[1]: lone surrogate at 0"),
        ({"x\udfff": 1}, InvalidValueError, "lone surrogate at 1"),
        (IntSubclass(1), InvalidTypeError, "value: IntSubclass"),
        (FloatSubclass(1), InvalidTypeError, "value: FloatSubclass"),
        (ListSubclass(), InvalidTypeError, "value: ListSubclass"),
        (DictSubclass(), InvalidTypeError, "value: DictSubclass"),
        (TupleSubclass(), InvalidTypeError, "value: TupleSubclass"),
        (bytearray(b"x"), InvalidTypeError, "value: bytearray"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_place(
    value: object, error: type[Exception], place: str
) -> None:
    with pytest.raises(error) as raised:
        canonical.encode(value)
    assert place in str(raised.value)


def test_the_callers_name_for_the_value_is_used() -> None:
    with pytest.raises(InvalidTypeError, match=r"draft\[0\]"):
        canonical.encode([set()], name="draft")


HOSTILE = {
    "empty": "",
    "trailing": "c0c0",
    "reserved byte": "c1",
    "truncated string": "a361",
    "truncated array": "92c0",
    "huge array": "ddffffffff",
    "huge map": "dfffffffff",
    "huge string": "dbffffffff",
    "huge binary": "c6ffffffff",
    "nested huge arrays": "ddffffffff" * 50,
    "deep nesting": "91" * 200_000 + "c0",
    "deep maps": "81a161" * 20_000 + "c0",
    "integer not shortest": "cc7f",
    "integer of two bytes not shortest": "cd0001",
    "negative not shortest": "d0ff",
    "positive in a signed width": "d17fff",
    "string not shortest": "d90161",
    "binary not shortest": "c5000161",
    "array not shortest": "dc000101",
    "map not shortest": "de0001a16101",
    "float32": "ca3fc00000",
    "nan of other bits": "cbfff8000000000001",
    "nan deep inside": "9181a161cb7ff8000000000001",
    "map unsorted": "82a16201a16102",
    "map duplicate": "82a16101a16102",
    "map with integer keys": "810102",
    "map with array keys": "819001",
    "map with map keys": "818001",
    "map with binary keys": "81c4016101",
    "map with nil key": "81c001",
    "invalid UTF-8": "a2c328",
    "surrogate in UTF-8": "a3eda080",
    "overlong UTF-8": "a2c080",
    "invalid UTF-8 key": "81a1ff01",
    "extension": "c7010561",
    "timestamp": "d6ff00000000",
    "timestamp of 96 bits": "c70cff" + "00" * 12,
    "fixed extension in array": "91d40500",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_as_body_invalid(name: str) -> None:
    with pytest.raises(Reject) as raised:
        canonical.decode(bytes.fromhex(HOSTILE[name]))
    assert raised.value.reject_class is RejectClass.BODY_INVALID


def assert_canonical_or_refused(data: bytes) -> None:
    refused: RejectClass | None = None
    try:
        value = canonical.decode(data)
    except Reject as reject:
        refused = reject.reject_class
    assert refused is RejectClass.BODY_INVALID or (refused is None and naive_encode(value) == data)


@given(st.binary(max_size=60))
def test_any_bytes_are_either_canonical_or_refused(data: bytes) -> None:
    assert_canonical_or_refused(data)


@given(values, st.data())
def test_mutated_bytes_are_either_canonical_or_refused(value: object, draw: st.DataObject) -> None:
    data = bytearray(canonical.encode(value))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    assert_canonical_or_refused(bytes(data))


@given(values)
def test_an_unsorted_map_of_any_values_is_refused(value: object) -> None:
    unsorted = b"\x82\xa1b" + naive_encode(value) + b"\xa1a" + naive_encode(value)
    with pytest.raises(Reject):
        canonical.decode(unsorted)


def test_types_that_decode_are_plain_python() -> None:
    value = canonical.decode(msgspec.msgpack.encode([None, True, 1, 1.5, "s", b"b", {"k": []}]))
    assert isinstance(value, list)
    kinds = [type(element) for element in value]
    assert kinds == [type(None), bool, int, float, str, bytes, dict]
