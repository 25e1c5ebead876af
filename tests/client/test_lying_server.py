"""A server that lies in any message harms nobody for longer than it lies."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.server.service import Service
from tests.client.conftest import server_config
from tests.client.lying_proxy import LyingProxy
from tests.client.server_process import free_port

HISTORIES = int(os.environ.get("ROOMLOG_LYING_HISTORIES", "4"))
FIRST = int(os.environ.get("ROOMLOG_LYING_FIRST", "0"))
LIMIT_S = 60.0
ROUNDS = 40


class Client:
    def __init__(self, number: int, url: str, directory: Path, seed: int) -> None:
        self.number = number
        self.written: list[str] = []
        self._url = url
        self._seed = seed
        self._store = directory / f"{number}.sqlite3"
        self.doc: Document

    async def open(self) -> None:
        doc = roomlog.connect(
            self._url,
            room="demo",
            identity=roomlog.Identity.from_seed(bytes([self.number + 1]) * 32),
            store=self._store,
            verify="all" if self.number == 1 else "live",
            history="recent" if self.number == 2 else "full",
            subscribe=["w/c3-*"] if self.number == 3 else None,
        )
        seed = self._seed * 10 + self.number
        doc._backoff = Backoff(random.Random(seed).random, first_s=0.01, longest_s=0.02)
        self.doc = await doc.__aenter__()

    async def close(self) -> None:
        await self.doc.close(timeout_s=0)

    async def write(self, rounds: int, choose: random.Random) -> None:
        for _ in range(rounds):
            key = f"c{self.number}-{len(self.written)}"
            self.doc.map("w")[key] = len(self.written)
            await self.doc.flush()
            self.written.append(key)
            self.doc.presence.set({"at": key})
            await asyncio.sleep(choose.random() * 0.02)
            if self.doc.status.phase is Phase.STOPPED or choose.randrange(15) == 0:
                await self.close()
                await self.open()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
async def test_lies_of_a_server_break_no_client_and_nothing_is_lost_when_they_end(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "roomlog")
    port = free_port()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(LyingProxy(port, seed))
        config = server_config(
            port,
            public_origins=[proxy.url],
            store=str(tmp_path / "server"),
            snapshot_every_nodes=30,
            snapshot_margin_nodes=4,
            snapshot_worth_nodes=10,
            checkpoint_interval_ms=50,
            handshakes_per_address_per_second=10_000,
        )
        await stack.enter_async_context(Service(config))
        clients = [Client(number, proxy.url, tmp_path, seed) for number in range(4)]
        for client in clients:
            await client.open()
            stack.push_async_callback(client.close)
        choose = random.Random(seed)
        try:
            await asyncio.gather(
                *(each.write(ROUNDS, random.Random(choose.random())) for each in clients)
            )
            faults = [record.exc_info for record in caplog.records if record.exc_info]
            assert not faults, faults[0]
            proxy.is_honest = True
            await proxy.end_all()
            for client in clients:
                if client.doc.status.phase is Phase.STOPPED:
                    await client.close()
                    await client.open()
            late = Client(9, proxy.url, tmp_path, seed)
            await late.open()
            stack.push_async_callback(late.close)
            await agree([*clients, late])
        except BaseException as error:
            error.add_note(f"seed {seed}: {proxy.lies}")
            error.add_note(f"{[(each.number, each.doc.status) for each in clients]}")
            raise
        expected = {
            key for client in clients for key in set(client.written) - refused_keys(client.doc)
        }
        assert expected <= set(late.doc.map("w"))
        for client in clients:
            assert set(client.written) - refused_keys(client.doc) <= set(client.doc.map("w"))
            assert not client.doc.pending


def refused_keys(doc: Document) -> set[str]:
    """What the server was made to refuse: the application was told."""
    return {key.split("/")[1] for each in doc.rejections() for key in each.keys}


async def agree(clients: list[Client]) -> None:
    whole = [client.doc for client in clients if client.number != 3]
    async with asyncio.timeout(LIMIT_S):
        while True:
            for client in clients:
                await client.doc.synced()
            hashes = {doc.state_hash() for doc in whole}
            if len(hashes) == 1 and next(iter(hashes)).complete:
                return
            await asyncio.sleep(0.05)
