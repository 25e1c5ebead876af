"""When faults end: whoever is hostile is gone, and nothing of what nobody may take was taken."""

from __future__ import annotations

from tests.simulation.invariants.violation import Violation
from tests.simulation.world import World


def end_hostility(world: World) -> None:
    """Every attacker is gone from now on, and every honest server where it belongs."""
    for impostor in world.impostors:
        impostor.leave()
    world.impostors.clear()
    for life in world.strangers:
        if not life.is_over:
            world.network.end_life(life, is_silent=False)
    world.strangers.clear()


def check_nothing_forbidden(world: World) -> None:
    """No log of a server and no replica has a forged node. Raises `Violation`."""
    if not world.forbidden:
        return
    for server in world.servers.values():
        if not server.is_running:
            continue
        for room in server.hub.registry.rooms.values():
            for node_id, what in world.forbidden.items():
                if room.graph.index_of(node_id) >= 0:
                    raise Violation("forged_node_taken", f"{server.name} {room.room_id}: {what}")
    for client in world.clients.values():
        if client.document is None:
            continue
        graph = client.document.replica.graph
        for node_id, what in world.forbidden.items():
            if graph.index_of(node_id) >= 0:
                raise Violation("forged_node_taken", f"{client.name}: {what}")
