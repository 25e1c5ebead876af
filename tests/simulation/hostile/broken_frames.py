"""Frames that cannot be read, or not as what they are."""

from __future__ import annotations

import msgspec

from roomlog.core.reject import RejectClass
from roomlog.protocol.messages import Error
from tests.simulation.hostile.attack import Attacker, attack
from tests.simulation.network import BINARY, MALFORMED, TEXT


@attack("broken frames")
async def broken_frames(attacker: Attacker) -> None:
    """Each ends the session with its code, and nothing else."""
    is_text = attacker.codec.is_text
    limit = 1536 * 1024 if is_text else 1024 * 1024
    own, other = (TEXT, BINARY) if is_text else (BINARY, TEXT)
    deep = b"[" * 100_000 if is_text else b"\x91" * 100_000
    cases: list[tuple[int, bytes, int]] = [
        (other, b"{}", 1003),
        (own, b"\xc1" if not is_text else b"{", 1007),
        (own, b"", 1007),
        (own, deep, 1007),
        (own, bytes(limit + 1), 1009),
        (TEXT, b"\xff\xfe", 1007),
        (MALFORMED, b"", 1002),
    ]
    for opcode, payload, code in cases:
        session = attacker.session()
        welcome = await session.join()
        if len(payload) > limit:
            most = welcome.limits["frame_json_bytes" if is_text else "frame_bytes"]
            payload = bytes(most + 1)
        session.send_frame(payload, opcode)
        await attacker.demand_close(session, code)


@attack("broken messages")
async def broken_messages(attacker: Attacker) -> None:
    """Readable, and no valid message: refused by class, and the session goes on. T43."""
    session = attacker.session()
    welcome = await session.join()
    lineage = welcome.lineage
    cases: list[tuple[object, RejectClass]] = [
        ({"type": "no such message"}, RejectClass.UNKNOWN_TYPE),
        ({"type": 7}, RejectClass.INVALID_MESSAGE),
        ({}, RejectClass.INVALID_MESSAGE),
        ([], RejectClass.INVALID_MESSAGE),
        ("pack", RejectClass.INVALID_MESSAGE),
        ({"type": "pack"}, RejectClass.INVALID_FIELD),
        ({"type": "pack", "lineage": lineage[:31], "nodes": b""}, RejectClass.INVALID_FIELD),
        ({"type": "pack", "lineage": lineage, "nodes": b"\x02\x00"}, RejectClass.INVALID_FIELD),
        ({"type": "pack", "lineage": lineage, "nodes": b"\x01\xff\x01"}, RejectClass.INVALID_FIELD),
        ({"type": "pack", "lineage": lineage, "nodes": b"\x01\x06"}, RejectClass.INVALID_FIELD),
        ({"type": "ping", "t": 1 << 63}, RejectClass.INVALID_FIELD),
        ({"type": "ping", "ref": ""}, RejectClass.INVALID_FIELD),
        ({"type": "ping", "ref": "x" * 65}, RejectClass.INVALID_FIELD),
        ({"type": "request", "after": 7}, RejectClass.INVALID_FIELD),
        ({"type": "signal", "to": None}, RejectClass.INVALID_FIELD),
    ]
    for message, reject_class in cases:
        session.send(message)  # type: ignore[arg-type]
        answer = await session.receive_type(Error)
        attacker.demand_class(answer, reject_class)
    # From a newer client: fields that nobody knows are passed over.
    ref = session.ref()
    session.send({"type": "ping", "ref": ref, "t": 3, "colour": "blue", "nested": [{}]})
    pong = await session.answer_to(ref)
    attacker.demand(getattr(pong, "t", None) == 3, f"{pong!r} is no pong")
    # Nothing answers an error.
    session.send(msgspec.to_builtins(Error(reject_class="internal", message="", kind="final")))
    ref = session.ref()
    session.send({"type": "ping", "ref": ref})
    while (answer := await session.receive()).ref != ref:
        attacker.demand(not isinstance(answer, Error), "an error was answered")
