"""The ordered checks on a pack: each refusal with its class, and nothing else changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.clock import UNITS_PER_MS
from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, encode_header, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import RejectClass
from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from roomlog.server.admission import (
    REMEMBERED_REFUSALS,
    PendingNodes,
    Refusals,
    Verdict,
    admit,
)

HASHER = NodeHasher(b"l" * 32)
AUTHOR = Identity.from_seed(b"a" * 32)
OTHER = Identity.from_seed(b"o" * 32)
NOW_MS = 1_700_000_000_000
SKEW_MS = 5_000


def node(*parents: Node, clock: int = 0, author: Identity = AUTHOR, **options: Any) -> Node:
    greatest = max((each.clock for each in parents), default=0)
    return make_node(
        options.get("hasher", HASHER),
        author,
        CHANGE,
        clock or greatest + 1,
        [each.id for each in parents],
        [MapSet("k", options.get("value", 1))],
    )


def resigned(made: Node, signature: bytes | None) -> Node:
    return Node(
        made.id,
        made.author,
        made.clock,
        made.kind,
        made.parents,
        made.body_hash,
        made.body,
        signature,
    )


def raw(
    body: bytes, *, kind: int = CHANGE, clock: int = 1, parents: tuple[bytes, ...] = ()
) -> Node:
    """A well-signed node with any body."""
    body_hash = HASHER.body_hash(body)
    node_id = HASHER.node_id(encode_header(kind, AUTHOR.public_key, clock, parents, body_hash))
    signature = AUTHOR.sign(Purpose.NODE, node_id)
    return Node(node_id, AUTHOR.public_key, clock, kind, parents, body_hash, body, signature)


class Room:
    """Just enough of one."""

    def __init__(self, *nodes: Node) -> None:
        self.graph = Graph()
        self.pending: PendingNodes = {}
        self.refusals = Refusals()
        for each in nodes:
            self.graph.add(each.id, each.author, each.clock, each.parents)

    def judge(self, *nodes: Node, now_ms: int = NOW_MS) -> Verdict:
        return admit(
            nodes,
            graph=self.graph,
            pending=self.pending,
            next_seq=len(self.graph) + len(self.pending) + 1,
            author=AUTHOR.public_key,
            now_ms=now_ms,
            skew_ms=SKEW_MS,
            refusals=self.refusals,
        )


def classes(verdict: Verdict) -> list[str]:
    return [each.reject_class for each in verdict.rejected]


def test_a_chain_of_ones_own_is_taken_in_order() -> None:
    first = node()
    second = node(first)
    verdict = Room().judge(first, second)
    assert verdict.accepted == [first, second]
    assert verdict.accepted_indexes == [0, 1]
    assert (verdict.duplicates, verdict.rejected, verdict.is_on_pending) == ([], [], False)


def test_what_is_here_is_a_duplicate_with_its_seq() -> None:
    first, second = node(value=1), node(value=2)
    room = Room(first, second)
    assert room.judge(second, first).duplicates == [(0, 2), (1, 1)]


def test_a_duplicate_needs_no_further_check() -> None:
    first = node(author=OTHER)
    room = Room(first)
    assert room.judge(resigned(first, b"\0" * 64)).duplicates == [(0, 1)]


def test_a_duplicate_of_what_is_not_durable_waits() -> None:
    first = node()
    room = Room()
    room.pending[first.id] = (1, first.clock)
    verdict = room.judge(first, node(first))
    assert verdict.duplicates == [(0, 1)]
    assert verdict.is_on_pending
    assert verdict.accepted_indexes == [1]


def test_a_node_twice_in_one_pack_is_taken_once() -> None:
    first = node()
    verdict = Room(node(value=9)).judge(first, first)
    assert verdict.accepted == [first]
    assert verdict.duplicates == [(1, 2)]
    assert not verdict.is_on_pending


def test_t2_unsigned_and_zero_signed_nodes_are_refused() -> None:
    first = node()
    assert classes(Room().judge(resigned(first, None))) == ["signature_missing"]
    assert classes(Room().judge(resigned(first, b"\0" * 64))) == ["signature_invalid"]
    assert classes(Room().judge(resigned(first, OTHER.sign(Purpose.NODE, first.id)))) == [
        "signature_invalid"
    ]


def test_t2_a_signature_of_another_purpose_is_refused() -> None:
    first = node()
    signature = AUTHOR.sign(Purpose.HELLO, first.id)
    assert classes(Room().judge(resigned(first, signature))) == ["signature_invalid"]


def test_t10_a_node_of_another_room_is_refused() -> None:
    """Its header is valid here, but its id is another one: the signature does not hold."""
    made = node(hasher=NodeHasher(b"b" * 32))
    (moved,) = decode_pack(encode_pack([made]), HASHER)
    assert moved.id != made.id
    assert classes(Room().judge(moved)) == ["signature_invalid"]


def test_t54_nodes_of_others_are_refused_whoever_carries_them() -> None:
    assert classes(Room().judge(node(author=OTHER))) == ["author_not_session"]


def test_t3_no_key_or_value_inside_a_node_makes_a_difference() -> None:
    for key in ("policy", "roomlog/policy", "_system", "admin"):
        made = make_node(HASHER, OTHER, CHANGE, 1, [], [MapSet(key, {"allow": "*"})])
        assert classes(Room().judge(made)) == ["author_not_session"]


def test_missing_parents_are_all_named() -> None:
    known, first, second = node(value=0), node(value=1), node(value=2)
    verdict = Room(known).judge(node(known, first, second))
    assert classes(verdict) == ["parent_missing"]
    assert verdict.rejected[0].detail == {"parents": sorted([first.id, second.id])}


def test_parents_may_be_durable_on_their_way_or_in_the_pack() -> None:
    durable, pending, own = node(value=1), node(value=2), node(value=3)
    room = Room(durable)
    room.pending[pending.id] = (2, pending.clock)
    child = node(durable, pending, own)
    assert room.judge(own, child).accepted == [own, child]


def test_a_clock_must_be_above_every_parents() -> None:
    first = node(clock=100)
    for clock in (99, 100):
        child = make_node(HASHER, AUTHOR, CHANGE, clock, [first.id], [MapSet("k", 1)])
        assert classes(Room(first).judge(child)) == ["clock_behind_parent"]
    pending = Room()
    pending.pending[first.id] = (1, 100)
    child = make_node(HASHER, AUTHOR, CHANGE, 100, [first.id], [MapSet("k", 1)])
    assert classes(pending.judge(child)) == ["clock_behind_parent"]


def test_a_clock_ahead_of_the_server_is_refused_for_now_with_a_hint() -> None:
    ahead_ms = SKEW_MS + 700
    made = node(clock=(NOW_MS + ahead_ms) * UNITS_PER_MS)
    room = Room()
    verdict = room.judge(made)
    assert classes(verdict) == ["clock_ahead"]
    hint = verdict.rejected[0].detail["retry_after_ms"]
    assert hint == 700
    assert room.judge(made, now_ms=NOW_MS + 700).accepted == [made]


def test_t51_a_causal_chain_faster_than_the_clocks_unit_is_never_ahead() -> None:
    """Two thousand nodes beyond what the wall clock gives, each right behind its parent."""
    edge = (NOW_MS + SKEW_MS) * UNITS_PER_MS
    chain = [node(clock=edge)]
    for _ in range(3_000):
        chain.append(node(chain[-1]))
    verdict = Room().judge(*chain)
    assert verdict.rejected == []
    assert chain[-1].clock > edge + UNITS_PER_MS


def test_t15_the_clock_ceiling_is_not_measured_against_the_graph() -> None:
    """An old graph and an empty one take the same node."""
    made = node(clock=NOW_MS * UNITS_PER_MS)
    assert Room().judge(made).accepted == [made]
    assert Room(node(clock=1)).judge(made).accepted == [made]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (raw(b"\x90"), "body_invalid"),
        (raw(b"\x91\x01"), "body_invalid"),
        (raw(b"\xc1"), "body_invalid"),
        (raw(b"\x90", kind=9), "header_invalid"),
        (raw(b"\x90", kind=MERGE), "header_invalid"),
        (raw(b"\x91\x93\x01\xa1k\xc0", clock=2**53), "header_invalid"),
        (raw(b"\x91\x93\x01\xa1k\xc5\xff\xff" + b"x" * 0xFFFF + b"x" * 200_000), "node_too_large"),
    ],
)
def test_nodes_that_are_wrong_by_themselves_have_their_own_class(made: Node, expected: str) -> None:
    verdict = Room().judge(made)
    assert classes(verdict) == [expected]
    assert verdict.rejected[0].id == made.id


def test_a_node_without_its_body_is_refused() -> None:
    first = node()
    (bodiless,) = decode_pack(encode_pack([first], bodies=False), HASHER)
    assert classes(Room().judge(bodiless)) == ["body_missing"]


def test_t52_descendants_of_a_refused_node_name_their_root() -> None:
    refused = node(author=OTHER, value=1)
    child = node(refused)
    grandchild = node(child)
    free = node(value=2)
    both = node(free, grandchild)
    room = Room()
    verdict = room.judge(refused, child, free, grandchild, both)
    assert verdict.accepted == [free]
    assert classes(verdict) == ["author_not_session"] + ["ancestor_refused"] * 3
    for each in verdict.rejected[1:]:
        assert each.root == refused.id
        assert each.detail == {"root_class": "author_not_session"}


def test_t52_descendants_that_were_already_under_way_name_their_root_too() -> None:
    refused = node(author=OTHER)
    child = node(refused)
    room = Room()
    room.judge(refused)
    verdict = room.judge(child, node(child))
    assert classes(verdict) == ["ancestor_refused"] * 2
    assert {each.root for each in verdict.rejected} == {refused.id}


def test_t52_a_root_that_is_taken_after_all_frees_its_descendants() -> None:
    early = node(clock=(NOW_MS + SKEW_MS + 10) * UNITS_PER_MS)
    child = node(early)
    room = Room()
    assert classes(room.judge(early, child)) == ["clock_ahead", "ancestor_refused"]
    verdict = room.judge(early, child, now_ms=NOW_MS + 10)
    assert verdict.accepted == [early, child]
    assert room.refusals.root_of(early.id) is None


def test_what_stands_on_a_failed_write_may_come_again() -> None:
    failed, room = node(), Room()
    room.refusals.remember(failed.id, failed.id, RejectClass.STORE_UNAVAILABLE)
    child = node(failed)
    verdict = room.judge(child, node(child))
    assert classes(verdict) == ["store_unavailable"] * 2
    assert {each.root for each in verdict.rejected} == {failed.id}


def test_remembered_refusals_are_bounded_and_the_oldest_go_first() -> None:
    refusals = Refusals()
    refusals.forget(b"never there")
    names = [number.to_bytes(32, "big") for number in range(REMEMBERED_REFUSALS + 2)]
    for name in names:
        refusals.remember(name, name, RejectClass.BODY_INVALID)
    assert refusals.root_of(names[1]) is None
    assert refusals.root_of(names[2]) == (names[2], RejectClass.BODY_INVALID)
    refusals.forget(names[2])
    assert refusals.root_of(names[2]) is None


def test_t53_admission_never_looks_at_what_operations_mean() -> None:
    """Positions outside the document and items that do not exist are valid nodes."""
    from roomlog.core.operation import ItemReference, ListDelete, TextDelete

    made = make_node(
        HASHER,
        AUTHOR,
        CHANGE,
        1,
        [],
        [TextDelete("t", 10**9, 5), ListDelete("l", ItemReference(b"x" * 32, 3))],
    )
    assert Room().judge(made).accepted == [made]


@given(
    choices=st.lists(
        st.tuples(
            st.sampled_from(["good", "foreign", "unsigned", "lost", "again"]), st.integers(0)
        ),
        max_size=14,
    )
)
def test_every_node_of_a_pack_gets_exactly_one_answer(choices: list[tuple[str, int]]) -> None:
    nodes: list[Node] = []
    for number, (kind, pick) in enumerate(choices):
        parents = [nodes[pick % len(nodes)]] if nodes and kind != "lost" else []
        if kind == "again" and nodes:
            nodes.append(nodes[pick % len(nodes)])
            continue
        if kind == "lost":
            parents = [node(value=f"lost {number}")]
        made = node(*parents, value=number, author=OTHER if kind == "foreign" else AUTHOR)
        nodes.append(resigned(made, None) if kind == "unsigned" else made)
    room = Room()
    verdict = room.judge(*nodes)
    answers = len(verdict.accepted) + len(verdict.duplicates) + len(verdict.rejected)
    assert answers == len(nodes)
    taken = {each.id for each in verdict.accepted}
    for each in verdict.accepted:
        assert set(each.parents) <= taken
    assert len(room.graph) == 0
    assert room.pending == {}
