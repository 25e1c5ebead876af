"""Handshakes that prove nothing, claim too much, or never end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from roomlog.core.reject import RejectClass
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.codec import Codec
from roomlog.protocol.handshake import hello_proof
from roomlog.protocol.messages import Challenge, Error, SignedCheckpoint, Welcome
from tests.simulation.hostile.attack import Attacker, attack
from tests.simulation.network import BINARY, PING, TEXT, Link

CAUGHT_HELLOS = 3


@attack("stolen proofs")
async def stolen_proofs(attacker: Attacker) -> None:
    """Whatever a proof was made for, it is worth nothing for anything else. T1, T55."""
    first = attacker.session()
    await first.join()
    own = first.hello()
    wanted = attacker.victim() or first.challenge.server_pubkey
    changes: list[dict[str, Any]] = [
        {"pubkey": wanted},
        {"pubkey": first.challenge.server_pubkey},
        {"proof": None},
        {"proof": bytes(64)},
        {"proof": own["proof"], "nonce": own["nonce"]},
        {"label": "somebody else"},
        {"token": "a token that is not signed"},
        {"origin": "wss://elsewhere.example"},
    ]
    for change in changes:
        session = attacker.session()
        await session.dial()
        await session.hear_challenge()
        honest = {key: value for key, value in session.hello().items() if key != "label"}
        # Signed without what is changed.
        session.send({key: value for key, value in {**honest, **change}.items() if value})
        await _refused(attacker, session, RejectClass.PROOF_INVALID, RejectClass.PROOF_MISSING)
    parts: list[dict[str, Any]] = [
        {"origin": "ws://look-alike:7878"},
        {"room_id": "another-room"},
        {"subprotocol": "roomlog.v2"},
        {"server_nonce": bytes(32)},
        {"server_key": attacker.identity.public_key},
        {"client_key": bytes(32)},
    ]
    for part in parts:
        session = attacker.session()
        await session.dial()
        await session.hear_challenge()
        proof = hello_proof(attacker.identity, session.transcript(**part))
        session.send(session.hello(proof=proof))
        await _refused(attacker, session, RejectClass.PROOF_INVALID)


async def _refused(attacker: Attacker, session: Any, *classes: RejectClass) -> None:
    answer = await session.receive_type(Welcome, Error)
    attacker.demand(isinstance(answer, Error), "a hello without proof was welcomed")
    attacker.demand_class(answer, *classes)
    await attacker.demand_close(session, 4003)


@attack("overheard hellos")
async def overheard_hellos(attacker: Attacker) -> None:
    """The hellos of honest clients, word for word, in sockets of one's own. T1."""
    heard: list[tuple[Codec, str, bytes]] = []
    taken = 0

    def listen(link: Link, lane: str, opcode: int, payload: bytes) -> None:
        is_hello = opcode in (TEXT, BINARY) and b"hello" in payload[:24] and b"proof" in payload
        if lane == "to_server" and is_hello and link.client is not attacker.life:
            heard.append((link.codec, link.room_id, payload))

    observers = attacker.world.network.observers
    observers.append(listen)
    try:
        for _ in range(attacker.how.get("wait_s", 30)):
            await asyncio.sleep(0.5)
            while taken < min(len(heard), CAUGHT_HELLOS):
                codec, room_id, hello = heard[taken]
                taken += 1
                session = attacker.session(codec=codec, room_id=room_id)
                await session.dial()
                await session.hear_challenge()
                session.send_frame(hello)
                answer = await session.receive_type(Welcome, Error)
                attacker.demand(isinstance(answer, Error), "a hello was taken twice")
    finally:
        observers.remove(listen)


@attack("half greetings")
async def half_greetings(attacker: Attacker) -> None:
    """Sockets that say nothing, too little, too late, or the wrong thing first."""
    # Some stay open beside all others until the server has had enough.
    silent = [attacker.session() for _ in range(attacker.how.get("count", 3))]
    for session in silent:
        await session.dial()
    for opening in _openings(attacker):
        session = attacker.session()
        await session.dial()
        challenge = await session.receive_type(Challenge, Error)
        if isinstance(challenge, Error):
            continue
        session.send_frame(opening)
        await attacker.demand_close(session, 4003, 4004, 4005, 1003, 1007)
    unknown = attacker.session(codec=Codec.JSON)
    await unknown.dial(offers=False)
    await attacker.demand_close(unknown, 4005)
    # A sign of life is no hello.
    for _ in range(attacker.how.get("pings", 30)):
        await asyncio.sleep(0.5)
        for session in silent[:1]:
            session.link.to_server.send(PING, b"")
    for session in silent:
        await attacker.demand_close(session, 4004)


