"""A server that is killed and put back to any earlier copy, over and over, while clients write."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from tests.client.server_process import ServerProcess

HISTORIES = int(os.environ.get("ROOMLOG_RESTORE_HISTORIES", "2"))
FIRST = int(os.environ.get("ROOMLOG_RESTORE_FIRST", "0"))
STEPS = 24
LIMIT_S = 60.0
FLAGS = {
    "checkpoint_interval_ms": 50,
    "drain_retry_after_ms": 10,
    "drain_spread_ms": 10,
    "handshakes_per_address_per_second": 10_000,
    "snapshot_every_nodes": 20,
    "snapshot_margin_nodes": 4,
    "snapshot_worth_nodes": 10,
    "snapshot_every_ms": 200,
}


class Client:
    """One application that comes back with its store, if it has one, and what it wrote."""

    def __init__(self, number: int, url: str, directory: Path, seed: int) -> None:
        self.number = number
        self.name = f"c{number}"
        self.written: set[str] = set()
        self._url = url
        self._seed = seed
        self.store = None if number == 0 else directory / f"{number}.sqlite3"
        self.doc: Document

    @property
    def is_partial(self) -> bool:
        return self.number == 3

    async def open(self) -> None:
        doc = roomlog.connect(
            self._url,
            room="demo",
            identity=roomlog.Identity.from_seed(bytes([self.number + 1]) * 32),
            store=self.store,
            history="recent" if self.number == 2 else "full",
            subscribe=["w/c3-*"] if self.is_partial else None,
        )
        random_of_backoff = random.Random(self._seed * 10 + self.number).random
        doc._backoff = Backoff(random_of_backoff, first_s=0.01, longest_s=0.05)
        self.doc = await doc.__aenter__()

    async def again(self) -> None:
        if self.store is not None:
            await self.doc.close(timeout_s=0)
            await self.open()

    async def write(self, count: int) -> None:
        for _ in range(count):
            key = f"{self.name}-{len(self.written)}"
            self.doc.map("w")[key] = len(self.written)
            if not self.is_partial:
                self.doc.text("t").append(f"{key} ")
            await self.doc.flush()
            self.written.add(key)


class Copies:
    """Copies of the server's files, each as they were at one moment."""

    def __init__(self, directory: Path, server: ServerProcess) -> None:
        self._store = Path(server.store)
        self._directory = directory
        self._server = server
        self.count = 0

    def take(self) -> None:
        process = self._server._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        shutil.copytree(self._store, self._directory / str(self.count))
        process.send_signal(signal.SIGCONT)
        self.count += 1

    def put_back(self, number: int) -> None:
        self._server.kill()
        shutil.rmtree(self._store)
        shutil.copytree(self._directory / str(number), self._store)
        self._server.start()


async def history(seed: int, tmp_path: Path) -> None:
    choose = random.Random(seed)
    server = ServerProcess(tmp_path / "server", flags=FLAGS)
    server.start()
    copies = Copies(tmp_path / "copies", server)
    (tmp_path / "copies").mkdir()
    trail: list[str] = []
    clients = [Client(number, server.url, tmp_path, seed) for number in range(4)]
    try:
        async with AsyncExitStack() as stack:
            for client in clients:
                await client.open()
                stack.push_async_callback(lambda client=client: client.doc.close(timeout_s=0))
            await clients[0].write(3)
            await clients[0].doc.synced(LIMIT_S)
            await asyncio.to_thread(copies.take)
            for _ in range(STEPS):
                step = choose.choice("wwwwwwsstcrrkj")
                trail.append(step)
                client = choose.choice(clients)
                if step == "w":
                    count = choose.randrange(1, 12)
                    if choose.random() < 0.5:
                        await asyncio.gather(*(each.write(count) for each in clients))
                    else:
                        await client.write(count)
                elif step == "s":
                    await asyncio.wait([asyncio.create_task(client.doc.synced(2.0))])
                elif step == "t":
                    await asyncio.to_thread(copies.take)
                elif step == "c":
                    await client.again()
                elif step == "r":
                    await asyncio.to_thread(copies.put_back, choose.randrange(copies.count))
                elif step == "k":
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                else:
                    await asyncio.sleep(choose.random() * 0.2)
            await everyone_has_everything(clients, server.url)
    except BaseException as error:
        error.add_note(f"seed {seed}: {json.dumps(''.join(trail))}")
        error.add_note(f"{[(each.name, each.doc.status) for each in clients]}")
        raise
    finally:
        await asyncio.to_thread(server.stop)


async def everyone_has_everything(clients: list[Client], url: str) -> None:
    expected = {key for client in clients for key in client.written}
    whole = [client.doc for client in clients if not client.is_partial]
    async with roomlog.connect(url, room="demo") as late:
        try:
            async with asyncio.timeout(LIMIT_S):
                while True:
                    for doc in (*(client.doc for client in clients), late):
                        await doc.synced()
                    hashes = {doc.state_hash() for doc in (*whole, late)}
                    if len(hashes) == 1 and next(iter(hashes)).complete:
                        break
                    await asyncio.sleep(0.05)
        finally:
            held = {
                client.name: sorted(expected - set(client.doc.map("w")))[:9] for client in clients
            }
            states = [(client.name, client.doc.status) for client in clients]
        lacking = expected - set(late.map("w"))
        assert not lacking, (lacking, held, states)
        for client in clients:
            assert client.written <= set(client.doc.map("w"))
            assert not client.doc.pending
            assert not client.doc.rejections()
        for key in expected:
            assert str(late.text("t")).count(f"{key} ") == (not key.startswith("c3"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
async def test_t22_nothing_is_lost_by_a_server_put_back_again_and_again(
    seed: int, tmp_path: Path
) -> None:
    await history(seed, tmp_path)
