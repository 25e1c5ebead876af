"""A step in which nobody does anything, and nothing may be written for it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.actions import action
from tests.simulation.disk import Call
from tests.simulation.invariants.violation import Violation
from tests.simulation.plan import Step
from tests.simulation.world import World

QUIET_AFTER_S = 60.0
"""Until then snapshots and checkpoints follow what was written last."""


@action("stay idle")
def stay_idle(world: World, step: Step) -> Any:
    """T33: once all is quiet, no machine writes anything for `for_s` seconds."""
    return _stay_idle(world, step.how["for_s"])


async def _stay_idle(world: World, for_s: float) -> None:
    await asyncio.sleep(QUIET_AFTER_S)
    machines = (*world.servers.values(), *world.clients.values())
    before = {machine.name: _writes(machine) for machine in machines}
    await asyncio.sleep(for_s)
    for machine in machines:
        more = _writes(machine) - before[machine.name]
        if more:
            raise Violation("written_while_idle", f"{machine.name}: {more} calls")


def _writes(machine: Any) -> int:
    calls = machine.disk.faults.calls
    return int(calls[Call.WRITE.value] + calls[Call.SYNC.value] + calls[Call.TRUNCATE.value])
