"""A plan carried out in a world of its own, from its first step to a last look at every file."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roomlog.protocol.codec import Codec
from roomlog.protocol.limits import SessionLimits
from tests.simulation import all_actions  # noqa: F401  (registers them)
from tests.simulation.actions import ACTIONS
from tests.simulation.client_machine import ClientMachine
from tests.simulation.coverage import Coverage
from tests.simulation.ending import end_faults, last_look, leave, settle
from tests.simulation.invariants.invariants import Invariants
from tests.simulation.invariants.violation import Violation
from tests.simulation.loop import TooManySteps
from tests.simulation.plan import ClientSpec, Plan, ServerSpec, Step
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World

MOST_STEPS = 400_000
LOOK_EVERY_STEPS = 4
"""Of the plan's steps: how often everything is looked at."""


@dataclass(frozen=True)
class Result:
    """What came of a run. `violation` is "" when every promise was kept."""

    violation: str
    text: str
    journal_hash: str
    steps: int
    virtual_s: float
    settled_s: float
    """How long after the last fault everybody agreed; 0 when it did not come to that."""
    seen: Counter[str]
    journal: list[str]


def run_plan(plan: Plan, *, keep_in: Path | None = None) -> Result:
    """Carry out `plan`; its files lie in `keep_in` afterwards, if given, else they are removed."""
    if keep_in is not None:
        keep_in.mkdir(parents=True)
        return _run_in(plan, keep_in)
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="roomlog-simulation-", dir=place))
    try:
        return _run_in(plan, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run_in(plan: Plan, directory: Path) -> Result:
    world = World(plan.seed, directory, most_steps=MOST_STEPS)
    Invariants(world)
    Coverage(world)
    # A collection would come at moments that depend on what ran before in this process.
    was_collecting = gc.isenabled()
    gc.disable()
    violation, text, settled_s = "", "", 0.0
    began = world.loop.time()
    try:
        asyncio.set_event_loop(world.loop)
        try:
            settled_s = world.loop.run_until_complete(_Director(world, plan).direct())
        except Violation as broken:
            violation, text = broken.name, broken.text
        except TooManySteps as error:
            violation, text = "goes_round_in_circles", str(error)
        except Exception as error:
            violation, text = f"raised_{type(error).__name__}", _where(error)
        world.write("end", f"{violation} {text} {world.network.checksum:08x}")
        for machine in (*world.servers.values(), *world.clients.values()):
            for what, times in sorted(machine.disk.met.items()):
                world.seen[f"disk {what}"] += times
        return Result(
            violation,
            text,
            world.journal_hash(),
            world.loop.steps,
            world.loop.time() - began,
            settled_s,
            world.seen,
            world.journal,
        )
    finally:
        world.close()
        asyncio.set_event_loop(None)
        for machine in (*world.servers.values(), *world.clients.values()):
            machine.disk.close()
        if was_collecting:
            gc.enable()


def _where(error: BaseException) -> str:
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{error!r} at {place}"


class _Director:
    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._begun: list[asyncio.Task[Any]] = []
        self._restarts: list[asyncio.Task[Any]] = []

    async def direct(self) -> float:
        """Everything; how long it took until everybody agreed. Raises `Violation`."""
        world, plan = self._world, self._plan
        for server in plan.servers:
            _build_server(world, server).start()
        for client in plan.clients:
            _build_client(world, client)
        begins = world.loop.time()
        for number, step in enumerate(sorted(plan.steps, key=lambda step: step.at_ms)):
            wait_s = begins + step.at_ms / 1000 - world.loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._take(step)
            if number % LOOK_EVERY_STEPS == 0:
                world.invariants.look()
        self._raise_failures()
        world.invariants.look()
        end_faults(world)
        # Machines that are about to stop, or to start again, are not in the way of the end.
        await asyncio.gather(*self._restarts)
        settled_s = await settle(world, plan.settle_s)
        self._raise_failures()
        await leave(world)
        self._raise_failures()
        last_look(world)
        return settled_s

    def _take(self, step: Step) -> None:
        self._world.saw(f"step {step.do}")
        begun = ACTIONS[step.do](self._world, step)
        if isinstance(begun, asyncio.Task):
            self._begun.append(begun)
        elif begun is not None:
            self._restarts.append(self._world.loop.create_task(begun))
            self._begun.append(self._restarts[-1])
        self._raise_failures()

    def _raise_failures(self) -> None:
        running = []
        for task in self._begun:
            if not task.done():
                running.append(task)
            elif not task.cancelled():
                task.result()
        self._begun = running


def _build_server(world: World, spec: ServerSpec) -> ServerMachine:
    limits = SessionLimits(**spec.limits)
    config = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in spec.config.items()
    }
    return ServerMachine(world, spec.name, {**config, "limits": limits})


def _build_client(world: World, spec: ClientSpec) -> ClientMachine:
    return ClientMachine(
        world,
        spec.name,
        world.servers[spec.server].origin,
        spec.room,
        codec=Codec[spec.codec.upper()],
        has_store=spec.has_store,
        is_reader=spec.is_reader,
        verify=spec.verify,  # type: ignore[arg-type]
        history=spec.history,  # type: ignore[arg-type]
        patterns=None if spec.patterns is None else tuple(spec.patterns),
        capabilities_off=spec.capabilities_off,
        key_of=spec.key_of,
    )
