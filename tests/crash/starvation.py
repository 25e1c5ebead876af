"""Faults of the disk under a server: full, limited, read-only, gone."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.round import Round
from tests.crash.stored_log import Answer, asked

OWN_MOUNTS = "CRASH_MOUNTS_ARE_OWN"
"""Set by `run` in a mount namespace that ends with it: whatever is mounted there ends, too."""
DISK_BYTES = 64 << 20
LEAST_LIMIT_BYTES = 512 << 10
STARVED_S = 30.0
LOOK_S = 0.02


class NotHere(Exception):
    """This machine does not let the test do that: the fault is left out, and said to be."""


def mount(directory: Path, *arguments: str) -> None:
    """Raises `NotHere` unless it is allowed, and leaves nothing behind on this machine."""
    if OWN_MOUNTS not in os.environ:
        raise NotHere("mounting needs root and a mount namespace of its own (unshare --mount)")
    done = subprocess.run(
        ["mount", *arguments, str(directory)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotHere(f"mount does not work: {done.stderr.strip()}")


def unmount(directory: Path) -> None:
    subprocess.run(["umount", "--lazy", str(directory)], capture_output=True, check=True)


@contextmanager
def small_disk(here: Round) -> Iterator[None]:
    """The round's store on a file system of its own that can be filled."""
    disk = here.directory / "disk"
    disk.mkdir()
    mount(disk, "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs")
    try:
        here.put_store(disk / "store")
        yield
    finally:
        unmount(disk)


async def fill_disk(here: Round) -> None:
    """No space left, then space again, perhaps with another server in between."""
    await here.pause(0.2, 0.5)
    ballast = here.store.parent / "ballast"
    await asyncio.to_thread(_fill, ballast)
    await _refused(here)
    here.note("disk full")
    if here.choose.random() < 0.5:
        await here.server.kill()
        await here.check_dead()
        await _start_starved(here, "full")
    ballast.unlink()
    here.note("space again")
    await _recovered(here)


def _fill(ballast: Path) -> None:
    size_bytes = 1 << 20
    with ballast.open("wb", buffering=0) as file:
        while size_bytes >= 512:
            try:
                file.write(bytes(size_bytes))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size_bytes //= 2


async def limit_files(here: Round) -> None:
    """Writes fail beyond a size, as with a quota; then they do not any more."""
    await here.pause(0.2, 0.5)
    sizes = [path.stat().st_size for path in here.store.iterdir()]
    here.server.limit_file_size(max(LEAST_LIMIT_BYTES, *sizes))
    await _refused(here)
    here.note("files limited")
    if here.choose.random() < 0.5:
        await here.server.kill()
        await here.check_dead()
        await here.server.start()
    else:
        here.server.limit_file_size(None)
    here.note("limit gone")
    await _recovered(here)


async def _refused(here: Round) -> None:
    """Wait until writers are told that the store takes nothing."""
    deadline = time.monotonic() + STARVED_S
    while not any(
        "store_unavailable" in (each.doc.status.put_off, *_said(each.doc.status.problem))
        for each in here.writers
    ):
        assert time.monotonic() < deadline, "a store that cannot write was not noticed"
        await asyncio.sleep(LOOK_S)
    await here.pause(0.1, 0.4)


def _said(problem: Exception | None) -> list[str]:
    return [getattr(problem, "reject_class", ""), *str(problem).split()]


async def _start_starved(here: Round, what: str) -> None:
    """Start a server on a disk that takes nothing: it says so, or serves what is there."""
    if refusal := await here.server.refusal():
        here.note(f"not started on a disk that is {what}: {refusal}")
    else:
        here.note(f"started on a disk that is {what}")
        await here.pause(0.1, 0.3)


async def _recovered(here: Round) -> None:
    if not here.server.is_up:
        await here.server.start()
    await here.acknowledged_again()


async def move_away(here: Round) -> None:
    """The store's directory is renamed under a running server, and comes back."""
    await here.pause(0.2, 0.5)
    away = here.store.with_name("away")
    here.store.rename(away)
    await _refused(here)
    here.note("directory gone")
    if here.choose.random() < 0.5:
        await here.server.kill()
        away.rename(here.store)
        await here.check_dead()
    else:
        away.rename(here.store)
    here.note("directory back")
    await _recovered(here)


async def replace_directory(here: Round) -> None:
    """A copy takes the place of the directory under a running server: nothing is written to it."""
    await here.pause(0.2, 0.5)
    here.server.signal(signal.SIGSTOP)
    copy = here.copy_of_store("copy")
    away = here.store.with_name("away")
    here.store.rename(away)
    shutil.copytree(copy, here.store)
    here.server.signal(signal.SIGCONT)
    await _refused(here)
    here.note("directory replaced by a copy")
    await here.server.kill()
    # Whatever was acknowledged is in the copy, but for what was on its way when it was made.
    here.may_lack = True
    shutil.rmtree(away)
    await here.check_dead()
    await _recovered(here)


async def read_only(here: Round) -> None:
    """A server on a read-only mount of its store refuses, and so its files stay as they are."""
    await here.pause(0.2, 0.5)
    if here.choose.random() < 0.5:
        await here.server.drain()
    else:
        await here.server.kill()
    await here.check_dead()
    with _unwritable(here.store):
        before = {path.name: path.read_bytes() for path in here.store.iterdir()}
        await _start_starved(here, "read-only")
        assert not here.server.is_up, "a server was started that cannot write"
        answer = await asyncio.to_thread(
            lambda: Answer(asked("verify", "--store", here.store, "--json"))
        )
        here.note(f"verify on a read-only disk ended with {answer.code}: {answer.err.strip()}")
        here.count("verified read-only", answer.code == 0)
        assert {path.name: path.read_bytes() for path in here.store.iterdir()} == before
    await _recovered(here)


@contextmanager
def _unwritable(store: Path) -> Iterator[None]:
    """A read-only mount for root, whom modes do not bind; else the modes of the files."""
    if os.geteuid() == 0:
        mount(store, "--bind", str(store))
        try:
            mount(store, "-o", "remount,bind,ro")
            yield
        finally:
            unmount(store)
        return
    modes = {path: path.stat().st_mode for path in (*store.iterdir(), store)}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in reversed(modes.items()):
            path.chmod(mode)
