"""A machine with a server: the real hub, connections and store, over simulated disk and network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.server.config import ServerConfig
from roomlog.server.connection import Connection
from roomlog.server.edge import drive
from roomlog.server.host import Host
from roomlog.server.hub import Hub
from roomlog.server.metrics import Metrics
from roomlog.server.store_reader import StoreReader
from roomlog.server.worker_frames import CHUNK, FOUND, HEAD_BYTES, ReplayTask, read_head
from roomlog.server.worker_process import run_task
from roomlog.server.workers import WorkFailed
from roomlog.store.errors import StoreError
from roomlog.store.interface import NodeStore
from roomlog.store.sqlite import SqliteStore
from tests.simulation.clock import MachineClock
from tests.simulation.disk.simulated_disk import SimulatedDisk
from tests.simulation.loop import Life
from tests.simulation.network import Link
from tests.simulation.sockets import ServerFrames, ServerTransport
from tests.simulation.world import EPOCH_MS, World

STORE_SHARE_OF_DRAIN = 0.2


class DeliberateFault(Exception):
    """Stands for a bug of the server that nobody knows of."""


STOPPED_WITHIN_S = 10.0
"""What a server may take on top of its drain deadline."""


class ServerMachine:
    """Starts, serves, crashes, starts again, always on the same disk."""

    def __init__(self, world: World, name: str, config: dict[str, Any] | None = None) -> None:
        self.world = world
        self.name = name
        self.origin = f"ws://{name}:7878"
        self.config = ServerConfig(
            **{"store": name, "public_origins": (self.origin,), **(config or {})}
        )
        self.identity = Identity.from_seed(world.chance(f"{name} key").randbytes(32))
        self.clock = MachineClock(world.loop, EPOCH_MS)
        self.disk = SimulatedDisk(world.directory / name, world.chance(f"{name} disk"))
        self.life: Life | None = None
        self.hub: Hub
        self.store: SqliteStore
        self.metrics: Metrics
        self.log = JournalLog(self)
        self.is_listening = False
        self.connections: list[Connection] = []
        self.copy: tuple[list[bytes], dict[str, bytes]] | None = None
        """Its rooms' lineages and its files, as somebody copied them once."""
        self.stopping: Life | None = None
        """The life that was told to stop."""
        self.was_put_back = False
        self.had_fault = False
        """Whether it was made to meet a bug of its own."""
        self.was_impersonated = False
        """Whether clients were told, in its name, that it has what it has not."""
        """Whether its files were ever replaced by that copy."""
        self._chance = world.chance(f"{name} host")
        world.servers[name] = self
        world.network.servers[self.origin] = self

    @property
    def is_running(self) -> bool:
        return self.life is not None and not self.life.is_over

    def start(self) -> None:
        """Open the store and listen. Raises `StoreError`."""
        assert not self.is_running
        loop = self.world.loop
        life = Life(self.name)
        self.store = SqliteStore.open(
            self.disk.root / "store",
            store_id=self._chance.randbytes(16),
            now_ms=self.clock.wall_ms(),
            connect=self.disk.connect,
        )
        self.life = life
        loop.in_life(life, self._serve)
        self.world.write(self.name, "serves")

    def _serve(self) -> None:
        loop = self.world.loop
        self.metrics = Metrics()
        self.hub = Hub(
            self.config,
            store=self.store,
            signer=self.identity,
            metrics=self.metrics,
            log=self.log,  # type: ignore[arg-type]
            loop=loop,
            host=Host(
                monotonic=self.clock.monotonic,
                stopwatch=self.clock.monotonic,
                wall_ms=self.clock.wall_ms,
                random_bytes=self._chance.randbytes,
                random_below=self._chance.randrange,
                drive_writer=lambda step: loop.call_later(loop.thread_seconds(), step),
                make_replayer=self._make_replayer,
            ),
        )
        self.hub.origins = self.config.public_origins
        self.connections = []
        self.is_listening = True
        loop.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.config.tick_ms / 1000)
            for _ in self.hub.tick_slices():
                await asyncio.sleep(0)

    def accept(self, link: Link, room_id: str, codec: Codec | None) -> None:
        """A socket was upgraded."""
        assert self.life is not None
        self.world.loop.in_life(self.life, self._accept, link, room_id, codec)

    def _accept(self, link: Link, room_id: str, codec: Codec | None) -> None:
        session = self.hub.new_session(room_id, codec)
        transport = ServerTransport(link)
        connection = Connection(
            self.hub,
            session,
            transport,
            transport,  # type: ignore[arg-type]
            link.client.name,
        )
        self.connections.append(connection)
        most_bytes = self.config.limits.frame_limit(codec.subprotocol if codec else "")
        self.world.loop.create_task(drive(connection, ServerFrames(link, most_bytes)))

    async def stop(self) -> None:
        """SIGTERM: drain, write, close. Returns when that is done, or when it was killed meanwhile.

        Raises TimeoutError when it does not end.
        """
        assert self.life is not None
        life, config, loop = self.life, self.config, self.world.loop
        self.stopping = life
        stopping = loop.in_life(life, loop.create_task, self._stop(config))
        deadline = loop.time() + config.drain_deadline_ms / 1000 + STOPPED_WITHIN_S
        while not stopping.done():
            if life.is_over:
                return
            if loop.time() > deadline:
                raise TimeoutError(f"{self.name} does not come to an end of stopping")
            await asyncio.sleep(0.05)
        if life.is_over:
            # Killed after it was done; another life may serve already.
            return
        stopping.result()
        self.is_listening = False
        self.world.network.end_life(life, is_silent=False)
        self.disk.crash()
        self._let_go_of_lock()
        self.world.write(self.name, "stopped")

    async def _stop(self, config: ServerConfig) -> None:
        seconds = config.drain_deadline_ms / 1000
        deadline = self.clock.monotonic() + seconds
        await self.hub.drain(deadline - seconds * STORE_SHARE_OF_DRAIN)
        if await self.hub.close(deadline):
            self.store.close()

    def crash(self, *, power_loss: bool) -> None:
        """kill -9, or the plug: from now on this life does nothing any more."""
        if not self.is_running:
            return
        assert self.life is not None
        self.is_listening = False
        self.world.network.end_life(self.life, is_silent=power_loss)
        if power_loss:
            self.disk.power_loss()
        else:
            self.disk.crash()
        self._let_go_of_lock()
        self.world.write(self.name, "lost power" if power_loss else "was killed")

    def _let_go_of_lock(self) -> None:
        """The kernel takes back what a process held that is no more."""
        if self.store._lock is not None:
            self.store._lock.release()

    def try_start(self) -> bool:
        """Start, if the disk lets it; whether it serves."""
        with contextlib.suppress(StoreError):
            self.start()
        return self.is_running

    def _make_replayer(
        self, store: NodeStore, path: str, reader: StoreReader, monotonic: Callable[[], float]
    ) -> Replayer:
        return Replayer(self, store)


