"""SQLite's calls to the disk, each counted, each able to fail, each write kept until its sync."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, final

import apsw

from tests.simulation.disk.kept_file import KeptFile
from tests.simulation.disk.planned_faults import ERROR_CODES, Call, Fault, disk_error

if TYPE_CHECKING:
    from tests.simulation.disk.simulated_disk import SimulatedDisk

_BASE: Final = "unix"
_NAMED_LATER: Final = (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
)
_KEPT: Final = apsw.SQLITE_OPEN_MAIN_DB | _NAMED_LATER


@final
class DiskVFS(apsw.VFS):
    """The VFS of one disk, under a name of its own. The shared memory of a WAL is the real one."""

    def __init__(self, name: str, disk: SimulatedDisk) -> None:
        self._disk = disk
        super().__init__(name, _BASE)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        if not flags[0] & _KEPT:
            return apsw.VFSFile(_BASE, name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk.ask(Call.OPEN)
        existed = os.path.exists(path)
        return _DiskFile(self._disk, name, path, flags, existed)

    def xDelete(self, name: str, sync_directory: bool) -> None:
        self._disk.ask(Call.DELETE)
        self._disk.before_removal(name)
        super().xDelete(name, sync_directory)
        self._disk.removed(name)
        if sync_directory:
            self._disk.sync_directory(os.path.dirname(name))

    def xSleep(self, microseconds: int) -> int:
        """Nobody waits: in one thread, whoever is in the way will not go meanwhile."""
        return microseconds

    def excepthook(self, kind: Any, value: Any, trace: Any) -> bool:
        """Failures that SQLite does not report are no news."""
        return True


@final
class _DiskFile(apsw.VFSFile):
    def __init__(
        self, disk: SimulatedDisk, name: Any, path: str, flags: list[int], existed: bool
    ) -> None:
        self._disk = disk
        # As SQLite does on Unix: the first sync of a journal it may have made is of its name too.
        self._names_itself = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _NAMED_LATER)
        super().__init__(_BASE, name, flags)
        self._directory = os.path.dirname(path)
        self._kept: KeptFile = disk.opened(path, existed, bool(flags[0] & _NAMED_LATER))

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.ask(Call.READ)
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        disk = self._disk
        try:
            disk.ask(Call.WRITE)
        except apsw.FullError:
            self._write_beginning(data, offset, 0)
            raise
        except apsw.IOError:
            if disk.is_on:
                self._write_beginning(data, offset, disk.stream.randrange(len(data)))
            raise
        kept = self._kept
        if disk.capacity_bytes is not None:
            growth = max(0, offset + len(data) - kept.size_bytes)
            room = disk.capacity_bytes - disk.used_bytes()
            if growth > max(0, room):
                disk.faults.met["disk full"] += 1
                self._write_beginning(data, offset, len(data) - growth + max(0, room))
                raise disk_error(apsw.SQLITE_FULL, "the disk is full")
        kept.write(offset, data)

    def xTruncate(self, size_bytes: int) -> None:
        self._disk.ask(Call.TRUNCATE)
        self._kept.truncate(size_bytes)

    def xSync(self, flags: int) -> None:
        try:
            self._disk.ask(Call.SYNC)
        except apsw.Error:
            if self._disk.is_on:
                self._kept.fail_sync()
            raise
        self._kept.sync()
        if self._names_itself:
            self._names_itself = False
            self._disk.sync_directory(self._directory)

    def xLock(self, level: int) -> None:
        self._disk.ask(Call.LOCK)
        super().xLock(level)

    def excepthook(self, kind: Any, value: Any, trace: Any) -> bool:
        """Failures that SQLite does not report are no news."""
        return True

    def _write_beginning(self, data: bytes, offset: int, length: int) -> None:
        """What a write that failed may have written."""
        if length > 0:
            self._kept.write(offset, data[:length])


def fail(call: Call, fault: Fault) -> apsw.Error:
    """The error of a call that meets a fault."""
    if fault is Fault.FULL:
        return disk_error(apsw.SQLITE_FULL, "the disk is full")
    return disk_error(ERROR_CODES[call], f"a simulated {call.value} failed")
