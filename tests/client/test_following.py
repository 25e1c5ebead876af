"""Anchors, attribution, undo and named versions of documents, over real and model servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import roomlog
import roomlog.sync
from roomlog import Identity, SavedAnchor, errors
from roomlog.core.named_versions import NamedVersion, value_of_version
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.model_server import ModelServer
from tests.client.model_socket import ModelSocket
from tests.client.server_process import ServerProcess, free_port
from tests.client.test_document import LIMIT_S, agree, opened
from tests.client.test_document_offline import at
from tests.client.test_engine import refusing


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    process = ServerProcess("")
    process.start()
    yield process
    process.stop()


# Anchors and attribution


async def test_anchors_follow_everybody_and_are_found_again_elsewhere(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        ada.text("t").append("hello world")
        await agree(ada, bob)
        anchor = bob.text("t").anchor(6, "left")
        ada.text("t").insert(0, "oh, ")
        bob.text("t").append("!")
        saved = anchor.save()
        await agree(ada, bob)
        assert (anchor.position, anchor.side, anchor.key) == (10, "left", "t")
        found = ada.text("t").resolve(SavedAnchor.from_value(saved.to_value()))
        assert found.position == 10
        assert repr(found) == "DocumentAnchor('t', 10, 'left')"
        with pytest.raises(IndexError):
            ada.text("t").anchor(99)


async def test_attribution_names_everybody(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        ada.text("t").append("hello")
        await agree(ada, bob)
        with ada.text("t").watch_attribution() as live:
            assert len(live.runs()) == 1
            bob.text("t").insert(2, "--")
            await agree(ada, bob)
            runs = live.runs()
            assert runs == ada.text("t").attribution() == bob.text("t").attribution()
            assert [(run.start, run.length, run.author) for run in runs] == [
                (0, 2, ADA.public_key),
                (2, 2, BOB.public_key),
                (4, 3, ADA.public_key),
            ]


async def test_branches_and_transactions_say_what_they_cannot_do(service: Service) -> None:
    async with opened(service) as ada:
        ada.text("t").append("abc")
        branch = ada.branch()
        with pytest.raises(errors.BranchError):
            branch.text("t").anchor(0)
        with pytest.raises(errors.BranchError):
            branch.text("t").attribution()
        with pytest.raises(errors.BranchError):
            branch.committed()
        anchor = ada.text("t").anchor(1)
        undo = ada.undo_manager()
        async with ada.transaction():
            ada.text("t").insert(0, "x")
            assert anchor.position == 2
            for refused in (anchor.save, undo.undo, undo.redo, ada.undo_manager):
                with pytest.raises(errors.TransactionError):
                    refused()
            with pytest.raises(errors.TransactionError):
                ada.versions.save("v")
            with undo.group():
                ada.text("t").insert(0, "y")
            assert not undo.can_undo
        assert undo.undo()
        assert str(ada.text("t")) == "abc"


# Replicas that are replaced


async def test_a_draft_keeps_its_anchors_and_its_undo_when_the_room_is_met() -> None:
    port = free_port()
    async with at(f"ws://127.0.0.1:{port}", ADA) as ada:
        undo = ada.undo_manager(group_ms=0)
        ada.text("t").append("kept")
        await ada.flush()
        with undo.group():
            ada.text("t").append(" and undone")
            ada.counter("c").add(3)
            ada.list("l").append("item")
        anchor = ada.text("t").anchor(2)
        before = ada.replica
        async with Service(server_config(port)):
            await ada.synced(LIMIT_S)
            assert ada.replica is not before
            ada.text("t").insert(0, "-")
            assert anchor.position == 3
            ada.text("t").delete(0, 1)
            await ada.flush()
            assert undo.undo()
            assert undo.undo()
            assert str(ada.text("t")) == "kept"
            assert (ada.counter("c").value, ada.list("l").to_list()) == (0, [])
            assert undo.redo()
            assert (ada.counter("c").value, ada.list("l").to_list()) == (3, ["item"])
            await ada.synced(LIMIT_S)


async def test_what_was_refused_is_no_step_and_moves_no_anchor() -> None:
    model = ModelServer(refuse=refusing("m/bad", "write_forbidden"))
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        await ada.synced(LIMIT_S)
        undo = ada.undo_manager(group_ms=0)
        ada.text("t").append("good")
        await ada.flush()
        async with ada.transaction():
            ada.map("m")["bad"] = 1
            ada.text("u").append("text of the refused node")
            ada.text("t").insert(0, "BAD ")
            ada.counter("c").add(5)
        ada.text("t").append(" more")
        ada.counter("d").add(2)
        anchor = ada.text("t").anchor(6)
        await ada.synced(LIMIT_S)
        assert str(ada.text("t")) == "good more"
        assert anchor.position == 2
        assert undo.undo()
        assert (str(ada.text("t")), ada.counter("d").value) == ("good", 0)
        assert undo.undo()
        assert (str(ada.text("t")), str(ada.text("u"))) == ("", "")
        assert not undo.undo()
        assert ada.counter("c").value == 0
        assert undo.redo()
        assert undo.redo()
        assert (str(ada.text("t")), ada.counter("d").value) == ("good more", 2)


# Undo


async def test_undo_takes_back_its_scope_and_leaves_the_work_of_others(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        bob.text("t").append("of bob")
        bob.map("m")["k"] = "bob"
        await agree(ada, bob)
        undo = ada.undo_manager(scope=[ada.text("t"), ada.map("m"), "a"], group_ms=0)
        async with ada.transaction():
            ada.text("t").insert(2, " ada and")
            ada.map("m")["k"] = "ada"
            ada.map("a")["b"] = 1
            ada.map("n")["k"] = "outside"
            ada.text("a").append("inside")
        await agree(ada, bob)
        bob.text("t").insert(3, "[")
        bob.text("t").delete(0, 3)
        bob.map("m")["k"] = "bob again"
        await agree(ada, bob)
        assert undo.can_undo
        assert undo.undo()
        assert not undo.can_undo
        await agree(ada, bob)
        assert str(bob.text("t")) == "[ bob"
        assert bob.map("").to_dict() == {"m/k": "bob again", "n/k": "outside"}
        assert str(bob.text("a")) == ""
        assert undo.can_redo
        ada.text("t").append("!")
        assert not undo.can_redo
        undo.clear()
        assert not undo.undo()
        undo.close()
        undo.close()
        ada.text("t").append("?")
        with pytest.raises(errors.RoomlogError, match="closed"):
            undo.undo()


async def test_steps_are_grouped_by_time_or_by_hand(service: Service) -> None:
    async with opened(service) as ada:
        for group_ms, steps in ((0, 3), (3_600_000, 1)):
            undo = ada.undo_manager(group_ms=group_ms)
            for letter in "abc":
                ada.text("t").append(letter)
                await ada.flush()
                await asyncio.sleep(0.002)
            count = 0
            while undo.undo():
                count += 1
            assert count == steps
            assert str(ada.text("t")) == ""
            undo.close()
        undo = ada.undo_manager(group_ms=0)
        with undo.group():
            for letter in "abc":
                ada.text("t").append(letter)
                await ada.flush()
                await asyncio.sleep(0.002)
        assert undo.undo()
        assert str(ada.text("t")) == ""


async def test_a_scope_of_nothing_sensible_is_refused(service: Service) -> None:
    async with opened(service) as ada:
        scope: list[Any] = [3]
        with pytest.raises(errors.InvalidTypeError, match="scope"):
            ada.undo_manager(scope=scope)
        with pytest.raises(errors.InvalidValueError, match="group_ms"):
            ada.undo_manager(group_ms=-1)
    async with opened(service, None) as eve:
        with pytest.raises(errors.ReadOnlyError):
            eve.undo_manager()


# Named versions


async def test_named_versions_are_shared(service: Service) -> None:
    async with opened(service) as ada, opened(service, BOB) as bob:
        assert ada.versions.list() == []
        await agree(ada, bob)
        ada.text("t").append("first")
        saved = ada.versions.save("one", "a note")
        ada.text("t").append(", second")
        await agree(ada, bob)
        bob.versions.save("two")
        await agree(ada, bob)
        assert [each.name for each in ada.versions.list()] == ["one", "two"]
        assert bob.versions.get("one") == saved
        assert (saved.note, saved.author) == ("a note", ADA.public_key)
        assert str(bob.versions.open("one").text("t")) == "first"
        assert str(bob.versions.open("two").text("t")) == "first, second"
        assert "one" not in bob.versions.open("one").map("@versions")
        assert str(bob.branch(saved.frontier).text("t")) == "first"
        bob.versions.delete("one")
        await agree(ada, bob)
        for missing in (ada.versions.get, ada.versions.open, ada.versions.delete):
            with pytest.raises(errors.UnknownVersionError, match="no version is named 'one'"):
                missing("one")
        assert "@versions/two" in ada.state()["maps"]


async def test_bad_names_and_notes_are_refused(service: Service) -> None:
    async with opened(service) as ada:
        name: Any
        for name in ("", "a/b", "a\0", "é" * 129, "\ud800"):
            for use in (ada.versions.save, ada.versions.get, ada.versions.delete):
                with pytest.raises(errors.InvalidValueError):
                    use(name)
        for name in (None, 3, b"x"):
            with pytest.raises(errors.InvalidTypeError):
                ada.versions.save(name)
        note: Any
        for note in ("x" * 4097, "\ud800"):
            with pytest.raises(errors.InvalidValueError, match="note"):
                ada.versions.save("v", note)
        note = 3
        with pytest.raises(errors.InvalidTypeError, match="note"):
            ada.versions.save("v", note)
        assert len(ada.replica) == 0
    async with opened(service, None) as eve:
        with pytest.raises(errors.ReadOnlyError):
            eve.versions.save("v")


async def test_handles_do_not_write_among_the_versions(service: Service) -> None:
    async with opened(service) as ada:
        ada.versions.save("v")
        for key, handle in (("v", ada.map("@versions")), ("@versions/v", ada.map(""))):
            assert handle[key]
            with pytest.raises(errors.InvalidValueError, match="versions"):
                handle[key] = 1
            with pytest.raises(errors.InvalidValueError, match="versions"):
                del handle[key]
            with pytest.raises(errors.InvalidValueError, match="versions"):
                handle.set_blob(key, bytes(32), 1, "a/b")
        ada.map("@version")["v"] = 1
        # Another client may write anything there: it is no version.
        ada.replica.map("@versions")["junk"] = [1, 2, 3]
        await ada.flush()
        assert [each.name for each in ada.versions.list()] == ["v"]
        with pytest.raises(errors.UnknownVersionError):
            ada.versions.get("junk")
        undo = ada.undo_manager()
        ada.versions.save("w")
        assert not undo.undo()


async def test_a_version_keeps_to_what_the_server_took_of_it() -> None:
    model = ModelServer(refuse=refusing("m/bad", "write_forbidden"))
    async with ModelSocket(model) as served, at(served.url, ADA) as ada:
        ada.text("t").append("a draft")
        before = ada.versions.save("draft")
        await ada.synced(LIMIT_S)
        assert ada.versions.get("draft").frontier != before.frontier
        assert str(ada.versions.open("draft").text("t")) == "a draft"
        ada.map("m")["good"] = 1
        await ada.flush()
        ada.map("m")["bad"] = 1
        ada.versions.save("both")
        await ada.synced(LIMIT_S)
        assert ada.versions.open("both").map("m").to_dict() == {"good": 1}


async def test_a_version_of_nodes_that_are_not_here_says_so(service: Service) -> None:
    async with opened(service) as ada:
        version = NamedVersion("v", (bytes(32),), ADA.public_key, 0, "")
        ada.replica.map("@versions")["v"] = value_of_version(version)
        assert ada.versions.get("v") == version
        with pytest.raises(errors.UnknownNodeError):
            ada.versions.open("v")


# Without async


def test_scripts_have_the_same(server: ServerProcess) -> None:
    def sync_opened(identity: Identity) -> roomlog.sync.SyncDocument:
        return roomlog.sync.connect(server.url, room="following", identity=identity)

    with sync_opened(ADA) as ada, sync_opened(BOB) as bob:
        undo = ada.undo_manager(scope=[ada.text("t"), ada.map("m"), ada.counter("c")])
        with undo.group():
            ada.text("t").append("hello")
            ada.map("m")["k"] = 1
            ada.counter("c").add(1)
            ada.list("l").append("outside")
        assert ada.list("l").place[1] == "l"
        anchor = ada.text("t").anchor(2, "left")
        saved = anchor.save()
        assert (saved.position, saved.side) == (anchor.position, anchor.side) == (2, "left")
        assert repr(anchor) == "SyncAnchor('t', 2, 'left')"
        ada.versions.save("v", "note")
        ada.synced(LIMIT_S)
        bob.synced(LIMIT_S)
        # What was saved in a draft had other ids.
        saved = anchor.save()
        assert bob.text("t").resolve(saved).position == 2
        assert [run.author for run in bob.text("t").attribution()] == [ADA.public_key]
        with bob.text("t").watch_attribution() as live:
            assert live.runs() == bob.text("t").attribution()
        assert [each.name for each in bob.versions.list()] == ["v"]
        assert bob.versions.get("v").note == "note"
        assert str(bob.versions.open("v").text("t")) == "hello"
        assert (undo.can_undo, undo.can_redo) == (True, False)
        assert undo.undo()
        assert ada.state()["counters"] == {"c": 0}
        assert str(ada.text("t")) == ""
        assert ada.list("l").to_list() == ["outside"]
        assert undo.redo()
        assert str(ada.text("t")) == "hello"
        undo.clear()
        assert not undo.undo()
        undo.close()
        ada.versions.delete("v")
        assert ada.versions.list() == []
