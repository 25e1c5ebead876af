"""Steps in which a server meets a bug of its own: it must believe only its store then."""

from __future__ import annotations

from typing import Any

from tests.simulation.actions import action
from tests.simulation.plan import Step
from tests.simulation.server_machine import DeliberateFault
from tests.simulation.world import World


@action("server fault")
def server_fault(world: World, step: Step) -> None:
    """The next call of `where`, a method of its rooms, raises what nobody has thought of."""
    server = world.servers[step.who]
    if not server.is_running:
        return
    server.had_fault = True
    where: str = step.how["where"]
    for room in server.hub.registry.rooms.values():
        if where in vars(room):
            continue

        def fail(*arguments: Any, room: Any = room) -> None:
            delattr(room, where)
            world.saw(f"server fault {where}")
            raise DeliberateFault(where)

        setattr(room, where, fail)
