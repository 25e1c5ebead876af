"""Servers that forgot: restored from a copy, or a copy that went on. Real servers on loopback."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import roomlog
from roomlog.client import session_events
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.protocol.client_session import ClientSession
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.server_process import free_port
from tests.client.test_snapshot_join import with_snapshot

CAROL = roomlog.Identity.from_seed(b"c" * 32)
LIMIT_S = 30.0


class Machine:
    """One server's directory and port: stop it, copy its files, put a copy back."""

    def __init__(self, directory: Path) -> None:
        self.store = directory / "server"
        self.copies = directory / "copies"
        self.copies.mkdir()
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self, **flags: object) -> AsyncIterator[Service]:
        quick: dict[str, object] = {"drain_retry_after_ms": 10, "drain_spread_ms": 10, **flags}
        config = server_config(self.port, store=str(self.store), **quick)
        async with Service(config) as service:
            yield service

    def keep(self, name: str) -> None:
        shutil.copytree(self.store, self.copies / name)

    def put_back(self, name: str) -> None:
        shutil.rmtree(self.store)
        shutil.copytree(self.copies / name, self.store)

    def connect(self, identity: roomlog.Identity, **more: object) -> Document:
        return roomlog.connect(self.url, room="demo", identity=identity, **more)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def write(doc: Document, *names: str) -> None:
    for name in names:
        doc.map("m")[name] = name
        doc.text("t").append(f"{name} ")
        await doc.flush()


