"""Copying a store before it is touched, and putting another database in the place of its own.

Whatever interrupts it, and wherever, there is the old content or the new one: the old write-ahead
log is first brought into the old database, which changes nothing of what both say together; only
without it, since a log would be played into whatever database it finds, the new one takes its name.
The same holds for a rollback journal: nothing of it is proven, and the next opening would play it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from roomlog.store.doctor.file_findings import WORK_NAME
from roomlog.store.doctor.page_images import PageImages
from roomlog.store.doctor.untouched import JOURNAL_SUFFIX, WAL_INDEX_SUFFIX, WAL_SUFFIX, beside
from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite.directory import LOCK_NAME, StoreDirectory, fsync_path

LEFT_OUT: Final = (LOCK_NAME, WORK_NAME)
SPARE_BYTES: Final = 8 << 20


def store_files(directory: StoreDirectory) -> list[Path]:
    """What is copied before a store is touched."""
    files = sorted(directory.path.iterdir())
    return [path for path in files if path.is_file() and path.name not in LEFT_OUT]


def require_space(files: Sequence[Path], database: Path, backup: Path) -> None:
    """Raise `StoreUnavailable` unless there is room to copy `files` and for another `database`."""
    databases = (database, beside(database, WAL_SUFFIX))
    database_bytes = sum(path.stat().st_size for path in databases if path.exists())
    all_bytes = sum(path.stat().st_size for path in files)
    place = database.parent
    parent = next(path for path in backup.absolute().parents if path.exists())
    needed = {parent: all_bytes, place: database_bytes}
    if parent.stat().st_dev == place.stat().st_dev:
        needed = {place: all_bytes + database_bytes}
    for path, size_bytes in needed.items():
        free_bytes = shutil.disk_usage(path).free
        if free_bytes < size_bytes + SPARE_BYTES:
            raise StoreUnavailable(
                f"a repair needs {size_bytes + SPARE_BYTES} bytes on the disk of {path}, and "
                f"{free_bytes} are free; nothing was changed (--backup names another disk)"
            )


def copy_files(files: Sequence[Path], target: Path) -> None:
    """Copy files, durably, into a directory that must not exist. Raises OSError."""
    target.mkdir(mode=0o700, parents=True)
    for source in files:
        shutil.copy2(source, target / source.name)
        fsync_path(target / source.name)
    fsync_path(target)
    fsync_path(target.parent)


def put_in_place(made: Path, database: Path) -> None:
    """Give `made`, a whole database without a log, the name of `database`. Raises OSError."""
    fsync_path(made)
    fsync_path(made.parent)
    _settle_log(database)
    os.rename(made, database)
    fsync_path(database.parent)


def remove(path: Path) -> None:
    """Remove a file or a directory with everything in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _settle_log(database: Path) -> None:
    """Write what the log has committed into the database, then remove the log and any journal.

    Until the pages are on the disk the log is there and says the same.
    """
    log = beside(database, WAL_SUFFIX)
    images = PageImages(database, log)
    try:
        if images.log.committed:
            descriptor = os.open(database, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                for page, start in images.log.committed:
                    data = images.log.content[start : start + images.page_bytes]
                    os.pwrite(descriptor, data, (page - 1) * images.page_bytes)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            fsync_path(database.parent)
    finally:
        images.close()
    for suffix in (WAL_SUFFIX, WAL_INDEX_SUFFIX, JOURNAL_SUFFIX):
        beside(database, suffix).unlink(missing_ok=True)
    fsync_path(database.parent)
