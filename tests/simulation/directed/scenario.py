"""Scenarios by name, and the few words they are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.simulation.plan import ClientSpec, Plan, ServerSpec, Step

Steps = Iterator[Step]
Scenario = Callable[[], Plan]
SCENARIOS: dict[str, Scenario] = {}

EAGER = {
    "snapshot_every_nodes": 8,
    "snapshot_margin_nodes": 2,
    "snapshot_worth_nodes": 4,
    "snapshot_every_ms": 500,
    "tick_ms": 200,
}
"""Snapshots of small rooms."""
SERVER = "north"


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Register one."""

    def register(function: Scenario) -> Scenario:
        assert name not in SCENARIOS, name
        SCENARIOS[name] = function
        return function

    return register


def plan(
    *parts: Steps,
    clients: list[ClientSpec] | None = None,
    config: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    seed: int = 1,
) -> Plan:
    """Steps of several parts, in the order of time; by default ada and bob, and small snapshots."""
    steps = sorted((step for part in parts for step in part), key=lambda step: step.at_ms)
    return Plan(
        seed=seed,
        servers=[ServerSpec(name=SERVER, config={**EAGER, **(config or {})}, limits=limits or {})],
        clients=clients or two(),
        steps=steps,
    )


def two(**more: Any) -> list[ClientSpec]:
    """Ada speaks MessagePack, bob JSON."""
    return [
        ClientSpec(name="ada", **more),
        ClientSpec(name="bob", codec="json", **more),
    ]


def at(at_ms: int, do: str, who: str = "", **how: Any) -> Steps:
    """One step."""
    yield Step(at_ms=at_ms, do=do, who=who, how=how)


def start(*names: str, at_ms: int = 0) -> Steps:
    """Machines start, one after the other."""
    for number, name in enumerate(names):
        yield Step(at_ms=at_ms + 20 * number, do="start", who=name)


def write(
    *names: str, from_ms: int = 200, to_ms: int = 3_000, count: int = 12, every: int = 0
) -> Steps:
    """They take turns in writing a little of everything; each `every`th edit is kept track of."""
    for number in range(count):
        who = names[number % len(names)]
        at_ms = from_ms + (to_ms - from_ms) * number // count
        yield Step(at_ms=at_ms, do="edit", who=who, how={"edits": _edits(number)})
        if every and number % every == 0:
            yield Step(at_ms=at_ms + 1, do="write once", who=who, how={"number": number})


def _edits(number: int) -> list[dict[str, Any]]:
    kinds: list[list[dict[str, Any]]] = [
        [{"do": "text insert", "key": "t", "at": number, "text": f"{number} "}],
        [{"do": "map set", "prefix": "m", "key": "a", "value": number}],
        [{"do": "list insert", "key": "l", "at": 0, "value": number}],
        [{"do": "counter add", "key": "c", "amount": 1}],
        [{"do": "text delete", "key": "t", "at": 1, "length": 1}],
        [{"do": "map blob", "prefix": "n", "key": "b", "number": number}],
        [{"do": "list move", "key": "l", "at": 0, "to": 2}],
        [{"do": "map delete", "prefix": "m", "key": "a"}],
        [{"do": "list update", "key": "l", "at": 0, "value": [number]}],
        [{"do": "list delete", "key": "l", "at": 1}],
    ]
    return kinds[number % len(kinds)]
