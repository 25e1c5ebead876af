"""Connections that break anywhere, a server that is killed, clients that start again: at once."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.protocol.codec import Codec
from roomlog.store.sqlite import SqliteStore
from tests.client.cutting_proxy import CuttingProxy
from tests.client.server_process import ServerProcess, free_port

SEEDS = int(os.environ.get("ROOMLOG_CHAOS_SEEDS", "1"))
FIRST = int(os.environ.get("ROOMLOG_CHAOS_FIRST", "0"))
CLIENTS = 4
ROUNDS = 60
KILLS = 3
LIMIT_S = 60.0
KINDS = ("counter", "map", "text", "list", "branch", "transaction")


class Writer:
    """Somebody who writes all kinds of things, and now and then starts the program again.

    Number 0 has no local store, 1 follows its own keys only, 2 leaves older history where it is.
    """

    def __init__(self, number: int, seed: int, url: str, codec: Codec, directory: Path) -> None:
        self.number = number
        self.name = f"c{number}"
        self.is_partial = number == 1
        self.counts = 0
        self.texts = 0
        self.items: set[str] = set()
        self.acknowledged: set[bytes] = set()
        self.doc: Document
        self._random = random.Random(seed * 100 + number)
        self._url = url
        self._codec = codec
        self._store = directory / f"{number}.sqlite3" if number else None
        self._unacknowledged: list[bytes] = []

    async def open(self) -> None:
        doc = roomlog.connect(
            self._url,
            room="demo",
            identity=roomlog.Identity.from_seed(bytes([self.number + 1]) * 32),
            store=self._store,
            codec=self._codec,
            history="recent" if self.number == 2 else "full",
            subscribe=[f"{self.name}/**", self.name] if self.is_partial else None,
        )
        doc._backoff = Backoff(self._random.random, first_s=0.01, longest_s=0.1)
        self.doc = await doc.__aenter__()

    async def write(self) -> None:
        for number in range(ROUNDS):
            await self._edit(self._random.choice(KINDS), number)
            self._look()
            if self._store is not None and self._random.random() < 0.04:
                await self.doc.close(timeout_s=0)
                self._look()
                await self.open()
            await asyncio.sleep(self._random.random() * 0.02)

    async def _edit(self, kind: str, number: int) -> None:
        doc, name = self.doc, self.name
        if kind == "branch" and not self.is_partial:
            branch = doc.branch()
            branch.counter(name).add(1)
            self._unacknowledged += branch.commit()
            self.counts += 1
        elif kind == "transaction":
            async with doc.transaction():
                doc.map(name)["left"] = number
                doc.map(name)["right"] = number
        elif kind == "map":
            doc.map(name)[str(number % 7)] = number
        elif kind == "text" and not self.is_partial:
            text = doc.text("text")
            text.insert(self._random.randrange(len(text) + 1), chr(0x1F400 + self.number))
            self.texts += 1
        elif kind == "list" and not self.is_partial:
            items = doc.list("list")
            items.insert(self._random.randrange(len(items) + 1), f"{name} {number}")
            self.items.add(f"{name} {number}")
            items.move(self._random.randrange(len(items)), 0)
        else:
            doc.counter(name).add(1)
            self.counts += 1
        self._unacknowledged += await doc.flush()

    def _look(self) -> None:
        """Remember what the server has acknowledged: from now on it must never be lost."""
        pending = {each for each in self._unacknowledged if self.doc.is_pending(each)}
        self.acknowledged.update(each for each in self._unacknowledged if each not in pending)
        self._unacknowledged = [each for each in self._unacknowledged if each in pending]

    def check_own(self, doc: Document) -> None:
        """What this one wrote is in `doc`, once."""
        assert doc.counter(self.name).value == self.counts
        assert doc.map(self.name).get("left") == doc.map(self.name).get("right")

    def check_shared(self, doc: Document) -> None:
        assert str(doc.text("text")).count(chr(0x1F400 + self.number)) == self.texts
        own = [each for each in doc.list("list") if str(each).startswith(f"{self.name} ")]
        assert sorted(own) == sorted(self.items)


async def kill_now_and_then(server: ServerProcess, choose: random.Random) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(0.3 + choose.random() * 0.5)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


def stored_ids(path: Path) -> set[bytes]:
    store = SqliteStore.open_read_only(path)
    try:
        room = store.open_room("demo")
        assert room is not None
        hasher = NodeHasher(room.lineage)
        ids: set[bytes] = set()
        seq = 0
        while seq < room.head_seq:
            for row in store.read_log("demo", seq, 1000):
                ids.update(node.id for node in decode_pack(row.pack, hasher))
                seq = row.to_seq
        return ids
    finally:
        store.close()


@pytest.mark.parametrize("codec", list(Codec), ids=lambda codec: codec.name.lower())
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
async def test_nothing_acknowledged_is_lost_by_cuts_kills_and_restarts_together(
    seed: int, codec: Codec, tmp_path: Path
) -> None:
    choose = random.Random(seed)
    port = free_port()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(port, seed))
        flags = {
            "public_origins": [proxy.url],
            "snapshot_every_nodes": 25,
            "snapshot_margin_nodes": 4,
            "snapshot_worth_nodes": 10,
            "checkpoint_interval_ms": 50,
            "handshakes_per_address_per_second": 10_000,
        }
        server = ServerProcess(tmp_path / "server", port, flags=flags)
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        writers = [Writer(each, seed, proxy.url, codec, tmp_path) for each in range(CLIENTS)]
        for writer in writers:
            await writer.open()
            stack.push_async_callback(lambda writer=writer: writer.doc.close(timeout_s=0))
        async with asyncio.timeout(LIMIT_S):
            # Ids are final only under the room's own lineage.
            for writer in writers:
                await writer.doc.synced()
            await asyncio.gather(
                kill_now_and_then(server, choose), *(each.write() for each in writers)
            )
        proxy.calm()
        late = await stack.enter_async_context(roomlog.connect(proxy.url, room="demo", codec=codec))
        everyone = [*(writer.doc for writer in writers), late]
        async with asyncio.timeout(LIMIT_S):
            for doc in (*everyone, *everyone):
                await doc.synced()
        whole = [doc for doc in everyone if doc is not writers[1].doc]
        assert len({doc.state_hash() for doc in whole}) == 1
        for writer in writers:
            writer._look()
            assert not writer.doc.pending
            assert not writer.doc.rejections()
            writer.check_own(writer.doc)
            for doc in whole:
                writer.check_own(doc)
                writer.check_shared(doc)
        assert proxy.cuts > CLIENTS
    lost = set().union(*(writer.acknowledged for writer in writers)) - stored_ids(
        tmp_path / "server"
    )
    assert not lost
    verified = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "roomlog", "verify", "--store", tmp_path / "server"],
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
