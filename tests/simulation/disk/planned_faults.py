"""Which calls of SQLite to the disk shall fail, and a count of what was asked and what failed."""

from __future__ import annotations

import enum
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, cast, final

import apsw


class Call(enum.Enum):
    """A kind of call; ANY stands for every kind in a plan."""

    ANY = "any"
    OPEN = "open"
    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    TRUNCATE = "truncate"
    DELETE = "delete"
    LOCK = "lock"


class Fault(enum.Enum):
    """What happens to a call. POWER: this and every later call fail, until the power is back."""

    ERROR = "error"
    FULL = "full"
    POWER = "power"


ERROR_CODES: Final = {
    Call.OPEN: apsw.SQLITE_CANTOPEN,
    Call.READ: apsw.SQLITE_IOERR_READ,
    Call.WRITE: apsw.SQLITE_IOERR_WRITE,
    Call.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Call.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Call.DELETE: apsw.SQLITE_IOERR_DELETE,
    Call.LOCK: apsw.SQLITE_IOERR_LOCK,
}
_CLASSES: Final[dict[int, type[apsw.Error]]] = {
    apsw.SQLITE_CANTOPEN: apsw.CantOpenError,
    apsw.SQLITE_FULL: apsw.FullError,
}


def disk_error(code: int, reason: str) -> apsw.Error:
    """What a VFS raises for SQLite to see `code`, an extended result code."""
    error: Any = _CLASSES.get(code & 0xFF, apsw.IOError)(reason)
    error.result, error.extendedresult = code & 0xFF, code
    error.is_simulated = True
    return cast(apsw.Error, error)


def _without_simulated(report: Callable[[Any], object]) -> Callable[[Any], None]:
    """Nobody needs to hear of our errors where SQLite met a second one on its way out."""

    def hear(unraisable: Any) -> None:
        if not getattr(unraisable.exc_value, "is_simulated", False):
            report(unraisable)

    return hear


sys.unraisablehook = _without_simulated(sys.unraisablehook)


class _Plan:
    def __init__(self, call: Call, number: int, fault: Fault, times: int) -> None:
        self.call = call
        self.number = number
        self.fault = fault
        self.times = times


@final
class PlannedFaults:
    """Plans, each for the nth call of a kind from the moment it was made."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self._plans: list[_Plan] = []

    def plan(self, number: int, call: Call, fault: Fault, times: int) -> None:
        """Let the `number`th `call` from now, and `times` - 1 after it, meet `fault`.

        Raises ValueError for a number or times below 1.
        """
        if number < 1 or times < 1:
            raise ValueError("calls are counted from 1, and fail once at least")
        self._plans.append(_Plan(call, number, fault, times))

    def clear(self) -> None:
        """Forget all plans; the counts stay."""
        self._plans.clear()

    @property
    def is_pending(self) -> bool:
        """Whether a plan still waits for its call."""
        return bool(self._plans)

    def next(self, call: Call) -> Fault | None:
        """Count one call, and tell what happens to it."""
        self.calls[call.value] += 1
        if not self._plans:
            return None
        met: Fault | None = None
        for plan in self._plans:
            if plan.call in (call, Call.ANY):
                plan.number -= 1
                if plan.number < 1:
                    plan.times -= 1
                    met = met or plan.fault
        self._plans = [plan for plan in self._plans if plan.times > 0]
        if met is not None:
            self.met[f"{call.value} {met.value}"] += 1
        return met
