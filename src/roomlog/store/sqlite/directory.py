"""The directory of a store: its file names, its lock, and fsync where a name must survive."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, final

from roomlog.file_lock import take_lock
from roomlog.store.errors import StoreLocked, StoreUnavailable

DATABASE_NAME: Final = "roomlog.sqlite3"
KEY_NAME: Final = "server.key"
LOCK_NAME: Final = "lock"
REWRITE_BYTES: Final = 1 << 20


def fsync_path(path: Path) -> None:
    """Force a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_if_there(path: Path) -> None:
    """Force a file to the disk, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        fsync_path(path)


def rewrite_file(path: Path) -> None:
    """Write a file's own bytes to it again and fsync them: what is read from it is on the disk.

    An fsync that failed leaves pages that can be read and count as written, but are not. Does
    nothing without a file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        offset = 0
        while piece := os.pread(descriptor, REWRITE_BYTES, offset):
            offset += os.pwrite(descriptor, piece, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create a directory for its owner only, its parents as usual, and make the names durable."""
    missing = [path, *path.parents]
    missing = missing[: next(i for i, each in enumerate(missing) if each.exists())]
    for each in reversed(missing):
        each.mkdir(mode=0o700 if each == path else 0o777, exist_ok=True)
        fsync_path(each.parent)


@final
class StoreDirectory:
    """A store's directory on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE_NAME
        self.write_ahead_log = path / f"{DATABASE_NAME}-wal"
        self.rollback_journal = path / f"{DATABASE_NAME}-journal"
        self.unfinished_database = path / f"{DATABASE_NAME}.new"
        self.key = path / KEY_NAME
        self.lock_file = path / LOCK_NAME

    def database_file(self) -> tuple[int, int] | None:
        """The file that the database's name leads to: device and inode, None without one."""
        try:
            found = self.database.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def lock(self) -> StoreLock:
        """Take the writer's lock. Raises `StoreLocked`, `StoreUnavailable`."""
        return StoreLock(self)


@final
class StoreLock:
    """An advisory lock held by the process that writes; the kernel drops it when that one dies."""

    def __init__(self, directory: StoreDirectory) -> None:
        try:
            descriptor = os.open(directory.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot open {directory.lock_file}: {error.strerror}"
            ) from error
        if not take_lock(descriptor):
            pid = _written_pid(descriptor)
            os.close(descriptor)
            raise StoreLocked(str(directory.path), pid)
        self._descriptor = descriptor
        # The pid is for people; a disk too full to write it must not stop the server.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others in. The file stays: removing it would let two in at once."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None
