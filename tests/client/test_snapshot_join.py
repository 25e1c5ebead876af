"""Joining a room by a snapshot: edits at once, older history behind, the same room in the end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

import roomlog
from roomlog import errors
from roomlog.client import history_build, history_stream
from roomlog.client.document import Document
from roomlog.client.local_store import read_nodes
from roomlog.client.options import DocumentOptions
from roomlog.client.partial_room import PartialRoom
from roomlog.client.status import HistoryState, Phase, Status
from roomlog.protocol.client_events import HistoryPage
from roomlog.protocol.client_session import ClientSession
from roomlog.server import snapshots
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config

CAROL = roomlog.Identity.from_seed(b"c" * 32)
LIMIT_S = 30.0
EAGER = {
    "snapshot_every_nodes": 20,
    "snapshot_margin_nodes": 4,
    "snapshot_worth_nodes": 10,
    "tick_ms": 20,
}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(server_config(**EAGER)) as started:
        yield started


def opened(service: Service, identity: roomlog.Identity | None = ADA, **more: object) -> Document:
    return roomlog.connect(service.url, room="demo", identity=identity, **more)  # type: ignore[arg-type]


async def write(doc: Document, count: int) -> None:
    """Nodes one after the other, of all kinds."""
    for number in range(count):
        doc.map("m")[str(number % 7)] = number
        doc.counter("votes").add(1)
        doc.text("notes").insert(0, f"{number} ")
        if number % 3 == 0:
            doc.list("rows").append(f"row {number}")
        await doc.flush()
    await doc.synced(LIMIT_S)


async def with_snapshot(service: Service, least_seq: int = 1) -> int:
    """Wait until the room has a snapshot to offer; its seq."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            room = service.hub.registry.rooms.get("demo")
            if room is not None and room.snapshot_seq >= least_seq:
                return room.snapshot_seq
            await asyncio.sleep(0.02)


def is_live(status: Status) -> bool:
    return status.phase is Phase.LIVE


async def same(*docs: Document) -> None:
    for doc in docs:
        await doc.synced(LIMIT_S)
    for doc in docs:
        await doc.synced(LIMIT_S)
    assert len({doc.state_hash() for doc in docs}) == 1
    assert docs[0].state_hash().complete
    for doc in docs[1:]:
        assert doc.state() == docs[0].state()


async def test_a_joiner_reads_and_writes_at_once_without_any_older_history(
    service: Service,
) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        seq = await with_snapshot(service)
        async with opened(service, BOB, history="recent") as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.status.catch_up == "snapshot"
            assert bob.status.history is HistoryState.RECENT
            assert bob.replica.base_seq == seq
            assert len(bob.replica) == 60 - seq
            await same(ada, bob)
            bob.text("notes").append("bob")
            bob.list("rows").move(0, 3)
            ada.text("notes").insert(0, "ada")
            await same(ada, bob)
            with pytest.raises(errors.HistoryMissingError):
                bob.at([])
            # It is brought in when somebody asks for it.
            await bob.history(LIMIT_S)
            assert bob.status.history is HistoryState.COMPLETE
            assert bob.status.history_progress is None
            assert not bob.replica.is_partial
            assert len(bob.replica) == len(ada.replica)
            assert bob.at(ada.frontier).state() == ada.state()
            await same(ada, bob)


async def test_older_history_comes_in_by_itself_and_own_pending_edits_stay(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        held_back: list[tuple[ClientSession, int]] = []
        ask = ClientSession.ask_history_before
        monkeypatch.setattr(
            ClientSession,
            "ask_history_before",
            lambda session, seq: held_back.append((session, seq)),
        )
        async with opened(service, BOB) as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.status.history is HistoryState.LOADING
            progress = bob.status.history_progress
            assert progress is not None
            assert (progress.done_nodes, progress.of_nodes) == (0, bob.replica.base_seq)
            generation = bob._engine.generation
            bob.text("notes").append("before ")
            await bob.flush()
            bob.text("notes").append("open ")
            monkeypatch.undo()
            for session, seq in held_back:
                ask(session, seq)
            assert bob._connection is not None
            bob._connection.pump()
            await bob.history(LIMIT_S)
            assert bob._engine.generation > generation
            assert str(bob.text("notes")).endswith("before open ")
            await same(ada, bob)
            assert len(bob.replica) == len(ada.replica)


async def test_a_transaction_is_not_torn_by_history_that_takes_its_place(service: Service) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, history="recent") as bob:
            await bob.until(is_live, LIMIT_S)
            whole = asyncio.ensure_future(bob.history(LIMIT_S))
            async with bob.transaction():
                bob.counter("votes").add(100)
                for _ in range(200):
                    await asyncio.sleep(0.001)
                bob.text("notes").append("both")
            await whole
            await same(ada, bob)
            (node_id,) = bob.frontier
            assert len(bob.replica.node(node_id).operations()) == 2


