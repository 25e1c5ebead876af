"""Clock arithmetic: milliseconds times 2,048 plus a counter, in one integer.

The counter lets a causal chain run 2,048 nodes a millisecond without leaving the wall clock.
"""

from collections.abc import Sequence
from typing import Final

from roomlog.core.errors import ClockExhaustedError, InvalidTypeError
from roomlog.core.graph import Graph

UNITS_PER_MS: Final = 2048
CLOCK_LIMIT: Final = (1 << 53) - (1 << 32)
"""Valid clocks are below this: exact in a float64, with room above for sums."""


def next_clock(now_ms: int | None, greatest_parent_clock: int) -> int:
    """The clock of an author's next node.

    ``now_ms`` is the wall clock in milliseconds since 1970, or None to follow the parents alone.
    ``greatest_parent_clock`` is -1 when there are no parents.

    Raises `ClockExhaustedError` when no valid clock is left, `InvalidTypeError` for a time that is
    no integer.
    """
    if now_ms is not None and not isinstance(now_ms, int):
        raise InvalidTypeError(f"now_ms: whole milliseconds as an int, not {now_ms!r}")
    clock = greatest_parent_clock + 1
    if now_ms is not None and now_ms * UNITS_PER_MS > clock:
        clock = now_ms * UNITS_PER_MS
    if clock >= CLOCK_LIMIT:
        raise ClockExhaustedError(f"clock {clock} is not below {CLOCK_LIMIT}")
    return clock


def clock_to_ms(clock: int) -> int:
    """The wall clock part, in milliseconds since 1970."""
    return clock // UNITS_PER_MS


def is_ahead(clock: int, greatest_parent_clock: int, now_ms: int, skew_ms: int) -> bool:
    """Whether a server that admits at ``now_ms`` refuses ``clock`` as ahead of time.

    Only a clock beyond both the server's time plus ``skew_ms`` and the parents' next clock is:
    a chain faster than the unit stays valid. Never asked on hydrate, import or replay.
    """
    return clock > (now_ms + skew_ms) * UNITS_PER_MS and clock > greatest_parent_clock + 1


def greatest_clock(graph: Graph, version: Sequence[int]) -> int:
    """The greatest clock of ``version``'s nodes, -1 when it is empty."""
    greatest = -1
    for lv in version:
        clock = graph.clock_of(lv)
        greatest = max(greatest, clock)
    return greatest
