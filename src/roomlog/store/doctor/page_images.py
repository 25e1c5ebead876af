"""Every image of a page in a database file and its write-ahead log, whatever SQLite thinks of them.

A damaged file is read below SQLite: page by page, as the file format says
(https://www.sqlite.org/fileformat2.html). Nothing is ever written.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, final

from blake3 import blake3

DEFAULT_PAGE_BYTES: Final = 4_096
SMALLEST_PAGE_BYTES: Final = 512
LARGEST_PAGE_BYTES: Final = 65_536
WAL_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
WAL_MAGIC: Final = 0x377F0682
"""The last bit says that checksums are of big-endian numbers."""
PAGE_BYTES_AT: Final = 16
FREE_LIST_AT: Final = 32
_ONES: Final = 0xFFFFFFFF


@final
class WriteAheadLog:
    """The frames of a write-ahead log: which ones count, and whether the log was damaged.

    `committed` are (page number, offset of its image) in the order of writing, up to the last
    commit that SQLite would accept; `database_pages` is how many pages the database has after it, 0
    if nothing is committed. `offsets` are the images of all frames.
    """

    def __init__(self, content: bytes, page_bytes: int) -> None:
        self.content = content
        self.committed: list[tuple[int, int]] = []
        self.database_pages = 0
        self.offsets: list[tuple[int, int]] = []
        self.commits_behind_a_break = 0
        """Commits that follow frames which are not what was written."""
        self._read(page_bytes)

    def _read(self, page_bytes: int) -> None:
        content = self.content
        if len(content) < WAL_HEADER_BYTES + FRAME_HEADER_BYTES + page_bytes:
            return
        magic, _, wal_page_bytes = struct.unpack_from(">III", content)
        order = ">" if magic & 1 else "<"
        expected = _sums(content[:24], order, (0, 0))
        stored = struct.unpack_from(">II", content, 24)
        is_chained = magic & ~1 == WAL_MAGIC and wal_page_bytes == page_bytes and stored == expected
        before = stored
        salts = content[16:24] if is_chained else content[40:48]
        uncommitted: list[tuple[int, int]] = []
        step = FRAME_HEADER_BYTES + page_bytes
        for start in range(WAL_HEADER_BYTES, len(content) - step + 1, step):
            page, pages_after = struct.unpack_from(">II", content, start)
            image = start + FRAME_HEADER_BYTES
            self.offsets.append((page, image))
            if content[start + 8 : start + 16] != salts:
                # Left over from before the log began anew: what SQLite stops at, and so do we.
                is_chained = False
                before = struct.unpack_from(">II", content, start + 16)
                continue
            sums = _sums(content[start : start + 8], order, before)
            sums = _sums(content[image : image + page_bytes], order, sums)
            before = struct.unpack_from(">II", content, start + 16)
            is_right = sums == before
            if not is_chained:
                self.commits_behind_a_break += bool(is_right and pages_after)
                continue
            if not is_right:
                is_chained = False
                continue
            uncommitted.append((page, image))
            if pages_after:
                self.committed += uncommitted
                self.database_pages = pages_after
                uncommitted = []


@final
class PageImages:
    """The images of all pages: of the database file first, then of the frames of its log.

    An image is named by an index. `current` maps a page's number to the image that counts.
    """

    def __init__(self, database: Path, write_ahead_log: Path) -> None:
        """Raises OSError. A file that is not there is empty."""
        self._descriptor = os.open(database, os.O_RDONLY) if database.exists() else -1
        self.size_bytes = os.fstat(self._descriptor).st_size if self._descriptor >= 0 else 0
        self.page_bytes = self._find_page_bytes()
        log = write_ahead_log.read_bytes() if write_ahead_log.exists() else b""
        self.log = WriteAheadLog(log, self.page_bytes)
        self.file_pages = -(-self.size_bytes // self.page_bytes)
        self.current = {page: page - 1 for page in range(1, self.file_pages + 1)}
        image_of = {offset: self.file_pages + i for i, (_, offset) in enumerate(self.log.offsets)}
        for page, offset in self.log.committed:
            self.current[page] = image_of[offset]
        self.latest = dict(self.current)
        """The image of each page that was written last, whether it counts or not."""
        for index, (page, _) in enumerate(self.log.offsets, self.file_pages):
            self.latest[page] = index
        self.count = self.file_pages + len(self.log.offsets)
        self.free_pages = self._find_free_pages()
        """Pages that belong to nothing, and still hold what was deleted."""

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def image(self, index: int) -> bytes:
        """The bytes of an image, filled with zeros where the file ends early."""
        if index < self.file_pages:
            data = os.pread(self._descriptor, self.page_bytes, index * self.page_bytes)
        else:
            _, start = self.log.offsets[index - self.file_pages]
            data = self.log.content[start : start + self.page_bytes]
        return data.ljust(self.page_bytes, b"\0")

    def page(self, number: int, *, of_latest: bool = False) -> bytes | None:
        """The image of a page that counts, or was written last; None when there is no such page."""
        index = (self.latest if of_latest else self.current).get(number)
        return None if index is None else self.image(index)

    def digest(self) -> bytes:
        """BLAKE3 of all pages as they are now; moving them out of the log does not change it."""
        hasher = blake3()
        for number in range(1, max(self.current, default=0) + 1):
            hasher.update(self.page(number) or bytes(self.page_bytes))
        return hasher.digest()

    def order(self) -> list[int]:
        """Every image once, those that count first: what was overwritten is a last resort."""
        counting = sorted(self.current.values())
        known = set(counting)
        return counting + [index for index in range(self.count) if index not in known]

    def page_number(self, index: int) -> int:
        """Which page an image is of."""
        if index < self.file_pages:
            return index + 1
        return self.log.offsets[index - self.file_pages][0]

    def counts(self, index: int) -> bool:
        """Whether an image is that of a page as it is now, and in use."""
        number = self.page_number(index)
        return self.current.get(number) == index and number not in self.free_pages

    def _find_free_pages(self) -> set[int]:
        """The pages on the file's own list of free ones; none when that list is damaged."""
        header = self.page(1) or b""
        if len(header) < FREE_LIST_AT + 8:
            return set()
        trunk, count = struct.unpack_from(">II", header, FREE_LIST_AT)
        free: set[int] = set()
        while trunk and trunk not in free:
            free.add(trunk)
            page = self.page(trunk)
            if page is None:
                return set()
            trunk, leaves = struct.unpack_from(">II", page)
            if leaves > len(page) // 4 - 2:
                return set()
            free.update(struct.unpack_from(f">{leaves}I", page, 8))
        return free if len(free) == count else set()

    def _find_page_bytes(self) -> int:
        header = os.pread(self._descriptor, 18, 0) if self._descriptor >= 0 else b""
        if len(header) < PAGE_BYTES_AT + 2:
            return DEFAULT_PAGE_BYTES
        (found,) = struct.unpack_from(">H", header, PAGE_BYTES_AT)
        found = LARGEST_PAGE_BYTES if found == 1 else found
        is_possible = found >= SMALLEST_PAGE_BYTES and not found & (found - 1)
        return int(found) if is_possible else DEFAULT_PAGE_BYTES


def _sums(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """The checksum of the log's format, continued over `data`."""
    first, second = sums
    numbers = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(numbers), 2):
        first = (first + numbers[index] + second) & _ONES
        second = (second + numbers[index + 1] + first) & _ONES
    return first, second
