"""Requests and subscriptions of a server's session: what is read, refused or answered at once."""

from __future__ import annotations

from typing import Any

import pytest

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import (
    Read,
    ReadAfter,
    ReadBefore,
    ReadBodies,
    ReadHash,
    ReadMissing,
    ReadSnapshot,
    ServerEffect,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.pushed_packs import ProtocolMisuse
from tests.protocol.session_driver import EPOCH, LINEAGE, Driver, Facts, code_of, error_of

BOTH = pytest.mark.parametrize("codec", list(Codec))
EVERYTHING = own_offer()


def place(seq: int, epoch: bytes = EPOCH) -> messages.After:
    return messages.After(epoch=epoch, seq=seq)


def opened(
    *,
    head_seq: int = 5,
    off: str = "",
    limits: SessionLimits | None = None,
    codec: Codec = Codec.MSGPACK,
    snapshot_seq: int = 0,
    **hello: Any,
) -> Driver:
    """A session with every capability but `off`."""
    driver = Driver(facts=Facts(head_seq), limits=limits, codec=codec)
    driver.facts.snapshot_seq = snapshot_seq
    caps = {name: value for name, value in EVERYTHING.items() if name != off}
    driver.open(caps=caps, **hello)
    return driver


def only_read(effects: list[ServerEffect]) -> Read:
    (effect,) = effects
    assert isinstance(
        effect, ReadAfter | ReadBefore | ReadBodies | ReadHash | ReadMissing | ReadSnapshot
    )
    return effect


def refused(driver: Driver, message: messages.Message) -> tuple[str, str | None]:
    error = error_of(driver, driver.say(message))
    return error.reject_class, error.ref


# what is read


def test_each_kind_of_request_becomes_its_read() -> None:
    driver = opened(snapshot_seq=2)
    asked: list[tuple[dict[str, Any], Read]] = [
        ({"before": place(4), "page": 7}, ReadBefore(4, 7, "r")),
        ({"snapshot": True}, ReadSnapshot(1024, "r")),
        ({"hash": messages.HashOf(patterns=["b", "a", "b"])}, ReadHash(("a", "b"), "r")),
        ({"hash": messages.HashOf()}, ReadHash((), "r")),
    ]
    for fields, read in asked:
        assert driver.say(messages.Request(ref="r", **fields)) == [read]
        driver.session.request_done(read, 5)


@pytest.mark.parametrize("off", ["", "unsigned_bulk"])
def test_signatures_are_left_out_only_if_asked_for_and_agreed(off: str) -> None:
    driver = opened(off=off, snapshot_seq=2)
    kinds: list[dict[str, Any]] = [
        {"after": place(1)},
        {"before": place(4)},
        {"frontier": []},
        {"snapshot": True},
    ]
    for fields in kinds:
        for wanted in (True, False):
            read = only_read(driver.say(messages.Request(signatures=wanted, **fields)))
            assert isinstance(read, ReadAfter | ReadBefore | ReadMissing | ReadSnapshot)
            assert read.signatures is (wanted or off == "unsigned_bulk")
            driver.session.request_done(read, 5)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "request"),
        ({"after": place(1), "snapshot": True}, "request"),
        ({"have": [(1, bytes(8))], "hash": messages.HashOf()}, "request"),
        ({"before": place(7)}, "before.seq"),
        ({"after": place(6)}, "after.seq"),
        ({"after": place(1), "stop_at_unknown": True}, "stop_at_unknown"),
        ({"have": [(2, bytes(8)), (2, bytes(8))]}, "have"),
        ({"frontier": [b"x" * 32] * 3}, "frontier"),
        ({"frontier": [b"x" * 32] * 3, "stop_at_unknown": True}, "frontier"),
    ],
)
def test_an_impossible_request_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    driver = opened(limits=SessionLimits(frontier_ids=2), snapshot_seq=2)
    error = error_of(driver, driver.say(messages.Request(ref="r", **fields)))
    assert (error.reject_class, error.ref) == ("invalid_field", "r")
    assert error.detail["field"] == field


@pytest.mark.parametrize("kind", ["after", "before"])
def test_a_place_of_another_epoch_is_refused(kind: str) -> None:
    request = messages.Request(ref="r", **{kind: place(1, b"x" * 16)})
    assert refused(opened(), request) == ("epoch_unknown", "r")


def test_history_may_be_asked_for_from_the_very_head_down_to_nothing() -> None:
    driver = opened()
    assert driver.say(messages.Request(before=place(6))) == [ReadBefore(6, 1024, None)]
    assert driver.say(messages.Request(before=place(0))) == [ReadBefore(0, 1024, None)]


@pytest.mark.parametrize(
    ("off", "message"),
    [
        ("log_cut", messages.Request(have=[(1, bytes(8))], ref="r")),
        ("snapshot_join", messages.Request(snapshot=True, ref="r")),
        ("header_only_nodes", messages.Subscribe(patterns=["a"], ref="r")),
    ],
)
def test_what_was_not_negotiated_is_refused_by_the_name_of_the_capability(
    off: str, message: messages.Message
) -> None:
    driver = opened(off=off, snapshot_seq=2)
    error = error_of(driver, driver.say(message))
    assert (error.reject_class, error.ref, error.detail) == (
        "not_negotiated",
        "r",
        {"capability": off},
    )


