"""Records in the leaves of SQLite's trees, read from single page images.

The trees above the leaves are not needed to find what is in them, so a damaged page costs what is
on it and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, final

from roomlog.store.doctor.page_images import PageImages

Value = int | float | str | bytes | None
TABLE_LEAF: Final = 0x0D
INDEX_LEAF: Final = 0x0A
INDEX_INTERIOR: Final = 0x02
FILE_HEADER_BYTES: Final = 100
MOST_COLUMNS: Final = 16
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_REAL: Final = 7


class Unreadable(Exception):
    """The bytes are not a record."""


@final
class Cell:
    """One record on a page: its place, its columns' types, and its values when they are asked for.

    `rowid` is 0 in an index. `types` are serial types of the file format.
    """

    __slots__ = (
        "_at",
        "_data",
        "_images",
        "_local",
        "_size",
        "image",
        "is_table",
        "offset",
        "rowid",
        "types",
    )

    def __init__(self, images: PageImages, image: int, data: bytes, start: int, kind: int) -> None:
        """Raises `Unreadable`."""
        self._images = images
        self._data = data
        self.image = image
        self.offset = start
        self.is_table = kind == TABLE_LEAF
        position = start + 4 if kind == INDEX_INTERIOR else start
        self._size, position = _varint(data, position)
        self.rowid = 0
        if self.is_table:
            self.rowid, position = _varint(data, position)
        self._at = position
        self._local = _local_bytes(self._size, len(data), is_table=self.is_table)
        if self._size > images.size_bytes + len(images.log.content):
            raise Unreadable("a record that is larger than its file")
        self.types = self._read_types()

    def values(self, *, of_latest: bool = False) -> list[Value]:
        """The columns; with `of_latest` their further pages as they were written last.

        Raises `Unreadable`.
        """
        payload = self._payload(of_latest)
        header_bytes, position = _varint(payload, 0)
        position = header_bytes
        values: list[Value] = []
        for kind in self.types:
            size = size_of(kind)
            part = payload[position : position + size]
            if len(part) != size:
                raise Unreadable("a record that ends early")
            values.append(_value(kind, part))
            position += size
        return values

    def _read_types(self) -> list[int]:
        end_local = min(self._at + self._local, len(self._data))
        header_bytes, position = _varint(self._data, self._at)
        end = self._at + header_bytes
        if end > end_local or header_bytes < 2:
            raise Unreadable("the header of a record does not lie on its page")
        types: list[int] = []
        while position < end:
            kind, position = _varint(self._data, position)
            types.append(kind)
            if len(types) > MOST_COLUMNS:
                raise Unreadable("too many columns")
        if position != end or header_bytes + sum(map(size_of, types)) != self._size:
            raise Unreadable("the columns do not fill the record")
        return types

    def _payload(self, of_latest: bool) -> bytes:
        local = self._data[self._at : self._at + self._local]
        if len(local) != self._local:
            raise Unreadable("a record beyond the end of its page")
        if self._local == self._size:
            return local
        parts = [local]
        left = self._size - self._local
        pointer = self._data[self._at + self._local : self._at + self._local + 4]
        seen: set[int] = set()
        while left > 0:
            if len(pointer) != 4:
                raise Unreadable("no pointer to the rest of a record")
            (number,) = struct.unpack(">I", pointer)
            page = None if number in seen else self._images.page(number, of_latest=of_latest)
            if page is None:
                raise Unreadable("the rest of a record is missing")
            seen.add(number)
            pointer = page[:4]
            parts.append(page[4 : 4 + left])
            left -= len(parts[-1])
        return b"".join(parts)


def cells_of(images: PageImages, image: int) -> Iterator[Cell]:
    """The records on one page that can be made out; none for a page of another kind."""
    data = images.image(image)
    start = FILE_HEADER_BYTES if images.page_number(image) == 1 else 0
    kind = data[start]
    if kind not in (TABLE_LEAF, INDEX_LEAF, INDEX_INTERIOR):
        return
    (count,) = struct.unpack_from(">H", data, start + 3)
    pointers = start + (12 if kind == INDEX_INTERIOR else 8)
    most = (len(data) - pointers) // 2
    for number in range(min(count, most)):
        (offset,) = struct.unpack_from(">H", data, pointers + 2 * number)
        if offset < pointers:
            continue
        try:
            yield Cell(images, image, data, offset, kind)
        except Unreadable:
            continue


def cell_at(images: PageImages, image: int, offset: int) -> Cell:
    """The record that `cells_of` found there. Raises `Unreadable`."""
    data = images.image(image)
    kind = data[FILE_HEADER_BYTES if images.page_number(image) == 1 else 0]
    return Cell(images, image, data, offset, kind)


def size_of(kind: int) -> int:
    """How many bytes a value of a serial type takes."""
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == _REAL else _INTEGER_BYTES.get(kind, 0)


def _value(kind: int, part: bytes) -> Value:
    if kind == 0:
        return None
    if kind in _INTEGER_BYTES:
        return int.from_bytes(part, "big", signed=True)
    if kind == _REAL:
        return float(struct.unpack(">d", part)[0])
    if kind in (8, 9):
        return kind - 8
    if kind < 12:
        raise Unreadable("a type that does not exist")
    if kind % 2 == 0:
        return part
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("a text that is none") from error


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(9):
        if position + index >= len(data):
            raise Unreadable("a number that ends early")
        byte = data[position + index]
        if index == 8:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + index + 1
    # Nine bytes hold a signed number of 64 bits.
    return value - (1 << 64) if value >> 63 else value, position + 9


def _local_bytes(size: int, usable: int, *, is_table: bool) -> int:
    """How much of a record lies on its own page."""
    if size < 0:
        raise Unreadable("a record of negative size")
    most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
    if size <= most:
        return size
    least = (usable - 12) * 32 // 255 - 23
    some = least + (size - least) % (usable - 4)
    return some if some <= most else least
