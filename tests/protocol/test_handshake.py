"""What hello and welcome sign."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from blake3 import blake3

from roomlog.core.signing import Purpose, verify
from roomlog.identity import Identity
from roomlog.protocol.handshake import (
    check_hello_proof,
    check_welcome,
    hello_proof,
    sign_welcome,
    transcript,
    welcome_payload,
)

PARTS: dict[str, Any] = {
    "server_nonce": b"s" * 32,
    "client_nonce": b"c" * 32,
    "origin": "wss://rooms.example",
    "room_id": "room",
    "subprotocol": "roomlog.v1+json",
    "server_key": b"k" * 32,
    "client_key": b"p" * 32,
    "label": "läbel",
    "token": "token",
}


def test_the_transcript_is_each_part_behind_its_length() -> None:
    parts = [
        b"s" * 32,
        b"c" * 32,
        b"wss://rooms.example",
        b"room",
        b"roomlog.v1+json",
        b"k" * 32,
        b"p" * 32,
        "läbel".encode(),
        blake3(b"token").digest(),
    ]
    expected = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    assert transcript(**PARTS) == expected


def test_an_absent_token_is_empty_and_not_a_hash() -> None:
    assert transcript(**{**PARTS, "token": ""}).endswith(b"\x00\x00")


def test_every_part_changes_the_transcript() -> None:
    spoken = {transcript(**PARTS)}
    for name, value in PARTS.items():
        spoken.add(transcript(**{**PARTS, name: value[:-1]}))
    assert len(spoken) == len(PARTS) + 1


def test_moving_a_byte_between_parts_changes_the_transcript() -> None:
    moved = {**PARTS, "origin": "wss://rooms.exampl", "room_id": "eroom"}
    assert transcript(**moved) != transcript(**PARTS)


def test_a_part_beyond_two_bytes_of_length_is_the_callers_fault() -> None:
    transcript(**{**PARTS, "label": "x" * 65_535})
    with pytest.raises(ValueError, match="65,535"):
        transcript(**{**PARTS, "label": "x" * 65_536})


def test_t1_a_proof_holds_only_for_its_key_and_handshake() -> None:
    identity, other = Identity.generate(), Identity.generate()
    spoken = transcript(**PARTS)
    proof = hello_proof(identity, spoken)
    assert check_hello_proof(identity.public_key, spoken, proof)
    assert not check_hello_proof(other.public_key, spoken, proof)
    for name, value in PARTS.items():
        changed = transcript(**{**PARTS, name: value[:-1]})
        assert not check_hello_proof(identity.public_key, changed, proof), name


def test_t1_a_proof_is_no_signature_of_another_purpose() -> None:
    identity = Identity.generate()
    spoken = transcript(**PARTS)
    assert not verify(identity.public_key, Purpose.NODE, spoken, hello_proof(identity, spoken))
    assert not check_welcome(identity.public_key, spoken, hello_proof(identity, spoken))


def test_a_welcome_covers_the_handshake_and_the_log() -> None:
    server = Identity.generate()
    facts: dict[str, Any] = {
        "lineage": b"l" * 32,
        "epoch": b"e" * 16,
        "seq": 7,
        "frontier": [b"b" * 32, b"a" * 32],
    }
    payload = welcome_payload(b"handshake", **facts)
    assert payload == (
        blake3(b"handshake").digest()
        + b"l" * 32
        + b"e" * 16
        + struct.pack(">QH", 7, 2)
        + b"a" * 32
        + b"b" * 32
    )
    signature = sign_welcome(server, payload)
    assert check_welcome(server.public_key, payload, signature)
    changes: list[dict[str, Any]] = [
        {"lineage": b"m" * 32},
        {"epoch": b"f" * 16},
        {"seq": 8},
        {"frontier": [b"a" * 32]},
    ]
    for change in changes:
        other = welcome_payload(b"handshake", **{**facts, **change})
        assert not check_welcome(server.public_key, other, signature)
    assert not check_welcome(server.public_key, welcome_payload(b"another", **facts), signature)
