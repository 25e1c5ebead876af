"""One file as a disk keeps it: what was synced, and what was written since and may be lost.

The file below the simulation's directory always holds what the running system sees, which is the
page cache's view. Beside it we keep what the disk is sure to hold of every page written since.
"""

from __future__ import annotations

import enum
import os
import random
from typing import Final, NamedTuple, final

SECTOR_BYTES: Final = 512
"""A sector is written whole or not at all."""
PAGE_BYTES: Final = 4_096
"""What the system writes back, and marks clean, at a time."""


class Loss(enum.Enum):
    """What becomes of what was not synced when the power goes."""

    RANDOM = "random"
    EVERYTHING = "everything"
    NOTHING = "nothing"
    TORN = "torn"


class _Write(NamedTuple):
    """A write that was not synced. `is_given_up`: a sync of it failed, so none will come again."""

    offset: int
    data: bytes
    is_given_up: bool = False


class _Truncation(NamedTuple):
    size_bytes: int


@final
class KeptFile:
    """A file and its history since its last sync.

    It holds a descriptor, so that the file can be read after its name was removed and its inode
    number is not given to another. `close` it.
    """

    def __init__(self, path: str) -> None:
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            # A file that must not be written, or a directory: SQLite finds out by itself.
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self.descriptor)
        self.inode = (status.st_dev, status.st_ino)
        self._synced_bytes = status.st_size
        self._synced_pages: dict[int, bytes] = {}
        self._unsynced: list[_Write | _Truncation] = []

    @property
    def size_bytes(self) -> int:
        """The length that the running system sees."""
        return os.fstat(self.descriptor).st_size

    @property
    def is_linked(self) -> bool:
        """Whether any name still leads to it."""
        return os.fstat(self.descriptor).st_nlink > 0

    def write(self, offset: int, data: bytes) -> None:
        """Write, and remember it until it is synced."""
        self._remember(offset, offset + len(data))
        self._unsynced.append(_Write(offset, data))
        os.pwrite(self.descriptor, data, offset)

    def truncate(self, size_bytes: int) -> None:
        """Cut or lengthen the file, and remember it until it is synced."""
        self._remember(size_bytes, self._synced_bytes)
        self._unsynced.append(_Truncation(size_bytes))
        os.ftruncate(self.descriptor, size_bytes)

    def sync(self) -> None:
        """A sync that succeeded: what was written is safe, but for pages a failed one gave up."""
        given_up, _ = self._given_up_parts()
        pages = {part.offset // PAGE_BYTES for part in given_up}
        self._synced_pages = {page: self._synced_pages.get(page, b"") for page in pages}
        self._synced_bytes = self.size_bytes
        self._unsynced = list(given_up)

    def fail_sync(self) -> None:
        """A sync that failed: what was written may be safe or not, and the system calls it clean.

        No later sync writes these pages, unless somebody writes to them again. (So does Linux.)
        """
        self._unsynced = [
            each._replace(is_given_up=True) if isinstance(each, _Write) else each
            for each in self._unsynced
        ]

    def forget_clean_pages(self, stream: random.Random) -> int:
        """The system drops clean pages: those a failed sync gave up show what the disk has.

        Returns how many pages went back to what they were.
        """
        if any(isinstance(each, _Truncation) for each in self._unsynced):
            return 0
        size_bytes = self.size_bytes
        given_up, dirty = self._given_up_parts()
        for page in dirty:
            self._synced_pages.setdefault(page, b"")
        reverted = 0
        for page in sorted({part.offset // PAGE_BYTES for part in given_up}):
            before = self._synced_pages.pop(page, b"")
            if stream.random() < 0.5:
                start = page * PAGE_BYTES
                length = min(PAGE_BYTES, size_bytes - start)
                os.pwrite(self.descriptor, before[:length].ljust(length, b"\0"), start)
                reverted += 1
        self._synced_bytes = size_bytes
        self._unsynced = [
            each for each in self._unsynced if isinstance(each, _Write) and not each.is_given_up
        ]
        return reverted

    def settle(self) -> None:
        """Let everything reach the disk, whatever had failed before."""
        self._unsynced.clear()
        self._synced_pages.clear()
        self._synced_bytes = self.size_bytes

    def after_power_loss(self, stream: random.Random, loss: Loss) -> tuple[bytes, int, int]:
        """What the disk holds now, how many writes were lost and how many were torn.

        Kept writes are put down in the order they were made: with single sectors lost at random, a
        sector can hold any of the versions written to it, as if they had come in any order.
        """
        chance = stream.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        fates: list[bool | None] = []
        for each in self._unsynced:
            if loss is Loss.EVERYTHING:
                fates.append(False)
            elif loss is Loss.NOTHING:
                fates.append(True)
            elif isinstance(each, _Write) and (loss is Loss.TORN or stream.random() < 0.2):
                fates.append(None)
            else:
                fates.append(stream.random() < chance)
        image = self._image(self._unsynced, fates, stream, grows=loss is Loss.RANDOM)
        return bytes(image), fates.count(False), fates.count(None)

    def close(self) -> None:
        """Let go of the descriptor."""
        os.close(self.descriptor)

    def _given_up_parts(self) -> tuple[list[_Write], set[int]]:
        """Writes that no sync will bring, cut at pages, and the pages that one would write."""
        writes = [each for each in self._unsynced if isinstance(each, _Write)]
        dirty = {
            page
            for each in writes
            if not each.is_given_up
            for page in _pages(each.offset, each.offset + len(each.data))
        }
        size_bytes = self.size_bytes
        parts = [
            part
            for each in writes
            if each.is_given_up
            for part in _split(each, size_bytes)
            if part.offset // PAGE_BYTES not in dirty
        ]
        return parts, dirty

    def _remember(self, start: int, end: int) -> None:
        """Keep the synced content of what is about to change."""
        synced_pages = -(-self._synced_bytes // PAGE_BYTES)
        for page in _pages(start, min(end, synced_pages * PAGE_BYTES)):
            if page not in self._synced_pages:
                content = os.pread(self.descriptor, PAGE_BYTES, page * PAGE_BYTES)
                self._synced_pages[page] = content

    def _image(
        self,
        changes: list[_Write | _Truncation],
        fates: list[bool | None] | list[bool],
        stream: random.Random,
        *,
        grows: bool = False,
    ) -> bytearray:
        """The synced content with those changes whose fate is True, or None for torn."""
        image = bytearray(os.pread(self.descriptor, self._synced_bytes, 0))
        image.extend(bytes(self._synced_bytes - len(image)))
        for page, content in self._synced_pages.items():
            start = page * PAGE_BYTES
            end = min(start + PAGE_BYTES, self._synced_bytes)
            image[start:end] = content[: end - start].ljust(end - start, b"\0")
        for change, fate in zip(changes, fates, strict=True):
            if isinstance(change, _Truncation):
                if fate:
                    del image[change.size_bytes :]
                    image.extend(bytes(change.size_bytes - len(image)))
            elif fate is None:
                for sector in _sectors(change):
                    if stream.random() < 0.5:
                        _put(image, sector)
            elif fate:
                _put(image, change)
            elif grows and stream.random() < 0.25:
                # The new length can be on the disk before the data is.
                image.extend(bytes(max(0, change.offset + len(change.data) - len(image))))
        return image


def _pages(start: int, end: int) -> range:
    return range(start // PAGE_BYTES, -(-end // PAGE_BYTES)) if end > start else range(0)


def _cut(write: _Write, unit_bytes: int) -> list[_Write]:
    """A write in parts that lie in one unit each."""
    parts: list[_Write] = []
    offset, data = write.offset, write.data
    while data:
        length = unit_bytes - offset % unit_bytes
        parts.append(_Write(offset, data[:length], write.is_given_up))
        offset, data = offset + length, data[length:]
    return parts


def _split(write: _Write, size_bytes: int) -> list[_Write]:
    """The parts of a write, a page each, that lie in a file of this length."""
    inside = write._replace(data=write.data[: max(0, size_bytes - write.offset)])
    return _cut(inside, PAGE_BYTES)


def _sectors(write: _Write) -> list[_Write]:
    return _cut(write, SECTOR_BYTES)


def _put(image: bytearray, write: _Write) -> None:
    end = write.offset + len(write.data)
    image.extend(bytes(max(0, end - len(image))))
    image[write.offset : end] = write.data
