"""Documents without a server, with another one than before, and with one that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

import roomlog
from roomlog import errors
from roomlog.client.changes import Origin
from roomlog.client.document import Document
from roomlog.client.local_store import LocalStore, read_nodes
from roomlog.client.status import Phase
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import Drain, Error, Notice, Pack
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.model_server import ModelServer, refuse_nothing
from tests.client.model_socket import ModelSocket
from tests.client.server_process import ServerProcess, free_port
from tests.client.test_document import LIMIT_S, agree
from tests.client.test_engine import refusing

SERVER = Identity.from_seed(b"s" * 32)


def at(url: str, identity: Identity | None, store: Path | None = None, **more: object) -> Document:
    return roomlog.connect(url, room="demo", identity=identity, store=store, **more)  # type: ignore[arg-type]


async def phase_of(doc: Document, phase: Phase) -> None:
    await doc.until(lambda status: status.phase is phase, LIMIT_S)


async def test_two_clients_work_offline_before_the_room_was_ever_met(tmp_path: Path) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with at(url, ADA, tmp_path / "ada") as ada, at(url, BOB) as bob:
        for doc in (ada, bob):
            doc.list("todo").append("first")
            await doc.flush()
            doc.list("todo").append("second")
            await doc.flush()
            assert doc.status.is_draft
        assert ada.replica.lineage != bob.replica.lineage
        with pytest.raises(TimeoutError):
            await ada.synced(0.05)
        async with Service(server_config(port)):
            await agree(ada, bob)
            assert len(ada.list("todo")) == 4
            assert ada.replica.lineage == bob.replica.lineage
            assert not ada.status.is_draft
            assert ada.status.problem is None
    room_id, lineage, nodes = read_nodes(tmp_path / "ada")
    assert (room_id, lineage) == ("demo", ada.replica.lineage)
    assert {node.id for node in nodes} == {node.id for node in ada.replica.nodes()}


async def test_a_draft_survives_restarts_of_the_client(tmp_path: Path) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    store = tmp_path / "ada"
    for index in range(3):
        async with at(url, ADA, store, close_timeout_s=0) as ada:
            assert sorted(ada.map("m")) == [str(each) for each in range(index)]
            assert ada.status.pending_nodes == index
            ada.map("m")[str(index)] = index
    async with Service(server_config(port)):
        async with at(url, ADA, store) as ada:
            await ada.synced(LIMIT_S)
            assert ada.status.pending_nodes == 0
        async with at(url, BOB) as bob:
            await bob.synced(LIMIT_S)
            assert sorted(bob.map("m")) == ["0", "1", "2"]


async def test_a_client_resumes_from_its_cursor_after_a_restart(tmp_path: Path) -> None:
    model = ModelServer()
    async with ModelSocket(model) as served:
        async with at(served.url, ADA, tmp_path / "ada") as ada:
            ada.map("m")["a"] = 1
            await ada.synced(LIMIT_S)
            before = ada.state_hash()
        async with at(served.url, BOB) as bob:
            bob.map("m")["b"] = 1
            await bob.synced(LIMIT_S)
        async with at(served.url, ADA, tmp_path / "ada") as ada:
            assert ada.map("m").to_dict() == {"a": 1}
            assert ada.state_hash() == before
            await ada.synced(LIMIT_S)
            assert ada.map("m").to_dict() == {"a": 1, "b": 1}
            (hello,) = model.sessions[-1].hellos
            assert hello.cursor is not None
            assert hello.cursor.seq == 1
            assert hello.frontier == [model.log[0].id]


async def test_a_server_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server")
    server.start()
    try:
        async with at(server.url, ADA, tmp_path / "ada") as ada, at(server.url, BOB) as bob:
            await agree(ada, bob)
            for round_number in range(2):
                for index in range(40):
                    ada.counter("c").add(1)
                    bob.text("t").append(".")
                    await asyncio.sleep(0)
                    if index == 20:
                        await asyncio.to_thread(server.kill)
                        await asyncio.to_thread(server.start)
                await agree(ada, bob)
                assert ada.counter("c").value == 40 * (round_number + 1)
                assert len(ada.text("t")) == 40 * (round_number + 1)
            acknowledged = {node.id for node in ada.replica.nodes()}
            # What was acknowledged is there for somebody who was not.
            async with at(server.url, None) as eve:
                await eve.synced(LIMIT_S)
                assert {node.id for node in eve.replica.nodes()} >= acknowledged
                assert eve.state_hash() == ada.state_hash()
    finally:
        server.stop()


async def test_a_document_follows_its_server_through_a_drain() -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with at(url, ADA, close_timeout_s=0) as ada:
        async with Service(
            server_config(port, drain_retry_after_ms=20, drain_spread_ms=1), identity=SERVER
        ):
            ada.map("m")["a"] = 1
            await ada.synced(LIMIT_S)
        await phase_of(ada, Phase.OFFLINE)
        assert isinstance(ada.status.problem, errors.ConnectionStoppedError)
        # The store was in memory: the room is gone, and the client keeps what it has.
        async with Service(
            server_config(port, drain_retry_after_ms=20, drain_spread_ms=1), identity=SERVER
        ):
            with pytest.raises(errors.ConnectionStoppedError) as stopped:
                await ada.synced(LIMIT_S)
            assert stopped.value.reject_class == "room_not_found"
            assert ada.map("m")["a"] == 1


async def test_another_room_of_the_same_name_is_never_mixed_in(tmp_path: Path) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with Service(server_config(port), identity=SERVER), at(url, ADA, tmp_path / "a") as ada:
        ada.map("m")["mine"] = 1
        await ada.synced(LIMIT_S)
    async with Service(server_config(port), identity=SERVER), at(url, BOB) as bob:
        bob.map("m")["theirs"] = 1
        await bob.synced(LIMIT_S)
        async with at(url, ADA, tmp_path / "a") as ada:
            ada.map("m")["more"] = 1
            with pytest.raises(errors.LineageMismatchError):
                await ada.synced(LIMIT_S)
            assert ada.status.phase is Phase.STOPPED
            assert ada.map("m").to_dict() == {"mine": 1, "more": 1}
            copy = roomlog.Replica("demo", None, ada.replica.lineage)
            assert len(copy.import_pack(ada.export()).accepted) == 2
        assert bob.map("m").to_dict() == {"theirs": 1}


async def test_another_server_key_at_the_same_origin_is_refused(tmp_path: Path) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    async with Service(server_config(port), identity=SERVER):
        async with at(url, ADA, tmp_path / "ada", server_key=SERVER.public_key) as ada:
            await ada.synced(LIMIT_S)
            assert ada.status.server_key == SERVER.public_key
        async with at(url, ADA, server_key=BOB.public_key) as ada:
            with pytest.raises(errors.ServerKeyChangedError):
                await ada.synced(LIMIT_S)
    async with (
        Service(server_config(port), identity=BOB),
        at(url, ADA, tmp_path / "ada") as ada,
    ):
        with pytest.raises(errors.ServerKeyChangedError):
            await ada.synced(LIMIT_S)


async def test_a_welcome_for_another_origin_is_refused() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served:
        dialled = served.url
        model.origin = "ws://elsewhere.example"
        async with at(dialled, ADA) as ada:
            with pytest.raises(errors.ConnectionStoppedError) as stopped:
                await ada.synced(LIMIT_S)
            assert stopped.value.reject_class == "proof_invalid"
        model.exists = True
        async with at(dialled, None) as eve:
            await eve.synced(LIMIT_S)
            assert not eve.status.is_proven
            assert eve.status.server_key is None


async def test_t17_a_refused_write_disappears_everywhere_and_is_reported(tmp_path: Path) -> None:
    model = ModelServer(refuse=refusing("m/bad", "write_forbidden", {"message": "not yours"}))
    async with ModelSocket(model) as served:
        async with at(served.url, ADA, tmp_path / "ada") as ada:
            await ada.synced(LIMIT_S)
            feed = ada.changes()
            reported = asyncio.create_task(anext(aiter(ada.rejections())))
            ada.map("m")["bad"] = 1
            await ada.flush()
            ada.text("t").append("a day of work")
            branch = ada.branch()
            await ada.synced(LIMIT_S)
            assert ada.map("m").to_dict() == {}
            assert str(ada.text("t")) == "a day of work"
            assert branch.frontier == list(ada.frontier)
            (rejection,) = ada.rejections()
            assert rejection is await reported
            assert rejection is ada.rejections()[0]
            assert len(ada.rejections()) == 1
            assert (rejection.keys, rejection.message) == (["m/bad"], "not yours")
            origins = [each.origin for each in feed.take_nowait()]
            assert origins == [Origin.LOCAL, Origin.LOCAL, Origin.ROLLBACK]
        async with at(served.url, ADA, tmp_path / "ada") as ada:
            assert [each.keys for each in ada.rejections()] == [["m/bad"]]
            assert ada.map("m").to_dict() == {}
            assert str(ada.text("t")) == "a day of work"
            assert [each async for each in _ended(ada)] == list(ada.rejections())


async def _ended(doc: Document):  # type: ignore[no-untyped-def]
    feed = aiter(doc.rejections())
    yield await anext(feed)
    await doc.close()
    async for each in feed:
        yield each


async def test_a_branch_below_a_refused_write_does_not_lose_open_edits_silently() -> None:
    model = ModelServer(refuse=refusing("m/bad", "write_forbidden"))
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        await ada.synced(LIMIT_S)
        ada.map("m")["bad"] = 1
        branch = ada.branch(await ada.flush())
        branch.map("m")["open"] = 1
        await ada.synced(LIMIT_S)
        with pytest.raises(errors.BranchError):
            branch.commit()
        branch.discard()
        assert branch.frontier == []


async def test_a_write_that_is_put_off_gets_through_later() -> None:
    model = ModelServer(refuse=refusing("m/k", "clock_ahead", {"retry_after_ms": 30}))
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        await ada.synced(LIMIT_S)
        ada.map("m")["k"] = 1
        await ada.flush()
        await served.until(lambda: any(session.packs for session in model.sessions))
        model.refuse = refuse_nothing
        await ada.synced(LIMIT_S)
        assert model.head == 1
        assert not ada.rejections()


async def test_t43_unknown_messages_and_fields_of_a_newer_server_are_passed_over() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served:
        served.before_welcome = [
            b"\x82\xa4type\xa9telepathy\xa1x\x01",
            encode(Codec.MSGPACK, Notice(drain=Drain(deadline_ms=1, retry_after_ms=1))),
        ]
        async with at(served.url, ADA) as ada:
            await ada.synced(LIMIT_S)
            await served.send_to_all(b"\x83\xa4type\xa4pong\xa3seq\x00\xa6future\xc3")
            await served.send_to_all(b"\x81\xa4type\xa4what")
            ada.map("m")["a"] = 1
            await ada.synced(LIMIT_S)
            assert model.head == 1
            assert len(model.sessions) == 1


async def test_a_connection_that_breaks_is_made_again() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        for index, code in enumerate([1006, 1011, 4001, 1000]):
            await ada.synced(LIMIT_S)
            await served.drop(code)
            ada.map("m")[str(index)] = index
        await ada.synced(LIMIT_S)
        assert model.head == 4
        assert model.nonces == 5


async def test_a_server_that_breaks_the_protocol_is_left_and_tried_again() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        await ada.synced(LIMIT_S)
        await served.send_to_all(
            encode(
                Codec.MSGPACK,
                Pack(lineage=bytes(32), nodes=b"", from_seq=1, to_seq=1),
            )
        )
        await served.until(lambda: model.nonces == 2)
        await ada.synced(LIMIT_S)


async def test_a_close_that_asks_to_stop_stops_with_the_reason() -> None:
    model = ModelServer()
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        await ada.synced(LIMIT_S)
        error = Error(reject_class="unsupported_protocol", message="too old", kind="final")
        await served.send_to_all(encode(Codec.MSGPACK, error))
        await served.drop(4005)
        await phase_of(ada, Phase.STOPPED)
        with pytest.raises(errors.ConnectionStoppedError, match="too old"):
            await ada.synced(LIMIT_S)
        assert model.nonces == 1


@pytest.mark.parametrize("is_draft", [True, False])
async def test_t17_unsent_writes_of_another_key_are_never_left_behind(
    tmp_path: Path, is_draft: bool
) -> None:
    store, port = tmp_path / "store", free_port()
    url = f"ws://127.0.0.1:{port}"
    if not is_draft:
        async with Service(server_config(port)), at(url, ADA, store) as ada:
            await ada.synced(LIMIT_S)
    async with at(url, ADA, store) as ada:
        ada.map("m")["k"] = "ada's"
        await ada.flush()
    with pytest.raises(errors.LocalStoreIdentityError, match="1 unsent nodes"):
        async with at(url, BOB, store):
            pass
    if is_draft:
        with pytest.raises(errors.LocalStoreIdentityError):
            async with at(url, None, store):
                pass
    else:
        async with at(url, None, store) as reader:
            assert reader.map("m")["k"] == "ada's"
    async with at(url, ADA, store) as ada:
        assert ada.map("m")["k"] == "ada's"
        assert len(ada.pending) == 1


@pytest.mark.parametrize("is_served", [False, True])
async def test_flush_waits_for_what_the_loop_has_committed_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_served: bool
) -> None:
    may_write = threading.Event()
    commit = LocalStore._commit

    def held_back(store: LocalStore, batch: Any) -> None:
        assert may_write.wait(LIMIT_S)
        commit(store, batch)

    monkeypatch.setattr(LocalStore, "_commit", held_back)
    port = free_port()
    async with (
        Service(server_config(port)) if is_served else contextlib.nullcontext(),
        at(f"ws://127.0.0.1:{port}", ADA, tmp_path / "store", close_timeout_s=0) as ada,
    ):
        ada.map("m")["k"] = 1
        await asyncio.sleep(0)
        assert len(ada.pending) == 1
        if is_served:
            # The draft's nodes are written anew when the room is met; that must be waited for too.
            await ada.until(lambda status: not status.is_draft, LIMIT_S)
        flushing = asyncio.create_task(ada.flush())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not flushing.done()
        may_write.set()
        assert await flushing == ()
        _, _, nodes = read_nodes(tmp_path / "store")
        assert [node.author for node in nodes] == [ADA.public_key]


async def test_t19_flush_raises_when_the_store_cannot_take_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at("ws://127.0.0.1:1", ADA, tmp_path / "store", close_timeout_s=0) as ada:

        def full(_connection: object, _write: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr("roomlog.client.local_store.apply_write", full)
        ada.map("m")["k"] = 1
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(errors.LocalStoreError, match="full"):
                await ada.flush()
        with pytest.raises(errors.LocalStoreError, match="full"):
            await ada.close()


async def test_one_process_at_a_time_has_a_store(tmp_path: Path) -> None:
    async with at("ws://127.0.0.1:1", ADA, tmp_path / "ada"):
        with pytest.raises(errors.LocalStoreLockedError):
            async with at("ws://127.0.0.1:1", ADA, tmp_path / "ada"):
                pass
    async with at("ws://127.0.0.1:1", ADA, tmp_path / "ada"):
        pass
    with pytest.raises(errors.LocalStoreRoomError):
        async with roomlog.connect("ws://127.0.0.1:1", room="other", store=tmp_path / "ada"):
            pass


async def test_a_store_that_cannot_be_written_stops_the_document_before_anything_is_pushed(
    tmp_path: Path,
) -> None:
    model = ModelServer()
    async with ModelSocket(model) as served:
        doc = at(served.url, ADA, tmp_path / "ada")
        await doc.__aenter__()
        await doc.synced(LIMIT_S)
        store = doc._store
        assert store is not None
        store._connection.execute("PRAGMA max_page_count = 1")
        doc.text("t").append("x" * 200_000)
        with pytest.raises(errors.LocalStoreError):
            await doc.flush()
        await phase_of(doc, Phase.STOPPED)
        with pytest.raises(errors.LocalStoreError):
            await doc.synced(LIMIT_S)
        assert model.head == 0
        assert len(doc.text("t")) == 200_000
        with pytest.raises(errors.LocalStoreError):
            await doc.close()
