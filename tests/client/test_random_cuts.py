"""Clients whose connections break at random keep every promise all the same."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.server.service import Service
from tests.client.conftest import server_config
from tests.client.cutting_proxy import CuttingProxy
from tests.client.server_process import free_port

LIMIT_S = 60.0
CLIENTS = 4
ROUNDS = 40


def impatient(doc: Document, seed: int) -> Document:
    doc._backoff = Backoff(random.Random(seed).random, first_s=0.01, longest_s=0.05)
    return doc


async def edit(doc: Document, name: str, rounds: int, choose: random.Random) -> None:
    for number in range(rounds):
        doc.counter("all").add(1)
        doc.counter(name).add(1)
        kind = choose.randrange(5)
        if kind == 0:
            async with doc.transaction():
                doc.map("pair")[f"{name} left"] = number
                doc.map("pair")[f"{name} right"] = number
        elif kind == 1:
            doc.text("t").insert(choose.randrange(len(doc.text("t")) + 1), name)
        elif kind == 2:
            doc.list("l").insert(choose.randrange(len(doc.list("l")) + 1), f"{name} {number}")
        elif kind == 3 and len(doc.text("t")):
            doc.text("t").delete(choose.randrange(len(doc.text("t"))), 1)
        elif kind == 4 and len(doc.list("l")):
            doc.list("l").move(choose.randrange(len(doc.list("l"))), 0)
        await doc.flush()
        if number % 4 == 0:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_or_doubled_when_connections_break_anywhere(
    seed: int, tmp_path: Path
) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(port, seed))
        config = server_config(
            port,
            public_origins=[proxy.url],
            store=str(tmp_path / "server"),
            snapshot_every_nodes=30,
            snapshot_margin_nodes=4,
            snapshot_worth_nodes=10,
            handshakes_per_address_per_second=10_000,
        )
        await stack.enter_async_context(Service(config))

        def opened(number: int) -> Document:
            doc = roomlog.connect(
                proxy.url,
                room="demo",
                identity=roomlog.Identity.from_seed(bytes([number]) * 32),
                store=tmp_path / f"{number}.sqlite3" if number % 2 else None,
            )
            return impatient(doc, seed * 10 + number)

        docs = [await stack.enter_async_context(opened(number)) for number in range(CLIENTS)]
        chooser = random.Random(seed)
        await asyncio.gather(
            *(
                edit(doc, f"c{number}", ROUNDS, random.Random(chooser.random()))
                for number, doc in enumerate(docs)
            )
        )
        proxy.calm()
        late = await stack.enter_async_context(opened(CLIENTS))
        async with asyncio.timeout(LIMIT_S):
            for doc in (*docs, late, *docs, late):
                await doc.synced()
        everyone = (*docs, late)
        assert len({doc.state_hash() for doc in everyone}) == 1
        for doc in everyone:
            assert doc.state_hash().complete
            assert not doc.pending
            assert doc.counter("all").value == CLIENTS * ROUNDS
            for number in range(CLIENTS):
                assert doc.counter(f"c{number}").value == ROUNDS
                pair = doc.map("pair")
                assert pair.get(f"c{number} left") == pair.get(f"c{number} right")
            assert len(doc.rejections()) == 0
        assert proxy.cuts > CLIENTS
        await late.history(LIMIT_S)
        assert late.state_hash() == docs[0].state_hash()
        assert {node.id for node in late.replica.nodes()} == {
            node.id for node in docs[0].replica.nodes()
        }
