"""Faults made up at random: each maker gives the steps of one fault, with its end where it has one.

A fault without an end lasts until the plan is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.simulation.network_faults import LINE_FAULTS
from tests.simulation.plan import Step

SERVER = "north"
CALLS = ("any", "any", "open", "read", "write", "sync", "sync", "truncate", "lock")
DAY_MS = 24 * 3600 * 1000

FaultMaker = Callable[[random.Random, int, list[str]], Iterator[Step]]
"""Chance, when it begins in ms, and the names of the clients."""


def _step(at_ms: int, do: str, who: str, **how: Any) -> Step:
    return Step(at_ms=at_ms, do=do, who=who, how=how)


def _later(chance: random.Random, at_ms: int) -> int:
    """Some time after: soon mostly, at times much later."""
    return at_ms + int(chance.choice((50, 500, 5_000, 30_000)) * chance.random()) + 1


def _end_of(machine: str, *, power_loss: bool, within: bool = False) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        steps = chance.choice((1, 3, 10, 30, 100)) if within else 0
        yield _step(at_ms, "kill", who, power_loss=power_loss, steps=steps)
        if chance.random() < 0.9:
            yield _step(_later(chance, at_ms), "start", who)

    return make


def _power_at_call(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        number = chance.choice((1, 2, 5, 20, 60))
        yield _step(at_ms, "lose power at call", who, number=number, call=chance.choice(CALLS))
        yield _step(_later(chance, at_ms), "start", who)

    return make


def _restart(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        yield _step(at_ms, "restart", who, pause_ms=chance.choice((0, 10, 1_000)))

    return make


def _away(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        yield _step(at_ms, "close", who)
        yield _step(_later(chance, at_ms), "start", who)

    return make


def _lost_sync(machine: str) -> FaultMaker:
    """A sync fails, and later the system forgets what it had called clean."""

    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        number = chance.choice((1, 1, 2, 5))
        yield _step(at_ms, "fail call", who, number=number, call="sync", fault="error")
        killed_ms = _later(chance, at_ms)
        yield _step(killed_ms, "kill", who, power_loss=False)
        yield _step(killed_ms, "drop caches", who)
        yield _step(_later(chance, killed_ms), "start", who)

    return make


def _failing_calls(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        yield _step(
            at_ms,
            "fail call",
            who,
            number=chance.choice((1, 2, 5, 20)),
            call=chance.choice(CALLS),
            fault=chance.choice(("error", "error", "full")),
            times=chance.choice((1, 1, 2, 10, 50)),
        )

    return make


def _full_disk(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        yield _step(at_ms, "fill disk", who, left_bytes=chance.choice((0, 1_000, 20_000)))
        yield _step(_later(chance, at_ms), "fill disk", who, left_bytes=None)

    return make


def _older_copy(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
    yield _step(at_ms, "copy store", SERVER)
    for _ in range(chance.choice((1, 1, 2))):
        at_ms = _later(chance, at_ms)
        yield _step(at_ms, "put back store", SERVER)


def _simple(do: str, **choices: tuple[Any, ...]) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        how = {name: chance.choice(values) for name, values in choices.items()}
        yield _step(at_ms, do, chance.choice(clients), **how)

    return make


def _way(**choices: tuple[Any, ...]) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = chance.choice(clients)
        how = {name: chance.choice(values) for name, values in choices.items()}
        yield _step(at_ms, "way", who, **how)
        if chance.random() < 0.8:
            yield _step(_later(chance, at_ms), "way", who)

    return make


def _partition(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
    """Some of the clients are on their own."""
    alone = chance.sample(clients, chance.randint(1, len(clients)))
    ends_ms = _later(chance, at_ms)
    for who in alone:
        yield _step(at_ms, "way", who, is_partitioned=True)
        yield _step(ends_ms, "way", who)


def _damage(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
    yield _step(
        at_ms,
        "damage",
        chance.choice(clients),
        lane=chance.choice(("to_server", "to_client")),
        faults=[chance.choice(LINE_FAULTS) for _ in range(chance.randint(1, 3))],
        cut_after_ms=chance.choice((50, 300, 1_000)),
    )


def _clock(machine: str) -> FaultMaker:
    def make(chance: random.Random, at_ms: int, clients: list[str]) -> Iterator[Step]:
        who = SERVER if machine == "server" else chance.choice(clients)
        jump_ms = chance.choice((200, 20_000, 3_600_000, DAY_MS, 9 * DAY_MS))
        ahead_ms = chance.choice((1, -1)) * chance.randint(1, jump_ms)
        yield _step(at_ms, "set clock", who, ahead_ms=ahead_ms)
        if chance.random() < 0.6:
            yield _step(_later(chance, at_ms), "set clock", who, ahead_ms=0)

    return make


FAULTS: dict[str, FaultMaker] = {
    "server kill": _end_of("server", power_loss=False),
    "server kill within": _end_of("server", power_loss=False, within=True),
    "server power": _end_of("server", power_loss=True),
    "server power within": _end_of("server", power_loss=True, within=True),
    "server power at call": _power_at_call("server"),
    "server restart": _restart("server"),
    "server away": _away("server"),
    "server lost sync": _lost_sync("server"),
    "server failing calls": _failing_calls("server"),
    "server full disk": _full_disk("server"),
    "server older copy": _older_copy,
    "server clock": _clock("server"),
    "client kill": _end_of("client", power_loss=False),
    "client kill within": _end_of("client", power_loss=False, within=True),
    "client power": _end_of("client", power_loss=True),
    "client power within": _end_of("client", power_loss=True, within=True),
    "client power at call": _power_at_call("client"),
    "client restart": _restart("client"),
    "client away": _away("client"),
    "client lost sync": _lost_sync("client"),
    "client failing calls": _failing_calls("client"),
    "client full disk": _full_disk("client"),
    "client clock": _clock("client"),
    "cut": _simple("cut"),
    "half open": _simple("freeze"),
    "not read": _simple("stop reading", pause_ms=(50, 1_000, 15_000)),
    "slow": _way(bytes_per_second=(500.0, 5_000.0, 100_000.0)),
    "far": _way(least_delay_s=(0.05, 0.3), most_delay_s=(0.3, 1.0)),
    "refused": _way(is_refused=(True,)),
    "partition": _partition,
    "damage": _damage,
}
