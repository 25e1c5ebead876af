"""Something to be done at a moment that only the run itself can find: between any two steps."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.loop import SimulatedLoop

Condition = Callable[[], bool]


class Moments:
    """Looks before each step of the loop, for as long as somebody waits for something."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[Condition, Callable[[], None]]] = []

    def when(self, condition: Condition, then: Callable[[], None]) -> None:
        """Call `then` once, before the first step at which `condition` holds."""
        self._waiting.append((condition, then))
        self._loop.before_step = self._look

    def after_steps(self, steps: int, then: Callable[[], None]) -> None:
        """Call `then` when so many more steps of the loop were taken."""
        last = self._loop.steps + steps
        self.when(lambda: self._loop.steps > last, then)

    def forget(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()
        self._loop.before_step = None

    def _look(self) -> None:
        due = [each for each in self._waiting if each[0]()]
        if due:
            self._waiting = [each for each in self._waiting if each not in due]
            if not self._waiting:
                self._loop.before_step = None
            for _, then in due:
                then()
