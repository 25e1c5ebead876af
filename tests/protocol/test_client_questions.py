"""What a session asks beside its log: older history, other keys, a state hash."""

from __future__ import annotations

import pytest

from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.reject import RejectClass, RejectKind
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.client_events import (
    BodiesFilled,
    ClientEvent,
    ErrorReceived,
    HistoryEnd,
    HistoryPage,
    Question,
    QuestionRefused,
    Received,
    StateHashReceived,
    SubscriptionChanged,
    SubscriptionComplete,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import (
    Cursor,
    Error,
    Request,
    RequestEnd,
    StateHashReport,
    Subscribe,
    SubscribeAck,
)
from tests.protocol.client_wire import EPOCH, LINEAGE, Wire, chain, only_fault

NODES = chain(9)


def live(**fields: object) -> Wire:
    """A session that holds the first 8 nodes."""
    wire = Wire(
        lineage=LINEAGE,
        cursor=Cursor(epoch=EPOCH, seq=8, id=NODES[7].id),
        **fields,  # type: ignore[arg-type]
    )
    subscribed = list(fields.get("subscribe", ()))  # type: ignore[call-overload]
    wire.open(seq=8, catch_up="none", subscribed=subscribed)
    return wire


def bodiless(node: Node) -> Node:
    return Node(
        node.id, node.author, node.clock, node.kind, node.parents, node.body_hash, None,
        node.signature,
    )  # fmt: skip


def refused(events: list[ClientEvent]) -> QuestionRefused:
    report, event = events
    assert isinstance(report, ErrorReceived)
    assert isinstance(event, QuestionRefused)
    return event


def error(ref: str | None, reject_class: str = "queue_full") -> Error:
    return Error(ref=ref, reject_class=reject_class, message="no", kind="retry", retry_after_ms=5)


# older history


def test_history_comes_page_by_page_backwards_to_its_beginning() -> None:
    wire = live(wants_signatures=False, limits=SessionLimits(pack_nodes=3))
    wire.session.ask_history_before(7)
    request = wire.request()
    assert request.before is not None
    assert (request.before.epoch, request.before.seq, request.page) == (EPOCH, 7, 3)
    assert not request.signatures
    with pytest.raises(ValueError, match="under way"):
        wire.session.ask_history_before(7)
    unsigned = encode_pack(NODES[3:5], signatures=False)
    (page,) = wire.pack(NODES[3:5], 4, request.ref, nodes=unsigned)
    assert isinstance(page, HistoryPage)
    assert (page.from_seq, page.to_seq, page.is_signed, page.has_bodies) == (4, 5, False, True)
    assert page.nodes == NODES[3:5]
    # Live nodes go on beside it.
    (relayed,) = wire.pack(NODES[8:], 9)
    assert isinstance(relayed, Received)
    assert len(wire.pack(NODES[5:6], 6, request.ref)) == 1
    assert wire.give(RequestEnd(ref=request.ref, seq=9)) == [HistoryEnd(4)]
    assert wire.session.held_seq == 9
    wire.session.ask_history_before(4)
    ref = wire.request().ref
    assert ref != request.ref
    wire.pack(NODES[:3], 1, ref)
    assert wire.give(RequestEnd(ref=ref, seq=9)) == [HistoryEnd(1)]
    wire.session.ask_history_before(1)
    assert wire.give(RequestEnd(ref=wire.request().ref, seq=9)) == [HistoryEnd(1)]
    with pytest.raises(ValueError, match="nothing lies below"):
        wire.session.ask_history_before(0)


@pytest.mark.parametrize(
    ("first", "last", "then"), [(1, 3, None), (3, 6, None), (4, 7, None), (4, 4, 6), (4, 4, 4)]
)
def test_a_page_that_is_not_what_was_asked_for_is_a_fault(
    first: int, last: int, then: int | None
) -> None:
    wire = live(limits=SessionLimits(pack_nodes=3))
    wire.session.ask_history_before(7)
    ref = wire.request().ref
    events = wire.pack(NODES[first - 1 : last], first, ref)
    if then is not None:
        assert len(events) == 1
        events = wire.pack(NODES[then - 1 : then], then, ref)
    elif last - first < 3 and last < 7:
        events = wire.give(RequestEnd(ref=ref, seq=8))
    only_fault(events)


def test_a_page_of_nothing_is_a_fault() -> None:
    wire = live()
    wire.session.ask_history_before(7)
    only_fault(wire.give(RequestEnd(ref=wire.request().ref, seq=8)))


def test_an_unsigned_page_must_have_been_asked_for() -> None:
    wire = live()
    wire.session.ask_history_before(3)
    request = wire.request()
    assert request.signatures
    pack = encode_pack(NODES[:2], signatures=False)
    fault = only_fault(wire.pack(NODES[:2], 1, request.ref, nodes=pack))
    assert fault.reject.reject_class is RejectClass.SIGNATURE_MISSING


def test_refused_history_can_be_asked_for_again() -> None:
    wire = live()
    wire.session.ask_history_before(7)
    event = refused(wire.give(error(wire.request().ref)))
    assert event.question is Question.HISTORY
    assert (event.kind, event.retry_after_ms) == (RejectKind.RETRY, 5)
    wire.session.ask_history_before(7)
    assert wire.request().before is not None


# other keys


def subscribe_sent(wire: Wire) -> Subscribe:
    (message,) = wire.sent()
    assert isinstance(message, Subscribe)
    return message


def test_a_subscription_changes_and_its_bodies_are_filled_in() -> None:
    wire = live(subscribe=("a",))
    assert wire.session.subscribed == ("a",)
    wire.session.subscribe(("b", "a"))
    message = subscribe_sent(wire)
    assert message.patterns == ["b", "a"]
    assert wire.session.subscribed == ("a",)
    ack = SubscribeAck(ref=message.ref, patterns=["a", "b"], seq=8)
    assert wire.give(ack) == [SubscriptionChanged(("b", "a"), 8)]
    assert wire.session.subscribed == ("b", "a")
    (filled,) = wire.pack(NODES[1:3], 2, message.ref)
    assert isinstance(filled, BodiesFilled)
    assert (filled.nodes, filled.from_seq, filled.to_seq) == (NODES[1:3], 2, 3)
    done = wire.give(RequestEnd(ref=message.ref, seq=8))
    assert done == [SubscriptionComplete(("b", "a"))]
    assert wire.session.held_seq == 8


def test_bodies_may_be_missing_until_a_widening_to_everything_is_complete() -> None:
    lacking = encode_pack([bodiless(NODES[8])])
    for is_complete in (False, True):
        wire = live(subscribe=("a",))
        wire.session.subscribe(())
        ref = subscribe_sent(wire).ref
        wire.give(SubscribeAck(ref=ref, seq=8))
        if is_complete:
            wire.give(RequestEnd(ref=ref, seq=8))
        events = wire.pack(NODES[8:], 9, nodes=lacking)
        if is_complete:
            assert only_fault(events).reject.reject_class is RejectClass.BODY_MISSING
        else:
            assert isinstance(events[0], Received)


def test_only_the_newest_of_later_wishes_waits() -> None:
    wire = live()
    wire.session.subscribe(("a",))
    first = subscribe_sent(wire)
    wire.session.subscribe(("b",))
    wire.session.subscribe(("c",))
    assert wire.sent() == []
    wire.give(SubscribeAck(ref=first.ref, patterns=["a"], seq=8))
    wire.give(RequestEnd(ref=first.ref, seq=8))
    second = subscribe_sent(wire)
    assert second.patterns == ["c"]
    assert second.ref != first.ref
    wire.session.subscribe(("d",))
    event = refused(wire.give(error(second.ref, "subscription_invalid")))
    assert event.question is Question.SUBSCRIPTION
    assert wire.session.subscribed == ("a",)
    assert subscribe_sent(wire).patterns == ["d"]


def test_answers_to_a_subscription_that_make_no_sense_are_faults() -> None:
    def asked() -> tuple[Wire, str | None]:
        wire = live()
        wire.session.subscribe(("a",))
        return wire, subscribe_sent(wire).ref

    wire, ref = asked()
    only_fault(wire.pack(NODES[:1], 1, ref))
    wire, ref = asked()
    only_fault(wire.give(RequestEnd(ref=ref, seq=8)))
    wire, ref = asked()
    only_fault(wire.give(SubscribeAck(ref=ref, patterns=["b"], seq=8)))
    for strange in ("other", None):
        wire, ref = asked()
        only_fault(wire.give(SubscribeAck(ref=strange, patterns=["a"], seq=8)))
    wire, ref = asked()
    wire.give(SubscribeAck(ref=ref, patterns=["a"], seq=8))
    only_fault(wire.give(SubscribeAck(ref=ref, patterns=["a"], seq=8)))
    wire, ref = asked()
    wire.give(SubscribeAck(ref=ref, patterns=["a"], seq=8))
    only_fault(wire.pack(NODES[:1], 1, ref, nodes=encode_pack([bodiless(NODES[0])])))


def test_patterns_need_their_capability() -> None:
    offer = own_offer()
    del offer["header_only_nodes"]
    wire = Wire(subscribe=("a",), offer=offer)
    assert wire.session.subscribed == ()
    assert wire.challenge().subscribe == []
    wire.give(wire.welcome_message())
    with pytest.raises(ValueError, match="header_only_nodes"):
        wire.session.subscribe(("b",))


def test_a_welcome_with_other_patterns_than_asked_for_is_a_fault() -> None:
    wire = Wire(subscribe=("a", "b"))
    assert wire.challenge().subscribe == ["a", "b"]
    only_fault(wire.give(wire.welcome_message(subscribed=["a"])))


# a state hash


def test_a_state_hash_answers_its_question() -> None:
    wire = live()
    wire.session.ask_state_hash(("a/**",))
    request = wire.request()
    assert request.hash is not None
    assert request.hash.patterns == ["a/**"]
    with pytest.raises(ValueError, match="under way"):
        wire.session.ask_state_hash()
    report = StateHashReport(
        ref=request.ref, frontier=[NODES[7].id], hash="0" * 64, coverage={"held": 0}
    )
    assert wire.give(report) == [
        StateHashReceived(
            patterns=("a/**",), frontier=(NODES[7].id,), hash="0" * 64, coverage={"held": 0}
        )
    ]
    assert wire.give(RequestEnd(ref=request.ref, seq=8)) == []
    wire.session.ask_state_hash()
    again = wire.request()
    assert again.hash is not None
    assert again.hash.patterns == []
    event = refused(wire.give(error(again.ref)))
    assert event.question is Question.STATE_HASH
    only_fault(wire.give(report))


def test_a_state_hash_that_nobody_asked_for_is_a_fault() -> None:
    wire = live()
    only_fault(wire.give(StateHashReport(frontier=[], hash="", coverage={})))


def test_only_an_open_session_asks() -> None:
    wire = Wire()
    with pytest.raises(ValueError, match="open session"):
        wire.session.ask_history_before(3)
    with pytest.raises(ValueError, match="open session"):
        wire.session.ask_state_hash()
    with pytest.raises(ValueError, match="open session"):
        wire.session.subscribe(())


def test_all_questions_go_on_beside_each_other() -> None:
    wire = live()
    wire.session.ask_history_before(3)
    wire.session.ask_state_hash()
    wire.session.subscribe(("a",))
    history, digest, subscribe = wire.sent()
    assert isinstance(history, Request)
    assert isinstance(digest, Request)
    assert isinstance(subscribe, Subscribe)
    assert len({history.ref, digest.ref, subscribe.ref}) == 3
    wire.give(SubscribeAck(ref=subscribe.ref, patterns=["a"], seq=8))
    assert isinstance(wire.pack(NODES[:2], 1, subscribe.ref)[0], BodiesFilled)
    assert isinstance(wire.pack(NODES[:2], 1, history.ref)[0], HistoryPage)
    assert wire.give(RequestEnd(ref=digest.ref, seq=8)) == []
    assert wire.give(RequestEnd(ref=history.ref, seq=8)) == [HistoryEnd(1)]
    assert wire.give(RequestEnd(ref=subscribe.ref, seq=8)) == [SubscriptionComplete(("a",))]
