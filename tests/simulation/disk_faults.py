"""Steps in which disks fail, fill up, or are replaced behind a server's back."""

from __future__ import annotations

import contextlib

from roomlog.store.errors import StoreError
from tests.simulation.actions import action
from tests.simulation.disk.planned_faults import Call, Fault
from tests.simulation.machine_faults import begin_machine, end_machine, machine_of
from tests.simulation.plan import Step
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World


@action("fail call")
def fail_call(world: World, step: Step) -> None:
    """The `number`th `call` from now, and `times` - 1 after it, meet `fault`."""
    machine = machine_of(world, step.who)
    if machine is not None:
        how = step.how
        machine.disk.fail_call(
            how["number"], Call(how["call"]), Fault(how["fault"]), times=how.get("times", 1)
        )


@action("fill disk")
def fill_disk(world: World, step: Step) -> None:
    """So many bytes are left; None: as many as anybody wants."""
    machine = machine_of(world, step.who)
    if machine is not None:
        left = step.how["left_bytes"]
        machine.disk.capacity_bytes = None if left is None else machine.disk.used_bytes() + left


@action("drop caches")
def drop_caches(world: World, step: Step) -> None:
    """The system reads again from the disk: where a sync had failed, it shows what that has."""
    machine = machine_of(world, step.who)
    if machine is not None and not machine.is_running:
        machine.disk.forget_clean_pages()


@action("copy store")
def copy_store(world: World, step: Step) -> None:
    """An operator copies the files of a running server, between two commits."""
    server = world.servers.get(step.who)
    if server is not None and server.is_running:
        with contextlib.suppress(StoreError):
            server.copy = (_rooms(server), server.disk.copy_files())


@action("put back store")
def put_back_store(world: World, step: Step) -> None:
    """An operator kills the server, replaces its files by the older copy, and starts it again.

    Not when a room is younger than the copy: its clients would be right to refuse what follows.
    """
    server = world.servers.get(step.who)
    if server is None or not server.is_running or server.copy is None:
        return
    rooms, files = server.copy
    try:
        is_same = rooms == _rooms(server)
    except StoreError:
        is_same = False
    if not is_same:
        return
    end_machine(server, power_loss=False)
    server.disk.put_back(files)
    server.was_put_back = True
    world.invariants.acknowledged.put_back(server)
    world.saw("store put back")
    begin_machine(server)


def _rooms(server: ServerMachine) -> list[bytes]:
    return sorted(room.lineage for room in server.store.rooms())
