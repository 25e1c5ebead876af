"""The blocking facade, from several threads, over a server in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import roomlog.sync
from roomlog import Identity, errors
from roomlog.client.changes import ChangeKind
from roomlog.sync import SyncDocument
from tests.client.conftest import ADA, BOB
from tests.client.server_process import ServerProcess

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


def opened(server: ServerProcess, room: str, identity: Identity | None = ADA) -> SyncDocument:
    return roomlog.sync.connect(server.url, room=room, identity=identity)


def test_two_scripts_share_a_room(server: ServerProcess) -> None:
    with opened(server, "share") as ada, opened(server, "share", BOB) as bob:
        ada.map("users")["ada"] = {"age": 36}
        ada.counter("votes").add(2)
        ada.list("todo").extend(["a", "b"])
        ada.text("notes").append("hello")
        ada.synced(LIMIT_S)
        bob.synced(LIMIT_S)
        assert bob.map("users").to_dict() == {"ada": {"age": 36}}
        assert bob.counter("votes").value == 2
        assert bob.list("todo").to_list() == ["a", "b"]
        assert str(bob.text("notes")) == "hello"
        assert bob.state_hash() == ada.state_hash()
        assert bob.frontier == ada.frontier
        assert bob.pending == ()
        assert bob.state()["counters"] == {"votes": 2}
        assert bob.status.pending_nodes == 0
        assert bob.rejections() == ()
        assert bob.export()
        changes = bob.changes(timeout_s=LIMIT_S)
        ada.text("notes").insert(5, "!")
        ids = ada.flush()
        bob.wait_for(ids, LIMIT_S)
        change = next(changes)
        assert (change.kind, change.key) == (ChangeKind.TEXT, "notes")
        assert list(bob.changes(timeout_s=0.01)) == []


def test_handles_read_like_the_asynchronous_ones(server: ServerProcess) -> None:
    with opened(server, "handles") as ada:
        users = ada.map("users")
        users["a"] = 1
        users["b"] = 2
        users.set_blob("file", bytes(32), 3, "text/plain")
        del users["a"]
        assert ("b" in users, "a" in users, len(users), list(users)) == (
            True, False, 2, ["b", "file"]
        )  # fmt: skip
        assert (users["b"], users.get("x", 7), users.get("b", canonical=False)) == (2, 7, 2)
        assert "SyncMap" in repr(users)
        votes = ada.counter("votes")
        votes.add()
        assert (int(votes), repr(votes)) == (1, "SyncCounter(1)")
        todo = ada.list("todo")
        todo.append("a")
        todo.insert(0, "b")
        todo.move(0, 1)
        todo.update(0, "A")
        todo[1] = "B"
        assert (list(todo), todo[0], len(todo), repr(todo)) == (
            ["A", "B"], "A", 2, "SyncList(['A', 'B'])"
        )  # fmt: skip
        del todo[0]
        todo.delete(0)
        assert todo.to_list() == []
        text = ada.text("t")
        text.append("abc")
        text.insert(0, "x")
        text.delete(0)
        text.replace(0, 1, "A")
        assert (text.get(), text[0], len(text), repr(text)) == (
            "Abc", "A", 3, "SyncText('Abc')"
        )  # fmt: skip
        with pytest.raises(IndexError):
            text.insert(9, "x")
        ada.synced(LIMIT_S)
        assert users.get("b", canonical=True) == 2


def test_a_transaction_belongs_to_its_thread(server: ServerProcess) -> None:
    with opened(server, "transactions") as ada:
        before = len(ada.frontier)
        assert before == 0
        other: list[BaseException] = []

        def write_beside() -> None:
            try:
                ada.map("m")["other"] = 1
            except errors.TransactionError as error:
                other.append(error)

        with ada.transaction():
            ada.map("m")["a"] = 1
            thread = threading.Thread(target=write_beside)
            thread.start()
            thread.join()
            ada.counter("c").add(1)
            with pytest.raises(errors.TransactionError), ada.transaction():
                pass
        assert len(other) == 1
        assert ada.map("m").to_dict() == {"a": 1}
        assert len(ada.frontier) == 1

        def fail() -> None:
            with ada.transaction():
                ada.map("m")["a"] = 2
                raise LookupError("no")

        with pytest.raises(LookupError):
            fail()
        assert ada.map("m").to_dict() == {"a": 1}
        ada.map("m")["b"] = 1
        ada.synced(LIMIT_S)


def test_threads_may_share_a_document(server: ServerProcess) -> None:
    with opened(server, "threads") as ada:

        def count() -> None:
            for _ in range(20):
                ada.counter("c").add(1)
                with ada.transaction():
                    ada.counter("d").add(1)

        def count_in_transactions() -> None:
            for _ in range(20):
                with ada.transaction():
                    ada.counter("d").add(1)
                    ada.counter("d").add(1)

        threads = [threading.Thread(target=count_in_transactions) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count()
        assert ada.counter("d").value == 140
        ada.synced(LIMIT_S)


def test_a_document_that_is_not_open_says_so(server: ServerProcess) -> None:
    doc = opened(server, "closed")
    with pytest.raises(errors.DocumentClosedError):
        doc.map("m")
    with doc:
        handle = doc.map("m")
        handle["a"] = 1
    with pytest.raises(errors.DocumentClosedError):
        handle["a"] = 2
    with pytest.raises(errors.DocumentClosedError):
        doc.synced()
    with pytest.raises(errors.DocumentClosedError), doc:
        pass
    with pytest.raises(ValueError, match="room_id"), opened(server, "no such id"):
        pass


def test_scripts_see_who_is_there_and_talk_to_one(server: ServerProcess) -> None:
    with opened(server, "company") as ada, opened(server, "company", BOB) as bob:
        ada.synced(LIMIT_S)
        bob.synced(LIMIT_S)
        came = bob.presence.changes(timeout_s=LIMIT_S)
        ada.presence.set({"at": 1})
        assert next(came).shown.data == {"at": 1}
        assert [each.data for each in bob.presence.others().values()] == [{"at": 1}]
        assert ada.presence.own == {"at": 1}
        ada.presence.clear()
        assert next(came).is_gone
        (peer,) = bob.peers.all()
        assert peer.pubkey == ADA.public_key
        heard = ada.signals(timeout_s=LIMIT_S)
        bob.signal(peer, "hello")
        assert next(heard).data == "hello"
        assert heard.dropped == 0
        assert list(bob.signals(timeout_s=0.01)) == []
        assert list(bob.peers.changes(timeout_s=0.01)) == []


def test_scripts_choose_their_keys_and_wait_for_history(server: ServerProcess) -> None:
    with opened(server, "keys") as ada:
        ada.map("m")["k"] = 1
        ada.text("t").append("text")
        ada.synced(LIMIT_S)
        with roomlog.sync.connect(
            server.url, room="keys", identity=BOB, subscribe=iter(["m/*"]), capabilities=iter([])
        ) as bob:
            assert bob.patterns == ("m/*",)
            bob.synced(LIMIT_S)
            assert bob.state()["texts"] == {}
        with opened(server, "keys", BOB) as bob:
            bob.subscribe(iter(["t"]), LIMIT_S)
            bob.synced(LIMIT_S)
            assert bob.state()["texts"] == {"t": "text"}
            bob.history(LIMIT_S)
            with pytest.raises(TypeError):
                bob.subscribe("t")
