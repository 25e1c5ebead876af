"""Rooms of nodes by strangers: taken in any order and form, they say what the definitions say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from roomlog.core.node import Node
from roomlog.core.pack import decode_pack, encode_pack, write_pack_file
from roomlog.core.replica import Replica
from tests.fuzz.built_nodes import HASHER, LINEAGE, NodeBuilder
from tests.fuzz.choices import Choices
from tests.fuzz.history_checks import (
    check_admission,
    check_anchors,
    check_graph,
    check_rewriting,
)
from tests.fuzz.naive_values import shown
from tests.fuzz.target import Target
from tests.oracle.naive_room import NaiveRoom


def check(data: bytes) -> None:
    """Nodes of the input's making, to three replicas, each in its own way."""
    choices = Choices(data)
    is_signed = choices.is_one_in(8)
    way = choices.below(4)
    seed = choices.byte()
    nodes = NodeBuilder(choices, is_signed=is_signed).build()
    first = Replica("room", lineage=LINEAGE)
    for node in nodes:
        first.add_nodes([copied(node)], verify=is_signed)
    oracle = oracle_of(first, nodes)
    check_state(first, oracle)
    second = Replica("room", lineage=LINEAGE)
    shuffled = list(nodes)
    Random(seed).shuffle(shuffled)
    for start in range(0, len(shuffled), 1 + way):
        second.add_nodes(
            [copied(node) for node in shuffled[start : start + 1 + way]], verify=is_signed
        )
    check_same(first, second)
    third = Replica("room", lineage=LINEAGE)
    third.import_pack(write_pack_file(LINEAGE, [encode_pack(nodes)]), verify=is_signed)
    check_same(first, third)
    check_versions(first, oracle, seed)
    rest = Choices(bytes((seed,)) + data[::-1])
    check_graph(first, oracle, rest)
    check_anchors(first, second, rest)
    check_rewriting([copied(node) for node in first.nodes()], rest)
    if is_signed:
        check_admission([copied(node) for node in shuffled], first, rest)


def copied(node: Node) -> Node:
    """The node as it arrives: nothing that one replica keeps of it is another's."""
    (decoded,) = decode_pack(encode_pack([node]), HASHER)
    return decoded


def oracle_of(replica: Replica, nodes: Sequence[Node]) -> NaiveRoom:
    """The definitions, over the nodes that were taken: those below which nothing was refused."""
    oracle = NaiveRoom()
    for node in replica.nodes():
        oracle.add(node)
    waiting = len(replica.waiting)
    assert len(replica) + waiting <= len({node.id for node in nodes})
    return oracle


def check_state(replica: Replica, oracle: NaiveRoom) -> None:
    """State, hash and heads are those of the definitions."""
    found, expected = replica.state(), oracle.state()
    for kind in ("maps", "counters", "lists", "texts"):
        assert by_key(found[kind]) == by_key(expected[kind]), kind
    assert len(found["blobs"]) == len(expected["blobs"])
    assert replica.state_hash().hex == oracle.state_hash()
    assert sorted(replica.frontier) == oracle.frontier()


def by_key(values: dict[str, object]) -> dict[str, str]:
    return {key: shown(value) for key, value in values.items()}


def check_same(replica: Replica, other: Replica) -> None:
    """Equal sets of nodes have equal states."""
    ids = {node.id for node in replica.nodes()}
    assert {node.id for node in other.nodes()} == ids
    assert other.frontier == replica.frontier
    assert other.state_hash().hex == replica.state_hash().hex
    assert other.state()["texts"] == replica.state()["texts"]


def check_versions(replica: Replica, oracle: NaiveRoom, seed: int) -> None:
    """Conflicts, and the state at one version of the middle."""
    found = {
        (
            each.kind,
            each.key,
            each.item,
            (each.winner.node_id, each.winner.operation_index),
            tuple((write.node_id, write.operation_index) for write in each.losers),
        )
        for each in replica.conflicts()
    }
    assert found == oracle.conflicts()
    nodes = list(replica.nodes())
    if nodes:
        frontier = [nodes[seed % len(nodes)].id]
        view = replica.at(frontier)
        assert view.state_hash().hex == oracle.state_hash(oracle.version(frontier))


def seeds() -> Iterable[bytes]:
    """Choices of fixed random numbers, short and long ones."""
    random = Random(7)
    for size in (16, 32, 64, 128, 192, 256):
        for _ in range(12):
            yield random.randbytes(size)


TARGET = Target(check, seeds, most_bytes=512)
