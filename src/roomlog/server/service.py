"""A whole server: opens the store, serves, drains, stops."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, final

from aiohttp import web

from roomlog import __version__
from roomlog.core.errors import IdentityFileError
from roomlog.identity import Identity
from roomlog.server.config import ServerConfig
from roomlog.server.edge import make_application
from roomlog.server.hub import Hub
from roomlog.server.logging import Log, make_log
from roomlog.server.loop_lag import measure_loop_lag
from roomlog.server.metrics import Metrics
from roomlog.server.plain_sockets import PlainSockets
from roomlog.store.interface import NodeStore
from roomlog.store.memory import MemoryStore
from roomlog.store.sqlite import SqliteStore
from roomlog.store.sqlite.directory import StoreDirectory

STORE_ID_BYTES: Final = 16
SWITCH_SECONDS: Final = 0.0005
"""How long a thread that reads the store may keep the loop waiting for the interpreter; each takes
its turn at every wait for a socket, so Python's own 5 ms would add up."""
COLLECTOR_THRESHOLDS: Final = (10_000, 20, 250)
STORE_REPLACED: Final = (
    "the key of a store was there without its database: a new, empty one was made; if rooms are "
    "missing, stop and put roomlog.sqlite3 back"
)
STORE_SHARE_OF_DRAIN: Final = 0.2
"""What of the drain's deadline is kept for the store."""


def open_store(config: ServerConfig) -> tuple[NodeStore, Identity]:
    """The store of a configuration and the server's key, which belongs to the store.

    Raises `StoreError` and `IdentityFileError`; a key is made only for a store without rooms, since
    clients that know the store would take a server with another key for an impostor.
    """
    store_id, now_ms = secrets.token_bytes(STORE_ID_BYTES), time.time_ns() // 1_000_000
    if not config.store:
        return MemoryStore(store_id, now_ms), Identity.generate()
    store = SqliteStore.open(config.store, store_id=store_id, now_ms=now_ms)
    try:
        if store.rooms():
            return store, _key_of_rooms(store.key_path)
        return store, Identity.load_or_create(store.key_path)
    except BaseException:
        store.close()
        raise


def _lacks_database(store: str) -> bool:
    """Whether a store has a key and no database: one of the two came without the other."""
    directory = StoreDirectory(Path(store))
    return bool(store) and directory.key.exists() and not directory.database.exists()


def _key_of_rooms(path: Path) -> Identity:
    try:
        return Identity.load(path)
    except FileNotFoundError:
        raise IdentityFileError(
            f"{path}: missing, and the store has rooms whose clients know that key; put it back"
        ) from None


