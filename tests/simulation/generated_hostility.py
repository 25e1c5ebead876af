"""Hostile clients and servers made up at random: none mostly, at times a few attacks and lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.simulation.hostile.every import ATTACKS, LIES
from tests.simulation.plan import ClientSpec, Step

SERVER = "north"
Hostility = Callable[[random.Random, list[ClientSpec]], Step]
"""Chance and the honest clients; the step begins at 0."""


def _attack(chance: random.Random, clients: list[ClientSpec]) -> Step:
    how: dict[str, Any] = {"room": chance.choice(clients).room}
    if chance.random() < 0.3:
        how["codec"] = "json"
    who = chance.choice(("mallory", "mallory", "trudy"))
    return Step(at_ms=0, do=f"hostile {chance.choice(sorted(ATTACKS))}", who=who, how=how)


def _lie(chance: random.Random, clients: list[ClientSpec]) -> Step:
    how = {"for_s": chance.choice((0.5, 3.0, 10.0))}
    return Step(at_ms=0, do=f"hostile server {chance.choice(sorted(LIES))}", who=SERVER, how=how)


def _line(chance: random.Random, clients: list[ClientSpec]) -> Step:
    how = {"for_s": chance.choice((3.0, 20.0)), "one_in": chance.choice((4, 12))}
    return Step(at_ms=0, do="hostile line", who=SERVER, how=how)


def _relay(chance: random.Random, clients: list[ClientSpec]) -> Step:
    how = {"for_s": chance.choice((1.0, 5.0))}
    return Step(at_ms=0, do="hostile relay", who=chance.choice(clients).name, how=how)


KINDS: tuple[Hostility, ...] = (_attack, _attack, _attack, _lie, _lie, _line, _relay)


def some_hostility(
    chance: random.Random, duration_ms: int, clients: list[ClientSpec]
) -> Iterator[Step]:
    """The hostile steps of a run of `duration_ms`."""
    if chance.random() > 0.2:
        return
    kinds = chance.sample(KINDS, 2)
    for _ in range(chance.choice((1, 2, 4))):
        step = chance.choice(kinds)(chance, clients)
        step.at_ms = chance.randrange(duration_ms)
        yield step
