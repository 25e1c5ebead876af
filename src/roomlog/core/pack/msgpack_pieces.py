"""Canonical MessagePack of the few things the columns rebuild bodies from."""

from typing import Final

SHORT_UNSIGNED: Final = [bytes((value,)) for value in range(0x80)] + [
    bytes((0xCC, value)) for value in range(0x80, 0x100)
]
"""The encodings of 0..255."""

ASCII_CHARACTER: Final = [bytes((0xA1, code)) for code in range(0x80)]
"""The encodings of the one-character strings of ASCII."""


def unsigned(value: int) -> bytes:
    """The encoding of an integer in 0..2^64-1."""
    if value < 0x100:
        return SHORT_UNSIGNED[value]
    if value < 0x1_0000:
        return (0xCD_0000 | value).to_bytes(3, "big")
    if value < 0x1_0000_0000:
        return (0xCE_0000_0000 | value).to_bytes(5, "big")
    return b"\xcf" + value.to_bytes(8, "big")


def string(text: str) -> bytes:
    """The encoding of a string without surrogates."""
    data = text.encode()
    size = len(data)
    if size < 0x20:
        return bytes((0xA0 | size,)) + data
    if size < 0x100:
        return bytes((0xD9, size)) + data
    if size < 0x1_0000:
        return (0xDA_0000 | size).to_bytes(3, "big") + data
    return (0xDB_0000_0000 | size).to_bytes(5, "big") + data


def array_header(count: int) -> bytes:
    """The header of an array of ``count`` elements."""
    if count < 0x10:
        return bytes((0x90 | count,))
    if count < 0x1_0000:
        return (0xDC_0000 | count).to_bytes(3, "big")
    return (0xDD_0000_0000 | count).to_bytes(5, "big")