class Replayer:
    """The worker process, without a process: its work is one step, some time from now."""

    def __init__(self, machine: ServerMachine, store: NodeStore) -> None:
        self.path = ""
        self._machine = machine
        self._store = store
        self._turn = asyncio.Lock()
        self._is_closed = False

    async def run(self, task: ReplayTask, on_part: Callable[[bytes], Awaitable[None]]) -> None:
        async with self._turn:
            if self._is_closed:
                raise WorkFailed("the server is about to stop")
            try:
                parts = await asyncio.to_thread(lambda: list(run_task(task, self._store)))
            except Exception as error:
                raise WorkFailed(f"{type(error).__name__}: {error}") from None
            for part in parts:
                kind, size_bytes = read_head(part[:HEAD_BYTES])
                if kind in (FOUND, CHUNK):
                    assert len(part) == HEAD_BYTES + size_bytes
                    await on_part(part[HEAD_BYTES:])

    def tick(self) -> None:
        """There is no process that could be idle."""

    async def close(self) -> None:
        self._is_closed = True


class JournalLog:
    """The server's log: faults of its own are kept, the rest goes into the journal."""

    def __init__(self, machine: ServerMachine) -> None:
        self.faults: list[BaseException] = []
        self.endings: list[tuple[str, str, int, str]] = []
        """Whose session ended, by whom, with which code, and why; since somebody last looked."""
        self._machine = machine

    def info(self, event: str, **values: Any) -> None:
        world = self._machine.world
        if event == "session ended":
            world.saw(f"close {values['code']}" if values["by"] == "server" else "close by client")
            ending = (values["address"], values["by"], values["code"], values["reason"])
            self.endings.append(ending)
            event = f"{event} {' '.join(map(str, ending))}"
        world.write(self._machine.name, event)

    def warning(self, event: str, **values: Any) -> None:
        self.info(event, **values)

    def error(self, event: str, **values: Any) -> None:
        fault = values.get("exc_info")
        if isinstance(fault, BaseException) and not isinstance(fault, StoreError | DeliberateFault):
            self.faults.append(fault)
        self._machine.world.write(self._machine.name, f"{event} {fault!r}")

    debug = info
