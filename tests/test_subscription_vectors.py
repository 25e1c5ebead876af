"""The vectors of subscriptions, met by this build and checked against what is written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.patterns import PatternSet, parse_patterns
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from tests.core.subscribing import seen_room
from tests.core.test_patterns import naive_match
from tests.test_vectors import entries, load


@pytest.mark.parametrize("entry", entries("subscriptions", "patterns"))
def test_a_pattern_takes_its_keys_and_no_other(entry: dict[str, Any]) -> None:
    pattern = entry["name"]
    for taken, keys in ((True, entry["taken"]), (False, entry["not_taken"])):
        for key in keys:
            assert PatternSet([pattern]).matches(key) is taken, key
            assert naive_match(pattern.split("/"), key.split("/")) is taken, key


@pytest.mark.parametrize("entry", entries("subscriptions", "refused"))
def test_what_is_no_pattern_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(Reject) as refusal:
        parse_patterns([entry["pattern"]])
    assert refusal.value.reject_class is RejectClass.SUBSCRIPTION_INVALID


def test_sets_are_ordered_by_their_bytes() -> None:
    for entry in load("subscriptions")["order"]:
        parsed = parse_patterns(entry["given"])
        assert parsed is not None
        assert list(parsed.patterns) == entry["canonical"]
        by_bytes = sorted({pattern.encode() for pattern in entry["given"]})
        assert [pattern.encode() for pattern in parsed.patterns] == by_bytes


def test_a_subscribers_nodes_are_the_rooms_and_its_hash_is_the_oracles() -> None:
    room = load("subscriptions")["room"]
    lineage = bytes.fromhex(room["lineage"])
    hasher = NodeHasher(lineage)
    whole = decode_pack(bytes.fromhex(room["pack"]), hasher)
    for entry in room["subscribed"]:
        expected = seen_room(whole, PatternSet(entry["patterns"])).state_hash()
        assert entry["state_hash"] == expected
        for layout in ("rows", "columns"):
            nodes = decode_pack(bytes.fromhex(entry[layout]), hasher)
            assert nodes == whole
            lacking = [index for index, node in enumerate(nodes) if node.body is None]
            assert lacking == entry["without_bodies"]
            replica = Replica("vectors", lineage=lineage)
            replica.set_patterns(entry["patterns"])
            assert not replica.add_nodes(nodes).rejected
            assert replica.state_hash().hex == expected
