"""A failing plan made small: as few steps, machines and settings as still break the same promise.

Steps go by delta debugging (Zeller and Hildebrandt, TSE 2002); what is left loses its clients, its
settings, and whatever its steps do not need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.simulation.director import run_plan
from tests.simulation.plan import ClientSpec, Plan, Step

MOST_RUNS = 600


def breaks(violation: str) -> Callable[[Plan], bool]:
    """Whether a plan still breaks this promise."""
    return lambda plan: run_plan(plan).violation == violation


def shrink(plan: Plan, still_fails: Callable[[Plan], bool], *, most_runs: int = MOST_RUNS) -> Plan:
    """The smallest plan found for which `still_fails` holds, as it does for `plan`."""
    return _Shrinker(still_fails, most_runs).shrink(plan)


class _Shrinker:
    def __init__(self, still_fails: Callable[[Plan], bool], most_runs: int) -> None:
        self._still_fails = still_fails
        self._runs_left = most_runs

    def shrink(self, plan: Plan) -> Plan:
        while self._runs_left:
            before = msgspec.json.encode(plan)
            plan = self._fewer_steps(plan)
            plan = self._simpler(plan, _without_clients)
            plan = self._simpler(plan, _plainer_machines)
            plan = self._simpler(plan, _plainer_steps)
            if msgspec.json.encode(plan) == before:
                break
        return plan

    def _fails(self, plan: Plan) -> bool:
        if not self._runs_left:
            return False
        self._runs_left -= 1
        return self._still_fails(plan)

    def _fewer_steps(self, plan: Plan) -> Plan:
        size = max(1, len(plan.steps) // 2)
        while size:
            at = 0
            while at < len(plan.steps):
                steps = plan.steps[:at] + plan.steps[at + size :]
                smaller = msgspec.structs.replace(plan, steps=steps)
                if self._fails(smaller):
                    plan = smaller
                else:
                    at += size
            size //= 2
        return plan

    def _simpler(self, plan: Plan, candidates: Callable[[Plan], Iterator[Plan]]) -> Plan:
        """Take the first candidate that still fails, and look again, until none does."""
        is_changed = True
        while is_changed:
            is_changed = False
            for smaller in candidates(plan):
                if self._fails(smaller):
                    plan, is_changed = smaller, True
                    break
        return plan


def _without_clients(plan: Plan) -> Iterator[Plan]:
    for gone in plan.clients:
        clients = [
            msgspec.structs.replace(each, key_of="") if each.key_of == gone.name else each
            for each in plan.clients
            if each is not gone
        ]
        steps = [step for step in plan.steps if step.who != gone.name]
        if clients:
            yield msgspec.structs.replace(plan, clients=clients, steps=steps)


def _plainer_machines(plan: Plan) -> Iterator[Plan]:
    for number, server in enumerate(plan.servers):
        for field in ("config", "limits"):
            settings: dict[str, Any] = getattr(server, field)
            for gone in settings:
                rest = {name: value for name, value in settings.items() if name != gone}
                plainer = msgspec.structs.replace(server, **{field: rest})
                yield msgspec.structs.replace(plan, servers=_with(plan.servers, number, plainer))
    plain = ClientSpec(name="")
    for number, client in enumerate(plan.clients):
        for field in ClientSpec.__struct_fields__:
            default = getattr(plain, field)
            if field != "name" and getattr(client, field) != default:
                other = msgspec.structs.replace(client, **{field: default})
                yield msgspec.structs.replace(plan, clients=_with(plan.clients, number, other))


def _plainer_steps(plan: Plan) -> Iterator[Plan]:
    for number, step in enumerate(plan.steps):
        for how in _plainer_values(step.how):
            other = Step(at_ms=step.at_ms, do=step.do, who=step.who, how=how)
            yield msgspec.structs.replace(plan, steps=_with(plan.steps, number, other))


def _plainer_values(how: dict[str, Any]) -> Iterator[dict[str, Any]]:
    edits = how.get("edits", [])
    if len(edits) > 1:
        for gone in range(len(edits)):
            yield {**how, "edits": edits[:gone] + edits[gone + 1 :]}
    for name, value in how.items():
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            yield {**how, name: 1}
            yield {**how, name: value // 2}


def _with(items: list[Any], number: int, item: Any) -> list[Any]:
    return [*items[:number], item, *items[number + 1 :]]
