"""Clients killed at any moment, whatever they were doing: what was durable is there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import pytest

import roomlog
from tests.client import killed_client
from tests.client.server_process import ServerProcess
from tests.client.test_random_restores import FLAGS, Copies

HISTORIES = int(os.environ.get("ROOMLOG_KILLED_HISTORIES", "1"))
FIRST = int(os.environ.get("ROOMLOG_KILLED_FIRST", "0"))
MODES = ("whole", "recent", "partial")
LIVES = 7
LIMIT_S = 60.0


async def live_and_die(
    url: str, store: Path, mode: str, seconds: float, *, dies_early: bool
) -> set[str]:
    """One life of a client; what it had been told to be durable."""
    number = MODES.index(mode) + 1
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(killed_client.__file__),
        url,
        str(store),
        mode,
        str(number),
        mode,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    if not dies_early:
        assert await process.stdout.readline() == b"open\n"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()
    assert process.returncode is None, "it ended by itself"
    process.kill()
    lines = (await process.stdout.read()).decode().split("\n")
    await process.wait()
    # The last line may be cut.
    return {line for line in lines[:-1] if line != "open" and not line.startswith("acked ")}


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
async def test_t20_what_a_killed_client_called_durable_is_in_its_store_and_comes_to_everybody(
    seed: int, tmp_path: Path
) -> None:
    choose = random.Random(seed)
    server = ServerProcess(tmp_path / "server", flags=FLAGS)
    (tmp_path / "copies").mkdir()
    copies = Copies(tmp_path / "copies", server)
    durable: dict[str, set[str]] = {mode: set() for mode in MODES}
    stores = {mode: tmp_path / f"{mode}.sqlite3" for mode in MODES}
    try:
        # The first lives are those of drafts.
        is_up = False
        for life in range(LIVES):
            if life == 1:
                await asyncio.to_thread(server.start)
                is_up = True
            elif is_up and copies.count and choose.random() < 0.4:
                await asyncio.to_thread(copies.put_back, choose.randrange(copies.count))
            lives = [
                live_and_die(
                    server.url,
                    stores[mode],
                    mode,
                    0.1 + choose.random() * 0.6,
                    dies_early=choose.random() < 0.2,
                )
                for mode in MODES
            ]
            for mode, written in zip(MODES, await asyncio.gather(*lives), strict=True):
                durable[mode] |= written
            if is_up:
                await asyncio.to_thread(copies.take)
        assert all(durable.values())
        await everything_is_there(server.url, stores, durable)
    finally:
        await asyncio.to_thread(server.stop)


async def everything_is_there(
    url: str, stores: dict[str, Path], durable: dict[str, set[str]]
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        docs = {
            mode: await stack.enter_async_context(
                roomlog.connect(
                    url,
                    room="demo",
                    identity=roomlog.Identity.from_seed(bytes([number]) * 32),
                    store=stores[mode],
                )
            )
            for number, mode in enumerate(MODES, 1)
        }
        for mode, doc in docs.items():
            assert durable[mode] <= set(doc.map("w")), mode
        late = await stack.enter_async_context(roomlog.connect(url, room="demo"))
        everybody = [*docs.values(), late]
        try:
            async with asyncio.timeout(LIMIT_S):
                await docs["partial"].subscribe([])
                while True:
                    for doc in everybody:
                        await doc.synced()
                    hashes = {doc.state_hash() for doc in everybody}
                    if len(hashes) == 1 and next(iter(hashes)).complete:
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            error.add_note(f"{[doc.status for doc in everybody]}")
            error.add_note(f"{[(doc.state_hash(), len(doc.replica)) for doc in everybody]}")
            raise
        assert set().union(*durable.values()) <= set(late.map("w"))
        for doc in everybody:
            assert not doc.pending
            assert not doc.rejections()
