"""Presence and signals in a server's session."""

from __future__ import annotations

from typing import Any

import pytest

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol import messages
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import DeliverSignal, ShowPresence
from roomlog.protocol.limits import SessionLimits
from tests.protocol.session_driver import CLIENT, Driver, error_of

BOTH = pytest.mark.parametrize("codec", list(Codec))
PEER = messages.Identity(pubkey=b"p" * 32, label="desk")
LIMITS = SessionLimits(
    presence_bytes=64, signal_bytes=128, presence_ttl_ms=5_000, presence_ttl_max_ms=60_000
)
SOCIAL: list[messages.Message] = [
    messages.Presence(data=1, ref="r"),
    messages.Signal(to=PEER, data=1, ref="r"),
]


def opened(codec: Codec = Codec.MSGPACK, **hello: Any) -> Driver:
    driver = Driver(codec=codec, limits=LIMITS)
    driver.open(**{"caps": {"presence_ttl": True}, **hello})
    return driver


@BOTH
@pytest.mark.parametrize(
    ("asked_ms", "shown_ms"), [(None, 5_000), (1, 1), (60_000, 60_000), (60_001, 60_000)]
)
def test_presence_lasts_as_long_as_asked_within_the_limit(
    codec: Codec, asked_ms: int | None, shown_ms: int
) -> None:
    data = {"cursor": [3, 0.5, None, True, "ä"]}
    message = messages.Presence(data=data, ttl_ms=asked_ms)
    assert opened(codec).say(message) == [ShowPresence(data, shown_ms)]


def test_null_takes_presence_away() -> None:
    assert opened().say(messages.Presence()) == [ShowPresence(None, 5_000)]


@BOTH
def test_t9_a_signal_names_the_one_identity_it_is_for(codec: Codec) -> None:
    message = messages.Signal(to=PEER, data=["hello"], ref="s")
    assert opened(codec).say(message) == [DeliverSignal(PEER.pubkey, "desk", ["hello"], "s")]


def test_a_signal_to_nobody_is_an_error_with_its_ref() -> None:
    driver = opened()
    (signal,) = driver.say(messages.Signal(to=PEER, ref="s"))
    assert isinstance(signal, DeliverSignal)
    reject = Reject(RejectClass.PEER_UNKNOWN, "nobody")
    error = error_of(driver, driver.session.signal_failed(signal, reject))
    assert (error.reject_class, error.ref) == ("peer_unknown", "s")
    driver.session.disconnected()
    assert driver.session.signal_failed(signal, reject) == []


@pytest.mark.parametrize("message", SOCIAL, ids=lambda each: type(each).__name__)
def test_without_presence_ttl_nothing_is_shown_or_sent(message: messages.Message) -> None:
    driver = opened(caps={})
    error = error_of(driver, driver.say(message))
    assert (error.reject_class, error.ref) == ("not_negotiated", "r")
    assert error.detail == {"capability": "presence_ttl"}


@pytest.mark.parametrize("message", SOCIAL, ids=lambda each: type(each).__name__)
def test_who_has_no_key_shows_and_sends_nothing(message: messages.Message) -> None:
    driver = opened(identity=None)
    error = error_of(driver, driver.say(message))
    assert (error.reject_class, error.ref) == ("proof_missing", "r")


def test_data_have_a_limit_each() -> None:
    driver = opened()
    assert driver.say(messages.Presence(data="x" * 62)) == [ShowPresence("x" * 62, 5_000)]
    error = error_of(driver, driver.say(messages.Presence(data="x" * 63)))
    assert error.reject_class == "presence_too_large"
    assert isinstance(driver.say(messages.Signal(to=PEER, data="x" * 126))[0], DeliverSignal)
    error = error_of(driver, driver.say(messages.Signal(to=PEER, data="x" * 127)))
    assert error.reject_class == "message_too_large"


@pytest.mark.parametrize(
    ("data", "field"), [({"a": [b"bytes"]}, "data.a[0]"), (float("nan"), "data")]
)
def test_what_is_no_data_is_refused_with_its_place(data: object, field: str) -> None:
    driver = opened()
    for message in (messages.Presence(data=data), messages.Signal(to=PEER, data=data)):
        error = error_of(driver, driver.say(message))
        assert (error.reject_class, error.detail["field"]) == ("invalid_field", field)


def test_ones_own_identity_can_be_signalled_like_any_other() -> None:
    to = messages.Identity(pubkey=CLIENT.public_key)
    assert isinstance(opened().say(messages.Signal(to=to))[0], DeliverSignal)
