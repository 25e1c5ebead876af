"""kill -9 of a process at the moment when it begins to change files."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from pathlib import Path

from tests.crash.round import Round
from tests.crash.stored_log import asked

AIM_S = 3.0
LOOK_S = 0.0005
LATER_S = 0.03


async def kill_command(here: Round, what: str, *arguments: object) -> None:
    """Start a command on the store and kill it, in `what`, soon after it wrote something."""
    command = asked(*arguments)
    hit = await asyncio.to_thread(touched, here.store, command)
    await here.pause(0.0, LATER_S)
    command.kill()
    command.communicate()
    here.note(f"kill -9 in {what}")
    here.count(f"hits in {what}", hit)


def touched(directory: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> bool:
    """Wait until something in a directory changes; False when the process ended before."""
    before = _marks(directory)
    deadline = time.monotonic() + AIM_S
    while process.poll() is None and time.monotonic() < deadline:
        if _marks(directory) != before:
            return True
        time.sleep(LOOK_S)
    return False


def _marks(directory: Path) -> dict[str, tuple[int, int]]:
    marks = {}
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            # The lock is taken long before anything is written.
            if path.name != "lock":
                status = path.stat()
                marks[path.name] = (status.st_size, status.st_mtime_ns)
    return marks
