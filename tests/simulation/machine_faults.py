"""Steps in which machines end and begin: by themselves, killed, without power, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from roomlog.client.errors import LocalStoreError, UnsentChangesError
from roomlog.store.errors import StoreError
from tests.simulation.actions import action
from tests.simulation.client_machine import ClientMachine
from tests.simulation.disk.planned_faults import Call, Fault
from tests.simulation.plan import Step
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World


def end_machine(machine: ClientMachine | ServerMachine, *, power_loss: bool) -> None:
    """Kill a machine, whatever it is, if it runs."""
    if machine.is_running:
        what = "server" if isinstance(machine, ServerMachine) else "client"
        machine.world.saw(f"{what} {'power loss' if power_loss else 'kill'}")
        if isinstance(machine, ServerMachine):
            machine.crash(power_loss=power_loss)
        else:
            machine.kill(power_loss=power_loss)


def machine_of(world: World, name: str) -> ClientMachine | ServerMachine | None:
    """The machine of a name, whatever it is."""
    return world.servers.get(name) or world.clients.get(name)


def begin_machine(machine: ClientMachine | ServerMachine) -> None:
    """Start a machine that does not run; a server may find that its disk does not let it."""
    if machine.is_running:
        return
    if isinstance(machine, ClientMachine):
        machine.start()
    elif machine.try_start():
        # A disk that fails again while we look is looked at after the next start.
        with contextlib.suppress(StoreError):
            machine.world.invariants.server_started(machine)
    else:
        machine.world.write(machine.name, "cannot start")
        machine.world.saw("server cannot start")


@action("start")
def start(world: World, step: Step) -> None:
    """Start a machine, if it does not run."""
    machine = machine_of(world, step.who)
    if machine is not None:
        begin_machine(machine)


@action("kill")
def kill(world: World, step: Step) -> None:
    """`power_loss`; after `steps` more steps of the loop, if given: in the middle of anything."""
    machine = machine_of(world, step.who)
    if machine is None:
        return
    power_loss = step.how["power_loss"]
    life = machine.life

    def end() -> None:
        if machine.life is life:
            end_machine(machine, power_loss=power_loss)

    if step.how.get("steps"):
        world.moments.after_steps(step.how["steps"], end)
    else:
        end()


@action("lose power at call")
def lose_power_at_call(world: World, step: Step) -> None:
    """In the middle of the `number`th `call` to the disk from now."""
    machine = machine_of(world, step.who)
    if machine is None or not machine.is_running:
        return
    life, disk = machine.life, machine.disk
    disk.fail_call(step.how["number"], Call(step.how["call"]), Fault.POWER)

    def end() -> None:
        if machine.life is life:
            world.saw("power loss within a call")
            end_machine(machine, power_loss=True)

    world.moments.when(lambda: machine.life is not life or not disk.is_on, end)


@action("close")
def close(world: World, step: Step) -> Any:
    """A client leaves, a server drains and stops."""
    machine = machine_of(world, step.who)
    if isinstance(machine, ServerMachine) and machine.is_running:
        return None if machine.stopping is machine.life else stop_server(machine)
    if isinstance(machine, ClientMachine) and machine.document is not None:
        return close_client(machine)
    return None


@action("restart")
def restart(world: World, step: Step) -> Any:
    """A graceful stop, and the next life on the same disk `pause_ms` later."""
    machine = machine_of(world, step.who)

    async def work() -> None:
        leaving = close(world, step)
        if leaving is not None:
            await leaving
            await asyncio.sleep(step.how["pause_ms"] / 1000)
            assert machine is not None
            begin_machine(machine)

    return work()


async def stop_server(machine: ServerMachine) -> None:
    """Drain and stop; should it be killed meanwhile, that is its end."""
    await machine.stop()
    machine.world.saw("server stop")


async def close_client(machine: ClientMachine) -> None:
    """Leave; what a document without a store could not send is lost, and it says so."""
    try:
        await machine.close()
    except UnsentChangesError:
        machine.world.saw("told UnsentChangesError")
    except LocalStoreError:
        machine.world.saw("told LocalStoreError")
    machine.world.saw("client close")
