"""A machine's clocks: one that only measures, and one on the wall that may jump."""

from __future__ import annotations

from tests.simulation.loop import SimulatedLoop


class MachineClock:
    """`offset_ms` is how far this machine's wall clock is ahead of the world's."""

    def __init__(self, loop: SimulatedLoop, wall_ms: int, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        self._loop = loop
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        return self._wall_ms + int(self._loop.time() * 1000) + self.offset_ms
