"""Many seeds one after the other: what they came to, and which of them broke a promise."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.simulation.director import Result, run_plan
from tests.simulation.generator import generate


@dataclass(frozen=True)
class Failure:
    """A seed that broke a promise."""

    seed: int
    violation: str
    text: str


@dataclass
class Totals:
    """What any number of seeds came to."""

    seeds: int = 0
    steps: int = 0
    virtual_s: float = 0.0
    longest_settling_s: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)

    def count(self, seed: int, result: Result) -> None:
        """One seed more."""
        self.seeds += 1
        self.steps += result.steps
        self.virtual_s += result.virtual_s
        self.longest_settling_s = max(self.longest_settling_s, result.settled_s)
        self.seen.update(result.seen)
        self.hashes[seed] = result.journal_hash
        if result.violation:
            self.failures.append(Failure(seed, result.violation, result.text))

    def add(self, other: Totals) -> None:
        """What somebody else counted."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.virtual_s += other.virtual_s
        self.longest_settling_s = max(self.longest_settling_s, other.longest_settling_s)
        self.seen.update(other.seen)
        self.failures += other.failures
        self.hashes.update(other.hashes)


def sweep(seeds: Iterable[int], on_result: Callable[[int, Result], None] | None = None) -> Totals:
    """Run the plan of every seed."""
    totals = Totals()
    # What was there before the first run need not be looked through after each of them.
    gc.collect()
    gc.freeze()
    for seed in seeds:
        result = run_plan(generate(seed))
        totals.count(seed, result)
        if on_result is not None:
            on_result(seed, result)
        del result
        gc.collect()
    return totals
