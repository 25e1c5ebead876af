"""Hostile clients made up at random: nobody mostly, at times one or two, with a few attacks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from tests.simulation.hostile.every import ATTACKS
from tests.simulation.plan import Step


def some_hostility(chance: random.Random, duration_ms: int, rooms: Iterable[str]) -> Iterator[Step]:
    """The attacks of a run of `duration_ms`, in these rooms."""
    if chance.random() > 0.2:
        return
    names = sorted(rooms)
    for number in range(chance.choice((1, 1, 2))):
        for _ in range(chance.choice((1, 2, 4))):
            how: dict[str, Any] = {"room": chance.choice(names)}
            if chance.random() < 0.3:
                how["codec"] = "json"
            yield Step(
                at_ms=chance.randrange(duration_ms),
                do=f"hostile {chance.choice(sorted(ATTACKS))}",
                who=f"mallory{number}",
                how=how,
            )
