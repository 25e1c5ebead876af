"""The pieces that bodies are rebuilt from are what canonical encoding writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core import canonical
from roomlog.core.pack.msgpack_pieces import ASCII_CHARACTER, array_header, string, unsigned


@given(st.integers(0, (1 << 64) - 1))
def test_integers(value: int) -> None:
    assert unsigned(value) == canonical.encode(value)


@pytest.mark.parametrize("exponent", [7, 8, 16, 32])
def test_integers_at_the_edges_of_widths(exponent: int) -> None:
    for value in ((1 << exponent) - 1, 1 << exponent):
        assert unsigned(value) == canonical.encode(value)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65_535, 65_536])
def test_strings_of_every_width(size: int) -> None:
    assert string("x" * size) == canonical.encode("x" * size)


def test_characters() -> None:
    for code in range(0x80):
        assert ASCII_CHARACTER[code] == canonical.encode(chr(code))
    assert string("\U0001f600\u00e9") == canonical.encode("\U0001f600\u00e9")


@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_array_headers(count: int) -> None:
    assert array_header(count) + b"\xc0" * count == canonical.encode([None] * count)
