"""What a scenario measures and how it is judged."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, final

import msgspec

from roomlog.cli.load.own_server import OwnServer
from roomlog.client.document import Document

MIB: Final = 1024 * 1024
SETTLE_S: Final = 60.0
"""How long anything may take to come together once the load is over."""


@final
class Check(msgspec.Struct, frozen=True):
    """One limit: what was found, what is allowed, and whether it is held."""

    name: str
    found: float
    limit: str
    passed: bool


@final
class Outcome:
    """Figures for people, and checks that decide."""

    def __init__(self) -> None:
        self.figures: dict[str, float | str] = {}
        self.checks: list[Check] = []

    def at_most(self, name: str, found: float, limit: float) -> None:
        """`found` must not be above `limit`."""
        self.checks.append(Check(name, _shown(found), f"at most {limit:g}", found <= limit))

    def at_least(self, name: str, found: float, limit: float) -> None:
        """`found` must not be below `limit`."""
        self.checks.append(Check(name, _shown(found), f"at least {limit:g}", found >= limit))

    def exactly(self, name: str, found: float, wanted: float) -> None:
        """`found` must be `wanted`."""
        self.checks.append(Check(name, _shown(found), f"exactly {wanted:g}", found == wanted))

    def memory(self, server: OwnServer, before_bytes: int, most_mib: float) -> None:
        """What the server's memory grew by at its peak; no check where nobody can tell."""
        if server.peak_bytes:
            grown = (server.peak_bytes - before_bytes) / MIB
            self.at_most("server memory grown, MiB", grown, most_mib)

    def latency(self, name: str, delays_s: Iterable[float], most_p99_ms: float) -> None:
        """Percentiles of delays in seconds, and a limit for the 99th."""
        ordered = sorted(delays_s)
        self.figures[f"{name}, count"] = len(ordered)
        self.figures[f"{name}, p50 ms"] = _shown(1_000 * percentile(ordered, 0.5))
        self.figures[f"{name}, p99 ms"] = _shown(1_000 * percentile(ordered, 0.99))
        self.at_least(f"{name}: there are any", len(ordered), 1)
        self.at_most(f"{name}, p99 ms", 1_000 * percentile(ordered, 0.99), most_p99_ms)


@final
class Scenario(msgspec.Struct, frozen=True):
    """A row of the table of scenarios. `seconds` is how long its load lasts by default.

    `run` is given an empty directory and the seconds of load.
    """

    name: str
    meaning: str
    seconds: float
    run: Callable[[Path, float], Coroutine[Any, Any, Outcome]]


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The least value that `share` of the values do not exceed; 0 without values."""
    if not sorted_values:
        return 0.0
    return sorted_values[max(math.ceil(share * len(sorted_values)) - 1, 0)]


async def agree(outcome: Outcome, documents: Sequence[Document]) -> None:
    """Wait until all documents are one, and check that they are: hashes and completeness."""
    laggards = 0

    async def settle(document: Document) -> None:
        nonlocal laggards
        try:
            await document.synced(SETTLE_S)
        except Exception:
            laggards += 1

    # A node of one may be read by another only after its own wait is over: so twice.
    for _ in range(2):
        laggards = 0
        await asyncio.gather(*(settle(document) for document in documents))
    hashes = [document.state_hash() for document in documents]
    outcome.exactly("clients that did not come to rest", laggards, 0)
    outcome.exactly("clients whose state is incomplete", sum(not h.complete for h in hashes), 0)
    outcome.exactly("different hashes among all clients", len({h.hex for h in hashes}), 1)
    lost = sum(len(document.pending) for document in documents)
    outcome.exactly("writes without an acknowledgment at the end", lost, 0)


def _shown(value: float) -> float:
    return round(value, 3)
