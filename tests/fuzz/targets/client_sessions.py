"""A client's session with a server that says anything: events and faults, never an exception."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from roomlog.protocol import messages
from roomlog.protocol.codec import Codec, encode
from tests.fuzz.choices import Choices, piece
from tests.fuzz.frame_edits import edited_frame
from tests.fuzz.lying_server import Server, templates
from tests.fuzz.server_log import HELD, MOST_STEPS, heads_of, log_nodes, own_nodes, wide_nodes
from tests.fuzz.target import Target
from tests.protocol.client_wire import ADA, EPOCH, LINEAGE, SERVER, Wire
from tests.protocol.paired_sessions import HeldNodes


def check(data: bytes) -> None:
    """Choices: the client's past, the welcome, then what the server says."""
    choices = Choices(data)
    codec = choices.one_of((Codec.MSGPACK, Codec.JSON))
    past: dict[str, Any] = {}
    has_past = choices.below(4)
    if has_past:
        held = log_nodes()[:HELD]
        epoch = EPOCH if has_past != 2 else bytes(16)
        past["lineage"] = LINEAGE
        past["cursor"] = messages.Cursor(epoch=epoch, seq=HELD, id=held[-1].id)
        past["frontier"] = [held[-1].id, *([own_nodes()[-1].id] if choices.is_one_in(2) else [])]
        if choices.is_one_in(4):
            past["frontier"] = heads_of(wide_nodes())
            past["held"] = HeldNodes(wide_nodes())
        elif has_past != 3:
            past["held"] = HeldNodes([*held, *own_nodes()])
    else:
        past["wants_snapshot"] = not choices.is_one_in(3)
    signer = None if choices.is_one_in(6) else ADA
    subscribe = choices.one_of(((), (), ("a",)))
    wire = Wire(
        signer=signer,
        codec=codec,
        subscribe=subscribe,
        wants_signatures=not choices.is_one_in(3),
        pinned_key=SERVER.public_key if choices.is_one_in(2) else None,
        **past,
    )
    server = Server(wire, choices)
    if choices.is_one_in(8):
        challenge = messages.Challenge(
            nonce=b"s" * 32,
            server_pubkey=SERVER.public_key,
            protos=[1],
            server=messages.Software(name="test", version="2"),
        )
        server.receive(edited_frame(encode(codec, challenge), choices, codec))
        while choices.are_left:
            server.receive(choices.piece())
        return
    wire.challenge()
    server.welcome(subscribe)
    for _ in range(MOST_STEPS):
        if not choices.are_left:
            break
        server.step()
    cursor = wire.session.cursor
    assert cursor is None or cursor.seq >= 0
    assert wire.session.held_seq >= -1


def seeds() -> Iterable[bytes]:
    """Random choices, and every template after each kind of welcome."""
    random = Random(13)
    count = len(templates(Codec.MSGPACK))
    for codec in range(2):
        for has_past in range(4):
            for catch_up in range(5):
                head = bytes((codec, has_past, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, catch_up, 0))
                steps = b"".join(bytes((1, (catch_up * 5 + each) % count)) for each in range(5))
                yield head + steps
    yield bytes((0, 1, 1, 1, 0, 0, 1, 7)) + piece(templates(Codec.MSGPACK)[0])
    for size in (24, 48, 96, 200):
        for _ in range(24):
            yield random.randbytes(size)


TARGET = Target(check, seeds, most_bytes=512)
