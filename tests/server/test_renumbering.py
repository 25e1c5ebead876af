"""What was numbered behind a failed write is judged again: every pack gets its one answer."""

from __future__ import annotations

from typing import Any, cast

from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.core.reject import Reject
from roomlog.identity import Identity
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import PackAck
from roomlog.server.admission import Refusals
from roomlog.server.metrics import Metrics
from roomlog.server.room import Room
from roomlog.server.signature_turns import SignatureTurns
from roomlog.store.interface import COMMITTED, Append, StoredRoom, failed

KEY = Identity.from_seed(b"k" * 32)
LINEAGE = b"l" * 32


class HeldCommitter:
    """Keeps appends until the test says what became of them."""

    def __init__(self) -> None:
        self.appends: list[Append] = []

    def submit(self, append: Append) -> None:
        self.appends.append(append)


class Session:
    """One of the devices of `KEY`, and every answer it got."""

    author = KEY.public_key
    reader = None

    def __init__(self) -> None:
        self.refusals = Refusals()
        self.answers: dict[int, PackAck | Reject] = {}

    def settle(self, ticket: int, ack: PackAck) -> None:
        assert ticket not in self.answers
        self.answers[ticket] = ack

    def refuse(self, ticket: int, reject: Reject) -> None:
        assert ticket not in self.answers
        self.answers[ticket] = reject


def node(*parents: Node, clock: int = 1) -> Node:
    ids = [parent.id for parent in parents]
    return make_node(NodeHasher(LINEAGE), KEY, CHANGE, clock, ids, [MapSet("k", clock)])


def make_room(committer: HeldCommitter) -> Room:
    return Room(
        StoredRoom("room", LINEAGE, b"e" * 16, 0, 1),
        Graph(),
        committer=cast(Any, committer),
        signer=KEY,
        limits=SessionLimits(),
        metrics=Metrics(),
        signature_turns=SignatureTurns(lambda _: None),
        reader_buffer_bytes=1 << 20,
        wall_ms=lambda: 1_000,
        monotonic=lambda: 0.0,
        on_ambiguous=lambda _: None,
    )


def test_t19_a_pack_that_has_nothing_new_when_judged_again_waits_for_its_duplicate() -> None:
    committer = HeldCommitter()
    room = make_room(committer)
    first, second = Session(), Session()
    lost, kept = node(clock=1), node(clock=2)
    above = node(lost, clock=3)
    room.push(first, 0, encode_pack([lost]))
    room.push(first, 1, encode_pack([kept]))
    # Another device of the key, which was never told what became of the first node.
    room.push(second, 0, encode_pack([kept, above]))
    under_way, committer.appends = committer.appends, []
    assert [append.count for append in under_way] == [1, 1, 1]
    for append in under_way:
        room.settle(append, failed("disk full"))
    (again,) = committer.appends
    assert again.ids == kept.id
    assert set(first.answers) == {0}
    assert not second.answers
    room.settle(again, COMMITTED)
    assert cast(PackAck, first.answers[1]).from_seq == 1
    answer = cast(PackAck, second.answers[0])
    assert answer.duplicates == [(0, 1)]
    assert [each.reject_class for each in answer.rejected] == ["parent_missing"]
    third = node(kept, clock=4)
    room.push(first, 2, encode_pack([third]))
    room.settle(committer.appends[-1], COMMITTED)
    assert cast(PackAck, first.answers[2]).from_seq == 2
