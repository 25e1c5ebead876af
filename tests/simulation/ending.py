"""The end of a run: all faults end, everybody comes to agree, everybody leaves, and a last look."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from roomlog.client.engine import Engine
from roomlog.client.errors import ConnectionStoppedError, LocalStoreError, UnsentChangesError
from roomlog.client.local_store import read_stored
from roomlog.client.status import Phase
from roomlog.core.clock import UNITS_PER_MS
from roomlog.core.reject import RejectClass
from roomlog.store.errors import StoreError
from tests.simulation.hostile.end import end_hostility
from tests.simulation.invariants.violation import Violation
from tests.simulation.lost_nodes import lacks_only, lost_for_good
from tests.simulation.machine_faults import begin_machine
from tests.simulation.network_faults import heal

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.server_machine import ServerMachine
    from tests.simulation.world import World

SYNCED_WITHIN_S = 120.0
LONG_MS = 30_000
"""A wait that is worth sleeping through."""


def end_faults(world: World) -> None:
    """From now on nothing goes wrong any more; who is dead starts."""
    world.moments.forget()
    end_hostility(world)
    for machine in (*world.servers.values(), *world.clients.values()):
        machine.disk.capacity_bytes = None
        machine.disk.faults.clear()
        if not machine.disk.is_on:
            machine.disk.power_loss()
    for server in world.servers.values():
        server.clock.offset_ms = 0
    for client in world.clients.values():
        heal(client.conditions)
        # A clock that is behind is no trouble to anybody.
        client.clock.offset_ms = min(client.clock.offset_ms, 0)
    world.write("world", "all faults end")
    _start_all(world)


def _start_all(world: World) -> None:
    for server in world.servers.values():
        begin_machine(server)
    for client in world.clients.values():
        begin_machine(client)


async def settle(world: World, settle_s: float) -> float:
    """Wait until everybody agrees; how many seconds it took.

    Raises `Violation` when that takes longer than `settle_s`, not counting what all slept through.
    """
    began = world.loop.time()
    deadline, slept_s = began + settle_s, 0.0
    wait_s = 0.25
    while True:
        world.invariants.faults()
        _start_all(world)
        await _start_stopped(world)
        reasons = _reasons(world)
        if not reasons:
            break
        if world.loop.time() > deadline + slept_s:
            raise Violation("nobody_agrees", "; ".join(reasons))
        slept_s += _sleep_until_written(world)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 1.3, 5.0)
    took_s = world.loop.time() - began - slept_s
    world.write("world", f"everybody agrees after {took_s:.3f} s")
    world.invariants.look()
    for client in world.clients.values():
        assert client.document is not None
        if not any(server.was_put_back for server in world.servers.values()):
            try:
                await client.document.synced(SYNCED_WITHIN_S)
            except TimeoutError:
                raise Violation("synced_never_ends", client.name) from None
    return took_s


async def _start_stopped(world: World) -> None:
    """Documents that gave up for a reason which is over now are opened again, as by a person."""
    for client in world.clients.values():
        document = client.document
        if document is None or document.status.phase is not Phase.STOPPED:
            continue
        problem = document.status.problem
        if not _may_stop(client, problem):
            raise Violation("client_gave_up", f"{client.name}: {problem!r}")
        world.saw(f"client gave up {type(problem).__name__}")
        client.kill(power_loss=False)
        client.start()


def _may_stop(client: ClientMachine, problem: Exception | None) -> bool:
    if isinstance(problem, LocalStoreError) or client.had_damaged_line:
        return True
    if not isinstance(problem, ConnectionStoppedError):
        return False
    # Somebody who cannot make a room came before it was made.
    if client.is_reader and problem.reject_class == RejectClass.ROOM_NOT_FOUND.wire:
        return True
    # A hello that was on its way for too long.
    return problem.reject_class == RejectClass.TIMEOUT.wire


def _sleep_until_written(world: World) -> float:
    """What somebody wrote with a clock far ahead is taken when that time has come: sleep so long.

    Returns the seconds slept.
    """
    latest_ms = 0
    for client in world.clients.values():
        if client.document is not None:
            replica = client.document.replica
            clocks = [replica.node(node_id).clock for node_id in client.document.pending]
            latest_ms = max([latest_ms, *(clock // UNITS_PER_MS for clock in clocks)])
    now_ms = max(server.clock.wall_ms() for server in world.servers.values())
    if latest_ms - now_ms <= LONG_MS:
        return 0.0
    world.saw("slept until the time of a write")
    world.loop.skip((latest_ms - now_ms) / 1000)
    return (latest_ms - now_ms) / 1000


def _reasons(world: World) -> list[str]:
    """Why not everybody agrees yet; [] when everybody does."""
    found = []
    for client in world.clients.values():
        if client.document is None:
            found.append(f"{client.name} is not open")
        elif client.document.status.phase is not Phase.LIVE:
            found.append(f"{client.name} is {client.document.status.phase.value}")
    for server in world.servers.values():
        if not server.is_running:
            found.append(f"{server.name} does not run")
    if found:
        return found
    for server in world.servers.values():
        found += _disagreements(world, server)
    return found


def _disagreements(world: World, server: ServerMachine) -> list[str]:
    of_server = [each for each in world.clients.values() if each.origin == server.origin]
    found = []
    for room_id in dict.fromkeys(client.room_id for client in of_server):
        clients = [client for client in of_server if client.room_id == room_id]
        room = server.hub.registry.rooms.get(room_id)
        if room is None:
            found.append(f"room {room_id} is not open")
            continue
        may_lack = server.was_put_back or server.was_impersonated
        if may_lack and (lost := lost_for_good(room, clients)):
            # What stands on them waits for ever.
            server.was_put_back = True
            found += [f"{c.name} {why}" for c in clients if (why := lacks_only(c, room, lost))]
            if not found:
                world.saw("nodes lost for good")
            continue
        heads = set(room.frontier_ids())
        for client in clients:
            assert client.document is not None
            if set(client.document.frontier) != heads or client.document.pending:
                pending = len(client.document.pending)
                found.append(f"{client.name} has other heads, {pending} pending")
        if not found:
            try:
                found += world.invariants.disagreements(server, clients)
            except StoreError as error:
                # Nobody has read or written since the last failure: whoever does settles it.
                server.hub.committer.try_again()
                found.append(f"{server.name} cannot be read: {error}")
    return found


async def leave(world: World) -> None:
    """Clients close their documents, servers stop. Raises `Violation` when that does not end."""
    for client in world.clients.values():
        document = client.document
        assert document is not None
        try:
            await client.close()
        except TimeoutError as error:
            raise Violation("closing_never_ends", str(error)) from error
        except UnsentChangesError as error:
            if not any(server.was_put_back for server in world.servers.values()):
                raise Violation("left_with_unsent", client.name) from error
        client.tools["last"] = (
            document.frontier,
            document.state_hash(),
            list(document.rejections()),
        )
    for server in world.servers.values():
        try:
            await server.stop()
        except TimeoutError as error:
            raise Violation("stopping_never_ends", str(error)) from error


def last_look(world: World) -> None:
    """At every file that was left behind. Raises `Violation`."""
    for server in world.servers.values():
        try:
            server.start()
        except StoreError as error:
            raise Violation("store_cannot_be_opened", f"{server.name}: {error}") from error
        world.invariants.server_started(server)
        world.invariants.at_end(server)
        server.crash(power_loss=False)
    for client in world.clients.values():
        if client.has_store:
            _look_at_local_store(client)


def _look_at_local_store(client: ClientMachine) -> None:
    frontier, state_hash, rejections = client.tools["last"]
    assert client._path is not None
    try:
        engine = Engine.restored(client.identity, read_stored(client._path))
    except LocalStoreError as error:
        raise Violation("local_store_cannot_be_read", f"{client.name}: {error}") from error
    replica = engine.replica
    if tuple(replica.frontier) != frontier:
        raise Violation("local_store_has_other_heads", client.name)
    stored = replica.state_hash()
    if stored.complete and state_hash.complete and stored.hex != state_hash.hex:
        raise Violation("local_store_has_other_state", client.name)
    if state_hash.complete:
        once = replica.map("once")
        refused = {key for each in rejections for key in each.keys}
        for key in client.kept:
            if key not in once and f"once/{key}" not in refused:
                raise Violation("kept_write_is_lost", f"{client.name} {key}")
