"""Presence, peers and signals between real sessions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.server import company
from roomlog.server.presence import Presence
from roomlog.server.service import Service
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import JSON, MSGPACK, Closed, RawClient
from tests.server.test_liveness import silent

CAPS = {"caps": {"presence_ttl": True}}


async def come(enter: Join, service: Service, label: str = "", **options: Any) -> RawClient:
    return await enter(service, hello={**CAPS, "label": label}, **options)


async def hear(client: RawClient) -> list[dict[str, Any]]:
    """Everything that came before the answer to a ping."""
    await client.send({"type": "ping"})
    heard: list[dict[str, Any]] = []
    while (message := await client.receive())["type"] != "pong":
        heard.append(message)
    return heard


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def key(client: RawClient) -> bytes:
    assert client.identity is not None
    return client.identity.public_key


@pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
async def test_t49_presence_reaches_everybody_else_and_every_joiner(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    alice = await come(enter, service, "a")
    bob = await come(enter, service, "b", subprotocol=subprotocol)
    await hear(alice)
    data = {"cursor": [1, 2.5, None, True], "name": "Zoë"}
    await alice.send({"type": "presence", "data": data})
    shown = await bob.receive_type("presence")
    assert (shown["pubkey"], shown["label"], shown["data"]) == (key(alice), "a", data)
    assert shown["session"] == alice.welcome["session"]
    assert await hear(alice) == []
    late = await come(enter, service, subprotocol=subprotocol)
    assert len(late.welcome["peers"]) == 2
    (entry,) = (await late.receive_type("presence-snapshot"))["entries"]
    assert (entry["session"], entry["data"]) == (alice.welcome["session"], data)
    await alice.send({"type": "presence"})
    gone = await bob.receive_type("presence-left")
    assert (gone["session"], gone["reason"]) == (alice.welcome["session"], "left")
    assert "presence-snapshot" not in kinds(await hear(await come(enter, service)))


async def test_t49_presence_of_a_peer_that_crashed_without_a_close_goes_stale(
    start: Start, enter: Join
) -> None:
    service = await start(ping_interval_ms=50, pings_missed=2, tick_ms=5)
    watcher = await come(enter, service)
    async with await silent(service.url) as crashed:
        await crashed.greet(**CAPS)
        await crashed.send({"type": "presence", "data": 1, "ttl_ms": 300_000})
        # Nothing more is heard of it, and its socket stays open.
        left = [await watcher.receive_type(kind) for kind in ("presence-left", "peer-left")]
        assert [each["pubkey"] for each in left] == [key(crashed)] * 2


async def test_t49_presence_expires_by_the_clock_of_the_server_and_can_be_kept_alive(
    start: Start, enter: Join
) -> None:
    service = await start(tick_ms=5)
    alice, bob = await come(enter, service), await come(enter, service)
    now = [1_000.0]
    service.hub.monotonic = lambda: now[0]
    room = service.hub.registry.rooms["room"]
    room._monotonic = service.hub.monotonic
    for connection in service.hub.connections:
        connection._last_seen = now[0]
    await alice.send({"type": "presence", "data": 1, "ttl_ms": 8_000})
    await bob.receive_type("presence")
    for _ in range(3):
        now[0] += 5
        await alice.send({"type": "presence", "data": 2, "ttl_ms": 8_000})
        assert (await bob.receive_type("presence"))["data"] == 2
    now[0] += 9
    expired = await bob.receive_type("presence-left")
    assert (expired["session"], expired["reason"]) == (alice.welcome["session"], "expired")
    assert (await alice.receive_type("presence-left"))["reason"] == "expired"
    # Only the presence is over; the peer is here.
    assert len(room.company.peers) == 2


def test_t49_presence_that_is_shown_again_lasts_as_long_again() -> None:
    presence = Presence()
    who = messages.Identity(pubkey=b"k" * 32)
    presence.show("session", who, 1, 10.0)
    presence.show("session", who, 2, 20.0)
    assert presence.expire(15.0) == []
    (expired,) = presence.expire(20.0)
    assert expired.session_id == "session"
    assert presence.expire(30.0) == []


async def test_t49_two_overlapping_sockets_of_one_identity_do_not_flicker(
    start: Start, enter: Join
) -> None:
    service = await start()
    watcher = await come(enter, service)
    identity = Identity.generate()
    first = await come(enter, service, "laptop", identity=identity)
    joined = await watcher.receive_type("peer-joined")
    assert (joined["pubkey"], joined["label"]) == (identity.public_key, "laptop")
    for _ in range(3):
        second = await come(enter, service, "laptop", identity=identity)
        await first.close()
        await eventually(lambda: len(service.hub.connections) == 2)
        first = second
    assert await hear(watcher) == []
    other = await come(enter, service, "phone", identity=identity)
    assert (await watcher.receive_type("peer-joined"))["label"] == "phone"
    await other.close()
    await first.close()
    assert (await watcher.receive_type("peer-left"))["label"] == "phone"
    assert (await watcher.receive_type("peer-left"))["label"] == "laptop"
    assert b"roomlog_presence_peers 1.0" in service.metrics.exposition()


async def test_t9_a_signal_reaches_every_session_of_one_identity_and_nobody_else(
    start: Start, enter: Join
) -> None:
    service = await start()
    identity = Identity.generate()
    sender = await come(enter, service, "s")
    here = [await come(enter, service, "to", identity=identity) for _ in range(2)]
    elsewhere = [
        await come(enter, service, "other label", identity=identity),
        await come(enter, service, "to"),
        await enter(service, anonymous=True, hello=CAPS),
        await come(enter, service, "to", identity=identity, room="another"),
    ]
    for client in (sender, *here, *elsewhere):
        await hear(client)
    to = {"pubkey": identity.public_key, "label": "to"}
    await sender.send({"type": "signal", "to": to, "data": {"sdp": "x"}})
    for client in here:
        signal = await client.receive_type("signal")
        assert (signal["pubkey"], signal["label"], signal["data"]) == (
            key(sender),
            "s",
            {"sdp": "x"},
        )
        assert signal["session"] == sender.welcome["session"]
    for client in (sender, *elsewhere):
        assert "signal" not in kinds(await hear(client))
    to["label"] = "nobody"
    await sender.send({"type": "signal", "ref": "s1", "to": to, "data": 1})
    error = await sender.receive_type("error")
    assert (error["class"], error["ref"]) == ("peer_unknown", "s1")


async def test_without_the_capability_nothing_is_heard(start: Start, enter: Join) -> None:
    service = await start()
    plain, alice = await enter(service), await come(enter, service)
    await alice.send({"type": "presence", "data": 1})
    await hear(alice)
    assert await hear(plain) == []
    assert "peers" not in plain.welcome
    room = service.hub.registry.rooms["room"]
    # Whoever cannot see others is not seen.
    assert [peer.pubkey for peer in room.peers()] == [key(alice)]


async def test_more_peers_than_a_welcome_names_follow_it(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    others = [await come(enter, service) for _ in range(70)]
    for other in others:
        await hear(other)
    late = await come(enter, service)
    heard = await hear(late)
    assert len(late.welcome["peers"]) == 64
    assert kinds(heard) == ["peer-joined"] * 6
    named = {peer["pubkey"] for peer in (*late.welcome["peers"], *heard)}
    assert named == {key(other) for other in others}


async def test_presence_held_between_hello_and_welcome_is_shown(
    start: Start, enter: Join, call: Join
) -> None:
    service = await start()
    watcher = await come(enter, service)
    hasty = await call(service)
    hasty.challenge = await hasty.receive()
    greeting = asyncio.create_task(hasty.greet(**CAPS))
    await asyncio.sleep(0)
    await hasty.send({"type": "presence", "data": "early"})
    assert (await greeting)["type"] == "welcome"
    assert (await watcher.receive_type("presence"))["data"] == "early"


async def test_t28_presence_of_others_does_not_grow_the_memory_of_a_slow_reader(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "LAGGING_BYTES", 32 * 1024)
    service = await start(messages_per_second=100_000)
    slow = await come(enter, service)
    await eventually(lambda: len(service.hub.connections) == 1)
    (held,) = service.hub.connections
    connection = slow.socket._response.connection
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    # What the socket buffers of the system take comes before what counts.
    held.transport.set_write_buffer_limits(high=64 * 1024, low=1024)
    writers = [await come(enter, service) for _ in range(3)]
    gone = writers.pop()
    rounds = 0
    while not held._member.is_waiting or rounds % 200:  # type: ignore[union-attr]
        rounds += 1
        for writer in (*writers, gone):
            await writer.send({"type": "presence", "data": {"n": rounds, "pad": "x" * 3_500}})
        if rounds % 20 == 0:
            await hear(writers[0])
            await hear(gone)
    bound = held.waiting_bytes
    for last in range(rounds, rounds + 100):
        for writer in writers:
            await writer.send({"type": "presence", "data": {"n": last, "pad": "x" * 3_500}})
    await gone.close()
    for writer in writers:
        await writer.receive_type("peer-left")
        await hear(writer)
    assert held.waiting_bytes <= bound
    transport.resume_reading()
    expected: dict[str, Any] = {writer.welcome["session"]: last for writer in writers}
    expected[gone.welcome["session"]] = "left"
    newest: dict[str, Any] = {}
    left: list[bytes] = []
    while newest != expected or left != [key(gone)]:
        message = await slow.receive()
        if message["type"] == "presence":
            newest[message["session"]] = message["data"]["n"]
        elif message["type"] == "presence-left":
            newest[message["session"]] = "left"
        elif message["type"] == "peer-left":
            left.append(message["pubkey"])


async def test_the_end_of_a_session_takes_its_presence_with_it(start: Start, enter: Join) -> None:
    service = await start()
    watcher, leaver = await come(enter, service), await come(enter, service, "l")
    await leaver.send({"type": "presence", "data": 1})
    await watcher.receive_type("presence")
    await leaver.socket.close()
    left = await watcher.receive_type("presence-left")
    assert (left["reason"], left["label"]) == ("left", "l")
    assert (await watcher.receive_type("peer-left"))["label"] == "l"
    room = service.hub.registry.rooms["room"]
    assert room.company.presence.entries == {}
    with pytest.raises(Closed):
        await leaver.receive()
