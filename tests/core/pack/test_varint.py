"""Integers and stretches of bytes in packs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.pack.varint import Reader, append_uvarint, uvarint
from roomlog.core.reject import Reject, RejectClass

MAX_UNSIGNED = (1 << 64) - 1


@given(st.integers(0, 300) | st.integers(0, MAX_UNSIGNED))
def test_an_integer_comes_back_and_has_one_encoding(value: int) -> None:
    data = uvarint(value)
    out = bytearray(b"x")
    append_uvarint(out, value)
    assert out == b"x" + data
    assert len(data) == max(1, (value.bit_length() + 6) // 7)
    reader = Reader(b"ab" + data + b"c", 2, 2 + len(data))
    assert reader.uvarint() == value
    reader.finish()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\xff" * 9,
        b"\x80\x00",
        b"\xff\x80\x00",
        b"\xff" * 9 + b"\x02",
        b"\xff" * 10 + b"\x01",
    ],
)
def test_cut_short_too_long_and_not_shortest_are_refused(data: bytes) -> None:
    with pytest.raises(Reject) as raised:
        Reader(data, 0, len(data)).uvarint()
    assert raised.value.reject_class is RejectClass.INVALID_FIELD
    assert raised.value.detail["field"] == "nodes"


@given(st.binary(max_size=12))
def test_any_bytes_are_read_to_their_one_value_or_refused(data: bytes) -> None:
    reader = Reader(data, 0, len(data))
    try:
        value = reader.uvarint()
    except Reject:
        return
    assert uvarint(value) == data[: reader.position]


def test_a_reader_never_leaves_its_stretch() -> None:
    reader = Reader(b"abcdef", 1, 4)
    assert reader.take(2) == b"bc"
    inner = reader.sub_reader(1)
    assert inner.byte() == ord("d")
    for shortage in (
        inner.byte,
        reader.byte,
        lambda: reader.take(1),
        lambda: reader.sub_reader(1),
        reader.uvarint,
    ):
        with pytest.raises(Reject):
            shortage()
    reader.finish()
    with pytest.raises(Reject):
        Reader(b"a", 0, 1).finish()


def test_a_count_is_bounded_by_what_can_follow() -> None:
    assert Reader(b"\x02abcd", 0, 5).bounded_count(2) == 2
    with pytest.raises(Reject):
        Reader(b"\x03abcd", 0, 5).bounded_count(2)