async def test_what_is_written_before_the_snapshot_is_there_is_joined_by_history(
    service: Service,
) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB) as bob:
            bob.map("m")["bob"] = 1
            bob.text("notes").append("bob")
            await bob.synced(LIMIT_S)
            assert bob.map("m")["bob"] == 1
            assert not bob.replica.is_partial
            await same(ada, bob)


async def test_a_late_node_from_below_the_snapshot_brings_the_history_in(
    service: Service, tmp_path: Path
) -> None:
    store = tmp_path / "late.sqlite3"
    async with opened(service) as ada:
        async with opened(service, CAROL, store=store) as carol:
            carol.map("m")["early"] = 1
            await same(ada, carol)
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, history="recent") as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.replica.is_partial
            # She was away since before the snapshot, and wrote something there.
            offline = roomlog.connect(
                "ws://127.0.0.1:1", room="demo", identity=CAROL, store=store, close_timeout_s=0
            )
            async with offline as carol:
                carol.map("m")["late"] = 2
                carol.text("notes").append("late")
                await carol.flush()
            async with opened(service, CAROL, store=store) as carol:
                await same(ada, bob, carol)
            assert bob.map("m")["late"] == 2
            assert not bob.replica.is_partial
            assert bob.status.history is HistoryState.COMPLETE


@pytest.mark.parametrize("history", ["recent", "full"])
async def test_a_restart_goes_on_from_the_local_store_in_either_state(
    service: Service, tmp_path: Path, history: str
) -> None:
    store = tmp_path / "bob.sqlite3"
    async with opened(service) as ada:
        await write(ada, 60)
        seq = await with_snapshot(service)
        async with opened(service, BOB, store=store, history=history) as bob:
            await bob.until(is_live, LIMIT_S)
            if history == "full":
                await bob.history(LIMIT_S)
            bob.text("notes").append("bob")
            await same(ada, bob)
        if history == "recent":
            with pytest.raises(errors.LocalStoreError, match=f"seq {seq}"):
                read_nodes(store)
        offline = roomlog.connect(
            "ws://127.0.0.1:1", room="demo", identity=BOB, store=store, close_timeout_s=0
        )
        async with offline as bob:
            assert bob.state() == ada.state()
            assert bob.replica.is_partial is (history == "recent")
            bob.text("notes").append("offline")
        await write(ada, 3)
        async with opened(service, BOB, store=store) as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.status.catch_up == "cursor"
            await bob.history(LIMIT_S)
            await same(ada, bob)
        assert len(read_nodes(store)[2]) == len(ada.replica)


async def test_history_that_came_in_part_is_not_read_twice(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "bob.sqlite3"
    asked: list[int] = []
    ask = ClientSession.ask_history_before

    def counted(session: ClientSession, seq: int) -> None:
        asked.append(seq)
        session._open_parts()[1].history._page_nodes = 8
        ask(session, seq)

    monkeypatch.setattr(ClientSession, "ask_history_before", counted)
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, store=store) as bob:
            await bob.until(lambda status: len(asked) >= 3, LIMIT_S)
            await bob.until(lambda status: (status.history_progress or status) is not None, LIMIT_S)
        lowest = min(asked)
        first_time, asked[:] = list(asked), []
        async with opened(service, BOB, store=store) as bob:
            await bob.history(LIMIT_S)
            assert asked
            assert max(asked) <= max(first_time)
            assert len([seq for seq in asked if seq > lowest]) == 0
            await same(ada, bob)
    assert asked == sorted(asked, reverse=True)


