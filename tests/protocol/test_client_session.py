"""The client's session against frames made by hand: every rule, and every way to break one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import CounterAdd
from roomlog.core.pack import encode_pack
from roomlog.core.reject import RejectClass, RejectKind
from roomlog.protocol.client_events import (
    Acknowledged,
    CaughtUp,
    ClientEvent,
    Deprecated,
    Draining,
    ErrorReceived,
    Fault,
    Ignored,
    Moved,
    Opened,
    PingRefused,
    PongReceived,
    Received,
    Refused,
    WalkFound,
)
from roomlog.protocol.client_session import ClientSession, Phase
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.handshake import (
    check_hello_proof,
)
from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits
from roomlog.protocol.log_reader import MOST_RESTARTS
from roomlog.protocol.messages import (
    Challenge,
    Credit,
    CreditTotals,
    Cursor,
    Deprecation,
    Drain,
    Error,
    Message,
    Notice,
    Pack,
    PackAck,
    Pending,
    Ping,
    Pong,
    PushPack,
    RejectedNode,
    RequestEnd,
    Software,
)
from roomlog.protocol.messages import Moved as MovedNotice
from roomlog.protocol.push_queue import MAX_PACKS_IN_FLIGHT
from roomlog.protocol.reading_position import MAX_STRETCHES
from tests.protocol.client_wire import (
    ADA,
    EPOCH,
    HASHER,
    LINEAGE,
    ORIGIN,
    SERVER,
    Wire,
    chain,
    only_fault,
)

# handshake


@pytest.mark.parametrize("codec", list(Codec))
def test_the_hello_proves_the_key_for_the_dialled_origin(codec: Codec) -> None:
    wire = Wire(codec=codec, pending=Pending(nodes=3, bytes=9))
    hello = wire.challenge()
    assert hello.pubkey == ADA.public_key
    assert hello.proof is not None
    assert check_hello_proof(ADA.public_key, wire.transcript(), hello.proof)
    assert not check_hello_proof(ADA.public_key, wire.transcript("wss://evil"), hello.proof)
    assert hello.origin == ORIGIN
    assert hello.lineage is None
    assert hello.pending == Pending(nodes=3, bytes=9)
    assert wire.session.phase is Phase.AWAIT_WELCOME
    (opened,) = wire.give(wire.welcome_message())
    assert isinstance(opened, Opened)
    assert opened.is_proven
    assert opened.server_key == SERVER.public_key
    assert (opened.server_name, opened.server_version) == ("test", "2")
    assert opened.catch_up == "none"
    assert wire.session.is_live
    assert wire.session.held_seq == 0
    assert wire.session.cursor is None


def test_an_anonymous_hello_has_no_proof_and_reports_a_welcome_it_cannot_check() -> None:
    for origin, is_proven in ((ORIGIN, True), ("wss://stranger", False)):
        wire = Wire(signer=None)
        hello = wire.challenge()
        assert hello.pubkey is None
        assert hello.origin == ORIGIN
        assert hello.proof is None
        (opened,) = wire.give(wire.welcome_message(origin=origin))
        assert isinstance(opened, Opened)
        assert opened.is_proven is is_proven
        with pytest.raises(ValueError, match="can push"):
            wire.session.push(chain(1))


def test_what_makes_no_sense_to_begin_with_is_the_callers_bug() -> None:
    with pytest.raises(ValueError, match="without a key"):
        ClientSession(room_id="r", origin=ORIGIN, nonce=b"n" * 32, label="desk")
    with pytest.raises(ValueError, match="lineage"):
        Wire(frontier=[b"f" * 32])
    wire = Wire()
    with pytest.raises(ValueError, match="can push"):
        wire.session.push([])
    with pytest.raises(ValueError, match="can ping"):
        wire.session.ping(1)
    assert wire.session.held_seq == -1
    assert wire.session.cursor is None


def test_no_common_protocol_stops() -> None:
    wire = Wire()
    challenge = Challenge(
        nonce=b"s" * 32, server_pubkey=SERVER.public_key, protos=[2, 3], server=Software()
    )
    only_fault(wire.give(challenge), Fault.UNSUPPORTED_PROTOCOL)
    assert wire.session.take_frames() == []
    assert wire.session.phase is Phase.OVER
    assert wire.give(challenge) == []


def test_another_key_than_the_pinned_one_gets_no_hello() -> None:
    wire = Wire(pinned_key=ADA.public_key)
    challenge = Challenge(
        nonce=b"s" * 32, server_pubkey=SERVER.public_key, protos=[1], server=Software()
    )
    event = only_fault(wire.give(challenge), Fault.SERVER_KEY_CHANGED)
    assert event.reject.detail["offered"] == SERVER.public_key
    pinned = Wire(pinned_key=SERVER.public_key)
    assert pinned.open().is_proven


def test_t55_a_welcome_signed_for_another_origin_is_worth_nothing() -> None:
    wire = Wire()
    wire.challenge()
    only_fault(wire.give(wire.welcome_message(origin="wss://evil")), Fault.WELCOME_UNPROVEN)


@pytest.mark.parametrize("field", ["lineage", "epoch", "seq", "frontier"])
def test_a_welcome_whose_facts_were_changed_is_unproven(field: str) -> None:
    wire = Wire()
    wire.challenge()
    welcome = wire.welcome_message()
    changed = {"lineage": b"M" * 32, "epoch": b"F" * 16, "seq": 7, "frontier": [b"f" * 32]}
    setattr(welcome, field, changed[field])
    only_fault(wire.give(welcome), Fault.WELCOME_UNPROVEN)


def test_a_welcome_to_another_room_or_protocol_is_a_fault() -> None:
    for fields in ({"room": "other"}, {"proto": 2}):
        wire = Wire()
        wire.challenge()
        only_fault(wire.give(wire.welcome_message(**fields)))  # type: ignore[arg-type]


def test_another_lineage_than_the_one_held_stops() -> None:
    wire = Wire(lineage=b"M" * 32)
    wire.challenge()
    event = only_fault(wire.give(wire.welcome_message()), Fault.LINEAGE_MISMATCH)
    assert event.reject.detail == {"held": b"M" * 32, "offered": LINEAGE}


def test_a_welcome_with_more_heads_than_can_be_signed_is_a_fault() -> None:
    limits = SessionLimits(frame_bytes=4 << 20)
    wire = Wire(limits=limits)
    wire.challenge()
    welcome = wire.welcome_message()
    welcome.frontier = [b"f" * 32] * 65_536
    only_fault(wire.give(welcome))


def test_a_refused_hello_is_reported_with_its_class() -> None:
    wire = Wire()
    wire.challenge()
    (event,) = wire.give(
        Error(
            ref="p1", reject_class="lineage_mismatch", message="no", kind="final",
            retry_after_ms=5, incident="i",
        )
    )  # fmt: skip
    assert isinstance(event, ErrorReceived)
    assert event.kind is RejectKind.FINAL
    assert wire.session.last_error is event


def test_a_notice_may_come_before_the_welcome() -> None:
    wire = Wire()
    wire.challenge()
    assert wire.give(Notice(drain=Drain(deadline_ms=-1, retry_after_ms=2))) == [Draining(0, 2)]


def test_a_frontier_longer_than_the_limit_is_cut() -> None:
    ids = [bytes([index]) * 32 for index in range(5)]
    wire = Wire(lineage=LINEAGE, frontier=ids, limits=SessionLimits(frontier_ids=3))
    assert wire.challenge().frontier == ids[:3]


# catching up


def cursor_at(nodes: Sequence[Node], seq: int, epoch: bytes = EPOCH) -> Cursor:
    return Cursor(epoch=epoch, seq=seq, id=nodes[seq - 1].id)


def test_a_cursor_at_the_head_needs_nothing() -> None:
    nodes = chain(3)
    wire = Wire(lineage=LINEAGE, cursor=cursor_at(nodes, 3))
    assert wire.open(seq=3, catch_up="none").catch_up == "none"
    assert wire.session.is_live
    assert wire.sent() == []
    assert wire.session.cursor == cursor_at(nodes, 3)


def test_a_cursor_further_back_is_read_from() -> None:
    nodes = chain(5)
    wire = Wire(lineage=LINEAGE, cursor=cursor_at(nodes, 2))
    assert wire.open(seq=4).catch_up == "cursor"
    request = wire.request()
    assert request.after is not None
    assert (request.after.epoch, request.after.seq) == (EPOCH, 2)
    assert not wire.session.is_live
    assert wire.session.held_seq == -1
    (received,) = wire.pack(nodes[2:4], 3, request.ref)
    assert isinstance(received, Received)
    assert not received.is_live
    assert wire.session.cursor == cursor_at(nodes, 4)
    assert wire.give(RequestEnd(ref="other", seq=9)) == []
    assert wire.give(RequestEnd(seq=9)) == []
    assert wire.give(RequestEnd(ref=request.ref, seq=4)) == [CaughtUp(4)]
    assert wire.session.is_live
    (live,) = wire.pack(nodes[4:], 5)
    assert isinstance(live, Received)
    assert live.is_live
    assert wire.session.held_seq == 5
    assert wire.give(RequestEnd(ref=request.ref, seq=5)) == []


@pytest.mark.parametrize("catch_up", ["none", "cursor", "walk", "cut", "snapshot", "what"])
def test_a_cursor_that_does_not_fit_the_log_is_not_used(catch_up: str) -> None:
    nodes = chain(4)
    for cursor in (cursor_at(nodes, 2, b"F" * 16), cursor_at(nodes, 4)):
        walking = Wire(lineage=LINEAGE, cursor=cursor, frontier=[nodes[1].id])
        assert walking.open(seq=3, catch_up=catch_up).catch_up == "walk"
        assert walking.request().frontier == [nodes[1].id]
        reading = Wire(lineage=LINEAGE, cursor=cursor)
        assert reading.open(seq=3, catch_up=catch_up).catch_up == "cursor"
        after = reading.request().after
        assert after is not None
        assert after.seq == 0
        empty = Wire(lineage=LINEAGE, cursor=cursor, frontier=[nodes[1].id])
        assert empty.open(seq=0, catch_up=catch_up).catch_up == "none"


def test_a_walk_ends_with_reading_from_the_last_node_on() -> None:
    nodes = chain(6)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[0].id])
    wire.open(seq=5, catch_up="walk")
    request = wire.request()
    # Live nodes are passed over: they come again behind the walk.
    assert wire.pack(nodes[5:], 6) == []
    assert len(wire.pack(nodes[1:2], 2, request.ref)) == 1
    assert len(wire.pack(nodes[3:5], 4, request.ref)) == 1
    assert wire.session.cursor is None
    found = WalkFound((nodes[0].id,), ())
    assert wire.give(RequestEnd(ref=request.ref, seq=5)) == [found]
    again = wire.request()
    assert again.after is not None
    assert again.after.seq == 4
    assert len(wire.pack(nodes[4:], 5, again.ref)) == 1
    assert wire.give(RequestEnd(ref=again.ref, seq=6)) == [CaughtUp(6)]
    assert wire.session.cursor == cursor_at(nodes, 6)


def test_a_gap_in_what_is_relayed_is_read_again() -> None:
    nodes = chain(4)
    wire = Wire(lineage=LINEAGE, cursor=cursor_at(nodes, 1))
    wire.open(seq=1, catch_up="none")
    assert wire.pack(nodes[2:3], 3) == []
    request = wire.request()
    assert request.after is not None
    assert request.after.seq == 1
    # What was under way before the request arrived is passed over.
    assert wire.pack(nodes[3:], 4) == []
    assert wire.sent() == []
    assert len(wire.pack(nodes[1:], 2, request.ref)) == 1
    assert wire.give(RequestEnd(ref=request.ref, seq=4)) == [CaughtUp(4)]


def test_a_server_that_never_closes_its_gaps_is_left() -> None:
    nodes = chain(4)
    wire = Wire(lineage=LINEAGE, cursor=cursor_at(nodes, 1))
    wire.open(seq=1, catch_up="none")
    for _ in range(MOST_RESTARTS):
        wire.pack(nodes[2:3], 3)
        request = wire.request()
        assert wire.give(RequestEnd(ref=request.ref, seq=1)) == [CaughtUp(1)]
    only_fault(wire.pack(nodes[2:3], 3))


def test_an_end_before_everything_came_asks_again_but_not_for_ever() -> None:
    nodes = chain(4)
    wire = Wire(lineage=LINEAGE, cursor=cursor_at(nodes, 1))
    wire.open(seq=4)
    request = wire.request()
    for index in range(MOST_RESTARTS):
        if index == 3:
            # Progress starts the count again.
            wire.pack(nodes[1:2], 2, request.ref)
        assert wire.give(RequestEnd(ref=request.ref, seq=4)) == []
        request = wire.request()
    for _ in range(3):
        assert wire.give(RequestEnd(ref=request.ref, seq=4)) == []
        request = wire.request()
    only_fault(wire.give(RequestEnd(ref=request.ref, seq=4)))


def test_a_refused_request_for_history_is_a_fault_with_its_class() -> None:
    for reject_class, expected in (
        ("epoch_unknown", RejectClass.EPOCH_UNKNOWN),
        ("from_the_future", RejectClass.INVALID_MESSAGE),
    ):
        wire = Wire()
        wire.open(seq=3)
        ref = wire.request().ref
        events = wire.give(Error(ref=ref, reject_class=reject_class, message="no", kind="final"))
        assert only_fault(events).reject.reject_class is expected


@pytest.mark.parametrize(
    "fields",
    [
        {"lineage": b"M" * 32},
        {"from_seq": 0},
        {"to_seq": 0},
        {"to_seq": 2},
        {"nodes": b"garbage"},
        {"nodes": b""},
    ],
)
def test_a_pack_that_cannot_be_is_a_fault(fields: dict[str, object]) -> None:
    wire = Wire()
    wire.open()
    only_fault(wire.pack(chain(1), 1, **fields))


def test_a_pack_of_more_nodes_than_agreed_is_a_fault() -> None:
    wire = Wire(limits=SessionLimits(pack_nodes=2))
    wire.open()
    only_fault(wire.pack(chain(3), 1))


# pushing


def pushed(wire: Wire) -> list[PushPack]:
    packs = wire.sent()
    assert all(isinstance(pack, PushPack) for pack in packs)
    return packs  # type: ignore[return-value]


def test_pushed_nodes_are_acknowledged_with_their_seqs_and_carry_the_cursor() -> None:
    nodes = chain(3)
    wire = Wire()
    wire.open()
    wire.session.push(nodes)
    (pack,) = pushed(wire)
    assert pack.lineage == LINEAGE
    assert pack.nodes == encode_pack(nodes)
    assert wire.session.is_pushing(nodes[0].id)
    assert wire.session.packs_in_flight == 1
    events = wire.give(PackAck(ref=pack.ref, from_seq=1, to_seq=3))
    assert events == [Acknowledged({node.id: seq + 1 for seq, node in enumerate(nodes)})]
    assert not wire.session.is_pushing(nodes[0].id)
    assert wire.session.cursor == cursor_at(nodes, 3)


def test_an_ack_that_runs_ahead_of_the_relay_waits_for_it() -> None:
    nodes = chain(4)
    wire = Wire()
    wire.open()
    wire.session.push(nodes[2:3])
    (first,) = pushed(wire)
    wire.session.push(nodes[3:])
    (second,) = pushed(wire)
    wire.give(PackAck(ref=first.ref, from_seq=3, to_seq=3))
    wire.give(PackAck(ref=second.ref, from_seq=4, to_seq=4))
    assert wire.session.cursor is None
    wire.pack(nodes[:2], 1)
    assert wire.session.cursor == cursor_at(nodes, 4)


def test_duplicates_and_refusals_of_one_pack_are_told_apart() -> None:
    nodes = chain(6)
    wire = Wire()
    wire.open()
    wire.session.push(nodes)
    assert len(pushed(wire)) == 1
    acknowledged, refused = wire.give(
        PackAck(
            from_seq=2,
            to_seq=3,
            duplicates=[(0, 1)],
            rejected=[
                RejectedNode(
                    id=nodes[3].id, reject_class="write_forbidden",
                    detail={"ops": [0], "message": "no"},
                ),
                RejectedNode(id=nodes[4].id, reject_class="from_the_future", root=nodes[3].id),
                RejectedNode(id=nodes[5].id, reject_class="from_the_future", kind="retry"),
            ],
        )
    )  # fmt: skip
    assert isinstance(acknowledged, Acknowledged)
    assert acknowledged.seqs == {nodes[0].id: 1, nodes[1].id: 2, nodes[2].id: 3}
    assert isinstance(refused, Refused)
    assert [(each.kind, each.message) for each in refused.nodes] == [
        (RejectKind.REBASE, "no"),
        (RejectKind.FINAL, ""),
        (RejectKind.RETRY, ""),
    ]
    assert refused.nodes[1].root == nodes[3].id
    assert wire.session.cursor == cursor_at(nodes, 3)


def test_a_pack_of_which_nothing_is_taken_has_no_acknowledgment() -> None:
    (node,) = chain(1)
    wire = Wire()
    wire.open()
    wire.session.push([node])
    assert len(pushed(wire)) == 1
    (event,) = wire.give(
        PackAck(rejected=[RejectedNode(id=node.id, reject_class="parent_missing")])
    )
    assert isinstance(event, Refused)
    assert event.nodes[0].kind is RejectKind.RESEND
    assert wire.session.cursor is None


def test_a_pack_of_duplicates_only_has_no_seqs_of_its_own() -> None:
    nodes = chain(2)
    wire = Wire()
    wire.open()
    wire.session.push(nodes)
    (pack,) = pushed(wire)
    (event,) = wire.give(PackAck(ref=pack.ref, duplicates=[(0, 1), (1, 2)]))
    assert event == Acknowledged({nodes[0].id: 1, nodes[1].id: 2})
    assert wire.session.held_seq == 2


@pytest.mark.parametrize(
    "ack",
    [
        PackAck(ref="other", from_seq=1, to_seq=2),
        PackAck(from_seq=1, to_seq=3),
        PackAck(from_seq=0, to_seq=1),
        PackAck(),
        PackAck(from_seq=1, to_seq=1, duplicates=[(0, 0)]),
        PackAck(from_seq=1, to_seq=2, duplicates=[(7, 1)]),
        PackAck(from_seq=1, to_seq=1, duplicates=[(0, 1), (1, 2)]),
    ],
)
def test_an_ack_that_does_not_fit_its_pack_is_a_fault(ack: PackAck) -> None:
    wire = Wire()
    wire.open()
    wire.session.push(chain(2))
    only_fault(wire.give(ack))


def test_an_ack_without_a_pack_is_a_fault() -> None:
    wire = Wire()
    wire.open()
    only_fault(wire.give(PackAck()))


def test_acks_that_leave_ever_more_gaps_are_a_fault() -> None:
    wire = Wire(limits=SessionLimits(frame_bytes=4 << 20))
    wire.open(credit=(1 << 20, 1 << 30))
    nodes = chain(MAX_STRETCHES + 1)
    at = 0
    while at < MAX_STRETCHES:
        wire.session.push(nodes[at : at + 1024])
        for pack in pushed(wire):
            count = min(512, MAX_STRETCHES - at)
            duplicates = [(index, 10 + 2 * (at + index)) for index in range(count)]
            (event,) = wire.give(PackAck(ref=pack.ref, duplicates=duplicates))
            assert isinstance(event, Acknowledged)
            at += count
    wire.session.push(nodes[MAX_STRETCHES:])
    (pack,) = pushed(wire)
    only_fault(wire.give(PackAck(ref=pack.ref, from_seq=10**6, to_seq=10**6)))


def test_credit_is_never_exceeded_and_more_of_it_lets_the_rest_through() -> None:
    nodes = chain(10)
    wire = Wire()
    wire.open(credit=(3, 1 << 20))
    wire.session.push(nodes)
    (first,) = pushed(wire)
    assert first.nodes == encode_pack(nodes[:3])
    assert wire.give(Credit(nodes=2, bytes=5)) == []
    assert pushed(wire) == []
    wire.give(Credit(nodes=5, bytes=1 << 20))
    (second,) = pushed(wire)
    assert second.nodes == encode_pack(nodes[3:5])
    wire.give(
        PackAck(ref=first.ref, from_seq=1, to_seq=3, credit=CreditTotals(nodes=9, bytes=1 << 20))
    )
    (third,) = pushed(wire)
    assert third.nodes == encode_pack(nodes[5:9])


def test_credit_in_bytes_counts_too() -> None:
    nodes = chain(4, text="x" * 1000)
    wire = Wire()
    wire.open(credit=(100, 2_900))
    wire.session.push(nodes)
    (first,) = pushed(wire)
    assert first.nodes == encode_pack(nodes[:2])
    wire.give(Credit(nodes=100, bytes=100_000))
    (second,) = pushed(wire)
    assert second.nodes == encode_pack(nodes[2:])


@pytest.mark.parametrize("codec", list(Codec))
def test_no_frame_is_longer_than_the_limit(codec: Codec) -> None:
    nodes = chain(6, text="x" * 250_000)
    wire = Wire(codec=codec)
    wire.open(credit=(100, 1 << 30))
    wire.session.push(nodes)
    frames = wire.session.take_frames()
    assert len(frames) > 1
    assert max(len(frame) for frame in frames) <= DEFAULT_LIMITS.frame_limit(codec.subprotocol)


def test_limits_met_at_the_welcome_bound_packs() -> None:
    wire = Wire()
    wire.challenge()
    wire.give(wire.welcome_message(caps={"max_pack_nodes": 2}))
    wire.session.push(chain(3))
    assert len(pushed(wire)) == 2


def test_a_node_that_fills_the_limit_alone_is_sent_alone() -> None:
    wire = Wire()
    wire.challenge()
    wire.give(wire.welcome_message(caps={"max_frame_bytes": 600, "max_pack_nodes": 9}))
    wire.session.push(chain(2, text="x" * 400))
    assert len(pushed(wire)) == 2


def test_many_packs_are_in_flight_and_then_nodes_share_the_next() -> None:
    nodes = chain(MAX_PACKS_IN_FLIGHT + 5)
    wire = Wire()
    wire.open()
    for node in nodes:
        wire.session.push([node])
    packs = pushed(wire)
    assert len(packs) == MAX_PACKS_IN_FLIGHT
    wire.give(PackAck(ref=packs[0].ref, from_seq=1, to_seq=1))
    (shared,) = pushed(wire)
    assert shared.nodes == encode_pack(nodes[MAX_PACKS_IN_FLIGHT:])


def test_withdrawn_nodes_are_not_sent() -> None:
    nodes = chain(4)
    wire = Wire()
    wire.open(credit=(1, 1 << 20))
    wire.session.push(nodes)
    assert len(pushed(wire)) == 1
    wire.session.withdraw([nodes[0].id, nodes[1].id, bytes(32)])
    # In flight already, so it stays; pushed again, it is not sent twice.
    assert wire.session.is_pushing(nodes[0].id)
    wire.session.push(nodes[:1])
    wire.give(Credit(nodes=10, bytes=1 << 20))
    (second,) = pushed(wire)
    assert second.nodes == encode_pack(nodes[2:])


def test_a_pack_that_is_refused_whole_is_taken_apart_to_find_the_node() -> None:
    nodes = chain(3)
    wire = Wire()
    wire.open()
    wire.session.push(nodes[:2])
    (pack,) = pushed(wire)
    wire.session.push(nodes[2:])
    (later,) = pushed(wire)
    (report,) = wire.give(
        Error(ref=pack.ref, reject_class="invalid_field", message="nodes", kind="final")
    )
    assert isinstance(report, ErrorReceived)
    first, second = pushed(wire)
    assert (first.nodes, second.nodes) == (encode_pack(nodes[:1]), encode_pack(nodes[1:2]))
    wire.give(PackAck(ref=later.ref, from_seq=1, to_seq=1))
    _, refused = wire.give(
        Error(ref=first.ref, reject_class="invalid_field", message="nodes", kind="final")
    )
    assert isinstance(refused, Refused)
    assert [each.id for each in refused.nodes] == [nodes[0].id]
    assert wire.give(Error(ref="p99", reject_class="x", message="?", kind="retry")) != []


def test_a_pack_that_is_put_off_whole_keeps_its_hint() -> None:
    nodes = chain(2)
    wire = Wire()
    wire.open()
    for reject_class, kind in (("store_unavailable", "final"), ("from_the_future", "retry")):
        wire.session.push(nodes)
        (pack,) = pushed(wire)
        _, refused = wire.give(
            Error(
                ref=pack.ref, reject_class=reject_class, message="later", kind=kind,
                retry_after_ms=70,
            )
        )  # fmt: skip
        assert isinstance(refused, Refused)
        assert [each.kind for each in refused.nodes] == [RejectKind.RETRY] * 2
        assert refused.nodes[0].detail == {"retry_after_ms": 70}


def test_a_withdrawn_node_that_was_to_go_alone_is_forgotten() -> None:
    nodes = chain(3)
    wire = Wire()
    wire.open(credit=(2, 1 << 20))
    wire.session.push(nodes[:2])
    (pack,) = pushed(wire)
    wire.give(Error(ref=pack.ref, reject_class="invalid_field", message="nodes", kind="final"))
    assert pushed(wire) == []
    wire.session.withdraw([nodes[0].id])
    wire.session.push(nodes[2:])
    wire.give(Credit(nodes=10, bytes=1 << 20))
    alone, rest = pushed(wire)
    assert (alone.nodes, rest.nodes) == (encode_pack(nodes[1:2]), encode_pack(nodes[2:]))


def test_a_node_that_must_go_alone_ends_the_pack_before_it() -> None:
    nodes = chain(4)
    wire = Wire()
    wire.open(credit=(4, 1 << 20))
    wire.session.push(nodes[2:4])
    (pair,) = pushed(wire)
    wire.session.push(nodes[:2])
    (first,) = pushed(wire)
    wire.give(Error(ref=pair.ref, reject_class="invalid_field", message="nodes", kind="final"))
    wire.give(Error(ref=first.ref, reject_class="store_unavailable", message="", kind="retry"))
    wire.session.push(nodes[:2])
    wire.give(Credit(nodes=100, bytes=1 << 20))
    assert [pack.nodes for pack in pushed(wire)] == [
        encode_pack(nodes[2:3]), encode_pack(nodes[3:]), encode_pack(nodes[:2])
    ]  # fmt: skip


# the rest


def test_a_pong_answers_the_ping_that_was_sent() -> None:
    wire = Wire()
    wire.open()
    wire.session.ping(7)
    (ping,) = wire.sent()
    assert isinstance(ping, Ping)
    assert ping.t == 7
    assert wire.give(Pong(t=8, seq=1)) == []
    assert wire.give(Pong(t=7, seq=3)) == [PongReceived(7, 3)]
    assert wire.give(Pong(t=7, seq=3)) == []


def test_a_ping_that_was_refused_says_which_and_when_to_repeat_it() -> None:
    wire = Wire()
    wire.open()
    wire.session.ping(7)
    (ping,) = wire.sent()
    assert isinstance(ping, Ping)
    error = Error(ref=ping.ref, reject_class="x", message="no", kind="retry", retry_after_ms=9)
    _, refused = wire.give(error)
    assert refused == PingRefused(7, 9)
    (_,) = wire.give(Error(ref="t\u00b2", reject_class="x", message="no", kind="retry"))


def test_notices_say_what_is_new() -> None:
    wire = Wire()
    wire.open()
    notice = Notice(
        drain=Drain(deadline_ms=10, retry_after_ms=20),
        deprecation=Deprecation(what="v1", until="2030"),
        moved=MovedNotice(url="wss://new"),
    )
    assert wire.give(notice) == [Draining(10, 20), Deprecated("v1", "2030"), Moved("wss://new")]
    assert wire.give(Notice()) == []


def test_t43_an_unknown_type_is_passed_over_in_every_phase() -> None:
    wire = Wire()
    unknown = b"\x82\xa4type\xa9telepathy\xa1x\x01"
    assert wire.session.receive(unknown) == [Ignored("telepathy")]
    wire.challenge()
    assert wire.session.receive(unknown) == [Ignored("telepathy")]
    wire.give(wire.welcome_message())
    assert wire.session.receive(unknown) == [Ignored("telepathy")]
    assert wire.session.is_live


def test_a_message_in_the_wrong_phase_is_a_fault() -> None:
    wire = Wire()
    only_fault(wire.give(wire_welcome_before_challenge()))
    wire = Wire()
    wire.challenge()
    only_fault(wire.give(Pong(seq=1)))
    wire = Wire()
    wire.open()
    fault = only_fault(wire.give(wire.welcome_message()))
    assert "welcome" in fault.reject.message


def wire_welcome_before_challenge() -> Message:
    return RequestEnd(seq=0)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\xa4text", b"\x82\xa4type\xa4pong\xa3seq\xa1x"])
def test_what_cannot_be_read_is_a_fault(frame: bytes) -> None:
    wire = Wire()
    wire.open()
    only_fault(wire.session.receive(frame))


def test_a_frame_over_the_limit_is_a_fault() -> None:
    wire = Wire()
    wire.open()
    events = wire.session.receive(bytes(DEFAULT_LIMITS.frame_bytes + 1))
    only_fault(events, Fault.TOO_BIG)
    assert wire.session.receive(b"") == []


MESSAGES: list[Message] = [
    Challenge(nonce=b"s" * 32, server_pubkey=SERVER.public_key, protos=[1], server=Software()),
    Pack(lineage=LINEAGE, nodes=encode_pack(chain(2)), from_seq=1, to_seq=2),
    Pack(ref="r1", lineage=LINEAGE, nodes=encode_pack(chain(1)), from_seq=2, to_seq=2),
    PackAck(ref="p1", from_seq=1, to_seq=1, credit=CreditTotals(nodes=9, bytes=9)),
    PackAck(duplicates=[(0, 3)]),
    RequestEnd(ref="r1", seq=2),
    Pong(t=1, seq=2),
    Credit(nodes=10, bytes=1 << 20),
    Notice(drain=Drain(deadline_ms=1, retry_after_ms=1)),
    Error(ref="p1", reject_class="invalid_field", message="", kind="final"),
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(Codec)),
    st.integers(0, 2),
    st.lists(
        st.tuples(st.integers(0, len(MESSAGES)), st.binary(max_size=6), st.integers(0, 400)),
        max_size=8,
    ),
)
def test_mutated_frames_in_any_phase_never_raise(
    codec: Codec, phase: int, frames: list[tuple[int, bytes, int]]
) -> None:
    wire = Wire(codec=codec)
    if phase > 0:
        wire.challenge()
    if phase > 1:
        wire.give(wire.welcome_message(seq=2))
        wire.session.push([make_node(HASHER, ADA, CHANGE, 9, [], [CounterAdd("c", 1)])])
    for which, patch, at in frames:
        message = MESSAGES[which] if which < len(MESSAGES) else wire.welcome_message(seq=1)
        frame = bytearray(encode(codec, message))
        place = at % len(frame)
        frame[place : place + len(patch)] = patch
        for event in wire.session.receive(bytes(frame)):
            assert isinstance(event, ClientEvent)
        if wire.session.phase is Phase.OVER:
            assert wire.session.take_frames() == []
