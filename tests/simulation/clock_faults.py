"""Steps in which a machine's clock on the wall jumps."""

from __future__ import annotations

from tests.simulation.actions import action
from tests.simulation.machine_faults import machine_of
from tests.simulation.plan import Step
from tests.simulation.world import World


@action("set clock")
def set_clock(world: World, step: Step) -> None:
    """From now on the machine's clock is `ahead_ms` ahead of the world's, or behind it."""
    machine = machine_of(world, step.who)
    if machine is not None:
        world.saw("clock ahead" if step.how["ahead_ms"] > 0 else "clock behind or right")
        machine.clock.offset_ms = step.how["ahead_ms"]
