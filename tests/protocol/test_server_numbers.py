"""Numbers and details of a server that nobody can count with or keep do no harm."""

from __future__ import annotations

import msgspec
import pytest

from roomlog.protocol.client_events import Draining, Fault, Faulted, Refused
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import (
    CreditTotals,
    Drain,
    Error,
    Message,
    Notice,
    PackAck,
    Pong,
    RejectedNode,
    Welcome,
)
from roomlog.protocol.server_numbers import GREATEST, bounded_server_frames
from tests.protocol.client_wire import Wire, chain, only_fault

HUGE = 10**400


def read(message: Message) -> Message:
    return bounded_server_frames(Codec.JSON)(encode(Codec.JSON, message))


def test_waits_become_numbers_of_a_float() -> None:
    drain = Notice(drain=Drain(deadline_ms=-HUGE, retry_after_ms=HUGE))
    bounded = read(drain)
    assert bounded == Notice(drain=Drain(deadline_ms=-GREATEST, retry_after_ms=GREATEST))
    error = Error(reject_class="internal", message="", kind="retry", retry_after_ms=HUGE)
    bounded_error = read(error)
    assert isinstance(bounded_error, Error)
    assert bounded_error.retry_after_ms == GREATEST
    error.retry_after_ms = -1
    bounded_error = read(error)
    assert isinstance(bounded_error, Error)
    assert bounded_error.retry_after_ms == 0


@pytest.mark.parametrize(
    "message",
    [
        Notice(),
        Pong(seq=3),
        Error(reject_class="internal", message="", kind="retry", detail={"n": [1, "a", None]}),
        PackAck(rejected=[RejectedNode(id=bytes(32), reject_class="x", detail={"ops": [1]})]),
    ],
)
def test_what_is_not_odd_is_left_alone(message: Message) -> None:
    assert read(message) == message


def test_limits_of_a_welcome_are_bounded() -> None:
    welcome = Wire(codec=Codec.JSON)
    welcome.challenge()
    message = welcome.welcome_message(limits={"pack_nodes": HUGE, "have_pairs": 7})
    bounded = read(message)
    assert isinstance(bounded, Welcome)
    assert bounded.limits == {"pack_nodes": GREATEST, "have_pairs": 7}


def test_a_detail_that_cannot_be_stored_is_left_out_of_its_refusal() -> None:
    wire = Wire(codec=Codec.JSON)
    wire.open()
    (node,) = chain(1)
    wire.session.push([node])
    wire.session.take_frames()
    refused = RejectedNode(
        id=node.id, reject_class="write_forbidden", detail={"ops": [0], "n": [{"m": HUGE}]}
    )
    (event,) = wire.give(PackAck(ref="p1", rejected=[refused]))
    assert isinstance(event, Refused)
    assert event.nodes[0].detail == {"ops": [0]}
    assert msgspec.msgpack.encode(event.nodes[0].detail)


def test_a_session_hears_of_a_bounded_wait() -> None:
    wire = Wire(codec=Codec.JSON)
    wire.open()
    drain = Drain(deadline_ms=-5, retry_after_ms=HUGE)
    assert wire.give(Notice(drain=drain)) == [Draining(0, GREATEST)]


def test_a_duplicate_with_a_seq_that_no_store_has_is_a_fault() -> None:
    wire = Wire(codec=Codec.JSON)
    wire.open()
    (node,) = chain(1)
    wire.session.push([node])
    ack = PackAck(ref="p1", duplicates=[(0, 1 << 63)], credit=CreditTotals(nodes=1, bytes=1))
    fault = only_fault(wire.give(ack), Fault.PROTOCOL)
    assert isinstance(fault, Faulted)
