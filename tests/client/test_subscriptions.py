"""Documents that hold some keys only: the same state as everybody's for those, at all times."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import roomlog
from roomlog import errors
from roomlog.client.document import Document
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.server_process import free_port

LIMIT_S = 30.0


def opened(service: Service, identity: roomlog.Identity | None = ADA, **more: object) -> Document:
    return roomlog.connect(service.url, room="demo", identity=identity, **more)  # type: ignore[arg-type]


async def same_for(patterns: list[str], whole: Document, part: Document) -> None:
    for doc in (whole, part, whole, part):
        await doc.synced(LIMIT_S)
    found = part.state_hash()
    assert found.complete
    assert found == whole.replica.state_hash(patterns)


async def write(doc: Document, number: int) -> None:
    doc.map("users")[f"u{number}"] = number
    doc.text("notes").append(f"note {number} ")
    await doc.flush()
    doc.counter("votes").add(number)
    doc.text("secret").append(f"secret {number} ")
    await doc.flush()


async def test_t13_a_subscriber_holds_its_keys_and_the_whole_graph(service: Service) -> None:
    async with opened(service) as ada:
        await write(ada, 1)
        await ada.synced(LIMIT_S)
        async with opened(service, BOB, subscribe=["users/*", "votes"]) as bob:
            await write(ada, 2)
            bob.counter("votes").add(10)
            await same_for(["users/*", "votes"], ada, bob)
            assert bob.patterns == ("users/*", "votes")
            assert bob.map("users").to_dict() == {"u1": 1, "u2": 2}
            assert bob.state()["texts"] == {}
            assert len(bob.replica) == len(ada.replica)
            assert ada.counter("votes").value == 13
            with pytest.raises(errors.NotSubscribedError):
                bob.text("notes").append("blind")
            secret = [node for node in bob.replica.nodes() if node.body is None]
            assert secret == []  # every node of hers touches a wanted key
            ada.text("secret").append("more")
            await same_for(["users/*", "votes"], ada, bob)
            (head,) = ada.frontier
            assert bob.replica.node(head).body is None


async def test_keys_are_added_and_dropped_while_others_write(service: Service) -> None:
    async with opened(service) as ada:
        for number in range(5):
            await write(ada, number)
        async with opened(service, BOB, subscribe=["users/**"]) as bob:
            await same_for(["users/**"], ada, bob)
            await bob.subscribe(["notes", "users/**"], LIMIT_S)
            assert bob.text("notes") == ada.text("notes")
            ada.text("notes").insert(0, "new ")
            bob.text("notes").append("from bob ")
            await same_for(["notes", "users/**"], ada, bob)
            await bob.subscribe(["notes"], LIMIT_S)
            assert bob.map("users").to_dict() == {}
            await same_for(["notes"], ada, bob)
            # All wishes at once: they follow each other.
            await asyncio.gather(
                bob.subscribe(["secret"], LIMIT_S),
                bob.subscribe(["votes", "secret"], LIMIT_S),
                write(ada, 9),
            )
            await same_for(["secret", "votes"], ada, bob)
            await bob.subscribe([], LIMIT_S)
            assert bob.patterns == ()
            await same_for([], ada, bob)
            assert bob.state() == ada.state()
            with pytest.raises(ValueError, match="empty segment"):
                await bob.subscribe(["a//b"])


async def test_the_local_store_keeps_the_keys_and_a_restart_may_want_others(
    service: Service, tmp_path: Path
) -> None:
    store = tmp_path / "bob.sqlite3"
    async with opened(service) as ada:
        for number in range(4):
            await write(ada, number)
        async with opened(service, BOB, store=store, subscribe=["votes"]) as bob:
            await same_for(["votes"], ada, bob)
        async with opened(service, BOB, store=store) as bob:
            assert bob.patterns == ("votes",)
            assert bob.counter("votes").value == ada.counter("votes").value
            await write(ada, 5)
            await same_for(["votes"], ada, bob)
        async with opened(service, BOB, store=store, subscribe=["notes", "votes"]) as bob:
            await bob.until(lambda status: not bob.replica.awaits_bodies, LIMIT_S)
            await same_for(["notes", "votes"], ada, bob)
        offline = roomlog.connect(
            "ws://127.0.0.1:1", room="demo", identity=BOB, store=store, close_timeout_s=0
        )
        async with offline as bob:
            assert bob.text("notes") == ada.text("notes")
        async with opened(service, BOB, store=store, subscribe=[]) as bob:
            await bob.until(lambda status: not bob.replica.awaits_bodies, LIMIT_S)
            await same_for([], ada, bob)
        offline = roomlog.connect(
            "ws://127.0.0.1:1", room="demo", identity=BOB, store=store, close_timeout_s=0
        )
        async with offline as bob:
            assert bob.state() == ada.state()


async def test_a_wish_that_was_made_offline_is_met_when_the_server_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    store = tmp_path / "bob.sqlite3"
    config = server_config(port, store=str(tmp_path / "server"))
    async with Service(config) as service, opened(service) as ada:
        for number in range(3):
            await write(ada, number)
        await ada.synced(LIMIT_S)
        async with opened(service, BOB, store=store, subscribe=["votes"]) as bob:
            await same_for(["votes"], ada, bob)
    async with roomlog.connect(
        f"ws://127.0.0.1:{port}", room="demo", identity=BOB, store=store, close_timeout_s=0
    ) as bob:
        with pytest.raises(TimeoutError):
            await bob.subscribe(["notes"], timeout_s=0.05)
        # Nothing of it can be read yet, and it is not taken for an empty text.
        assert not bob.state_hash().complete
        assert bob.patterns == ("notes",)
    async with (
        Service(config) as service,
        opened(service) as ada,
        opened(service, BOB, store=store) as bob,
    ):
        assert bob.patterns == ("notes",)
        await bob.subscribe(["notes"], LIMIT_S)
        await same_for(["notes"], ada, bob)
        assert str(bob.text("notes")) == "note 0 note 1 note 2 "


async def test_a_change_that_was_interrupted_keeps_nobody_from_opening_with_other_patterns(
    tmp_path: Path,
) -> None:
    port = free_port()
    store = tmp_path / "bob.sqlite3"
    config = server_config(port, store=str(tmp_path / "server"))
    async with Service(config) as service, opened(service) as ada:
        for number in range(3):
            await write(ada, number)
        await ada.synced(LIMIT_S)
        async with opened(service, BOB, store=store, subscribe=["votes"]) as bob:
            await same_for(["votes"], ada, bob)
    url = f"ws://127.0.0.1:{port}"
    for wanted in (None, ["votes"], ["users/**"]):
        async with roomlog.connect(
            url, room="demo", identity=BOB, store=store, subscribe=wanted, close_timeout_s=0
        ) as bob:
            if wanted is None:
                with pytest.raises(TimeoutError):
                    await bob.subscribe(["notes"], timeout_s=0.05)
            assert bob.patterns == ("notes",)
    async with (
        Service(config) as service,
        opened(service) as ada,
        opened(service, BOB, store=store, subscribe=["users/**"]) as bob,
    ):
        await bob.until(lambda _: bob.patterns == ("users/**",), LIMIT_S)
        await bob.subscribe(["users/**"], LIMIT_S)
        await same_for(["users/**"], ada, bob)


async def test_against_a_server_without_subscriptions_all_comes_and_the_state_is_the_same(
    service: Service,
) -> None:
    async with opened(service) as ada:
        await write(ada, 1)
        async with opened(service, BOB, subscribe=["votes"], capabilities=["log_cut"]) as bob:
            await write(ada, 2)
            await same_for(["votes"], ada, bob)
            assert all(node.body is not None for node in bob.replica.nodes())


async def test_who_is_sent_everything_may_change_keys_as_well(service: Service) -> None:
    async with (
        opened(service, ADA) as ada,
        opened(service, BOB, subscribe=["a"], capabilities=["log_cut"]) as bob,
    ):
        ada.counter("a").add(1)
        ada.counter("b").add(2)
        await ada.synced()
        await bob.synced()
        async with asyncio.timeout(20.0):
            await bob.subscribe(["b"])
        assert bob.counter("b").value == 2
        assert bob.state_hash().complete
        async with asyncio.timeout(20.0):
            await bob.subscribe()
        assert bob.state_hash() == ada.state_hash()
