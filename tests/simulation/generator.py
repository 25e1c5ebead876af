"""From a seed to a plan.

Swarm testing (Groce et al., ISSTA 2012): every seed leaves out most features and faults, so that
those it has meet more often and in more ways than if every run had a little of everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.simulation.generated_edits import PATTERNS, EditMaker, big_edit
from tests.simulation.generated_faults import FAULTS
from tests.simulation.generated_hostility import some_hostility
from tests.simulation.generated_machines import some_clients, some_server
from tests.simulation.plan import Plan, Step

DURATIONS_MS = (1_000, 5_000, 5_000, 20_000, 60_000)
ActivityMaker = Callable[["_Maker", str, int], dict[str, Any]]


def generate(seed: int) -> Plan:
    """The plan of a seed, always the same."""
    return _Maker(seed).plan()


class _Maker:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"plan {seed}")
        self.edits = EditMaker(self.chance)
        self.is_big = self.chance.random() < 0.03
        self.versions = [f"v{number}" for number in range(3)]

    def plan(self) -> Plan:
        chance = self.chance
        server, clients = some_server(chance), some_clients(chance)
        names = [client.name for client in clients]
        duration_ms = chance.choice(DURATIONS_MS)
        steps = [*self._starts(names, duration_ms), *self._activity(names, duration_ms)]
        steps += self._faults(names, duration_ms)
        steps += some_hostility(chance, duration_ms, clients)
        steps.sort(key=lambda step: step.at_ms)
        return Plan(seed=self.seed, servers=[server], clients=clients, steps=steps)

    def _starts(self, names: list[str], duration_ms: int) -> Iterator[Step]:
        chance = self.chance
        is_together = chance.random() < 0.5
        for name in names:
            late = not is_together and chance.random() < 0.4
            at_ms = chance.randrange(duration_ms) if late else chance.randrange(100)
            yield Step(at_ms=at_ms, do="start", who=name)
            if chance.random() < 0.3:
                how = {"group_ms": chance.choice((0, 500, 5_000))}
                yield Step(at_ms=at_ms + 200, do="watch edits", who=name, how=how)

    def _activity(self, names: list[str], duration_ms: int) -> Iterator[Step]:
        chance = self.chance
        others = [name for name in ACTIVITIES if chance.random() < 0.25]
        share_others = chance.choice((0.1, 0.3, 0.6)) if others else 0.0
        writers = chance.sample(names, chance.randint(1, len(names)))
        for number in range(chance.choice((5, 15, 30, 60))):
            at_ms = chance.randrange(duration_ms)
            who = chance.choice(writers)
            if chance.random() < share_others:
                do = chance.choice(others)
                yield Step(at_ms=at_ms, do=do, who=who, how=ACTIVITIES[do](self, who, number))
            else:
                yield Step(at_ms=at_ms, do="edit", who=who, how={"edits": self.some_edits()})

    def some_edits(self) -> list[dict[str, Any]]:
        """Edits of one turn; in few runs at times more than a node holds."""
        edits = self.edits.edits(5)
        if self.is_big and self.chance.random() < 0.1:
            edits.append(big_edit(self.chance))
        return edits

    def _faults(self, names: list[str], duration_ms: int) -> Iterator[Step]:
        chance = self.chance
        kinds = chance.sample(list(FAULTS), chance.choice((0, 1, 2, 3, 5, 8)))
        if kinds:
            for _ in range(chance.choice((1, 3, 6, 12))):
                make = FAULTS[chance.choice(kinds)]
                yield from make(chance, chance.randrange(duration_ms), names)


def _transaction(maker: _Maker, who: str, number: int) -> dict[str, Any]:
    return {
        "edits": [*maker.some_edits(), *maker.some_edits()],
        "hold_ms": maker.chance.choice((0, 10, 1_000)),
        "fails": maker.chance.random() < 0.3,
    }


def _branches(maker: _Maker, who: str, number: int) -> dict[str, Any]:
    return {
        "count": maker.chance.choice((2, 2, 3, 3, 6, 20, 70)),
        "edits": maker.edits.edits(2),
        "merges": maker.chance.random() < 0.3,
    }


ACTIVITIES: dict[str, ActivityMaker] = {
    "write once": lambda maker, who, number: {"number": number},
    "flush": lambda maker, who, number: {},
    "transaction": _transaction,
    "branches": _branches,
    "old branch": lambda maker, who, number: {
        "back": maker.chance.randrange(30),
        "edits": maker.edits.edits(2),
    },
    "undo": lambda maker, who, number: {},
    "redo": lambda maker, who, number: {},
    "save version": lambda maker, who, number: {"name": maker.chance.choice(maker.versions)},
    "delete version": lambda maker, who, number: {"name": maker.chance.choice(maker.versions)},
    "open version": lambda maker, who, number: {"name": maker.chance.choice(maker.versions)},
    "synced": lambda maker, who, number: {"timeout_s": maker.chance.choice((0.5, 20.0))},
    "subscribe": lambda maker, who, number: {
        "patterns": maker.chance.choice(PATTERNS),
        "timeout_s": maker.chance.choice((0.5, 20.0)),
    },
    "history": lambda maker, who, number: {"timeout_s": maker.chance.choice((0.5, 20.0))},
    "look back": lambda maker, who, number: {},
    "read acknowledged": lambda maker, who, number: {},
    "show": lambda maker, who, number: {
        "data": maker.chance.choice((None, 1, {"x": [1, 2]}, "y" * 3_000)),
        "ttl_s": maker.chance.choice((None, 0.5, 30.0)),
    },
    "signal": lambda maker, who, number: {"to": maker.chance.randrange(9), "data": number},
}
"""What people do beside plain edits."""