def test_a_snapshot_that_is_not_there_is_not_found() -> None:
    request = messages.Request(snapshot=True, ref="r")
    assert refused(opened(), request) == ("checkpoint_not_found", "r")


def test_a_subscribed_session_gets_no_snapshot() -> None:
    driver = opened(snapshot_seq=2, subscribe=["a"])
    request = messages.Request(snapshot=True, ref="r")
    assert refused(driver, request) == ("checkpoint_not_found", "r")


def test_patterns_of_a_hash_that_are_none_are_refused() -> None:
    request = messages.Request(hash=messages.HashOf(patterns=["a//b"]), ref="r")
    assert refused(opened(), request) == ("subscription_invalid", "r")


# what excludes itself


def test_one_after_or_snapshot_and_one_hash_at_a_time() -> None:
    driver = opened(snapshot_seq=2)
    after = messages.Request(after=place(1), ref="a")
    snapshot = messages.Request(snapshot=True, ref="s")
    first = only_read(driver.say(after))
    assert refused(driver, after) == ("queue_full", "a")
    assert refused(driver, snapshot) == ("queue_full", "s")
    driver.session.request_done(first, 5)
    second = only_read(driver.say(snapshot))
    assert refused(driver, after) == ("queue_full", "a")
    driver.session.request_failed(second, Reject(RejectClass.STORE_UNAVAILABLE))
    hashed = messages.Request(hash=messages.HashOf(), ref="h")
    third = only_read(driver.say(hashed))
    assert refused(driver, hashed) == ("queue_full", "h")
    driver.session.request_done(third, 5)
    assert isinstance(only_read(driver.say(hashed)), ReadHash)


def test_a_full_queue_takes_no_subscription_and_answers_what_needs_no_place_in_it() -> None:
    driver = opened(limits=SessionLimits(queued_requests=1))
    driver.say(messages.Request(after=place(1)))
    assert refused(driver, messages.Subscribe(ref="s")) == ("queue_full", "s")
    (end,) = driver.messages(driver.say(messages.Request(have=[(1, bytes(8))], ref="c")))
    assert isinstance(end, messages.RequestEnd)


# what is answered at once


@BOTH
def test_a_cut_is_answered_at_once(codec: Codec) -> None:
    driver = opened(codec=codec, head_seq=10)
    ids = [(seq, driver.facts.id_at(seq)[:8]) for seq in (9, 7, 3)]
    # Ids here begin with zeros: one that does not is of another log.
    ids[0] = (9, b"elsewher")
    answers = driver.messages(driver.say(messages.Request(have=ids, ref="c")))
    assert answers == [messages.RequestEnd(ref="c", seq=driver.facts.head_seq, cut=7)]
    ids = [(seq, b"elsewher") for seq in (3, 9)]
    answers = driver.messages(driver.say(messages.Request(have=ids, ref="c")))
    assert answers == [messages.RequestEnd(ref="c", seq=driver.facts.head_seq, cut=0)]


def test_t32_a_walk_that_meets_unknown_ids_sends_nothing_but_says_which() -> None:
    driver = opened()
    known, unknown = driver.facts.id_at(3), b"x" * 32
    walk = messages.Request(frontier=[unknown, known, unknown], stop_at_unknown=True, ref="w")
    assert driver.messages(driver.say(walk)) == [
        messages.RequestEnd(ref="w", seq=5, unknown=[0, 2])
    ]
    walk = messages.Request(frontier=[known], stop_at_unknown=True, ref="w")
    assert driver.say(walk) == [ReadMissing((known,), 1024, "w")]
    older = messages.Request(frontier=[unknown, known], ref="w")
    assert driver.say(older) == [ReadMissing((unknown, known), 1024, "w")]


# answers of the shell


@BOTH
def test_chunks_and_hashes_carry_the_ref_of_their_request(codec: Codec) -> None:
    driver = opened(codec=codec, snapshot_seq=2)
    read = only_read(driver.say(messages.Request(snapshot=True, ref="s")))
    assert isinstance(read, ReadSnapshot)
    chunk = messages.Snapshot(chunk=1, data=b"state")
    assert driver.messages(driver.session.snapshot_chunk(read, chunk)) == [
        messages.Snapshot(ref="s", chunk=1, data=b"state")
    ]
    hashing = only_read(driver.say(messages.Request(hash=messages.HashOf(), ref="h")))
    assert isinstance(hashing, ReadHash)
    heads = driver.facts.frontier_ids()
    effects = driver.session.state_hash(hashing, heads, "ab" * 32, {"held": 0})
    assert driver.messages(effects) == [
        messages.StateHashReport(ref="h", frontier=heads, hash="ab" * 32, coverage={"held": 0})
    ]


