"""Unsigned LEB128 in its shortest form, at most ten bytes and 64 bits."""

from typing import Final, final

from roomlog.core.reject import Reject, RejectClass

_ONE_BYTE: Final = [bytes((value,)) for value in range(0x80)]


def broken(reason: str) -> Reject:
    """The refusal of a whole pack."""
    return Reject(
        RejectClass.INVALID_FIELD, f"broken pack: {reason}", {"field": "nodes", "reason": reason}
    )


def append_uvarint(out: bytearray, value: int) -> None:
    """Append ``value`` (0..2^64-1)."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def uvarint(value: int) -> bytes:
    """The bytes of ``value`` (0..2^64-1)."""
    if value < 0x80:
        return _ONE_BYTE[value]
    out = bytearray()
    append_uvarint(out, value)
    return bytes(out)


@final
class Reader:
    """Reads a stretch of bytes from front to back; every shortage refuses the pack."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data = data
        self.position = start
        self.end = end

    def uvarint(self) -> int:
        """The next integer. Raises `Reject` when it is cut short, too long or not shortest."""
        data = self.data
        position = self.position
        end = self.end
        if position < end and data[position] < 0x80:
            self.position = position + 1
            return data[position]
        value = 0
        shift = 0
        while True:
            if position >= end:
                raise broken("cut short")
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0:
                    raise broken("integer not in its shortest form")
                break
            shift += 7
            if shift > 63:
                raise broken("integer too long")
        if value >> 64:
            raise broken("integer too long")
        self.position = position
        return value

    def bounded_count(self, element_bytes: int) -> int:
        """The next integer, a number of elements of at least ``element_bytes`` that follow."""
        count = self.uvarint()
        if count > (self.end - self.position) // element_bytes:
            raise broken("cut short")
        return count

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.skip(size)
        return self.data[start : start + size]

    def skip(self, size: int) -> int:
        """Step over the next ``size`` bytes and return where they start."""
        start = self.position
        if size > self.end - start:
            raise broken("cut short")
        self.position = start + size
        return start

    def byte(self) -> int:
        """The next byte."""
        position = self.position
        if position >= self.end:
            raise broken("cut short")
        self.position = position + 1
        return self.data[position]

    def sub_reader(self, size: int) -> "Reader":
        """A reader of the next ``size`` bytes, which this one steps over."""
        start = self.skip(size)
        return Reader(self.data, start, start + size)

    def finish(self) -> None:
        """Raise `Reject` unless everything was read."""
        if self.position != self.end:
            raise broken("bytes left over")
