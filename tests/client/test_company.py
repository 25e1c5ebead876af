"""Presence, peers and signals between documents, over real servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import roomlog
from roomlog import errors
from roomlog.client.document import Document
from roomlog.client.status import Phase
from roomlog.server.service import Service
from tests.client.conftest import ADA, BOB, server_config
from tests.client.server_process import free_port

CAROL = roomlog.Identity.from_seed(b"c" * 32)
LIMIT_S = 30.0


def opened(service: Service, identity: roomlog.Identity | None = ADA, **more: object) -> Document:
    return roomlog.connect(service.url, room="demo", identity=identity, **more)  # type: ignore[arg-type]


async def live(*docs: Document) -> None:
    for doc in docs:
        await doc.until(lambda status: status.phase is Phase.LIVE, LIMIT_S)


def shown(doc: Document) -> dict[str, object]:
    return {each.label: each.data for each in doc.presence.values()}


async def sees(doc: Document, expected: dict[str, object]) -> None:
    feed = doc.presence.changes()
    async with asyncio.timeout(LIMIT_S):
        while shown(doc) != expected:
            await anext(feed)


async def knows(doc: Document, *labels: str) -> None:
    feed = doc.peers.changes()
    async with asyncio.timeout(LIMIT_S):
        while {peer.label for peer in doc.peers} != set(labels):
            await anext(feed)


async def test_t49_what_one_shows_all_others_see_and_late_ones_too(service: Service) -> None:
    async with opened(service, label="ada") as ada, opened(service, BOB, label="bob") as bob:
        ada.presence.set({"cursor": [1, 2]})
        await sees(bob, {"ada": {"cursor": [1, 2]}})
        bob.presence.set("typing", ttl_s=60)
        await sees(ada, {"bob": "typing"})
        async with opened(service, None) as eve:
            await sees(eve, {"ada": {"cursor": [1, 2]}, "bob": "typing"})
            with pytest.raises(errors.ReadOnlyError):
                eve.presence.set(1)
            bob.presence.set("thinking")
            await sees(eve, {"ada": {"cursor": [1, 2]}, "bob": "thinking"})
            ada.presence.clear()
            await sees(eve, {"bob": "thinking"})
        await sees(bob, {})
    with pytest.raises(errors.DocumentClosedError):
        ada.presence.set(1)


async def test_t49_two_sockets_of_one_identity_are_one_peer_that_does_not_flicker(
    service: Service,
) -> None:
    async with opened(service, label="ada") as ada:
        await live(ada)
        feed = ada.peers.changes()
        async with opened(service, BOB, label="bob") as one:
            await knows(ada, "bob")
            async with opened(service, BOB, label="bob") as two:
                await live(one, two)
                await knows(two, "ada")
                await one.close()
                await two.synced(LIMIT_S)
                await ada.synced(LIMIT_S)
                await knows(ada, "bob")
        await knows(ada)
        news = [(each.peer.label, each.is_here) for each in feed.take_nowait()]
        assert news == [("bob", True), ("bob", False)]


async def test_presence_comes_back_with_the_connection(tmp_path: Path) -> None:
    port = free_port()
    config = server_config(port, store=str(tmp_path / "server"), drain_deadline_ms=2000)
    url = f"ws://127.0.0.1:{port}"
    async with (
        roomlog.connect(url, room="demo", identity=ADA, label="ada") as ada,
        roomlog.connect(url, room="demo", identity=BOB, label="bob") as bob,
    ):
        ada.presence.set("here")
        async with Service(config):
            await sees(bob, {"ada": "here"})
        await sees(bob, {})
        assert len(bob.peers) == 0
        async with Service(config):
            await sees(bob, {"ada": "here"})
            await knows(bob, "ada")


async def test_t9_a_signal_reaches_one_identity_and_nobody_else(service: Service) -> None:
    async with (
        opened(service, label="ada") as ada,
        opened(service, BOB, label="bob") as bob,
        opened(service, CAROL, label="carol") as carol,
    ):
        await live(ada, bob, carol)
        heard, overheard = bob.signals(), carol.signals()
        await knows(ada, "bob", "carol")
        (to,) = [peer for peer in ada.peers if peer.label == "bob"]
        await ada.signal(to, {"offer": 1})
        signal = await anext(heard)
        assert (signal.pubkey, signal.label, signal.data) == (ADA.public_key, "ada", {"offer": 1})
        back = ada.signals()
        await bob.signal(signal, "answer")
        assert (await anext(back)).data == "answer"
        await carol.synced(LIMIT_S)
        assert overheard.take_nowait() == []
        gone = roomlog.Identity.from_seed(b"g" * 32)
        with pytest.raises(errors.PeerUnknownError):
            await ada.signal(type(to)(pubkey=gone.public_key, label=""), 1)
        with pytest.raises(ValueError, match="bytes of data"):
            await ada.signal(to, "x" * 20_000)
        with pytest.raises(TypeError):
            await ada.signal(to, b"bytes")


async def test_a_signal_needs_a_server_that_can_pass_it_on(service: Service) -> None:
    async with opened(service, capabilities=["log_cut"]) as ada:
        await live(ada)
        ada.presence.set("nobody sees it")
        to = roomlog.Identity.from_seed(b"g" * 32)

        class Somebody:
            pubkey = to.public_key
            label = ""

        with pytest.raises(errors.NotConnectedError):
            await ada.signal(Somebody(), 1)
    async with opened(service, None) as eve:
        with pytest.raises(errors.ReadOnlyError):
            await eve.signal(Somebody(), 1)
