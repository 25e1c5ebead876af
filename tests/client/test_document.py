"""Documents over a real server: sharing, flushing, transactions, feeds, branches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import roomlog
from roomlog import errors
from roomlog.client.changes import ChangeKind, Origin
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.core.state_hash import StateHash
from roomlog.protocol.codec import Codec
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB

LIMIT_S = 20.0


def opened(service: Service, identity: roomlog.Identity | None = ADA, **more: object) -> Document:
    return roomlog.connect(service.url, room="demo", identity=identity, **more)  # type: ignore[arg-type]


async def agree(*docs: Document) -> StateHash:
    for doc in docs:
        await doc.synced(LIMIT_S)
    for doc in docs:
        await doc.synced(LIMIT_S)
    first = docs[0].state_hash()
    assert first.complete
    for doc in docs:
        assert doc.state_hash() == first
        assert doc.state() == docs[0].state()
    return first


@pytest.mark.parametrize("codec", list(Codec))
async def test_t14_everything_that_one_writes_the_other_reads(
    service: Service, codec: Codec
) -> None:
    async with opened(service) as ada, opened(service, BOB, codec=codec) as bob:
        ada.map("users")["ada"] = {"age": 36}
        ada.map("users")["gone"] = 1
        del ada.map("users")["gone"]
        ada.counter("votes").add(2)
        ada.list("todo").extend(["a", "c"])
        ada.list("todo").insert(1, "b")
        ada.list("todo").move(0, 2)
        ada.text("notes").append("hello wörld 👋")
        before = await agree(ada, bob)
        assert bob.map("users").to_dict() == {"ada": {"age": 36}}
        assert bob.counter("votes").value == 2
        assert bob.list("todo") == ["b", "c", "a"]
        assert bob.text("notes") == "hello wörld 👋"
        bob.counter("votes").add(-1)
        bob.list("todo")[0] = "B"
        bob.text("notes").replace(0, 5, "HELLO")
        # A change of any kind changes the hash.
        assert await agree(ada, bob) != before
        assert ada.list("todo").to_list() == ["B", "c", "a"]
        assert ada.state()["texts"] == {"notes": "HELLO wörld 👋"}


async def test_t12_an_insert_beside_a_concurrently_deleted_character_stays_in_place(
    service: Service,
) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        ada.text("t").append("abcdef")
        await agree(ada, bob)
        ada.text("t").delete(2, 2)
        bob.text("t").insert(3, "X")
        await agree(ada, bob)
        assert str(ada.text("t")) == "abXef"


async def test_t11_a_delete_up_to_the_end_takes_only_what_its_author_saw(
    service: Service,
) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        ada.text("t").append("abc")
        await agree(ada, bob)
        ada.text("t").delete(1, 2)
        bob.text("t").append("def")
        await agree(ada, bob)
        assert str(bob.text("t")) == "adef"


async def test_edits_of_one_turn_of_the_loop_are_one_node(service: Service) -> None:
    async with opened(service) as ada:
        await ada.synced(LIMIT_S)
        ada.map("m")["a"] = 1
        ada.counter("c").add(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(ada.replica) == 1
        ada.map("m")["b"] = 1
        ids = await ada.flush()
        assert len(ids) == 1
        assert ada.frontier == ids
        assert await ada.flush() == ()
        await ada.synced(LIMIT_S)
        assert not ada.is_pending(ids[0])
        assert ada.status.phase is Phase.LIVE
        assert ada.status.seq == 2


async def test_an_edit_that_cannot_be_valid_raises_and_changes_nothing(service: Service) -> None:
    async with opened(service) as ada:
        with pytest.raises(ValueError, match="one path segment"):
            ada.map("m")["a/b"] = 1
        with pytest.raises(TypeError):
            ada.map("m")["a"] = {1, 2}
        with pytest.raises(IndexError):
            ada.text("t").insert(1, "x")
        with pytest.raises(TypeError, match="slices"):
            ada.list("l")[0:1] = [1]
        with pytest.raises(TypeError, match="slices"):
            del ada.list("l")[0:1]
        with pytest.raises(ValueError, match="empty segment"):
            ada.map("a//b")
        assert await ada.flush() == ()


async def test_a_transaction_is_one_node_and_nothing_remote_comes_in_between(
    service: Service,
) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        await agree(ada, bob)
        async with ada.transaction():
            ada.map("m")["a"] = 1
            bob.map("m")["bob"] = 1
            await bob.synced(LIMIT_S)
            # Bob's node is on its way; Ada does not see it before the end of the block.
            await asyncio.sleep(0.05)
            assert "bob" not in ada.map("m")
            assert not ada.state_hash().complete
            ada.map("m")["b"] = 2
            with pytest.raises(errors.TransactionError):
                await ada.flush()
            with pytest.raises(errors.TransactionError):
                await ada.synced()
            with pytest.raises(errors.TransactionError):
                async with ada.transaction():
                    pass
        await agree(ada, bob)
        nodes = [node for node in ada.replica.nodes() if node.author == ADA.public_key]
        assert [len(node.operations()) for node in nodes] == [2]
        assert ada.map("m").to_dict() == {"a": 1, "b": 2, "bob": 1}


async def test_a_transaction_that_raises_leaves_nothing(service: Service) -> None:
    async with opened(service) as ada:
        ada.map("m")["kept"] = 1

        async def fail() -> None:
            async with ada.transaction() as doc:
                doc.map("m")["a"] = 1
                del doc.map("m")["kept"]
                raise LookupError("no")

        with pytest.raises(LookupError):
            await fail()
        assert ada.map("m").to_dict() == {"kept": 1}
        await ada.synced(LIMIT_S)
        assert len(ada.replica) == 1


async def test_other_tasks_wait_for_a_transaction_or_are_told(service: Service) -> None:
    async with opened(service) as ada:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def long() -> None:
            async with ada.transaction():
                ada.map("m")["long"] = 1
                inside.set()
                await leave.wait()

        async def other() -> None:
            async with ada.transaction():
                ada.map("m")["other"] = 1

        first = asyncio.create_task(long())
        await inside.wait()
        with pytest.raises(errors.TransactionError):
            ada.map("m")["outside"] = 1
        with pytest.raises(errors.TransactionError):
            ada.branch([]).map("m")["branch"] = 1
        second = asyncio.create_task(other())
        flushing = asyncio.create_task(ada.flush())
        await asyncio.sleep(0)
        assert not flushing.done()
        leave.set()
        await asyncio.gather(first, second, flushing)
        assert ada.map("m").to_dict() == {"long": 1, "other": 1}
        assert len(ada.replica) == 2


async def test_transactions_of_two_documents_nest(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        async with ada.transaction(), bob.transaction():
            ada.map("m")["a"] = 1
            bob.map("m")["b"] = 1
        await agree(ada, bob)
        assert ada.map("m").to_dict() == {"a": 1, "b": 1}


async def test_changes_tell_what_whose_and_from_where(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        await agree(ada, bob)
        feed = ada.changes()
        ada.map("m")["a"] = 1
        await agree(ada, bob)
        bob.text("notes").append("hi")
        bob.counter("c").add(1)
        bob.list("l").append(1)
        await agree(ada, bob)
        changes = [await anext(feed) for _ in range(4)]
        assert [(each.kind, each.key, each.origin) for each in changes] == [
            (ChangeKind.MAP, "m/a", Origin.LOCAL),
            (ChangeKind.COUNTER, "c", Origin.REMOTE),
            (ChangeKind.LIST, "l", Origin.REMOTE),
            (ChangeKind.TEXT, "notes", Origin.REMOTE),
        ]
        assert changes[0].authors == {ADA.public_key}
        assert changes[3].authors == {BOB.public_key}
        assert feed.take_nowait() == []
    assert [each async for each in feed] == []
    assert [each async for each in ada.changes()] == []


async def test_a_consumer_that_is_too_slow_is_told_to_read_again(service: Service) -> None:
    async with opened(service) as ada:
        feed = ada.changes(queue_changes=3)
        for index in range(10):
            ada.map("m")[str(index)] = index
            await ada.flush()
        kinds = [each.kind for each in feed.take_nowait()]
        assert kinds[0] is ChangeKind.RESYNC
        assert len(kinds) <= 3
        ada.map("m")["more"] = 1
        await ada.flush()
        assert (await anext(feed)).key == "m/more"


async def test_an_anonymous_document_reads_only(service: Service) -> None:
    async with opened(service) as ada:
        ada.map("m")["a"] = 1
        await ada.synced(LIMIT_S)
        async with opened(service, None) as eve:
            await eve.synced(LIMIT_S)
            assert eve.map("m")["a"] == 1
            assert eve.status.is_proven
            with pytest.raises(errors.ReadOnlyError):
                eve.map("m")["a"] = 2
            with pytest.raises(errors.ReadOnlyError):
                eve.branch()
            ada.map("m")["a"] = 3
            await ada.synced(LIMIT_S)
            await eve.synced(LIMIT_S)
            assert eve.map("m")["a"] == 3


async def test_an_anonymous_document_of_a_room_that_does_not_exist_stops(
    service: Service,
) -> None:
    async with opened(service, None) as eve:
        with pytest.raises(errors.ConnectionStoppedError) as stopped:
            await eve.synced(LIMIT_S)
        assert stopped.value.reject_class == "room_not_found"
        assert eve.status.phase is Phase.STOPPED
        with pytest.raises(errors.ConnectionStoppedError):
            await eve.wait_for([bytes(32)], LIMIT_S)


async def test_a_branch_writes_on_exactly_its_frontier(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        ada.text("t").append("base")
        base = await ada.flush()
        ada.text("t").append(" main")
        (main,) = await ada.flush()
        branch = ada.branch(base)
        assert str(branch.text("t")) == "base"
        branch.text("t").append(" branch")
        branch.map("m")["k"] = 1
        branch.counter("c").add(1)
        branch.list("l").append(1)
        (written,) = branch.commit()
        assert ada.replica.node(written).parents == base
        assert branch.frontier == [written]
        assert branch.state()["texts"] == {"t": "base branch"}
        assert branch.commit() == ()
        branch.merge([main])
        assert branch.frontier == sorted([written, main])
        assert branch.state_hash() == ada.state_hash()
        branch.text("t").append("!")
        branch.discard()
        branch.text("t").append("?")
        branch.merge([main])
        assert len(ada.frontier) == 1
        await agree(ada, bob)
        assert str(bob.text("t")).endswith("?")
        here = ada.branch()
        assert tuple(here.frontier) == ada.frontier
        assert here.map("m").get("k", canonical=True) == 1
        with pytest.raises(errors.UnknownNodeError):
            ada.branch([bytes(32)])


async def test_canonical_reads_show_only_what_the_server_has() -> None:
    async with roomlog.connect(
        "ws://127.0.0.1:1", room="demo", identity=ADA, close_timeout_s=0
    ) as ada:
        ada.map("m")["a"] = 1
        ada.text("t").append("x")
        ada.counter("c").add(1)
        ada.list("l").append(1)
        assert ada.map("m").get("a", "none", canonical=True) == "none"
        await ada.flush()
        assert ada.map("m").get("a") == 1
        assert ada.map("m").get("a", canonical=True) is None
        assert ada.text("t").get(canonical=True) == ""
        assert ada.counter("c").get(canonical=True) == 0
        assert ada.list("l").to_list(canonical=True) == []
        assert ada.status.pending_nodes == 1
        assert ada.status.is_draft
        with pytest.raises(errors.UnsentChangesError) as unsent:
            await ada.close()
    assert unsent.value.node_count == 1
    saved = roomlog.Replica("demo", None, ada.replica.lineage)
    assert len(saved.import_pack(unsent.value.pack_file).accepted) == 1
    assert saved.map("m")["a"] == 1


async def test_what_ends_the_block_is_not_hidden_by_what_was_not_sent() -> None:
    async def fail() -> None:
        async with roomlog.connect(
            "ws://127.0.0.1:1", room="demo", identity=ADA, close_timeout_s=0
        ) as ada:
            ada.map("m")["a"] = 1
            raise LookupError("no")

    with pytest.raises(LookupError):
        await fail()


async def test_an_identity_may_be_a_file(service: Service, tmp_path: Path) -> None:
    for _ in range(2):
        async with roomlog.connect(service.url, room="demo", identity=tmp_path / "ada.key") as ada:
            ada.counter("c").add(1)
            await ada.synced(LIMIT_S)
    assert ada.counter("c").value == 2
    assert len({node.author for node in ada.replica.nodes()}) == 1


async def test_canonical_reads_follow_acknowledgments(service: Service) -> None:
    async with opened(service) as ada:
        ada.map("m")["a"] = 1
        await ada.synced(LIMIT_S)
        assert ada.map("m").get("a", canonical=True) == 1
        assert ada.text("t").get(canonical=True) == ""
        ada.map("m")["a"] = 2
        assert ada.map("m").get("a", canonical=True) == 1
        await ada.synced(LIMIT_S)
        assert ada.map("m").get("a", canonical=True) == 2


async def test_waiting_for_a_node_that_somebody_else_writes(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        await agree(ada, bob)
        ada.map("m")["a"] = 1
        ids = await ada.flush()
        await bob.wait_for(ids, LIMIT_S)
        assert bob.map("m")["a"] == 1
        with pytest.raises(TimeoutError):
            await bob.wait_for([bytes(32)], 0.05)


async def test_handles_read_like_plain_values(service: Service) -> None:
    async with opened(service) as ada:
        users = ada.map("users")
        users.update({"a": 1, "b": 2})
        users.set_blob("file", bytes(32), 3, "text/plain")
        assert "a" in users
        assert sorted(users) == ["a", "b", "file"]
        assert len(users) == 3
        assert users.pop("a") == 1
        assert "DocumentMap('users'" in repr(users)
        votes = ada.counter("votes")
        votes.add()
        assert (int(votes), [0, 1][votes], repr(votes)) == (1, 1, "DocumentCounter('votes', 1)")
        todo = ada.list("todo")
        todo.append("a")
        todo.update(0, "b")
        assert (todo[-1], todo[0:1], list(todo), len(todo)) == ("b", ["b"], ["b"], 1)
        assert todo == ada.list("todo")
        assert todo != 3
        assert repr(todo) == "DocumentList('todo', ['b'])"
        todo.delete(0)
        todo.append("x")
        del todo[0]
        assert todo.to_list() == []
        text = ada.text("text")
        text.insert(0, "abc")
        assert (text[0], text[1:], len(text)) == ("a", "bc", 3)
        assert text == ada.text("text")
        assert repr(text) == "DocumentText('text', 'abc')"
        assert ada.conflicts() == ()
        await ada.flush()
        assert str(ada.at(ada.frontier).text("text")) == "abc"


async def test_a_closed_document_says_so(service: Service) -> None:
    doc = opened(service)
    with pytest.raises(errors.DocumentClosedError):
        doc.map("m")["a"] = 1
    with pytest.raises(errors.DocumentClosedError):
        await doc.synced()
    assert doc.status.phase is Phase.CLOSED
    await doc.close()
    async with doc:
        doc.map("m")["a"] = 1
    with pytest.raises(errors.DocumentClosedError):
        doc.map("m")["a"] = 1
    with pytest.raises(errors.DocumentClosedError):
        await doc.wait_for([bytes(32)])
    with pytest.raises(errors.DocumentClosedError):
        async with doc:
            pass
    # What was open at the end of the block was pushed.
    async with opened(service, BOB) as bob:
        await bob.synced(LIMIT_S)
        assert bob.map("m")["a"] == 1
    assert doc.map("m")["a"] == 1
    assert doc.export()


async def test_closing_wakes_those_who_wait(service: Service) -> None:
    doc = opened(service)
    async with doc:
        await doc.synced(LIMIT_S)
        waiting = asyncio.create_task(doc.wait_for([bytes(32)]))
        await asyncio.sleep(0)
    with pytest.raises(errors.DocumentClosedError):
        await waiting


@pytest.mark.parametrize("room", [".", "..", "...", "~", "-_.~"])
async def test_every_room_id_can_be_dialled(service: Service, room: str) -> None:
    async with roomlog.connect(service.url, room=room, identity=ADA) as ada:
        ada.map("m")["k"] = room
        await ada.synced(LIMIT_S)
    assert room in service.hub.registry.rooms


def test_arguments_of_connect_are_checked() -> None:
    for url in ("ftp://host", "ws://", "ws://host:99999", "ws://host/?a=1", "ws://user@host"):
        with pytest.raises(ValueError, match="url"):
            roomlog.connect(url, room="demo")
    with pytest.raises(ValueError, match="room_id"):
        roomlog.connect("ws://host", room="a b")
    with pytest.raises(ValueError, match="server_key"):
        roomlog.connect("ws://host", room="demo", server_key=b"short")
    with pytest.raises(TypeError, match="identity"):
        roomlog.connect("ws://host", room="demo", identity=5)  # type: ignore[arg-type]
    for name in ("identity", "store"):
        with pytest.raises(ValueError, match=f"{name}: '' names no file"):
            roomlog.connect("ws://host", room="demo", **{name: ""})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label"):
        roomlog.connect("ws://host", room="demo", label="x" * 129)
