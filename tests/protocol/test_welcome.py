"""What a hello brings and what its welcome says: checkpoints, windows, subscriptions, peers."""

from __future__ import annotations

from typing import Any

import pytest

from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.checkpoint import check_checkpoint, checkpoint_payload, sign_checkpoint
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import OpenRoom
from roomlog.protocol.greeting import WELCOME_PEERS
from tests.protocol.session_driver import (
    CLIENT,
    EPOCH,
    LINEAGE,
    SERVER,
    Driver,
    Facts,
    code_of,
    error_of,
)

BOTH = pytest.mark.parametrize("codec", list(Codec))
FACTS: dict[str, Any] = {"lineage": LINEAGE, "epoch": EPOCH, "seq": 9, "frontier": [b"b" * 32]}


def checkpoint(signer: Identity = SERVER, **changed: Any) -> messages.SignedCheckpoint:
    facts = {**FACTS, **changed}
    signature = sign_checkpoint(signer, **facts)
    assert signature is not None
    return messages.SignedCheckpoint(**facts, signature=signature)


def opening(**hello: Any) -> OpenRoom:
    driver = Driver()
    driver.session.start(0)
    (effect,) = driver.say(driver.hello(**hello))
    assert isinstance(effect, OpenRoom)
    return effect


@BOTH
def test_the_servers_own_checkpoint_is_handed_on_to_who_opens_the_room(codec: Codec) -> None:
    driver = Driver(codec=codec)
    driver.session.start(0)
    shown = checkpoint()
    assert driver.say(driver.hello(lineage=LINEAGE, checkpoint=shown)) == [
        OpenRoom("room", may_create=False, checkpoint=shown)
    ]


def forged() -> list[Any]:
    as_welcome = checkpoint()
    as_welcome.signature = SERVER.sign(Purpose.WELCOME, checkpoint_payload(**FACTS))
    raised = checkpoint()
    raised.seq += 1
    other_heads = checkpoint()
    other_heads.frontier = [b"x" * 32]
    return [
        pytest.param(checkpoint(CLIENT), LINEAGE, id="signed by the client"),
        pytest.param(as_welcome, LINEAGE, id="signed for another purpose"),
        pytest.param(raised, LINEAGE, id="another seq"),
        pytest.param(other_heads, LINEAGE, id="other heads"),
        pytest.param(checkpoint(lineage=b"o" * 32), LINEAGE, id="another lineage than the hello"),
        pytest.param(checkpoint(), None, id="a hello without a lineage"),
    ]


@pytest.mark.parametrize(("shown", "lineage"), forged())
def test_t63_a_claim_that_this_server_did_not_sign_changes_nothing_and_refuses_nobody(
    shown: messages.SignedCheckpoint, lineage: bytes | None
) -> None:
    plain = opening(lineage=lineage)
    assert opening(lineage=lineage, checkpoint=shown) == plain
    assert plain.checkpoint is None
    driver = Driver(facts=Facts(3))
    welcome = driver.open(lineage=lineage, checkpoint=shown)
    assert (welcome.epoch, welcome.seq, welcome.missing) == (EPOCH, 3, None)


@pytest.mark.parametrize(
    "claim",
    [
        {"cursor": messages.Cursor(epoch=b"x" * 16, seq=10**15, id=b"?" * 32)},
        {"cursor": messages.Cursor(epoch=EPOCH, seq=10**15, id=b"?" * 32)},
        {"frontier": [b"?" * 32]},
        {"pending": messages.Pending(nodes=2**62, bytes=2**62)},
    ],
)
def test_t63_no_bare_claim_about_the_log_is_asked_of_the_room_or_changes_what_it_says(
    claim: dict[str, Any],
) -> None:
    assert opening(lineage=LINEAGE, **claim) == OpenRoom("room", may_create=False)
    driver, plain = Driver(facts=Facts(3)), Driver(facts=Facts(3))
    said = driver.open(lineage=LINEAGE, caps=own_offer(), **claim)
    expected = plain.open(lineage=LINEAGE, caps=own_offer())
    # What to request next, and which of the ids it was shown the log lacks: nothing else.
    assert said.unknown == ([0] if "frontier" in claim else [])
    said.catch_up, said.unknown = expected.catch_up, []
    assert said == expected


@BOTH
def test_the_welcome_signs_a_checkpoint_of_the_log_it_describes(codec: Codec) -> None:
    driver = Driver(codec=codec, facts=Facts(7))
    welcome = driver.open()
    assert welcome.checkpoint is not None
    assert check_checkpoint(
        SERVER.public_key,
        messages.SignedCheckpoint(
            lineage=welcome.lineage,
            epoch=welcome.epoch,
            seq=welcome.seq,
            frontier=welcome.frontier,
            signature=welcome.checkpoint,
        ),
    )


def test_an_open_reconcile_window_is_said_to_everybody() -> None:
    lost = messages.After(epoch=b"x" * 16, seq=2)
    for identity in (CLIENT, None):
        driver = Driver(facts=Facts(3))
        driver.facts.missing = lost
        assert driver.open(identity=identity).missing == lost


@BOTH
def test_a_subscription_in_the_hello_is_in_force_with_the_welcome(codec: Codec) -> None:
    driver = Driver(codec=codec)
    welcome = driver.open(caps=own_offer(), subscribe=["b/**", "a", "a"])
    assert welcome.subscribed == ["a", "b/**"]
    assert driver.session.patterns == ("a", "b/**")


def test_without_its_capability_a_subscription_is_not_even_looked_at() -> None:
    driver = Driver()
    assert driver.open(subscribe=["a//b"]).subscribed == []
    assert driver.session.patterns == ()


def test_a_subscription_that_is_none_refuses_the_hello() -> None:
    driver = Driver()
    driver.session.start(0)
    effects = driver.say(driver.hello(caps=own_offer(), subscribe=["a//b"], ref="h"))
    error = error_of(driver, effects)
    assert (error.reject_class, error.ref) == ("subscription_invalid", "h")
    assert error.detail["pattern"] == "a//b"
    assert code_of(effects) == 4003


def test_the_first_peers_are_named_to_who_can_hear_of_the_others() -> None:
    present = [
        messages.Peer(pubkey=number.to_bytes(32, "big"), label=str(number))
        for number in range(WELCOME_PEERS + 1)
    ]
    for caps, expected in (({"presence_ttl": True}, present[:WELCOME_PEERS]), ({}, [])):
        driver = Driver()
        driver.facts.present = present
        assert driver.open(caps=caps).peers == expected


def test_a_snapshot_is_offered_to_who_joins_with_nothing() -> None:
    for caps, expected in ((own_offer(), "snapshot"), ({}, "cursor")):
        driver = Driver(facts=Facts(3))
        driver.facts.snapshot_seq = 2
        assert driver.open(caps=caps).catch_up == expected
