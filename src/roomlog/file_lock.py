"""The lock on a file that says that a store is open: the kernel drops it when its holder dies."""

from __future__ import annotations

import sys
import time
from typing import Final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOOKERS_WAITED_FOR: Final = 200
LOOKER_WAIT_S: Final = 0.005
"""A second in all: somebody who looks is gone within microseconds."""


def take_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone; False when another one has it.

    Who only looks whether it is free shares the lock for a moment (`is_lock_free`).
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    for _ in range(LOOKERS_WAITED_FOR):
        if _is_taken(descriptor, fcntl.LOCK_EX):
            return True
        if not is_lock_free(descriptor):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(LOOKER_WAIT_S)
    return False


if sys.platform != "win32":

    def is_lock_free(descriptor: int) -> bool:
        """Whether nobody has an open file locked; until it is closed, this shares the lock."""
        return _is_taken(descriptor, fcntl.LOCK_SH)

    def _is_taken(descriptor: int, operation: int) -> bool:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
