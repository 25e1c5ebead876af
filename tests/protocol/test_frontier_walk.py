"""The walk against a server that is a set of ids: sound, exact along branches, bounded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.core.graph import BASE_ID, Graph
from roomlog.protocol import frontier_walk
from roomlog.protocol.client_events import ServerFault
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.frontier_walk import FEW_HEADS, MOST_QUESTIONS, FrontierWalk
from roomlog.protocol.messages import Request, RequestEnd


def name(lv: int) -> bytes:
    return b"%032d" % lv


class Room:
    """A client's graph by parents, and what of it the server has."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.parents: list[list[int]] = []

    def add(self, parents: list[int]) -> int:
        lv = len(self.parents)
        self.parents.append(parents)
        self.graph.add(name(lv), b"a" * 32, lv + 1, sorted(map(name, parents)))
        return lv

    def chain(self, length: int, parents: list[int]) -> int:
        for _ in range(length):
            parents = [self.add(parents)]
        return parents[0]

    def history(self, lvs: list[int]) -> set[int]:
        seen: set[int] = set()
        waiting = list(lvs)
        while waiting:
            lv = waiting.pop()
            if lv not in seen:
                seen.add(lv)
                waiting += self.parents[lv]
        return seen

    def frontier(self) -> list[bytes]:
        return self.graph.frontier_ids()


def walk_through(
    walk: FrontierWalk, has: set[bytes], most_ids: int = 1024, *, most: int = MOST_QUESTIONS
) -> tuple[int, int]:
    """Questions and bytes, both ways, until the server answers or there is nothing to ask."""
    rounds = size_bytes = 0
    while not walk.is_over:
        ids = walk.ids()
        if not ids:
            assert walk.is_closing
            break
        assert len(ids) <= most_ids
        assert len(set(ids)) == len(ids)
        unknown = [index for index, node_id in enumerate(ids) if node_id not in has]
        request = Request(ref="r1", frontier=ids, stop_at_unknown=True)
        end = RequestEnd(ref="r1", seq=1, unknown=unknown)
        size_bytes += len(encode(Codec.MSGPACK, request)) + len(encode(Codec.MSGPACK, end))
        assert all(len(node_id) == 32 for node_id in ids)
        walk.learn(unknown)
        assert walk.is_over is not bool(unknown)
        rounds += 1
        assert rounds <= most + 1
    return rounds, size_bytes


def lvs_of(ids: list[bytes]) -> list[int]:
    return [int(each) for each in ids]


@st.composite
def rooms(draw: st.DrawFn) -> tuple[Room, set[int]]:
    room = Room()
    for lv in range(draw(st.integers(1, 50))):
        parents = draw(
            st.just([lv - 1] if lv else [])
            | st.lists(st.integers(max(0, lv - 12), max(0, lv - 1)), max_size=3, unique=True)
        )
        room.add([parent for parent in parents if parent < lv])
    server_heads = draw(st.lists(st.integers(0, len(room.parents) - 1), max_size=5))
    return room, room.history(server_heads)


@settings(max_examples=300)
@given(rooms(), st.integers(2, 40))
def test_the_walk_claims_nothing_that_the_server_lacks_and_always_ends(
    case: tuple[Room, set[int]], most_ids: int
) -> None:
    room, has = case
    walk = FrontierWalk(room.frontier(), room.graph, most_ids)
    walk_through(walk, {name(lv) for lv in has}, most_ids)
    assert set(lvs_of(walk.known)) <= has
    assert not set(lvs_of(walk.unknown)) & has
    heads = {int(each) for each in room.frontier()}
    if heads <= has and len(heads) <= most_ids:
        assert room.history(lvs_of(walk.known)) == set(range(len(room.parents)))


@st.composite
def branches(draw: st.DrawFn) -> tuple[Room, set[int]]:
    """A trunk, branches from it that were merged or not, and a server behind on each."""
    room = Room()
    trunk = room.chain(draw(st.integers(1, 30)), [])
    tips: list[int] = []
    server_heads: list[int] = []
    for _ in range(draw(st.integers(1, 6))):
        length = draw(st.integers(1, 40))
        tip = room.chain(length, [draw(st.integers(0, trunk))])
        tips.append(tip)
        server_heads.append(tip - draw(st.integers(0, length)))
    if draw(st.booleans()):
        tip = room.add(tips)
        room.chain(draw(st.integers(0, 5)), [tip])
    held = [lv for lv in server_heads if lv <= trunk or lv in tips or draw(st.booleans())]
    return room, room.history(held)


