"""The conformance vectors: reproduced by their generator, met by this build, and checked by hand.

What is checked by hand uses only struct, blake3 and the naive decoder of packs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from scripts.generate_vectors import VECTORS, content, topics

from roomlog.core import canonical
from roomlog.core.node import Node, NodeHasher, check_node, check_signature
from roomlog.core.operation import decode_body, encode_body
from roomlog.core.pack import PackBlocks, decode_pack, read_pack_file
from roomlog.core.pack.varint import uvarint
from roomlog.core.reject import Reject
from roomlog.core.signing import Purpose, verify
from roomlog.identity import Identity
from tests.oracle.naive_pack import unpack


def load(topic: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))
    return document


def entries(topic: str, part: str) -> list[Any]:
    return [pytest.param(entry, id=entry["name"]) for entry in load(topic)[part]]


def class_of(check: Callable[[], object]) -> str | None:
    try:
        check()
    except Reject as reject:
        return reject.reject_class.wire
    return None


@pytest.mark.parametrize("topic", topics())
def test_the_generator_reproduces_every_file(topic: str) -> None:
    assert (VECTORS / f"{topic}.json").read_text(encoding="utf-8") == content(topic)


def test_every_file_has_its_topic() -> None:
    assert {path.stem for path in Path(VECTORS).glob("*.json")} == set(topics())


BODY_KEY = blake3(b"roomlog/body/v1").digest()


def hand_body_hash(body: bytes) -> bytes:
    return blake3(body, key=BODY_KEY).digest()


# Nodes


@pytest.mark.parametrize("entry", entries("nodes", "valid"))
def test_a_nodes_header_and_ids_are_recomputed_by_hand(entry: dict[str, Any]) -> None:
    document = load("nodes")
    lineage = blake3(b"roomlog/lineage/v1\0" + document["room_id"].encode()).digest()
    assert lineage.hex() == document["lineage"]
    body_hash = hand_body_hash(bytes.fromhex(entry["body"]))
    assert body_hash.hex() == entry["body_hash"]
    header = struct.pack(
        ">BB32sQB",
        1,
        entry["kind"],
        bytes.fromhex(entry["author"]),
        entry["clock"],
        len(entry["parents"]),
    )
    header += bytes.fromhex("".join(entry["parents"])) + body_hash
    assert header.hex() == entry["header"]
    assert blake3(header, key=lineage).digest().hex() == entry["id"]


@pytest.mark.parametrize("entry", entries("nodes", "valid"))
def test_a_nodes_pack_is_accepted_with_its_signature(entry: dict[str, Any]) -> None:
    document = load("nodes")
    authors = {
        Identity.from_seed(bytes.fromhex(seed)).public_key.hex(): seed for seed in document["seeds"]
    }
    assert entry["author"] in authors
    prefix = bytes.fromhex(entry["header"])[:-32]
    body = bytes.fromhex(entry["body"])
    pack = one_row(prefix, body, bytes.fromhex(entry["signature"]))
    (node,) = decode_pack(pack, NodeHasher(bytes.fromhex(document["lineage"])))
    check_node(node)
    check_signature(node)
    assert node.id.hex() == entry["id"]
    assert node.header().hex() == entry["header"]
    # The same bytes in another lineage are another node, whose signature this is not.
    (foreign,) = decode_pack(pack, NodeHasher(bytes(32)))
    assert class_of(lambda: check_signature(foreign)) == "signature_invalid"


@pytest.mark.parametrize("entry", entries("nodes", "hostile"))
def test_a_hostile_node_is_refused_with_its_class(entry: dict[str, Any]) -> None:
    pack = one_row(bytes.fromhex(entry["header"]), bytes.fromhex(entry["body"]), None)
    (node,) = decode_pack(pack, NodeHasher(bytes(32)))
    assert class_of(lambda: check_node(node)) == entry["class"]


def one_row(prefix: bytes, body: bytes, signature: bytes | None) -> bytes:
    headers = uvarint(len(prefix)) + prefix
    return PackBlocks(1, False, headers, signature, uvarint(len(body) + 1) + body, None).encode()


# Bodies


def from_json(value: Any) -> object:
    if isinstance(value, list):
        return [from_json(element) for element in value]
    if isinstance(value, dict):
        if "bytes" in value:
            return bytes.fromhex(value["bytes"])
        if "float" in value:
            return struct.unpack(">d", bytes.fromhex(value["float"]))[0]
        return {key: from_json(element) for key, element in value["map"]}
    return value


@pytest.mark.parametrize("entry", entries("bodies", "valid"))
def test_a_body_is_the_canonical_form_of_its_operations(entry: dict[str, Any]) -> None:
    body = bytes.fromhex(entry["body"])
    assert canonical.encode(from_json(entry["operations"])) == body
    assert encode_body(decode_body(body)) == body


@pytest.mark.parametrize("entry", entries("bodies", "hostile"))
def test_a_hostile_body_is_refused_with_its_class(entry: dict[str, Any]) -> None:
    assert class_of(lambda: decode_body(bytes.fromhex(entry["body"]))) == entry["class"]


# Signatures


@pytest.mark.parametrize("entry", entries("signatures", "signatures"))
def test_t2_a_signature_holds_or_not_as_written(entry: dict[str, Any]) -> None:
    holds = verify(
        bytes.fromhex(entry["public_key"]),
        Purpose(entry["purpose"]),
        bytes.fromhex(entry["payload"]),
        bytes.fromhex(entry["signature"]),
    )
    assert holds is entry["valid"]


# Packs


def packs_hasher() -> NodeHasher:
    return NodeHasher(bytes.fromhex(load("packs")["lineage"]))


def described(node: Node) -> dict[str, Any]:
    return {
        "id": node.id.hex(),
        "body": None if node.body is None else node.body.hex(),
        "class": class_of(lambda: check_node(node)),
    }


@pytest.mark.parametrize("entry", entries("packs", "valid"))
def test_a_pack_decodes_to_its_nodes(entry: dict[str, Any]) -> None:
    nodes = decode_pack(bytes.fromhex(entry["pack"]), packs_hasher())
    assert [described(node) for node in nodes] == entry["nodes"]


@pytest.mark.parametrize("entry", entries("packs", "valid"))
def test_a_pack_is_decoded_by_hand_to_the_same_nodes(entry: dict[str, Any]) -> None:
    lineage = bytes.fromhex(load("packs")["lineage"])

    def id_of(prefix: bytes, body: bytes | None, body_hash: bytes | None) -> bytes:
        known = body_hash if body is None or body_hash is not None else hand_body_hash(body)
        assert known is not None
        return blake3(prefix + known, key=lineage).digest()

    rows = unpack(bytes.fromhex(entry["pack"]), id_of)
    by_hand = [
        (id_of(row.prefix, row.body, row.body_hash).hex(), row.body and row.body.hex())
        for row in rows
    ]
    assert by_hand == [(node["id"], node["body"] or row_none(node)) for node in entry["nodes"]]
    decoded = decode_pack(bytes.fromhex(entry["pack"]), packs_hasher())
    assert [row.signature for row in rows] == [node.signature for node in decoded]


def row_none(node: dict[str, Any]) -> bytes | None:
    """A body of no bytes is not a body left out."""
    return None if node["body"] is None else b""


@pytest.mark.parametrize("entry", entries("packs", "hostile"))
def test_a_hostile_pack_is_refused_with_its_class(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["pack"])
    assert class_of(lambda: decode_pack(data, packs_hasher())) == entry["class"]


def test_the_pack_file_holds_the_single_packs_of_its_lineage() -> None:
    document = load("packs")
    lineage, packs = read_pack_file(bytes.fromhex(document["file"]))
    assert lineage.hex() == document["lineage"]
    hasher = packs_hasher()
    ids = [node.id.hex() for pack in packs for node in decode_pack(pack, hasher)]
    joined = next(entry for entry in document["valid"] if entry["name"] == "single nodes joined")
    assert ids == [node["id"] for node in joined["nodes"]]


# Handshakes


def behind_its_length(part: bytes) -> bytes:
    return struct.pack(">H", len(part)) + part


@pytest.mark.parametrize("entry", entries("handshake", "handshakes"))
def test_a_handshake_is_recomputed_by_hand(entry: dict[str, Any]) -> None:
    token = entry["token"].encode()
    parts = (
        bytes.fromhex(entry["server_nonce"]),
        bytes.fromhex(entry["client_nonce"]),
        entry["origin"].encode(),
        entry["room_id"].encode(),
        entry["subprotocol"].encode(),
        bytes.fromhex(entry["server_key"]),
        bytes.fromhex(entry["client_key"]),
        entry["label"].encode(),
        blake3(token).digest() if token else b"",
    )
    said = b"".join(map(behind_its_length, parts))
    assert said.hex() == entry["transcript"]
    payload = blake3(said).digest() + bytes.fromhex(entry["lineage"] + entry["epoch"])
    payload += struct.pack(">QH", entry["seq"], len(entry["frontier"]))
    payload += bytes.fromhex("".join(sorted(entry["frontier"])))
    assert payload.hex() == entry["welcome_payload"]
    server = Identity.from_seed(bytes.fromhex(load("handshake")["server_seed"]))
    assert server.public_key.hex() == entry["server_key"]
    signature = bytes.fromhex(entry["welcome_signature"])
    assert verify(server.public_key, Purpose.WELCOME, payload, signature)
    if entry["client_seed"]:
        client = Identity.from_seed(bytes.fromhex(entry["client_seed"]))
        assert client.public_key.hex() == entry["client_key"]
        assert client.sign(Purpose.HELLO, said).hex() == entry["proof"]
    else:
        assert entry["client_key"] == entry["proof"] == ""
