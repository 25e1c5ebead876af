"""How long to wait before the next attempt, so that clients do not come back all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

FIRST_S: Final = 0.25
LONGEST_S: Final = 30.0
LONGEST_HINT_S: Final = 300.0
"""A server that asks for more is asked again all the same: no hint sends anybody away for good."""
LONGEST_AFTER_NEWS_S: Final = 1.0
"""A line that breaks all the time and brings something each time is not left alone for longer."""
SETTLED_AFTER_S: Final = 1.0
"""A connection that lasted this long was a good one: the next wait is short again."""


@final
class Backoff:
    """Exponential backoff with full jitter.

    Full jitter spreads a herd best (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).
    `random` gives floats in [0, 1).
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def next_wait_s(self) -> float:
        """The wait after one more failure: anything up to a bound that doubles each time."""
        bound = self.bound_s()
        self._failures += 1
        return self._random() * bound

    def bound_s(self) -> float:
        """The longest that the next wait can be."""
        doublings = min(self._failures, 32)
        return min(self._longest_s, self._first_s * float(2**doublings))

    def hinted_wait_s(self, hint_s: float) -> float:
        """The wait a server asked for, and up to as much again: a hint alone is a rendezvous."""
        hint_s = min(hint_s, LONGEST_HINT_S)
        return hint_s + self._random() * max(hint_s, self._first_s)

    def progressed(self) -> None:
        """Something new became durable: worth coming back for, however short it was."""
        self._failures = 0

    def learned(self) -> None:
        """Nodes came in that were not here: the next wait stays below `LONGEST_AFTER_NEWS_S`.

        It does not become short: whoever made a herd of clients lose its server fed all of them.
        """
        while self._failures and self.bound_s() > LONGEST_AFTER_NEWS_S:
            self._failures -= 1

    def lasted(self, seconds: float) -> None:
        """Take note of how long a connection held."""
        if seconds >= SETTLED_AFTER_S:
            self._failures = 0