def _openings(attacker: Attacker) -> list[bytes]:
    encode = msgspec.json.encode if attacker.codec.is_text else msgspec.msgpack.encode
    nonce = attacker.chance.randbytes(32)
    return [
        encode({"type": "ping", "t": 1}),
        encode({"type": "error", "class": "internal", "message": "", "kind": "final"}),
        encode({"type": "no such message"}),
        encode({"type": "hello", "proto": 2, "nonce": nonce}),
        encode({"type": "hello", "proto": 1, "nonce": nonce[:31]}),
        encode({"type": "hello", "proto": 1}),
        encode({"type": "hello", "proto": 1, "nonce": nonce, "frontier": [nonce] * 1025}),
        encode({"type": "hello", "proto": 1, "nonce": nonce, "lineage": nonce}),
        encode({"type": "hello", "proto": 1, "nonce": nonce, "pubkey": nonce}),
        encode({"type": "hello", "proto": 1, "nonce": nonce, "caps": [1]}),
        encode([]),
        encode("hello"),
        b"",
        b"\xc1\xff",
    ]


@attack("hasty words")
async def hasty_words(attacker: Attacker) -> None:
    """Everything at once, before the welcome: packs have no credit yet, the rest has bounds."""
    patient = attacker.session()
    await patient.join()
    node = patient.write()
    for messages in (
        [{"type": "pack", "lineage": patient.welcome.lineage, "nodes": b"\x01\x06\x00"}],
        [{"type": "ping", "t": t} for t in range(40)],
        [{"type": "presence", "data": "x" * 60_000}, {"type": "presence", "data": "x" * 60_000}],
    ):
        session = attacker.session(room_id=attacker.how.get("new_room", attacker.room_id))
        await session.dial()
        await session.hear_challenge()
        session.send(session.hello())
        for message in messages:
            session.send(message)
        # The welcome may have been quicker.
        await asyncio.sleep(5.0)
        session.leave()
    again = await patient.push_and_wait(node)
    attacker.demand(again is not None, "no answer")
    patient.send(patient.hello())
    attacker.demand_class(
        await patient.receive_type(Error),
        RejectClass.INVALID_MESSAGE,
    )


@attack("strange rooms")
async def strange_rooms(attacker: Attacker) -> None:
    """Rooms that are not there, and lineages that are not theirs."""
    nobody = attacker.session(anonymous=True, room_id=f"none-{attacker.chance.randrange(999)}")
    attacker.demand_class(await nobody.greet(), RejectClass.ROOM_NOT_FOUND)
    home = attacker.session()
    await home.join()
    claiming = attacker.session(room_id=f"none-{attacker.chance.randrange(999)}")
    answer = await claiming.greet(lineage=home.welcome.lineage)
    attacker.demand_class(answer, RejectClass.ROOM_NOT_FOUND)
    other = attacker.session()
    answer = await other.greet(lineage=attacker.chance.randbytes(32))
    attacker.demand_class(answer, RejectClass.LINEAGE_MISMATCH)
    refused = await home.push_and_wait(home.write(), lineage=attacker.chance.randbytes(32))
    attacker.demand_class(refused, RejectClass.LINEAGE_MISMATCH)
    reader = attacker.session(anonymous=True)
    await reader.join()
    node = reader.write(signer=attacker.identity)
    attacker.demand_class(await reader.push_and_wait(node), RejectClass.PROOF_MISSING)
    reader.send({"type": "presence", "ref": reader.ref(), "data": 1})
    attacker.demand_class(await reader.receive_type(Error), RejectClass.PROOF_MISSING)


@attack("claims of a lost log")
async def claims_of_a_lost_log(attacker: Attacker) -> None:
    """A claim is no proof: no epoch changes and no window opens for it. T63"""
    first = attacker.session()
    welcome = await first.join()
    if welcome.missing is not None:
        return
    strange = [attacker.chance.randbytes(32) for _ in range(2)]
    facts: dict[str, Any] = {
        "lineage": welcome.lineage,
        "epoch": welcome.epoch,
        "seq": welcome.seq + 1_000,
        "frontier": sorted(strange),
    }
    forged = sign_checkpoint(attacker.identity, **facts)
    real = welcome.checkpoint or bytes(64)
    claims: list[dict[str, Any]] = [
        {"cursor": {"epoch": welcome.epoch, "seq": welcome.seq + 1_000, "id": strange[0]}},
        {"cursor": {"epoch": bytes(16), "seq": 5, "id": strange[0]}, "frontier": strange},
        {"checkpoint": SignedCheckpoint(**facts, signature=forged)},
        {"checkpoint": SignedCheckpoint(**facts, signature=real)},
        {"checkpoint": SignedCheckpoint(**{**facts, "lineage": bytes(32)}, signature=real)},
        {"checkpoint": SignedCheckpoint(**{**facts, "frontier": [strange[0]] * 3}, signature=real)},
    ]
    for claim in claims:
        session = attacker.session()
        answer = await session.join(lineage=welcome.lineage, **claim)
        server = attacker.world.servers[attacker.server_name]
        if server.was_put_back or server.was_impersonated:
            # Somebody may well have a proof.
            return
        attacker.demand(answer.epoch == welcome.epoch, "a claim changed the epoch")
        attacker.demand(answer.missing is None, "a claim opened a window")
        node = session.write(signer=attacker.stranger())
        attacker.demand_class(await session.push_and_wait(node), RejectClass.AUTHOR_NOT_SESSION)
        session.leave()
