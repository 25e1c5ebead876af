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
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.protocol.codec import Codec
from roomlog.store.sqlite import SqliteStore
from tests.client.chaos_writer import Writer
from tests.client.cutting_proxy import CuttingProxy
from tests.client.server_process import ServerProcess, free_port

SEEDS = int(os.environ.get("ROOMLOG_CHAOS_SEEDS", "1"))
FIRST = int(os.environ.get("ROOMLOG_CHAOS_FIRST", "0"))
CLIENTS = 4
ROUNDS = 60
KILLS = 3
LIMIT_S = 60.0


async def write_and_restart(writer: Writer) -> None:
    for number in range(ROUNDS):
        await writer.write(number)
        await writer.pause()


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
                kill_now_and_then(server, choose), *(write_and_restart(each) for each in writers)
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
            writer.look()
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