async def test_everything_is_verified_for_those_who_ask_for_it(service: Service) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, verify="all") as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.status.catch_up == "snapshot"
            await bob.history(LIMIT_S)
            await same(ada, bob)
            assert bob._connection is not None
            assert bob._connection.history.problem is None
            assert all(node.signature is not None for node in bob.replica.nodes())


@pytest.mark.parametrize("field", ["signature", "state_hash", "frontier"])
async def test_t56_a_snapshot_that_fails_a_check_is_not_built_upon_and_history_is_read_instead(
    service: Service, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = snapshots.Snapshot

    def forged(**fields: object) -> object:
        if fields.get("chunks"):
            value = fields[field]
            assert isinstance(value, bytes)
            fields[field] = value[:-1] + bytes([value[-1] ^ 1])
        return honest(**fields)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "Snapshot", forged)
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB) as bob:
            await same(ada, bob)
            assert bob.status.catch_up == "cursor"
            assert not bob.replica.is_partial
            assert len(bob.replica) == 60


async def test_t56_a_state_that_history_does_not_make_is_found_by_whoever_verifies_all(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, verify="all", history="recent") as bob:
            await bob.until(is_live, LIMIT_S)
            snapshot = bob._engine.snapshot
            assert snapshot is not None
            # As if the server had signed another state than the one its history makes.
            bob._engine.snapshot = msgspec.structs.replace(snapshot, state_hash=bytes(32))
            await bob.history(LIMIT_S)
            assert bob._connection is not None
            assert isinstance(bob._connection.history.problem, history_build.SnapshotLie)
            # What is verified takes the place of what was not true.
            await same(ada, bob)
            assert not bob.replica.is_partial


def test_the_options_of_a_document_are_what_connect_was_told() -> None:
    with pytest.raises(ValueError, match="history"):
        roomlog.connect("ws://h", room="demo", history="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="verify"):
        roomlog.connect("ws://h", room="demo", verify="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="capabilities"):
        roomlog.connect("ws://h", room="demo", capabilities=["flying"])
    with pytest.raises(TypeError, match="subscribe"):
        roomlog.connect("ws://h", room="demo", subscribe="a/**")
    doc = roomlog.connect("ws://h", room="demo", subscribe=["b", "a/**"], capabilities=["log_cut"])
    assert isinstance(doc._options, DocumentOptions)
    assert doc._options.patterns == ("a/**", "b")
    assert doc._options.offer == {"log_cut": True}


async def test_history_that_cannot_be_read_is_dropped_and_asked_for_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_stream, "RETRY_S", 0.01)
    take = PartialRoom.history_page
    pages = 0

    def damaged_once(room: PartialRoom, page: HistoryPage) -> None:
        nonlocal pages
        pages += 1
        take(room, msgspec.structs.replace(page, pack=page.pack[:-9]) if pages == 1 else page)

    monkeypatch.setattr(PartialRoom, "history_page", damaged_once)
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, store=tmp_path / "bob.sqlite3") as bob:
            await bob.history(LIMIT_S)
            assert pages > 1
            await same(ada, bob)
    assert len(read_nodes(tmp_path / "bob.sqlite3")[2]) == 60


async def test_a_damaged_snapshot_in_the_store_is_refused_and_stays_for_inspection(
    service: Service, tmp_path: Path
) -> None:
    store = tmp_path / "bob.sqlite3"
    async with opened(service) as ada:
        await write(ada, 60)
        await with_snapshot(service)
        async with opened(service, BOB, store=store, history="recent") as bob:
            await bob.until(is_live, LIMIT_S)
            assert bob.replica.is_partial
    connection = sqlite3.connect(store)
    connection.execute("UPDATE snapshot SET state_hash = zeroblob(32)")
    connection.commit()
    connection.close()
    for _ in range(2):
        with pytest.raises(errors.LocalStoreError, match="damaged"):
            async with opened(service, BOB, store=store):
                pass
