"""What messages cost: a row for each, and nobody goes on for free."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.message_cost import (
    FRAME_STEP_BYTES,
    LEAST_REQUEST_COST,
    MESSAGE_COST,
    REQUEST_KINDS,
    cost_of,
)
from roomlog.protocol.message_rate import MessageRate
from tests.protocol.session_driver import CLIENT_NONCE, EPOCH, Driver, Facts, code_of, push

# What a request carries beside what it asks for.
MODIFIERS = {"ref", "room", "page", "stop_at_unknown", "signatures"}
PLACE = messages.After(epoch=EPOCH, seq=1)
ASKED: dict[str, Any] = {
    "after": PLACE,
    "have": [(1, bytes(8))],
    "before": PLACE,
    "frontier": [],
    "ids": [],
    "snapshot": True,
    "hash": messages.HashOf(),
}
OTHERS: list[messages.Message] = [
    messages.Hello(proto=1, nonce=CLIENT_NONCE),
    messages.Subscribe(patterns=["a"]),
    messages.Presence(data=1),
    messages.Signal(to=messages.Identity(pubkey=b"p" * 32)),
    messages.Ping(),
    push(data=b""),
]
EVERY_MESSAGE = [messages.Request(**{kind: value}) for kind, value in ASKED.items()] + OTHERS


def name_of(message: messages.Message) -> str:
    kinds = [kind for kind in ASKED if getattr(message, kind, None) not in (None, False)]
    return f"{type(message).__name__} {' '.join(kinds)}"


def test_t30_every_client_message_and_every_kind_of_request_has_one_row_and_a_cost() -> None:
    rows = [(row.message, row.kind) for row in MESSAGE_COST]
    assert len(rows) == len(set(rows))
    kinds = {name for name in messages.Request.__struct_fields__ if name not in MODIFIERS}
    assert set(REQUEST_KINDS) == kinds == set(ASKED)
    assert {kind for message, kind in rows if message is messages.Request} == kinds
    others = {message for message, kind in rows if not kind}
    assert others | {messages.Request} == set(messages.CLIENT_MESSAGES)
    assert {type(each) for each in EVERY_MESSAGE} == set(messages.CLIENT_MESSAGES)
    assert all(row.cost >= 1 and row.why for row in MESSAGE_COST)


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=name_of)
def test_t30_no_message_can_be_repeated_for_ever(message: messages.Message) -> None:
    driver = Driver(facts=Facts(5), limits=SessionLimits(messages_per_second=1))
    driver.facts.snapshot_seq = 2
    driver.open(caps=own_offer())
    for _ in range(50):
        effects = driver.say(message)
        if driver.session.is_closed:
            break
    assert code_of(effects) == 4008


@pytest.mark.parametrize("row", MESSAGE_COST, ids=lambda row: f"{row.message.__name__} {row.kind}")
def test_t30_each_row_is_what_is_taken(row: Any) -> None:
    message = next(
        each
        for each in EVERY_MESSAGE
        if type(each) is row.message and (not row.kind or getattr(each, row.kind) is not None)
        if not row.kind or getattr(each, row.kind) is not False
    )
    assert cost_of(message, 10) == row.cost
    assert cost_of(message, 3 * FRAME_STEP_BYTES) == row.cost + 3


def test_t30_a_request_for_several_things_costs_the_dearest_and_one_for_nothing_the_least() -> None:
    assert cost_of(messages.Request(after=PLACE, snapshot=True), 0) == 50
    assert cost_of(messages.Request(), 0) == LEAST_REQUEST_COST
    assert cost_of(None, FRAME_STEP_BYTES) == 2


def test_t30_long_frames_cost_more_whatever_they_say() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=10))
    driver.open()
    frame = driver.frame(messages.Ping(room="x" * 700_000))
    for _ in range(5):
        effects = driver.session.receive(frame, 0)
    assert code_of(effects) == 4008


def test_what_costs_more_than_a_bucket_holds_can_be_had_from_a_full_one() -> None:
    rate = MessageRate(1, 0)
    assert rate.take(1_000, 0) is None
    reject = rate.take(1, 0)
    assert reject is not None
    assert reject.detail == {"retry_after_ms": 2_000}
    assert not rate.is_flooded
    assert rate.take(1_000, 20_000) is None


@given(
    per_second=st.integers(1, 50),
    costs=st.lists(st.integers(1, 60), min_size=1, max_size=60),
)
def test_who_waits_as_long_as_a_refusal_says_is_served(per_second: int, costs: list[int]) -> None:
    rate, now_ms = MessageRate(per_second, 0), 0
    for cost in costs:
        reject = rate.take(cost, now_ms)
        if reject is not None:
            wait_ms = reject.detail["retry_after_ms"]
            assert isinstance(wait_ms, int)
            now_ms += wait_ms
            assert rate.take(cost, now_ms) is None
