"""One machine's disk: SQLite over it loses, at a power loss, what a real one could lose.

Files are real files below a directory, best on a tmpfs, so that code that looks at paths works
unchanged. SQLite's own calls go through a VFS that knows what was synced. Of what Python does to
files itself, only `os.fsync` is seen, while any disk is open: it can fail, it makes the names in a
directory last, and of a file it makes everything last, since who syncs a file has written it. A
rename or removal by Python counts as done at once. So do the names of database files; those of
journals and write-ahead logs are lost unless their directory is synced.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
from collections import Counter
from pathlib import Path
from typing import Any, Final, final
from urllib.parse import quote

import apsw

from tests.simulation.disk.connection import DiskConnection, Limits, power_is_off
from tests.simulation.disk.kept_file import KeptFile, Loss
from tests.simulation.disk.planned_faults import Call, Fault, PlannedFaults
from tests.simulation.disk.vfs import DiskVFS, fail

_NUMBERS: Final = itertools.count()
_CACHED_STATEMENTS: Final = 256
_SHARED_MEMORY: Final = "-shm"


@final
class SimulatedDisk:
    """The disk of a machine whose files lie below `root`; what is lost comes from `stream`.

    `capacity_bytes` bounds what its databases, journals and logs may take together; None: no bound.
    `close` it: it holds descriptors and a VFS.
    """

    def __init__(self, root: Path, stream: random.Random) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.stream = stream
        self.capacity_bytes: int | None = None
        self.limits = Limits()
        self.faults = PlannedFaults()
        self.is_on = True
        self._vfs_name = f"simulated-disk-{next(_NUMBERS)}"
        self._vfs = DiskVFS(self._vfs_name, self)
        self._connections: list[DiskConnection] = []
        self._files: dict[tuple[int, int], KeptFile] = {}
        # What each journal's name may lead to after a power loss, the synced state first.
        self._names: dict[str, list[KeptFile | None]] = {}
        _DISKS.append(self)
        _set_fsync(_fsync)

    def connect(self, path: Path, *, read_only: bool, is_quiet: bool = False) -> DiskConnection:
        """A connection factory for `SqliteStore`; raises `sqlite3.Error` as `sqlite3` would."""
        query = "mode=ro" if read_only else "mode=rw"
        if read_only and is_quiet:
            query += "&immutable=1"
        return self._connection(path, query)

    def connect_local(self, path: Path, *, read_only: bool) -> Any:
        """A connection as the SDK's local store opens one; the file is made if there is none.

        That store names the class of the standard library, which `DiskConnection` only resembles.
        """
        return self._connection(path, "mode=ro" if read_only else "mode=rwc")

    def fail_call(
        self,
        number: int,
        call: Call = Call.ANY,
        fault: Fault = Fault.ERROR,
        *,
        times: int = 1,
    ) -> None:
        """Let the `number`th call of this kind from now meet a fault, and `times` - 1 after it.

        `Fault.POWER` ends the power in the middle of that call: everything fails from there on,
        until `power_loss` gives it back.
        """
        self.faults.plan(number, call, fault, times)

    def power_loss(self, loss: Loss = Loss.RANDOM) -> None:
        """The power goes and comes back: connections are gone, and so is what the disk had not."""
        self._abandon()
        self.faults.met[f"power loss {loss.value}"] += 1
        names, self._names = self._names, {}
        files, self._files = self._files, {}
        paths = self._paths()
        journals = {id(kept) for kept in _all(names)}
        for inode, kept in files.items():
            if inode in paths and id(kept) not in journals:
                _write_whole(paths[inode], self._after(kept, loss))
        for path, versions in names.items():
            newest = versions[-1]
            if newest is not None and paths.get(newest.inode) != path:
                continue  # Somebody else removed or replaced it.
            chosen = self._chosen(versions, loss)
            content = None if chosen is None else self._after(chosen, loss)
            if chosen is not newest:
                self.faults.met["name lost"] += 1
                Path(path).unlink(missing_ok=True)
            if content is not None:
                _write_whole(path, content)
        for kept in files.values():
            kept.close()
        for memory in self.root.rglob(f"*{_SHARED_MEMORY}"):
            memory.unlink()
        self.is_on = True

    def crash(self) -> None:
        """The process is killed: its connections are gone, what it wrote is still on its way."""
        self._abandon()
        self.faults.met["crash"] += 1
        self.is_on = True

    def forget_clean_pages(self) -> None:
        """The system drops its cache: where a sync had failed, the disk's own content shows."""
        for kept in self._files.values():
            self.faults.met["page reverted"] += kept.forget_clean_pages(self.stream)

    def flip_bit(self, path: Path, offset: int, bit: int) -> None:
        """Change one bit of a file, for good; its other bytes stay as the system sees them now."""
        with self._damaged(path, "bit flipped").open("r+b") as file:
            file.seek(offset)
            (byte,) = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1 << bit]))

    def truncate(self, path: Path, size_bytes: int) -> None:
        """Cut a file, for good; what is left stays as the system sees it now."""
        os.truncate(self._damaged(path, "file truncated"), size_bytes)

    def copy_files(self) -> dict[str, bytes]:
        """Every file as the running system sees it, by its path below the root."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.endswith(_SHARED_MEMORY)
        }

    def put_back(self, copy: dict[str, bytes]) -> None:
        """Replace every file by an older copy, as an operator does: durable, and new inodes."""
        self.faults.met["older copy"] += 1
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and str(path.relative_to(self.root)) not in copy:
                path.unlink()
        for name, content in copy.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            other = path.with_name(f"{path.name}.put-back")
            other.write_bytes(content)
            other.replace(path)
        self._names.clear()

    @property
    def calls(self) -> Counter[str]:
        """How often SQLite made a call of each kind."""
        return self.faults.calls

    @property
    def met(self) -> Counter[str]:
        """How often each kind of fault happened."""
        return self.faults.met

    def close(self) -> None:
        """Abandon the connections and let go of everything; the files stay."""
        if self not in _DISKS:
            return
        _DISKS.remove(self)
        if not _DISKS:
            _set_fsync(_REAL_FSYNC)
        self._abandon()
        for kept in self._files.values():
            kept.close()
        self._files.clear()
        self._names.clear()
        self._vfs.unregister()

    # What the VFS calls.

    def ask(self, call: Call) -> None:
        """Count a call; raise what it meets."""
        if not self.is_on:
            raise fail(call, Fault.POWER)
        fault = self.faults.next(call)
        if fault is None:
            return
        if fault is Fault.POWER:
            self.is_on = False
        raise fail(call, fault)

    def opened(self, path: str, existed: bool, is_journal: bool) -> KeptFile:
        """The file that SQLite just opened at `path`."""
        kept = self._file_at(path)
        if is_journal:
            versions = self._names.setdefault(path, [kept if existed else None])
            if versions[-1] is not kept:
                versions.append(kept)
        return kept

    def before_removal(self, path: str) -> None:
        """Keep what may come back."""
        if os.path.exists(path):
            self._names.setdefault(path, [self._file_at(path)])

    def removed(self, path: str) -> None:
        """SQLite removed a name; only a sync of the directory makes that last."""
        self._names[path].append(None)

    def sync_directory(self, directory: str) -> None:
        """The names in a directory are safe as they are."""
        for path, versions in self._names.items():
            if os.path.dirname(path) == directory:
                del versions[:-1]

    def synced_by_python(self, path: str, status: os.stat_result) -> None:
        """`os.fsync` of a file or directory below the root. Raises OSError."""
        try:
            self.ask(Call.SYNC)
        except apsw.Error as error:
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
        kept = self._files.get((status.st_dev, status.st_ino))
        if stat.S_ISDIR(status.st_mode):
            self.sync_directory(path)
        elif kept is not None:
            kept.settle()

    def used_bytes(self) -> int:
        """What the files that SQLite has opened take."""
        return sum(kept.size_bytes for kept in self._files.values() if kept.is_linked)

    def _connection(self, path: Path, query: str) -> DiskConnection:
        if not self.is_on:
            raise power_is_off()
        uri = f"file:{quote(str(path.absolute()))}?{query}"
        connection = DiskConnection(uri, self._vfs_name, _CACHED_STATEMENTS, self.limits)
        self._connections = [each for each in self._connections if each.is_open]
        self._connections.append(connection)
        return connection

    def _abandon(self) -> None:
        """Close every connection with the power off, so that none writes a byte more."""
        self.is_on = False
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self.faults.clear()

    def _file_at(self, path: str) -> KeptFile:
        status = os.stat(path)
        inode = (status.st_dev, status.st_ino)
        kept = self._files.get(inode)
        if kept is None:
            kept = self._files[inode] = KeptFile(path)
        return kept

    def _paths(self) -> dict[tuple[int, int], str]:
        paths: dict[tuple[int, int], str] = {}
        for path in self.root.rglob("*"):
            status = path.lstat()
            paths[status.st_dev, status.st_ino] = str(path)
        return paths

    def _after(self, kept: KeptFile, loss: Loss) -> bytes:
        content, lost, torn = kept.after_power_loss(self.stream, loss)
        self.faults.met["write lost"] += lost
        self.faults.met["write torn"] += torn
        return content

    def _chosen(self, versions: list[KeptFile | None], loss: Loss) -> KeptFile | None:
        if loss is Loss.EVERYTHING:
            return versions[0]
        if loss is Loss.NOTHING:
            return versions[-1]
        return self.stream.choice(versions)

    def _damaged(self, path: Path, kind: str) -> Path:
        """A file about to be damaged: the disk takes what it holds now as written."""
        self.faults.met[kind] += 1
        status = path.stat()
        kept = self._files.get((status.st_dev, status.st_ino))
        if kept is not None:
            kept.settle()
        return path


def _fsync(descriptor: int) -> None:
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    for disk in _DISKS:
        if Path(path).is_relative_to(disk.root):
            disk.synced_by_python(path, os.fstat(descriptor))
            return
    _REAL_FSYNC(descriptor)


def _set_fsync(fsync: Any) -> None:
    os.fsync = fsync


_DISKS: Final[list[SimulatedDisk]] = []
_REAL_FSYNC: Final[Any] = os.fsync


def _write_whole(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _all(names: dict[str, list[KeptFile | None]]) -> list[KeptFile]:
    return [kept for versions in names.values() for kept in versions if kept is not None]
