"""Handshakes with a real server, in both encodings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.handshake import check_welcome
from roomlog.protocol.server_session import State
from roomlog.store.interface import IndexRow
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import JSON, MSGPACK, Closed, dial, join

BOTH = pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])


@BOTH
async def test_a_welcome_is_signed_over_the_whole_handshake(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    client = await enter(service, subprotocol=subprotocol)
    welcome, challenge = client.welcome, client.challenge
    assert welcome["room"] == "room"
    assert welcome["proto"] == 1
    assert welcome["seq"] == 0
    assert welcome["limits"]["pack_nodes"] == service.config.limits.pack_nodes
    assert check_welcome(challenge["server_pubkey"], client.welcome_payload(), welcome["signature"])


async def test_one_subprotocol_is_chosen_by_the_clients_preference(start: Start) -> None:
    service = await start()
    async with aiohttp.ClientSession() as http:
        for offered in ([JSON, MSGPACK], [MSGPACK, JSON], ["x", JSON]):
            async with http.ws_connect(f"{service.url}/ws/room", protocols=offered) as socket:
                assert socket.protocol == next(each for each in offered if each != "x")


async def test_capabilities_meet(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(
        service, hello={"caps": {"cursor_resume": True, "max_pack_nodes": 9, "later": 1}}
    )
    assert client.welcome["caps"] == {"cursor_resume": True, "max_pack_nodes": 9}


@BOTH
async def test_t1_a_hello_that_only_says_who_it_is_is_refused(
    start: Start, call: Join, subprotocol: str
) -> None:
    service = await start()
    server_key = (await call(service)).challenge
    assert server_key == {}
    for proof, expected in ((None, "proof_missing"), (b"\0" * 64, "proof_invalid")):
        client = await call(service, subprotocol=subprotocol)
        answer = await client.greet(proof=proof)
        assert answer["class"] == expected
        assert (await client.closed()).code == 4003


async def test_t1_the_servers_own_key_cannot_be_claimed(start: Start, call: Join) -> None:
    service = await start()
    client = await call(service)
    client.challenge = await client.receive()
    answer = await client.greet(pubkey=client.challenge["server_pubkey"])
    assert answer["class"] == "proof_invalid"


async def test_t55_a_proof_relayed_by_a_look_alike_is_worth_nothing(
    start: Start, call: Join
) -> None:
    """The victim dialled the look-alike, which holds a session with the real server open."""
    service = await start()
    attacker = await call(service)
    attacker.challenge = await attacker.receive()
    victim = Identity.generate()
    # What the victim signs when the look-alike passes on the real challenge, nonces and all.
    spoken = attacker.transcript("wss://look-alike.example", client_key=victim.public_key)
    answer = await attacker.greet(
        pubkey=victim.public_key, proof=victim.sign(Purpose.HELLO, spoken)
    )
    assert answer["class"] == "proof_invalid"
    assert (await attacker.closed()).code == 4003


async def test_t55_a_proof_is_bound_to_the_servers_nonce(start: Start, call: Join) -> None:
    service = await start()
    first, second = await call(service), await call(service)
    welcome = await first.greet()
    assert welcome["type"] == "welcome"
    second.identity, second.client_nonce = first.identity, first.client_nonce
    second.challenge = await second.receive()
    assert first.identity is not None
    proof = first.identity.sign(Purpose.HELLO, first.handshake)
    assert (await second.greet(proof=proof))["class"] == "proof_invalid"


async def test_t1_a_proof_is_bound_to_the_room(start: Start, call: Join) -> None:
    service = await start()
    client = await call(service, "room-b")
    client.challenge = await client.receive()
    assert client.identity is not None
    spoken = client.transcript(client.url, room=b"room-a")
    answer = await client.greet(proof=client.identity.sign(Purpose.HELLO, spoken))
    assert answer["class"] == "proof_invalid"


async def test_configured_origins_replace_the_loopback_names(start: Start, call: Join) -> None:
    service = await start(public_origins=["wss://Rooms.Example:443"])
    refused = await call(service)
    assert (await refused.greet())["class"] == "proof_invalid"
    welcomed = await call(service)
    assert (await welcomed.greet(origin="wss://rooms.example"))["type"] == "welcome"


async def test_a_room_is_created_only_by_a_proven_hello_without_a_past(
    start: Start, call: Join, enter: Join
) -> None:
    service = await start()
    reader = await call(service, anonymous=True)
    assert (await reader.greet())["class"] == "room_not_found"
    assert (await reader.closed()).code == 4003
    returning = await call(service)
    assert (await returning.greet(lineage=b"l" * 32))["class"] == "room_not_found"
    first = await enter(service)
    second = await enter(service, anonymous=True)
    assert second.welcome["lineage"] == first.welcome["lineage"]
    assert second.welcome["epoch"] == first.welcome["epoch"]


async def test_rooms_differ_in_lineage_and_epoch(start: Start, enter: Join) -> None:
    service = await start()
    first, second = await enter(service, "a"), await enter(service, "b")
    assert first.welcome["lineage"] != second.welcome["lineage"]
    assert first.welcome["epoch"] != second.welcome["epoch"]


async def test_another_lineage_is_refused_and_shown(start: Start, enter: Join, call: Join) -> None:
    service = await start()
    first = await enter(service)
    client = await call(service)
    answer = await client.greet(lineage=b"o" * 32)
    assert answer["class"] == "lineage_mismatch"
    assert answer["detail"]["lineage"] == first.welcome["lineage"]
    assert (await client.closed()).code == 4003


async def test_t23_hellos_during_the_opening_of_a_room_wait_for_all_of_it(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    await writer.push_and_wait(*[writer.write() for _ in range(50)])
    service.hub.registry.drop(service.hub.registry.rooms["room"])
    store, is_loading, may_load = service.hub.store, threading.Event(), threading.Event()
    load_index = store.load_index

    def load_when_all_have_asked(room_id: str) -> Iterator[IndexRow]:
        is_loading.set()
        may_load.wait(10)
        return load_index(room_id)

    store.load_index = load_when_all_have_asked  # type: ignore[method-assign]
    joining = [asyncio.create_task(join(service.url))]
    await eventually(is_loading.is_set)
    joining += [asyncio.create_task(join(service.url)) for _ in range(9)]
    asking = [State.OPENING] * 10

    def all_have_asked() -> bool:
        states = [each.session.state for each in service.hub.connections]
        return [each for each in states if each is not State.OPEN] == asking

    await eventually(all_have_asked)
    assert not any(task.done() for task in joining)
    may_load.set()
    clients = await asyncio.gather(*joining)
    for client in clients:
        assert client.welcome["seq"] == 50
        assert client.welcome["frontier"] == writer.heads
        await client.close()
    assert len(service.hub.registry.rooms) == 1


@BOTH
async def test_t34_no_hello_in_time_ends_the_session(
    start: Start, call: Join, subprotocol: str
) -> None:
    service = await start(hello_wait_ms=30, tick_ms=10)
    client = await call(service, subprotocol=subprotocol)
    assert (await client.receive())["type"] == "challenge"
    assert (await client.receive())["class"] == "timeout"
    assert (await client.closed()).code == 4004


@BOTH
async def test_a_ping_instead_of_a_hello_is_refused(
    start: Start, call: Join, subprotocol: str
) -> None:
    service = await start()
    client = await call(service, subprotocol=subprotocol)
    await client.send({"type": "ping", "ref": "p"})
    assert (await client.receive_type("error"))["ref"] == "p"
    assert (await client.closed()).code == 4004


@pytest.mark.parametrize("offered", ["roomlog.v9+cbor", "chat"])
async def test_an_unknown_subprotocol_is_told_why(start: Start, offered: str) -> None:
    service = await start()
    client = await dial(service.url, subprotocol=offered)
    async with client:
        client.subprotocol = JSON
        error = await client.receive()
        assert error["class"] == "unsupported_protocol"
        assert error["detail"]["subprotocols"] == [codec.subprotocol for codec in Codec]
        assert (await client.closed()).code == 4005


async def test_a_text_frame_in_a_binary_session_is_unsupported_data(
    start: Start, enter: Join
) -> None:
    service = await start()
    binary, text = await enter(service), await enter(service, subprotocol=JSON)
    await binary.socket.send_str('{"type":"ping"}')
    await text.socket.send_bytes(b"\x81\xa4type\xa4ping")
    assert (await binary.closed()).code == 1003
    assert (await text.closed()).code == 1003


async def test_an_undecodable_frame_is_a_bad_payload(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    await client.socket.send_bytes(b"\xc1")
    assert (await client.closed()).code == 1007


async def test_a_frame_beyond_the_limit_of_its_codec_is_too_big(start: Start, enter: Join) -> None:
    service = await start(frame_bytes=512 * 1024, frame_json_bytes=768 * 1024)
    for subprotocol, limit in ((MSGPACK, 512 * 1024), (JSON, 768 * 1024)):
        client = await enter(service, subprotocol=subprotocol)
        padding = limit - len(_ping(subprotocol, 0))
        await _send_raw(client, _ping(subprotocol, padding))
        assert (await client.receive())["type"] == "pong"
        await _send_raw(client, _ping(subprotocol, padding + 1))
        assert (await client.closed()).code == 1009


def _ping(subprotocol: str, padding: int) -> bytes:
    """A ping with an unknown field, `padding` bytes longer than the shortest."""
    if subprotocol == JSON:
        return b'{"type":"ping","x":"' + b"x" * padding + b'"}'
    length = padding.to_bytes(4, "big")
    return b"\x82\xa4type\xa4ping\xa1x\xdb" + length + b"x" * padding


async def _send_raw(client: Any, frame: bytes) -> None:
    if client.subprotocol == JSON:
        await client.socket.send_str(frame.decode())
    else:
        await client.socket.send_bytes(frame)


@BOTH
async def test_t43_unknown_types_and_fields_do_not_end_a_session(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    client = await enter(service, subprotocol=subprotocol, hello={"favourite_colour": "green"})
    await client.send({"type": "teleport", "ref": "t", "to": [1, 2]})
    error = await client.receive()
    assert (error["class"], error["ref"], error["kind"]) == ("unknown_type", "t", "final")
    await client.send({"type": "ping", "t": 3, "mood": {"good": True}})
    pong = await client.receive()
    assert (pong["type"], pong["t"], pong["seq"]) == ("pong", 3, 0)


async def test_a_client_that_closes_gets_its_code_back(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    await client.socket.close(code=1001)
    assert client.socket.close_code == 1001


async def test_limits_on_connections_turn_away_with_a_retry_hint(
    start: Start, enter: Join, call: Join
) -> None:
    service = await start(connections_max=2)
    await enter(service)
    await enter(service)
    third = await call(service)
    error = await third.receive()
    assert (error["class"], error["kind"]) == ("queue_full", "retry")
    assert error["retry_after_ms"] > 0
    assert (await third.closed()).code == 1013


async def test_limits_per_address_and_per_room(start: Start, enter: Join, call: Join) -> None:
    by_address = await start(connections_per_address=1)
    await enter(by_address)
    assert (await (await call(by_address)).receive())["class"] == "queue_full"
    by_room = await start(connections_per_room=1)
    await enter(by_room)
    await enter(by_room, "another")
    late = await call(by_room)
    assert (await late.greet())["class"] == "room_full"
    assert (await late.closed()).code == 1013


async def test_a_place_is_free_again_when_a_connection_ends(start: Start, enter: Join) -> None:
    service = await start(connections_max=1)
    for _ in range(3):
        client = await enter(service)
        await client.close()
        await _gone(service)


async def _gone(service: Any) -> None:
    from tests.server.conftest import eventually

    await eventually(lambda: not service.hub.connections)


async def test_too_many_rooms_are_refused(start: Start, enter: Join, call: Join) -> None:
    service = await start(rooms_max=1)
    await enter(service, "a")
    client = await call(service, "b")
    assert (await client.greet())["class"] == "queue_full"


async def test_t30_a_flood_of_messages_ends_the_session(start: Start, enter: Join) -> None:
    service = await start(messages_per_second=1)
    client = await enter(service)
    for _ in range(40):
        await client.send({"type": "ping"})
    closed = await client.closed()
    assert closed.code == 4008
    assert {error["class"] for error in client.errors} == {"rate_messages"}
    assert b'rate_limited_total{kind="messages"}' in service.metrics.exposition()


async def test_a_fault_of_our_own_has_an_incident_and_spares_the_others(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    victim, other = await enter(service), await enter(service)
    (connection,) = [
        each
        for each in service.hub.connections
        if victim.identity is not None and each.session.author == victim.identity.public_key
    ]

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(connection.session, "receive", broken)
    await victim.send({"type": "ping"})
    error = await victim.receive()
    assert error["class"] == "internal"
    assert error["incident"]
    assert (await victim.closed()).code == 1011
    await other.send({"type": "ping"})
    assert (await other.receive())["type"] == "pong"


async def test_a_socket_that_just_ends_is_forgotten(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    transport = client.socket._response.connection
    assert transport is not None
    assert transport.transport is not None
    transport.transport.abort()
    await _gone(service)
    with pytest.raises(Closed):
        await client.receive()
