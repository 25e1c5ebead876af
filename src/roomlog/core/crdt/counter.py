"""Counters: the exact sum of all amounts, present once touched."""

from typing import final


@final
class Counters:
    """Every counter of a room by key."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    def add(self, key: str, amount: int) -> None:
        """Add ``amount`` to the counter of ``key``; the first call makes it present."""
        self.sums[key] = self.sums.get(key, 0) + amount

    def value(self, key: str) -> int:
        """The sum, 0 for a counter that nobody touched."""
        return self.sums.get(key, 0)
