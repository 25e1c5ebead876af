"""A real editing history, written and read over connections that break all the time."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import roomlog
from roomlog.client.backoff import Backoff
from roomlog.client.document import Document
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.cutting_proxy import CuttingProxy
from tests.client.server_process import free_port
from tests.oracle.public_traces import load_trace

TRACES = ("sveltecomponent.json.gz", "automerge-paper.json.gz")
MOST_PATCHES = int(os.environ.get("ROOMLOG_TRACE_PATCHES", "3000"))
PATCHES_A_FLUSH = 12
LIMIT_S = 60.0


def first_patches(name: str) -> tuple[str, list[tuple[int, int, str]]]:
    trace = load_trace(name)
    patches = [
        (position, deleted, inserted)
        for transaction in trace["txns"]
        for position, deleted, inserted in transaction["patches"]
    ]
    return trace["startContent"], patches[:MOST_PATCHES]


def expected_text(start: str, patches: list[tuple[int, int, str]]) -> str:
    text = start
    for position, deleted, inserted in patches:
        text = text[:position] + inserted + text[position + deleted :]
    return text


def impatient(doc: Document, seed: int) -> Document:
    doc._backoff = Backoff(random.Random(seed).random, first_s=0.01, longest_s=0.05)
    return doc


@pytest.mark.parametrize("name", TRACES)
async def test_a_trace_written_over_breaking_connections_reads_the_same_everywhere(
    name: str, tmp_path: Path
) -> None:
    start, patches = first_patches(name)
    port = free_port()
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CuttingProxy(port, 1, most_bytes=60_000))
        config = server_config(
            port,
            public_origins=[proxy.url],
            store=str(tmp_path / "server"),
            snapshot_every_nodes=100,
            snapshot_margin_nodes=4,
            snapshot_worth_nodes=50,
            handshakes_per_address_per_second=10_000,
        )
        await stack.enter_async_context(Service(config))

        async def opened(seed: int, identity: roomlog.Identity | None) -> Document:
            doc = roomlog.connect(proxy.url, room="demo", identity=identity)
            return await stack.enter_async_context(impatient(doc, seed))

        writer, reader = await opened(1, ADA), await opened(2, BOB)
        text = writer.text("t")
        if start:
            text.insert(0, start)
        for number, (position, deleted, inserted) in enumerate(patches):
            if deleted:
                text.delete(position, deleted)
            if inserted:
                text.insert(position, inserted)
            if number % PATCHES_A_FLUSH == 0:
                await writer.flush()
                await asyncio.sleep(0.001)
        proxy.calm()
        late = await opened(3, None)
        async with asyncio.timeout(LIMIT_S):
            for doc in (writer, reader, late):
                await doc.synced()
        expected = expected_text(start, patches)
        for doc in (writer, reader, late):
            assert str(doc.text("t")) == expected
        assert len({doc.state_hash() for doc in (writer, reader)}) == 1
        assert proxy.cuts