async def agree(*docs: Document) -> set[str]:
    """Wait until all hold the same; the keys they hold."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for doc in docs:
                await doc.synced()
            hashes = {doc.state_hash() for doc in docs}
            if len(hashes) == 1 and not any(doc.pending for doc in docs):
                break
            await asyncio.sleep(0.05)
    assert docs[0].state_hash().complete
    return set(docs[0].map("m"))


async def live(*docs: Document) -> None:
    for doc in docs:
        await doc.until(lambda status: status.phase is Phase.LIVE, LIMIT_S)


async def test_t22_a_server_restored_from_an_older_copy_gets_back_what_every_client_knows(
    machine: Machine, tmp_path: Path
) -> None:
    async with AsyncExitStack() as clients:
        async with machine.running():
            ada = await clients.enter_async_context(machine.connect(ADA))
            bob = await clients.enter_async_context(
                machine.connect(BOB, store=tmp_path / "bob.sqlite3")
            )
            await write(ada, "a1", "a2")
            await write(bob, "b1")
            await agree(ada, bob)
        machine.keep("older")
        async with machine.running():
            await live(ada, bob)
            await write(ada, "a3")
            await agree(ada, bob)
            await write(bob, "b2", "b3")
            await agree(ada, bob)
            await write(ada, "a4")
            expected = await agree(ada, bob)
            before = ada.state_hash()
        machine.put_back("older")
        async with machine.running():
            assert await agree(ada, bob) == expected
            assert ada.state_hash() == before
            async with machine.connect(CAROL) as carol:
                assert await agree(carol, ada) == expected
                assert carol.state_hash() == before


async def test_t22_a_client_brings_back_what_others_wrote_who_are_away(machine: Machine) -> None:
    async with AsyncExitStack() as clients:
        async with machine.running():
            ada = await clients.enter_async_context(machine.connect(ADA))
            await write(ada, "a1")
            await agree(ada)
        machine.keep("older")
        async with machine.running():
            await live(ada)
            async with machine.connect(BOB) as bob:
                await agree(ada, bob)
                await write(bob, "b1")
                await agree(ada, bob)
                await write(ada, "a2")
                await agree(ada, bob)
                await write(bob, "b2")
                expected = await agree(ada, bob)
        machine.put_back("older")
        async with machine.running():
            assert await agree(ada) == expected
            # Who comes new sees what only the one client had kept.
            async with machine.connect(CAROL) as carol:
                assert await agree(carol) == expected


async def test_t22_several_clients_each_bring_the_part_they_know(
    machine: Machine, tmp_path: Path
) -> None:
    ada_store, bob_store = tmp_path / "ada.sqlite3", tmp_path / "bob.sqlite3"
    async with machine.running(), machine.connect(ADA, store=ada_store) as ada:
        await write(ada, "a1")
        await agree(ada)
    machine.keep("older")
    async with machine.running():
        async with machine.connect(ADA, store=ada_store) as ada:
            await write(ada, "a2")
            await agree(ada)
        async with machine.connect(BOB, store=bob_store) as bob:
            # It builds on what Ada wrote, and Ada does not see it.
            await agree(bob)
            await write(bob, "b1", "b2")
            expected = await agree(bob)
    machine.put_back("older")
    async with machine.running(), machine.connect(BOB, store=bob_store) as bob:
        async with machine.connect(ADA, store=ada_store) as ada:
            assert await agree(ada, bob) == expected
        async with machine.connect(CAROL) as carol:
            assert await agree(carol, bob) == expected


async def test_t22_a_raw_copy_that_went_on_another_way_keeps_both_ways(
    machine: Machine, tmp_path: Path
) -> None:
    ada_store = tmp_path / "ada.sqlite3"
    async with machine.running(), machine.connect(ADA, store=ada_store) as ada:
        await write(ada, "a1", "a2", "a3")
        await agree(ada)
    machine.keep("fork")
    async with machine.running(), machine.connect(ADA, store=ada_store) as ada:
        await write(ada, "a4", "a5")
        await agree(ada)
    machine.put_back("fork")
    async with machine.running(), machine.connect(BOB) as bob:
        # The copy has the same epoch and gives the same numbers to other nodes.
        await agree(bob)
        await write(bob, "b1", "b2", "b3", "b4")
        await agree(bob)
    async with machine.running(), machine.connect(ADA, store=ada_store) as ada:
        names = await agree(ada)
        assert names == {"a1", "a2", "a3", "a4", "a5", "b1", "b2", "b3", "b4"}
        async with machine.connect(CAROL) as carol:
            assert await agree(carol, ada) == names
    # The client's store knows the new log: next time it is simply the tail.
    async with machine.running(), machine.connect(ADA, store=ada_store) as ada:
        await live(ada)
        assert ada.status.catch_up in ("none", "cursor")
        assert await agree(ada) == names


async def test_t22_without_evidence_a_client_still_pushes_all_that_it_wrote_itself(
    machine: Machine, tmp_path: Path
) -> None:
    store = tmp_path / "ada.sqlite3"
    async with machine.running(), machine.connect(ADA, store=store) as ada:
        await write(ada, "a1")
        await agree(ada)
    machine.keep("older")
    async with machine.running(), machine.connect(ADA, store=store) as ada:
        await write(ada, "a2", "a3")
        names = await agree(ada)
        ada._engine.checkpoint = None
    machine.put_back("older")
    async with machine.running():
        doc = machine.connect(ADA, store=store)
        async with doc:
            doc._engine.checkpoint = None
            assert await agree(doc) == names
        async with machine.connect(CAROL) as carol:
            assert await agree(carol) == names


async def test_t22_nodes_that_are_pending_again_survive_a_restart_before_they_are_pushed(
    machine: Machine, tmp_path: Path
) -> None:
    store = tmp_path / "ada.sqlite3"
    async with machine.running(), machine.connect(ADA, store=store) as ada:
        await write(ada, "a1")
        await agree(ada)
    machine.keep("older")
    async with machine.running(), machine.connect(ADA, store=store) as ada:
        await write(ada, "a2", "a3")
        names = await agree(ada)
    machine.put_back("older")
    async with machine.running():
        doc = machine.connect(ADA, store=store)
        await doc.__aenter__()
        await doc.until(lambda status: status.pending_nodes > 0, LIMIT_S)
        # It is gone in the middle of giving back.
        await doc.close(timeout_s=0)
    async with machine.connect(ADA, store=store, close_timeout_s=0) as ada:
        assert set(ada.map("m")) == names
    async with machine.running(), machine.connect(ADA, store=store) as ada:
        assert await agree(ada) == names
        async with machine.connect(CAROL) as carol:
            assert await agree(carol) == names


async def test_t22_a_joiner_whose_snapshot_the_server_lost_ends_with_everybody_s_room(
    machine: Machine, tmp_path: Path
) -> None:
    eager = {"snapshot_every_nodes": 20, "snapshot_margin_nodes": 4, "snapshot_worth_nodes": 10}
    store = tmp_path / "bob.sqlite3"
    async with AsyncExitStack() as clients:
        async with machine.running():
            ada = await clients.enter_async_context(machine.connect(ADA))
            await write(ada, "a1", "a2")
            await agree(ada)
        machine.keep("older")
        async with machine.running(**eager) as service:
            await live(ada)
            await write(ada, *(f"later {number}" for number in range(40)))
            await agree(ada)
            await with_snapshot(service)
            async with machine.connect(BOB, store=store, history="recent") as bob:
                await live(bob)
                assert bob.replica.is_partial
                await write(bob, "b1")
                await agree(ada, bob)
            await write(ada, "last")
            await agree(ada)
        machine.put_back("older")
        async with machine.running():
            async with machine.connect(BOB, store=store, history="recent") as bob:
                names = await agree(ada, bob)
                assert {"a1", "b1", "later 39", "last"} <= names
                await bob.history(LIMIT_S)
                await agree(ada, bob)
            async with machine.connect(CAROL) as carol:
                assert await agree(carol) == names


async def test_t29_more_than_a_slice_to_give_back_is_declared_by_a_new_session(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_events, "DECLARE_NODES", 5)
    declared: list[int] = []
    init = ClientSession.__init__

    def noted(session: ClientSession, **fields: Any) -> None:
        declared.append(0 if fields["pending"] is None else fields["pending"].nodes)
        init(session, **fields)

    async with AsyncExitStack() as clients:
        async with machine.running():
            ada = await clients.enter_async_context(machine.connect(ADA))
            await write(ada, "a1")
            await agree(ada)
        machine.keep("older")
        async with machine.running():
            await live(ada)
            async with machine.connect(BOB) as bob:
                await write(ada, *(f"a{number}" for number in range(2, 6)))
                await agree(ada, bob)
                await write(bob, *(f"b{number}" for number in range(4)))
                names = await agree(ada, bob)
        machine.put_back("older")
        monkeypatch.setattr(ClientSession, "__init__", noted)
        async with machine.running():
            assert await agree(ada) == names
            # 8 flushes, each a node, of both authors.
            assert max(declared) == 8
            async with machine.connect(CAROL) as carol:
                assert await agree(carol) == names
