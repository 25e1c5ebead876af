"""The merge vectors, recomputed by the naive room and by a replica in many arrival orders."""

import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest

from roomlog.core.node import Node
from roomlog.core.replica import Replica
from tests.core.devices import plain
from tests.oracle.naive_room import NaiveRoom

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "merges.json").read_text(encoding="utf-8")
)
CASES = VECTORS["cases"]


def value_of(data: Any) -> Any:
    """A value from its JSON form."""
    if isinstance(data, list):
        return [value_of(element) for element in data]
    if not isinstance(data, dict):
        return data
    if "bytes" in data:
        return bytes.fromhex(data["bytes"])
    if "float" in data:
        return struct.unpack(">d", bytes.fromhex(data["float"]))[0]
    return {key: value_of(element) for key, element in data["map"]}


def state_of(data: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        kind: {key: value_of(value) for key, value in values.items()}
        for kind, values in data.items()
    }


def nodes_of(case: dict[str, Any]) -> list[Node]:
    return [
        Node(
            bytes.fromhex(node["id"]),
            bytes.fromhex(node["author"]),
            node["clock"],
            node["kind"],
            tuple(bytes.fromhex(parent) for parent in node["parents"]),
            bytes.fromhex(node["body_hash"]),
            bytes.fromhex(node["body"]),
            bytes.fromhex(node["signature"]),
        )
        for node in case["nodes"]
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_naive_room_gives_the_states_and_hashes(case: dict[str, Any]) -> None:
    room = NaiveRoom()
    for node in nodes_of(case):
        room.add(node)
    assert room.state() == state_of(case["state"])
    assert room.state_hash() == case["hash"]
    assert [node_id.hex() for node_id in room.frontier()] == case["frontier"]
    for older in case["at"]:
        version = room.version(bytes.fromhex(node_id) for node_id in older["frontier"])
        assert room.state(version) == state_of(older["state"])
        assert room.state_hash(version) == older["hash"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_replica_gives_them_in_any_order(case: dict[str, Any]) -> None:
    nodes = nodes_of(case)
    random = Random(1)
    for _ in range(6):
        replica = Replica(VECTORS["room"])
        for node in nodes:
            replica.add_nodes([node], verify=False)
        assert plain(replica.state()) == state_of(case["state"])
        digest = replica.state_hash()
        assert digest.hex == case["hash"]
        assert digest.coverage.to_dict() == case["coverage"]
        random.shuffle(nodes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_pack_file_holds_the_same_signed_nodes(case: dict[str, Any]) -> None:
    replica = Replica(VECTORS["room"])
    assert replica.lineage.hex() == VECTORS["lineage"]
    result = replica.import_pack(bytes.fromhex(case["pack_file"]))
    assert [node_id.hex() for node_id in result.accepted] == [node["id"] for node in case["nodes"]]
    assert replica.state_hash().hex == case["hash"]


def test_there_is_a_case_of_every_kind() -> None:
    kinds = {kind for case in CASES for kind, values in case["state"].items() if values}
    assert kinds == {"maps", "blobs", "counters", "lists", "texts"}
