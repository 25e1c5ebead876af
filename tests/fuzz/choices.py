"""Decisions read from an input: what a fuzzer changes byte by byte becomes something well-formed.

An input that is used up goes on with zeros, so every input means something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

Choice = TypeVar("Choice")


@final
class Choices:
    """Reads one input from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def are_left(self) -> bool:
        """Whether the input goes on."""
        return self._position < len(self._data)

    def byte(self) -> int:
        """0..255."""
        if not self.are_left:
            return 0
        self._position += 1
        return self._data[self._position - 1]

    def below(self, limit: int) -> int:
        """0..limit - 1, for a limit of at most 65,536."""
        value = self.byte() if limit <= 256 else self.byte() << 8 | self.byte()
        return value % limit

    def is_one_in(self, count: int) -> bool:
        """True for one byte of so many; never when the input is used up."""
        return self.are_left and self.byte() % count == count - 1

    def one_of(self, options: Sequence[Choice]) -> Choice:
        """One of a few."""
        return options[self.below(len(options))]

    def number(self, width_bytes: int) -> int:
        """Unsigned, of so many bytes."""
        return int.from_bytes(self.take(width_bytes).ljust(width_bytes, b"\x00"), "big")

    def take(self, size: int) -> bytes:
        """The next bytes, fewer at the end."""
        taken = self._data[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def piece(self) -> bytes:
        """Bytes behind their length: one byte, or 255 and two more."""
        size = self.byte()
        return self.take(self.number(2) if size == 255 else size)

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(len(self._data))


def piece(data: bytes) -> bytes:
    """What `Choices.piece` reads as these bytes."""
    if len(data) < 255:
        return bytes((len(data),)) + data
    return b"\xff" + len(data).to_bytes(2, "big") + data