@settings(max_examples=200)
@given(branches())
def test_branches_are_followed_to_the_node_where_they_part(case: tuple[Room, set[int]]) -> None:
    room, has = case
    walk = FrontierWalk(room.frontier(), room.graph, 1024)
    walk_through(walk, {name(lv) for lv in has})
    assert room.history(lvs_of(walk.known)) == has & room.history(
        [int(each) for each in room.frontier()]
    )


@pytest.mark.parametrize("missing", [0, 1, 10, 1_000, 60_000, 99_000])
@pytest.mark.parametrize("heads", [1, 20])
def test_t32_a_walk_finds_the_difference_however_large_and_never_sends_everything(
    missing: int, heads: int
) -> None:
    length = 100_000
    room = Room()
    trunk = room.chain(1000, [])
    tips = [room.chain((length - 1000) // heads, [trunk]) for _ in range(heads)]
    has = {name(lv) for lv in range(trunk + 1)}
    behind = min(missing // heads, (length - 1000) // heads)
    for tip in tips:
        first = tip - (length - 1000) // heads + 1
        has.update(name(lv) for lv in range(first, tip - behind + 1))
    walk = FrontierWalk(room.frontier(), room.graph, 1024)
    rounds, size_bytes = walk_through(walk, has)
    expected = {tip - behind if behind < (length - 1000) // heads else trunk for tip in tips}
    assert set(lvs_of(walk.known)) == expected
    bits = math.ceil(math.log2(behind + 2))
    beginnings = int(heads > FEW_HEADS)
    assert rounds <= 3 + beginnings + math.ceil(bits / 4) + math.ceil(bits / 2)
    # The levels of a question: 4 doublings or 2 halvings; and what every question costs by itself.
    levels = 2 + 2 * beginnings + 4 * math.ceil(bits / 4) + 2 * math.ceil(bits / 2)
    assert size_bytes <= 64 * heads * levels + 144 * rounds


def test_branches_that_the_server_lacks_as_a_whole_cost_one_question_more() -> None:
    room = Room()
    trunk = room.chain(50, [])
    theirs = room.chain(1, [trunk])
    for _ in range(100):
        room.chain(40, [trunk])
    has = {name(lv) for lv in range(theirs + 1)}
    walk = FrontierWalk(room.frontier(), room.graph, 1024)
    asked: list[int] = []
    while not walk.is_over:
        ids = walk.ids()
        asked.append(len(ids))
        walk.learn([index for index, node_id in enumerate(ids) if node_id not in has])
    # The heads; their first nodes, the trunk and one that is unknown; the trunk.
    assert asked == [101, 102, 1]
    assert lvs_of(walk.known) == [theirs]


def test_a_root_that_the_server_lacks_ends_the_search_of_its_branch() -> None:
    room = Room()
    for _ in range(FEW_HEADS + 1):
        room.chain(3, [])
    walk = FrontierWalk(room.frontier(), room.graph, 1024)
    walk_through(walk, {name(0), name(1), name(2)})
    assert lvs_of(walk.known) == [2]
    assert sorted(lvs_of(walk.unknown)) == [3 * number for number in range(1, FEW_HEADS + 1)]


def test_what_joined_from_the_side_is_left_out_beyond_a_few_merges_of_merges() -> None:
    room = Room()
    trunk = room.chain(2, [])
    heads: list[int] = []
    tip = trunk
    for _ in range(6):
        # A branch whose newest part the server lacks, merged into one that it lacks too.
        side = room.chain(10, [trunk])
        heads.append(side - 5)
        tip = room.add([side, tip] if side < tip else [tip, side])
    has = {name(lv) for lv in room.history([trunk, *heads])}
    walk = FrontierWalk([name(tip)], room.graph, 1024)
    walk_through(walk, has)
    assert {name(lv) for lv in room.history(lvs_of(walk.known))} <= has
    assert len(walk.known) >= frontier_walk.MOST_SIDES


def test_without_a_graph_unknown_heads_are_left_out() -> None:
    walk = FrontierWalk([name(1), name(2), name(3)], None, 1024)
    assert walk_through(walk, {name(2)}) == (2, pytest.approx(300, abs=100))
    assert walk.known == [name(2)]
    assert walk.unknown == [name(1), name(3)]
    lost = FrontierWalk([name(1)], None, 1024)
    walk_through(lost, set())
    assert lost.known == []
    assert not lost.is_over


def test_heads_that_the_graph_does_not_have_are_asked_as_they_are() -> None:
    room = Room()
    room.chain(3, [])
    walk = FrontierWalk([name(2), name(77)], room.graph, 1024)
    walk_through(walk, {name(0), name(77)})
    assert sorted(walk.known) == [name(0), name(77)]
    assert walk.unknown == [name(1)]
    strange = FrontierWalk([name(0), name(77)], room.graph, 1024)
    walk_through(strange, {name(0)})
    assert strange.known == [name(0)]
    assert strange.unknown == [name(77)]


@pytest.mark.parametrize("ghosts", [0, 1, 50])
def test_what_stands_for_a_snapshot_is_not_asked_about(ghosts: int) -> None:
    graph = Graph()
    graph.add_base([name(1000 + each) for each in range(ghosts)], 5)
    for head in (0, 1):
        graph.add(name(head), b"a" * 32, 6, (BASE_ID,))
    graph.add(name(2), b"a" * 32, 7, (name(0), name(1)))
    for above in range(3, 20):
        graph.add(name(above), b"a" * 32, above + 5, (name(above - 1),))
    lost = FrontierWalk(graph.frontier_ids(), graph, 1024)
    walk_through(lost, {name(1000 + each) for each in range(ghosts)})
    assert lost.known == []
    assert set(lvs_of(lost.unknown)) == {0, 1}
    behind = FrontierWalk(graph.frontier_ids(), graph, 1024)
    walk_through(behind, {name(0)})
    assert behind.known == [name(0)]


def test_the_search_ends_at_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    room.chain(100, [])
    monkeypatch.setattr(frontier_walk, "MOST_DISTANCE", 16)
    near = FrontierWalk(room.frontier(), room.graph, 1024)
    walk_through(near, {name(lv) for lv in range(50)})
    assert near.known == []
    assert near.unknown == [name(99 - 16)]
    monkeypatch.setattr(frontier_walk, "MOST_QUESTIONS", 3)
    short = FrontierWalk(room.frontier(), room.graph, 1024)
    assert walk_through(short, {name(lv) for lv in range(98)}, most=3)[0] <= 4
    assert set(lvs_of(short.known)) <= {97}


@settings(max_examples=300)
@given(rooms(), st.data(), st.integers(2, 40))
def test_t22_what_others_give_back_during_a_walk_is_no_fault_of_the_server(
    case: tuple[Room, set[int]], data: st.DataObject, most_ids: int
) -> None:
    room, has = case
    walk = FrontierWalk(room.frontier(), room.graph, most_ids)
    rounds = 0
    while not walk.is_over and (ids := walk.ids()):
        walk.learn([index for index, node_id in enumerate(ids) if int(node_id) not in has])
        assert set(lvs_of(walk.known)) <= has
        rounds += 1
        assert rounds <= MOST_QUESTIONS + 1
        has = has | room.history(data.draw(st.lists(st.integers(0, len(room.parents) - 1))))
    assert walk.is_over or walk.is_closing


def test_a_walk_whose_unknown_head_was_given_back_is_answered_at_once() -> None:
    room = Room()
    room.chain(9, [])
    walk = FrontierWalk(room.frontier(), room.graph, 1024)
    walk.ids()
    walk.learn([0])
    assert walk.ids() == [name(8), name(7), name(6), name(4), name(0)]
    walk.learn([])
    assert walk.is_over


@pytest.mark.parametrize("unknown", [[5], [0, 0], [-1]])
def test_indexes_that_were_not_asked_for_are_a_fault(unknown: list[int]) -> None:
    walk = FrontierWalk([name(1), name(2)], None, 1024)
    walk.ids()
    with pytest.raises(ServerFault, match="not asked for"):
        walk.learn(unknown)


def test_a_server_that_contradicts_itself_is_a_fault() -> None:
    room = Room()
    room.chain(9, [])
    closing = FrontierWalk(room.frontier(), room.graph, 1024)
    closing.ids()
    closing.learn([0])
    closing.ids()
    closing.learn([0])
    assert closing.ids() == [name(7)]
    assert closing.is_closing
    with pytest.raises(ServerFault, match="known before"):
        closing.learn([0])