def test_answers_of_a_session_that_is_over_are_dropped() -> None:
    driver = opened(snapshot_seq=2)
    snapshot = only_read(driver.say(messages.Request(snapshot=True)))
    hashing = only_read(driver.say(messages.Request(hash=messages.HashOf())))
    bodies = only_read(driver.say(messages.Subscribe(patterns=["a"])))
    driver.session.disconnected()
    assert isinstance(snapshot, ReadSnapshot)
    assert isinstance(hashing, ReadHash)
    assert isinstance(bodies, ReadBodies)
    assert driver.session.snapshot_chunk(snapshot, messages.Snapshot()) == []
    assert driver.session.state_hash(hashing, [], "", {}) == []
    assert driver.session.subscribed(bodies, 5) == []


def test_an_end_of_what_nobody_asked_for_is_a_misuse() -> None:
    driver = opened()
    driver.say(messages.Request(after=place(1), ref="a"))
    with pytest.raises(ProtocolMisuse):
        driver.session.request_done(ReadAfter(2, 1024, "a"), 5)
    with pytest.raises(ProtocolMisuse):
        driver.session.request_failed(ReadAfter(2, 1024, "a"), Reject(RejectClass.INTERNAL))


# subscriptions


@BOTH
def test_a_subscription_is_acknowledged_filled_and_ended_in_this_order(codec: Codec) -> None:
    driver = opened(codec=codec)
    assert driver.session.patterns == ()
    read = only_read(driver.say(messages.Subscribe(patterns=["b/**", "a", "a"], ref="s")))
    assert read == ReadBodies(("a", "b/**"), (), 1024, "s")
    assert isinstance(read, ReadBodies)
    assert driver.session.patterns == ()
    assert driver.messages(driver.session.subscribed(read, 4)) == [
        messages.SubscribeAck(ref="s", seq=4, patterns=["a", "b/**"])
    ]
    assert driver.session.patterns == ("a", "b/**")
    assert driver.messages(driver.session.page(read, b"nodes", 2, 3)) == [
        messages.Pack(ref="s", lineage=LINEAGE, nodes=b"nodes", from_seq=2, to_seq=3)
    ]
    assert driver.messages(driver.session.request_done(read, 4)) == [
        messages.RequestEnd(ref="s", seq=4)
    ]
    # The next change is from these patterns on.
    again = only_read(driver.say(messages.Subscribe(patterns=[])))
    assert again == ReadBodies((), ("a", "b/**"), 1024, None)


def test_one_change_of_a_subscription_at_a_time() -> None:
    driver = opened()
    read = only_read(driver.say(messages.Subscribe(patterns=["a"])))
    assert isinstance(read, ReadBodies)
    assert refused(driver, messages.Subscribe(patterns=["b"], ref="2")) == ("queue_full", "2")
    driver.session.subscribed(read, 5)
    assert refused(driver, messages.Subscribe(patterns=["b"], ref="3")) == ("queue_full", "3")
    driver.session.request_done(read, 5)
    assert isinstance(only_read(driver.say(messages.Subscribe(patterns=["b"]))), ReadBodies)


def test_a_change_that_fails_before_it_is_in_force_leaves_the_patterns_as_they_were() -> None:
    driver = opened(subscribe=["old"])
    read = only_read(driver.say(messages.Subscribe(patterns=["new"], ref="s")))
    effects = driver.session.request_failed(read, Reject(RejectClass.STORE_UNAVAILABLE))
    assert error_of(driver, effects).ref == "s"
    assert code_of(effects) is None
    assert driver.session.patterns == ("old",)
    again = only_read(driver.say(messages.Subscribe(patterns=["new"])))
    assert again == ReadBodies(("new",), ("old",), 1024, None)


def test_a_change_that_fails_half_way_ends_the_session_for_a_resync() -> None:
    driver = opened(subscribe=["old"])
    read = only_read(driver.say(messages.Subscribe(patterns=["new"], ref="s")))
    assert isinstance(read, ReadBodies)
    driver.session.subscribed(read, 5)
    effects = driver.session.request_failed(read, Reject(RejectClass.STORE_UNAVAILABLE))
    assert error_of(driver, effects).ref == "s"
    assert code_of(effects) == 4001


def test_a_subscription_that_ends_before_it_begins_or_begins_twice_is_a_misuse() -> None:
    driver = opened()
    read = only_read(driver.say(messages.Subscribe(patterns=["a"])))
    assert isinstance(read, ReadBodies)
    with pytest.raises(ProtocolMisuse):
        driver.session.request_done(read, 5)
    driver.session.subscribed(read, 5)
    with pytest.raises(ProtocolMisuse):
        driver.session.subscribed(read, 5)
    with pytest.raises(ProtocolMisuse):
        driver.session.subscribed(ReadBodies(("b",), (), 1024, None), 5)


def test_patterns_that_are_none_are_refused_and_the_old_ones_stay() -> None:
    driver = opened(subscribe=["old"])
    wrong = messages.Subscribe(patterns=["a", "a//b"], ref="s")
    assert refused(driver, wrong) == ("subscription_invalid", "s")
    assert driver.session.patterns == ("old",)
