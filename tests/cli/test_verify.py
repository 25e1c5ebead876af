"""`roomlog verify`: proves a good store, and names the first bad node of any other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet
from roomlog.identity import Identity
from roomlog.store.interface import Append
from roomlog.store.sqlite import SqliteStore
from tests.cli.running import ran, serving
from tests.cli.stores import make_store
from tests.store.chains import AUTHOR, Chain, create_room, make_append

STRANGER = Identity.from_seed(b"s" * 32)


def test_a_good_store_is_proven_and_counted(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    replicas = make_store(tmp_path / "store", "a", "b")
    result = ran(capfd, "verify", "--store", tmp_path / "store")
    assert result.code == 0
    assert "verified 8 nodes in 2 rooms" in result.out
    shown = ran(capfd, "verify", "--store", tmp_path / "store", "--json", "--room", "b").json
    assert shown["ok"] is True
    (room,) = shown["rooms"]
    assert (room["room"], room["nodes"], room["admission_records"]) == ("b", 4, 4)
    assert room["frontier"] == [node_id.hex() for node_id in replicas["b"].frontier]


def test_it_works_beside_a_server_and_in_other_processes(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_store(tmp_path / "store", "a")
    with serving(tmp_path / "store"):
        result = ran(capfd, "verify", "--store", tmp_path / "store", "--processes", "1")
    assert result.code == 0


def test_an_unknown_room_is_named(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_store(tmp_path / "store", "a")
    result = ran(capfd, "verify", "--store", tmp_path / "store", "--room", "z")
    assert result.code == 1
    assert "no room z" in result.err


Spoil = Callable[[Chain], list[Append]]


def forged(chain: Chain) -> list[Append]:
    """A node that names an author who did not sign it."""
    node = chain.nodes[2]
    chain.nodes[2] = with_signature(node, bytes(64))
    return split(chain)


def signed_by_a_stranger(chain: Chain) -> list[Append]:
    from roomlog.core.signing import Purpose

    node = chain.nodes[2]
    chain.nodes[2] = with_signature(node, STRANGER.sign(Purpose.NODE, node.id))
    return split(chain)


def with_signature(node: Node, signature: bytes) -> Node:
    return Node(
        node.id,
        node.author,
        node.clock,
        node.kind,
        node.parents,
        node.body_hash,
        node.body,
        signature,
    )


def without_its_parent(chain: Chain) -> list[Append]:
    nodes = chain.nodes
    nodes[2] = make_node(chain.hasher, AUTHOR, CHANGE, 2048 * 9, [b"?" * 32], [MapSet("k", 1)])
    return split(chain, until=3)


def with_a_clock_behind(chain: Chain) -> list[Append]:
    parent = chain.nodes[1]
    chain.nodes[2] = make_node(
        chain.hasher, AUTHOR, CHANGE, parent.clock, [parent.id], [MapSet("k", 1)]
    )
    return split(chain, until=3)


def of_another_lineage(chain: Chain) -> list[Append]:
    """The pack of one node under the id of another."""
    appends = split(chain)
    appends[2] = msgspec.structs.replace(appends[2], ids=b"!" * 32)
    return appends


def twice(chain: Chain) -> list[Append]:
    chain.nodes[2] = chain.nodes[1]
    return split(chain, until=3)


def of_another_time(chain: Chain) -> list[Append]:
    appends = split(chain)
    appends[2] = msgspec.structs.replace(appends[2], lineage=b"o" * 32)
    return appends


def broken_pack(chain: Chain) -> list[Append]:
    appends = split(chain)
    appends[2] = msgspec.structs.replace(appends[2], pack=appends[2].pack[:-3])
    return appends


def miscounted(chain: Chain) -> list[Append]:
    appends = split(chain, until=3)
    appends[2] = msgspec.structs.replace(appends[2], count=2, ids=appends[2].ids * 2)
    return appends


def split(chain: Chain, until: int = 5) -> list[Append]:
    return [
        make_append(chain.room, seq, [node])
        for seq, node in enumerate(chain.nodes[:until], start=1)
    ]


@pytest.mark.parametrize(
    ("spoil", "fault_class", "processes"),
    [
        (forged, "signature_invalid", 0),
        (forged, "signature_invalid", 1),
        (signed_by_a_stranger, "signature_invalid", 0),
        (without_its_parent, "parent_missing", 0),
        (with_a_clock_behind, "clock_behind_parent", 0),
        (of_another_lineage, "hash_mismatch", 0),
        (twice, "store_corrupt", 0),
        (twice, "store_corrupt", 1),
        (of_another_time, "admission_mismatch", 0),
        (broken_pack, "invalid_field", 0),
        (miscounted, "store_corrupt", 0),
    ],
)
def test_the_first_bad_node_is_named_by_room_seq_and_class(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    spoil: Spoil,
    fault_class: str,
    processes: int,
) -> None:
    store = SqliteStore.open(tmp_path / "store", store_id=os.urandom(16), now_ms=1)
    store.commit([Chain(create_room(store, "a-good-one")).append(2)])
    chain = Chain(create_room(store, "spoilt"))
    chain.append(5)
    assert all(each.is_committed for each in store.commit(spoil(chain)))
    store.close()
    arguments = ("verify", "--store", tmp_path / "store", "--processes", processes)
    result = ran(capfd, *arguments)
    assert result.code == 1
    assert result.err.startswith("roomlog: room spoilt, seq 3")
    assert f": {fault_class}: " in result.err
    shown = ran(capfd, *arguments, "--json")
    assert shown.code == 1
    fault = shown.json["first_fault"]
    assert (fault["room"], fault["seq"], fault["class"]) == ("spoilt", 3, fault_class)
    assert shown.json["ok"] is False


def test_of_two_faults_the_one_with_the_lower_seq_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = SqliteStore.open(tmp_path / "store", store_id=os.urandom(16), now_ms=1)
    chain = Chain(create_room(store, "spoilt"))
    chain.append(5)
    chain.nodes[1] = with_signature(chain.nodes[1], bytes(64))
    store.commit(without_its_parent(chain))
    store.close()
    result = ran(capfd, "verify", "--store", tmp_path / "store", "--json").json
    assert (result["first_fault"]["seq"], result["first_fault"]["class"]) == (
        2,
        "signature_invalid",
    )


def test_bits_that_flipped_on_the_disk_are_found(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import sqlite3

    make_store(tmp_path / "store", "a")
    connection = sqlite3.connect(tmp_path / "store" / "roomlog.sqlite3")
    connection.execute("UPDATE log SET tail = zeroblob(length(tail)) WHERE from_seq = 2")
    connection.commit()
    connection.close()
    result = ran(capfd, "verify", "--store", tmp_path / "store")
    assert result.code == 1
    assert "store_corrupt" in result.err
    assert "seq 2" in result.err