@final
class Service:
    """A running server, as an asynchronous context manager.

    `store` and `identity` replace what the configuration names; the caller then closes the store.
    Leaving the context drains.
    """

    def __init__(
        self,
        config: ServerConfig,
        *,
        store: NodeStore | None = None,
        identity: Identity | None = None,
        log: Log | None = None,
    ) -> None:
        self.config = config
        self.log = make_log(config.log_format, config.log_level) if log is None else log
        self.metrics = Metrics()
        self.port = 0
        """The bound port."""
        self.is_store_replaced = False
        """Whether a key was there without its database, so that a new one was made."""
        self.hub: Hub
        self._given_store = store
        self._given_identity = identity
        self._store: NodeStore
        self._runner: web.AppRunner | None = None
        self._tickers: list[asyncio.Task[None]] = []
        self._is_stopped = False

    @property
    def url(self) -> str:
        """What a client on this machine dials."""
        host = self.config.host
        name = f"[{host}]" if ":" in host else host
        return f"ws://{name}:{self.port}"

    async def start(self) -> None:
        """Open the store and listen. Raises `StoreError`, `IdentityFileError`, OSError."""
        if self._given_store is None:
            self.is_store_replaced = _lacks_database(self.config.store)
            self._store, identity = open_store(self.config)
            identity = self._given_identity or identity
            if self.is_store_replaced:
                self.log.warning(STORE_REPLACED, store=self.config.store)
        else:
            self._store = self._given_store
            identity = self._given_identity or Identity.generate()
        self.hub = Hub(
            self.config,
            store=self._store,
            signer=identity,
            metrics=self.metrics,
            log=self.log,
            loop=asyncio.get_running_loop(),
        )
        self._set_levels()
        self._runner = web.AppRunner(
            make_application(self.hub),
            handle_signals=False,
            access_log=None,
            shutdown_timeout=0.1,
            keepalive_timeout=self.config.limits.hello_wait_ms / 1000,
        )
        try:
            await self._runner.setup()
            server = self._runner.server
            assert server is not None
            self.hub.door.watch(server)
            site = web.TCPSite(self._runner, self.config.host, self.config.port, backlog=1024)
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            await self.hub.close(time.monotonic() + 1.0)
            self._close_store()
            raise
        self.port = self._runner.addresses[0][1]
        self.hub.origins = self.config.origins(self.port)
        lag = self.metrics.event_loop_lag_seconds
        self._tickers = [
            asyncio.create_task(self._tick()),
            asyncio.create_task(measure_loop_lag(lag.observe)),
        ]
        self.log.info(
            "listening",
            url=self.url,
            origins=list(self.hub.origins),
            store=self.config.store or "memory",
            version=__version__,
        )

    def _set_levels(self) -> None:
        levels = self._store.identity
        self.metrics.schema_version.set(levels.schema_version)
        self.metrics.schema_compat_version.set(levels.compat_version)
        self.metrics.feature_level.set(levels.feature_level)
        self.metrics.build_info.labels(__version__).set(1)

    async def _tick(self) -> None:
        interval = self.config.tick_ms / 1000
        plain_sockets = PlainSockets(self.config.limits.hello_wait_ms / 1000)
        loop = asyncio.get_running_loop()
        due = loop.time() + interval
        while True:
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                for _ in self.hub.tick_slices():
                    await asyncio.sleep(0)
                self._look_at_sockets(plain_sockets)
            except Exception as error:
                self.hub.report(error)
            due = max(due + interval, loop.time())

    def _look_at_sockets(self, plain_sockets: PlainSockets) -> None:
        server = None if self._runner is None else self._runner.server
        if server is not None:
            sessions = {connection.transport for connection in self.hub.connections}
            plain_sockets.look(server.connections, sessions, self.hub.monotonic())

    async def stop(self) -> bool:
        """Drain and stop within the deadline; whether everything was written."""
        if self._is_stopped:
            return True
        self._is_stopped = True
        started = time.monotonic()
        deadline = started + self.config.drain_deadline_ms / 1000
        for_store = self.config.drain_deadline_ms / 1000 * STORE_SHARE_OF_DRAIN
        self.log.info("draining", sessions=len(self.hub.connections))
        await self.hub.drain(deadline - for_store)
        for ticker in self._tickers:
            ticker.cancel()
        is_written = await self.hub.close(deadline)
        if self._runner is not None:
            await self._runner.cleanup()
        if is_written:
            self._close_store()
        self.log.info("stopped", seconds=round(time.monotonic() - started, 3))
        return is_written

    def _close_store(self) -> None:
        if self._given_store is None:
            self._store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()


def run(config: ServerConfig, on_start: Callable[[Service], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once. The exit code.

    `on_start` is called when the server listens. Raises what `Service.start` raises.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, on_start))


async def _serve(config: ServerConfig, on_start: Callable[[Service], None] | None) -> int:
    stopping = asyncio.Event()
    service = Service(config)

    def on_signal() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    await service.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if on_start is not None:
        on_start(service)
    _spare_collector()
    await stopping.wait()
    if not await service.stop():
        # A thread hangs in the store: leaving must not wait for it.
        os._exit(1)
    return 0


def _spare_collector() -> None:
    """Let the garbage collector leave alone what lives as long as the process, and run seldom.

    What a room keeps has no cycles, and a collection that looks through it holds up every session.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
