"""A machine with the real SDK: a document, its engine, session and local store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from roomlog.client.address import Address
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.client.errors import LocalStoreError
from roomlog.client.host import Host
from roomlog.client.local_store import LocalStore
from roomlog.client.options import DocumentOptions, History, Verify
from roomlog.identity import Identity
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec
from tests.simulation.clock import MachineClock
from tests.simulation.disk.simulated_disk import SimulatedDisk
from tests.simulation.loop import Life
from tests.simulation.network import Conditions
from tests.simulation.sockets import ClientSocket
from tests.simulation.world import EPOCH_MS, World

CLOSED_WITHIN_S = 60.0
"""Longer than an application waits for its document to close."""


class ClientMachine:
    """One person's device: opens its document, edits, crashes, opens it again."""

    def __init__(
        self,
        world: World,
        name: str,
        origin: str,
        room_id: str,
        *,
        codec: Codec = Codec.MSGPACK,
        has_store: bool = True,
        is_reader: bool = False,
        verify: Verify = "live",
        history: History = "full",
        patterns: tuple[str, ...] | None = None,
        capabilities_off: Iterable[str] = (),
        key_of: str = "",
    ) -> None:
        self.world = world
        self.name = name
        self.room_id = room_id
        self.origin = origin
        self.conditions = Conditions()
        self.has_store = has_store
        self.is_reader = is_reader
        self.tools: dict[str, Any] = {}
        """What this life's application holds: undo managers, feeds."""
        self.kept: dict[str, None] = {}
        """What some life was told to be on disk, to be found again for ever."""
        self.had_damaged_line = False
        """Whether its frames were dropped, doubled or swapped: servers may blame it for that."""
        self.was_lied_to = False
        """Whether a false server may have refused what the honest one had taken."""
        seed = world.chance(f"{key_of or name} key").randbytes(32)
        self.identity = None if is_reader else Identity.from_seed(seed)
        self.clock = MachineClock(world.loop, EPOCH_MS)
        self.disk = SimulatedDisk(world.directory / name, world.chance(f"{name} disk"))
        self.life: Life | None = None
        self.document: Document | None = None
        self._chance = world.chance(f"{name} host")
        self._path: Path | None = self.disk.root / "local.db" if has_store else None
        self._store: LocalStore | None = None
        off = set(capabilities_off)
        self._options = DocumentOptions(
            label=name,
            codec=codec,
            server_key=None,
            verify=verify,
            history=history,
            patterns=patterns,
            offer={key: value for key, value in own_offer().items() if key not in off},
            close_timeout_s=5.0,
        )
        world.clients[name] = self

    @property
    def is_running(self) -> bool:
        return self.life is not None and not self.life.is_over

    def pin(self, server_key: bytes) -> None:
        """From now on the document is opened for the server with that key alone."""
        self._options = msgspec.structs.replace(self._options, server_key=server_key)
        document = self.document
        if self.is_running and (document is None or document.status.server_key != server_key):
            self.kill(power_loss=False)
            self.start()

    def start(self) -> None:
        """Open the document; it is there (`document`) some time from now, or its disk failed."""
        assert not self.is_running
        self.life = Life(self.name)
        self.document = None
        self.tools = {}
        self.world.loop.in_life(self.life, self.world.loop.create_task, self._open())
        self.world.write(self.name, "starts")

    async def _open(self) -> None:
        host = Host(
            random_bytes=self._chance.randbytes,
            random=self._chance.random,
            dial=self._dial,
            open_store=self._open_store,
        )
        document = Document(
            Address(self.origin),
            self.room_id,
            self.identity,
            self._path,
            self._options,
            backoff=Backoff(host.random),
            clock_ms=self.clock.wall_ms,
            host=host,
        )
        try:
            await document.__aenter__()
        except LocalStoreError as error:
            self.world.write(self.name, f"cannot open its store: {error}")
            self.kill(power_loss=False)
        else:
            self.document = document

    def _dial(self, url: str, codec: Codec, frame_limit_bytes: int) -> ClientSocket:
        assert self.life is not None
        return ClientSocket(self.world.network, self.life, self.conditions, url, codec)

    def _open_store(self, path: Path, room_id: str, draft_lineage: bytes) -> LocalStore:
        loop, life = self.world.loop, self.life
        assert life is not None
        self._store = LocalStore(
            path,
            room_id,
            draft_lineage,
            connect=self.disk.connect_local,
            drive=lambda step: loop.in_life(life, loop.call_later, loop.thread_seconds(), step),
            wall_ms=self.clock.wall_ms,
        )
        return self._store

    def kill(self, *, power_loss: bool) -> None:
        """kill -9, or the battery: from now on this life does nothing any more."""
        if not self.is_running:
            return
        assert self.life is not None
        self.document = None
        self.world.network.end_life(self.life, is_silent=power_loss)
        if power_loss:
            self.disk.power_loss()
        else:
            self.disk.crash()
        self._let_go_of_lock()
        self.world.write(self.name, "lost power" if power_loss else "was killed")

    async def close(self) -> None:
        """Leave as an application does. Returns when it has left, or was killed meanwhile.

        Raises what closing a document raises, and TimeoutError when it does not end.
        """
        document, life = self.document, self.life
        assert document is not None
        assert life is not None
        loop = self.world.loop
        leaving = loop.in_life(life, loop.create_task, document.__aexit__(None, None, None))
        # Whoever has left the document does not edit it any more.
        self.document = None
        deadline = loop.time() + CLOSED_WITHIN_S
        while not leaving.done():
            if life.is_over:
                return
            if loop.time() > deadline:
                raise TimeoutError(f"{self.name} does not come to an end of closing")
            await asyncio.sleep(0.05)
        self.world.network.end_life(life, is_silent=False)
        self.disk.crash()
        self._let_go_of_lock()
        self.world.write(self.name, "left")
        leaving.result()

    def _let_go_of_lock(self) -> None:
        """The kernel takes back what a process held that is no more."""
        store, self._store = self._store, None
        if store is not None and not store._is_closing:
            os.close(store._lock)
