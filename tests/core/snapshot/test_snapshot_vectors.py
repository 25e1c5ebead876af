"""The vectors of snapshots, met by this build and checked by hand.

What is checked by hand uses only struct, blake3 and the oracle's MessagePack.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from scripts.generate_vectors import VECTORS

from roomlog.core.graph import Graph
from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack, read_pack_file
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose, verify
from roomlog.core.snapshot.critical import newest_critical
from roomlog.core.snapshot.facts import OpenedSnapshot, check_snapshot
from roomlog.core.snapshot.format import decode_state
from roomlog.core.snapshot.taking import take_snapshot
from tests.oracle.naive_room import messagepack

DOCUMENT: dict[str, Any] = json.loads((VECTORS / "snapshot.json").read_text(encoding="utf-8"))
FIELDS = ("lineage", "frontier_pack", "state_hash", "digest", "signature", "data")


def entries(part: str) -> list[Any]:
    return [pytest.param(entry, id=entry["name"]) for entry in DOCUMENT[part]]


def opened(entry: dict[str, Any]) -> OpenedSnapshot:
    lineage, pack, state_hash, digest, signature, data = [
        bytes.fromhex(entry[field]) for field in FIELDS
    ]
    key = bytes.fromhex(DOCUMENT["server_key"])
    return check_snapshot(key, lineage, entry["seq"], pack, state_hash, digest, signature, data)


@pytest.mark.parametrize("entry", entries("snapshots"))
def test_a_snapshot_is_recomputed_by_hand(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["data"])
    assert messagepack(msgspec.msgpack.decode(data)) == data
    assert blake3(data).hexdigest() == entry["digest"]
    frontier = [bytes.fromhex(node_id) for node_id in entry["frontier"]]
    assert frontier == sorted(frontier)
    payload = struct.pack(
        f">32sQH{32 * len(frontier)}s32s32s",
        bytes.fromhex(entry["lineage"]),
        entry["seq"],
        len(frontier),
        b"".join(frontier),
        bytes.fromhex(entry["state_hash"]),
        bytes.fromhex(entry["digest"]),
    )
    assert payload.hex() == entry["payload"]
    key = bytes.fromhex(DOCUMENT["server_key"])
    assert verify(key, Purpose.SNAPSHOT, payload, bytes.fromhex(entry["signature"]))


@pytest.mark.parametrize("entry", entries("snapshots"))
def test_a_snapshot_opens_and_the_rest_of_its_log_goes_on_top(entry: dict[str, Any]) -> None:
    lineage, packs = read_pack_file(bytes.fromhex(entry["log"]))
    nodes = decode_pack(packs[0], NodeHasher(lineage))
    room = Replica("vectors", None, lineage)
    room.add_nodes(nodes)
    taken = take_snapshot(room, entry["seq"])
    assert taken.data.hex() == entry["data"]
    assert taken.state_hash.hex() == entry["state_hash"]
    assert taken.frontier_pack.hex() == entry["frontier_pack"]
    partial = Replica.from_snapshot("vectors", None, lineage, opened(entry))
    assert partial.add_nodes(nodes[entry["seq"] :]).held == []
    for replica in (room, partial):
        assert replica.state_hash().hex == entry["final_state_hash"]
        assert replica.state_hash().coverage.to_dict() == entry["final_coverage"]


@pytest.mark.parametrize("entry", entries("rejected"))
def test_a_snapshot_that_must_be_refused_is_refused_with_its_class(entry: dict[str, Any]) -> None:
    with pytest.raises(Reject) as caught:
        opened(entry)
    assert caught.value.reject_class.wire == entry["class"]


@pytest.mark.parametrize("entry", entries("states"))
def test_state_bytes_that_nothing_writes_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(Reject) as caught:
        decode_state(bytes.fromhex(entry["data"]))
    assert caught.value.reject_class is RejectClass.INVALID_FIELD


@pytest.mark.parametrize("entry", DOCUMENT["critical"])
def test_the_critical_places_of_a_log_are_those_listed(entry: dict[str, Any]) -> None:
    graph = Graph()
    for number, parents in enumerate(entry["parents"]):
        ids = [parent.to_bytes(32, "big") for parent in parents]
        graph.add(number.to_bytes(32, "big"), bytes(32), number, ids)
    found = []
    seq = newest_critical(graph, len(graph))
    while seq:
        found.append(seq)
        seq = newest_critical(graph, seq - 1)
    assert found[::-1] == entry["critical"]
