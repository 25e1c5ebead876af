"""The server's session as a state machine: what is answered how, in every state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec
from roomlog.protocol.effects import (
    Admit,
    Close,
    OpenRoom,
    Read,
    ReadAfter,
    ReadBodies,
    ReadMissing,
    ReadNodes,
    Send,
)
from roomlog.protocol.handshake import check_welcome, welcome_payload
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.pushed_packs import ProtocolMisuse
from roomlog.protocol.server_session import HELD_BYTES, HELD_FRAMES, ServerSession, State
from tests.protocol.session_driver import (
    CLIENT,
    EPOCH,
    LINEAGE,
    NONCE,
    ORIGINS,
    SERVER,
    Driver,
    Facts,
    code_of,
    error_of,
    push,
    some_node,
)

BOTH = pytest.mark.parametrize("codec", list(Codec))
LATER_MS = 1_000_000


# the handshake


@BOTH
def test_the_server_speaks_first_with_a_challenge(codec: Codec) -> None:
    driver = Driver(codec=codec)
    (challenge,) = driver.messages(driver.session.start(0))
    assert isinstance(challenge, messages.Challenge)
    assert (challenge.nonce, challenge.server_pubkey) == (NONCE, SERVER.public_key)
    assert challenge.protos == [1]


@BOTH
def test_a_proven_hello_opens_the_room_and_is_welcomed_with_a_signature(codec: Codec) -> None:
    driver = Driver(codec=codec, facts=Facts(3))
    driver.session.start(0)
    assert driver.say(driver.hello(ref="h", label="laptop", token="t")) == [
        OpenRoom("room", may_create=True)
    ]
    assert driver.session.state is State.OPENING
    (welcome,) = driver.messages(driver.session.room_opened(driver.facts, 0))
    assert isinstance(welcome, messages.Welcome)
    assert (welcome.ref, welcome.seq, welcome.session) == ("h", 3, "session")
    assert welcome.frontier == [driver.facts.id_at(3)]
    payload = welcome_payload(
        driver.handshake, lineage=LINEAGE, epoch=EPOCH, seq=3, frontier=welcome.frontier
    )
    assert check_welcome(SERVER.public_key, payload, welcome.signature)
    assert driver.session.author == CLIENT.public_key


def test_any_of_the_servers_origins_may_have_been_dialled() -> None:
    for origin in ORIGINS:
        driver = Driver()
        driver.open(origin=origin)
        assert driver.session.state is State.OPEN


@pytest.mark.parametrize("origin", ORIGINS)
def test_t55_a_named_origin_is_the_only_one_a_proof_is_checked_for(origin: str) -> None:
    for said in ORIGINS:
        driver = Driver()
        driver.session.start(0)
        hello = driver.hello(origin=origin)
        hello.origin = said
        effects = driver.say(hello)
        if said == origin:
            assert effects == [OpenRoom("room", may_create=True)]
        else:
            assert error_of(driver, effects).reject_class == "proof_invalid"
            assert code_of(effects) == 4003


def test_t55_a_named_origin_that_is_not_the_servers_is_refused_whatever_the_proof() -> None:
    for signed in ("wss://look-alike.example", ORIGINS[0]):
        driver = Driver()
        driver.session.start(0)
        hello = driver.hello(origin=signed)
        hello.origin = "wss://look-alike.example"
        error = error_of(driver, driver.say(hello))
        assert error.reject_class == "proof_invalid"
        assert error.detail == {"origins": list(ORIGINS)}


@pytest.mark.parametrize(
    ("said", "signed"),
    [(ORIGINS[0], ORIGINS[0]), (ORIGINS[1], ORIGINS[1]), ("wss://elsewhere", ORIGINS[0])],
)
def test_an_anonymous_welcome_is_signed_for_the_named_origin_if_the_server_has_it(
    said: str, signed: str
) -> None:
    driver = Driver()
    driver.session.start(0)
    hello = driver.hello(identity=None, origin=signed)
    hello.origin = said
    driver.say(hello)
    (welcome,) = driver.messages(driver.session.room_opened(driver.facts, 0))
    assert isinstance(welcome, messages.Welcome)
    payload = welcome_payload(driver.handshake, lineage=LINEAGE, epoch=EPOCH, seq=0, frontier=[])
    assert check_welcome(SERVER.public_key, payload, welcome.signature)


def test_an_anonymous_session_without_an_origin_gets_the_first_and_creates_nothing() -> None:
    driver = Driver()
    driver.session.start(0)
    hello = driver.hello(identity=None)
    assert driver.say(hello) == [OpenRoom("room", may_create=False)]
    (welcome,) = driver.messages(driver.session.room_opened(driver.facts, 0))
    assert isinstance(welcome, messages.Welcome)
    payload = welcome_payload(driver.handshake, lineage=LINEAGE, epoch=EPOCH, seq=0, frontier=[])
    assert check_welcome(SERVER.public_key, payload, welcome.signature)
    assert driver.session.author is None


@pytest.mark.parametrize(
    "known",
    [
        {"lineage": LINEAGE},
        {"cursor": messages.Cursor(epoch=EPOCH, seq=0, id=b"i" * 32)},
    ],
)
def test_a_hello_that_brings_a_past_never_creates_a_room(known: dict[str, Any]) -> None:
    driver = Driver()
    driver.session.start(0)
    assert driver.say(driver.hello(**known)) == [OpenRoom("room", may_create=False)]


def test_t1_a_claimed_key_without_its_proof_is_refused() -> None:
    for proof, expected in ((None, "proof_missing"), (b"\0" * 64, "proof_invalid")):
        driver = Driver()
        driver.session.start(0)
        effects = driver.say(driver.hello(proof=proof))
        assert error_of(driver, effects).reject_class == expected
        assert code_of(effects) == 4003


def test_t1_a_proof_by_another_key_is_refused() -> None:
    driver = Driver()
    driver.session.start(0)
    effects = driver.say(driver.hello(pubkey=Identity.generate().public_key))
    assert error_of(driver, effects).reject_class == "proof_invalid"
    assert code_of(effects) == 4003


def test_t55_a_proof_made_for_another_origin_is_refused() -> None:
    driver = Driver()
    driver.session.start(0)
    effects = driver.say(driver.hello(origin="wss://look-alike.example"))
    error = error_of(driver, effects)
    assert error.reject_class == "proof_invalid"
    assert error.detail == {"origins": list(ORIGINS)}
    assert code_of(effects) == 4003


def test_t55_a_proof_gathered_under_another_nonce_is_refused() -> None:
    gathered = Driver()
    hello = gathered.hello()
    real = ServerSession(
        room_id="room",
        codec=Codec.MSGPACK,
        signer=SERVER,
        origins=ORIGINS,
        nonce=b"x" * 32,
        session_id="s",
        limits=SessionLimits(),
        offer=own_offer(),
        software=messages.Software(),
    )
    real.start(0)
    effects = real.receive(gathered.frame(hello), 0)
    assert code_of(effects) == 4003


def test_an_unknown_protocol_version_is_refused_with_those_spoken() -> None:
    driver = Driver()
    driver.session.start(0)
    effects = driver.say(driver.hello(proto=2, ref="h"))
    error = error_of(driver, effects)
    assert (error.reject_class, error.ref, error.detail) == (
        "unsupported_protocol",
        "h",
        {"protos": [1]},
    )
    assert code_of(effects) == 4005


def test_an_unknown_subprotocol_is_told_in_json() -> None:
    driver = Driver(codec=Codec.JSON, is_codec_known=False)
    effects = driver.session.start(0)
    assert error_of(driver, effects).reject_class == "unsupported_protocol"
    assert code_of(effects) == 4005
    assert driver.session.receive(b"{}", 0) == []


@BOTH
def test_anything_but_a_hello_is_not_a_hello(codec: Codec) -> None:
    for message in (messages.Ping(ref="r"), messages.Request(frontier=[], ref="r")):
        driver = Driver(codec=codec)
        driver.session.start(0)
        effects = driver.say(message)
        error = error_of(driver, effects)
        assert (error.reject_class, error.ref) == ("invalid_message", "r")
        assert code_of(effects) == 4004


def test_an_unreadable_hello_is_not_a_hello() -> None:
    driver = Driver(codec=Codec.JSON)
    driver.session.start(0)
    effects = driver.session.receive(b'{"type":"hello","ref":"r","proto":1}', 0)
    error = error_of(driver, effects)
    assert (error.reject_class, error.ref) == ("invalid_field", "r")
    assert code_of(effects) == 4004


@BOTH
def test_an_undecodable_frame_ends_the_session_in_every_state(codec: Codec) -> None:
    garbage = b"\xc1"
    greeting = Driver(codec=codec)
    greeting.session.start(0)
    assert code_of(greeting.session.receive(garbage, 0)) == 1007
    opening = Driver(codec=codec)
    opening.session.start(0)
    opening.say(opening.hello())
    assert code_of(opening.session.receive(garbage, 0)) == 1007
    opened = Driver(codec=codec)
    opened.open()
    assert code_of(opened.session.receive(garbage, 0)) == 1007


def test_no_hello_in_time_is_a_timeout() -> None:
    driver = Driver(limits=SessionLimits(hello_wait_ms=500))
    driver.session.start(100)
    assert driver.session.tick(599) == []
    effects = driver.session.tick(600)
    assert error_of(driver, effects).reject_class == "timeout"
    assert code_of(effects) == 4004
    assert driver.session.tick(LATER_MS) == []


def test_the_hello_limit_does_not_run_while_the_room_is_loaded() -> None:
    driver = Driver(limits=SessionLimits(hello_wait_ms=500))
    driver.session.start(0)
    driver.say(driver.hello())
    assert driver.session.tick(LATER_MS) == []


def test_another_lineage_is_refused() -> None:
    driver = Driver()
    driver.session.start(0)
    driver.say(driver.hello(lineage=b"o" * 32))
    effects = driver.session.room_opened(driver.facts, 0)
    error = error_of(driver, effects)
    assert error.reject_class == "lineage_mismatch"
    assert error.detail["lineage"] == LINEAGE
    assert code_of(effects) == 4003


@pytest.mark.parametrize(
    ("reject_class", "code"),
    [
        (RejectClass.ROOM_NOT_FOUND, 4003),
        (RejectClass.STORE_UNAVAILABLE, 1013),
        (RejectClass.ROOM_FULL, 1013),
        (RejectClass.QUEUE_FULL, 1013),
        (RejectClass.DRAINING, 1012),
    ],
)
def test_a_refused_room_closes_with_the_code_of_its_class(
    reject_class: RejectClass, code: int
) -> None:
    driver = Driver()
    driver.session.start(0)
    driver.say(driver.hello(ref="h"))
    effects = driver.session.room_refused(Reject(reject_class, "no", {"retry_after_ms": 7}))
    error = error_of(driver, effects)
    assert (error.ref, error.retry_after_ms) == ("h", 7)
    assert code_of(effects) == code
    assert driver.session.close_code is not None
    assert driver.session.close_reason == reject_class.wire


def test_answers_about_a_room_are_ignored_once_the_client_is_gone() -> None:
    for answer in ("opened", "refused"):
        driver = Driver()
        driver.session.start(0)
        driver.say(driver.hello())
        driver.session.disconnected()
        if answer == "opened":
            assert driver.session.room_opened(driver.facts, 0) == []
        else:
            assert driver.session.room_refused(Reject(RejectClass.ROOM_NOT_FOUND)) == []
        assert driver.session.is_closed


def test_a_session_that_cannot_be_taken_is_turned_away() -> None:
    driver = Driver()
    effects = driver.session.turn_away(Reject(RejectClass.QUEUE_FULL))
    assert error_of(driver, effects).kind == "retry"
    assert code_of(effects) == 1013
    assert driver.session.turn_away(Reject(RejectClass.QUEUE_FULL)) == []


def test_t31_the_handshake_does_not_grow_with_history() -> None:
    short, long = Driver(facts=Facts(3)), Driver(facts=Facts(10_000_000))
    frames = []
    for driver in (short, long):
        driver.session.start(0)
        driver.say(driver.hello())
        (effect,) = driver.session.room_opened(driver.facts, 0)
        assert isinstance(effect, Send)
        frames.append(effect.frame)
    assert abs(len(frames[0]) - len(frames[1])) < 16


# how a client catches up


def cursor(seq: int, facts: Facts, epoch: bytes = EPOCH) -> messages.Cursor:
    return messages.Cursor(epoch=epoch, seq=seq, id=facts.id_at(seq))


FRONTIER = [b"f" * 32]


@pytest.mark.parametrize(
    ("head", "hello", "expected"),
    [
        (5, {}, "cursor"),
        (0, {}, "none"),
        (5, {"cursor": cursor(5, Facts())}, "none"),
        (5, {"cursor": cursor(3, Facts())}, "cursor"),
        (5, {"cursor": cursor(0, Facts())}, "cursor"),
        (0, {"cursor": cursor(0, Facts())}, "none"),
        (5, {"cursor": cursor(5, Facts()), "frontier": [Facts().id_at(4)]}, "none"),
        (5, {"cursor": cursor(5, Facts()), "frontier": FRONTIER}, "walk"),
        (5, {"cursor": cursor(4, Facts()), "frontier": [Facts().id_at(5)]}, "walk"),
        (5, {"cursor": cursor(6, Facts())}, "cursor"),
        (5, {"cursor": cursor(6, Facts()), "frontier": FRONTIER}, "walk"),
        (5, {"cursor": cursor(3, Facts(), b"x" * 16), "frontier": FRONTIER}, "walk"),
        (5, {"cursor": messages.Cursor(epoch=EPOCH, seq=3, id=b"?" * 32)}, "cursor"),
        (
            5,
            {
                "cursor": messages.Cursor(epoch=EPOCH, seq=3, id=b"?" * 32),
                "frontier": FRONTIER,
            },
            "walk",
        ),
        (5, {"frontier": FRONTIER}, "walk"),
    ],
)
def test_catch_up_follows_its_table(head: int, hello: dict[str, Any], expected: str) -> None:
    driver = Driver(facts=Facts(head))
    assert driver.open(caps={"cursor_resume": True}, **hello).catch_up == expected
    assert driver.session.catch_up == expected


# before the welcome


def test_frames_that_do_not_wait_for_the_welcome_are_held_and_then_answered() -> None:
    driver = Driver(facts=Facts(4))
    driver.session.start(0)
    driver.say(driver.hello())
    assert driver.say(messages.Ping(t=1)) == []
    assert (
        driver.session.receive(
            driver.frame(
                messages.Challenge(
                    nonce=NONCE, server_pubkey=NONCE, protos=[], server=messages.Software()
                )
            ),
            0,
        )
        == []
    )
    answers = driver.messages(driver.session.room_opened(driver.facts, 0))
    assert [type(each) for each in answers] == [messages.Welcome, messages.Pong, messages.Error]


def test_too_many_frames_before_the_welcome_end_the_session() -> None:
    driver = Driver()
    driver.session.start(0)
    driver.say(driver.hello())
    for _ in range(HELD_FRAMES):
        assert driver.say(messages.Ping()) == []
    effects = driver.say(messages.Ping(ref="r"))
    error = error_of(driver, effects)
    assert (error.reject_class, error.ref) == ("rate_messages", "r")
    assert code_of(effects) == 4008


def test_too_long_frames_before_the_welcome_end_the_session() -> None:
    driver = Driver()
    driver.session.start(0)
    driver.say(driver.hello())
    half = messages.Ping(room="x" * (HELD_BYTES // 2))
    assert driver.say(half) == []
    assert code_of(driver.say(half)) == 4008


def test_a_pack_before_the_welcome_is_beyond_all_credit() -> None:
    driver = Driver()
    driver.session.start(0)
    driver.say(driver.hello())
    effects = driver.say(push(some_node()))
    assert error_of(driver, effects).reject_class == "rate_nodes"
    assert code_of(effects) == 4008


# talking


@BOTH
def test_a_ping_is_answered_with_the_head_of_the_durable_log(codec: Codec) -> None:
    driver = Driver(codec=codec, facts=Facts(8))
    driver.open()
    driver.facts.head_seq = 9
    (pong,) = driver.messages(driver.say(messages.Ping(ref="p", t=-4)))
    assert pong == messages.Pong(ref="p", t=-4, seq=9)


@BOTH
def test_t43_unknown_types_and_second_hellos_are_errors_and_the_session_goes_on(
    codec: Codec,
) -> None:
    driver = Driver(codec=codec)
    driver.open()
    unknown = messages.Credit(nodes=1, bytes=1, ref="u")
    error = error_of(driver, driver.say(unknown))
    assert (error.reject_class, error.ref, error.kind) == ("unknown_type", "u", "final")
    error = error_of(driver, driver.say(driver.hello(ref="again")))
    assert (error.reject_class, error.ref) == ("invalid_message", "again")
    assert driver.session.state is State.OPEN


def test_nothing_answers_an_error() -> None:
    mistaken = messages.Error(reject_class="internal", message="", kind="final", ref="r")
    opened = Driver(limits=SessionLimits(messages_per_second=1))
    opened.open()
    for _ in range(20):
        assert opened.say(mistaken) == []
    assert code_of(opened.say(mistaken)) == 4008
    greeted = Driver()
    greeted.session.start(0)
    assert code_of(greeted.say(mistaken)) == 4004


def test_a_frame_of_the_other_kind_ends_the_session() -> None:
    driver = Driver()
    driver.open()
    assert code_of(driver.session.receive_wrong_kind()) == 1003
    assert driver.session.receive_wrong_kind() == []


def test_t30_messages_beyond_the_bucket_are_refused_and_a_flood_ends_the_session() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=2))
    driver.open()
    for _ in range(20):
        (pong,) = driver.messages(driver.say(messages.Ping()))
        assert isinstance(pong, messages.Pong)
    error = error_of(driver, driver.say(messages.Ping(ref="r")))
    assert (error.reject_class, error.ref, error.retry_after_ms) == ("rate_messages", "r", 1_000)
    error = error_of(
        driver, driver.session.receive(driver.frame(messages.Credit(nodes=1, bytes=1)), 0)
    )
    assert error.reject_class == "rate_messages"
    (pong,) = driver.messages(driver.say(messages.Ping(), 1_500))
    assert isinstance(pong, messages.Pong)
    for _ in range(100):
        effects = driver.say(messages.Ping(), 1_500)
        if code_of(effects):
            break
    assert code_of(effects) == 4008
    assert driver.session.is_closed


def test_t30_requests_cost_more_than_pings() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=1))
    driver.open()
    wrong = messages.Request()
    answers = [error_of(driver, driver.say(wrong)).reject_class for _ in range(3)]
    assert answers == ["invalid_field", "invalid_field", "rate_messages"]


# pushing


def admitted(driver: Driver, *nodes: Any, ref: str | None = None) -> Admit:
    (effect,) = driver.say(push(*(nodes or (some_node(),)), ref=ref))
    assert isinstance(effect, Admit)
    return effect


def test_a_pushed_pack_is_handed_on_with_the_proven_author() -> None:
    driver = Driver()
    driver.open()
    message = push(some_node())
    assert driver.say(message) == [Admit(0, message.nodes, LINEAGE, CLIENT.public_key)]
    assert driver.session.packs_in_flight == 1


@BOTH
def test_acks_leave_in_the_order_of_the_packs_whatever_the_order_of_answers(codec: Codec) -> None:
    driver = Driver(codec=codec)
    driver.open()
    first, second, third = (admitted(driver, ref=ref) for ref in "abc")
    assert driver.session.pack_settled(third.ticket, messages.PackAck(from_seq=3, to_seq=3)) == []
    assert driver.session.pack_refused(second.ticket, Reject(RejectClass.INTERNAL)) == []
    answers = driver.messages(
        driver.session.pack_settled(first.ticket, messages.PackAck(from_seq=1, to_seq=1))
    )
    assert [each.ref for each in answers] == ["a", "b", "c"]
    assert [type(each) for each in answers] == [
        messages.PackAck,
        messages.Error,
        messages.PackAck,
    ]
    assert driver.session.packs_in_flight == 0


def test_an_ack_brings_credit() -> None:
    driver = Driver(limits=SessionLimits(slice_nodes=10))
    welcome = driver.open(pending=messages.Pending(nodes=100, bytes=100_000))
    assert welcome.credit.nodes == 10
    admit = admitted(driver, *(some_node(clock) for clock in range(1, 11)))
    (ack,) = driver.messages(driver.session.pack_settled(admit.ticket, messages.PackAck()))
    assert isinstance(ack, messages.PackAck)
    assert ack.credit is not None
    assert ack.credit.nodes == 20


@pytest.mark.parametrize("ticket", [-1, 1, 7])
def test_an_answer_to_no_pack_is_a_misuse(ticket: int) -> None:
    driver = Driver()
    driver.open()
    admitted(driver)
    with pytest.raises(ProtocolMisuse):
        driver.session.pack_settled(ticket, messages.PackAck())


def test_two_answers_to_one_pack_are_a_misuse() -> None:
    driver = Driver()
    driver.open()
    admitted(driver)
    second = admitted(driver)
    driver.session.pack_settled(second.ticket, messages.PackAck())
    with pytest.raises(ProtocolMisuse):
        driver.session.pack_settled(second.ticket, messages.PackAck())


def test_answers_to_packs_are_ignored_once_the_session_is_over() -> None:
    driver = Driver()
    driver.open()
    admit = admitted(driver)
    driver.session.disconnected()
    assert driver.session.pack_settled(admit.ticket, messages.PackAck()) == []
    assert driver.session.pack_refused(admit.ticket, Reject(RejectClass.INTERNAL)) == []


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x06", b"\x01\x06\xff"])
def test_a_pack_that_does_not_even_say_its_count_is_refused_as_a_field(data: bytes) -> None:
    driver = Driver()
    driver.open()
    error = error_of(driver, driver.say(push(data=data, ref="p")))
    assert (error.reject_class, error.ref) == ("invalid_field", "p")
    assert error.detail["field"] == "nodes"
    assert driver.session.packs_in_flight == 0


def test_t10_a_pack_of_another_lineage_is_refused() -> None:
    driver = Driver()
    driver.open()
    error = error_of(driver, driver.say(push(some_node(), lineage=b"o" * 32)))
    assert error.reject_class == "lineage_mismatch"


def test_a_session_without_a_key_pushes_nothing() -> None:
    driver = Driver()
    driver.open(identity=None)
    error = error_of(driver, driver.say(push(some_node())))
    assert error.reject_class == "proof_missing"


def test_a_pack_with_too_many_nodes_is_refused() -> None:
    driver = Driver(limits=SessionLimits(pack_nodes=2))
    driver.open()
    nodes = [some_node(clock) for clock in range(1, 4)]
    error = error_of(driver, driver.say(push(*nodes)))
    assert error.detail["field"] == "nodes"


def test_more_nodes_than_granted_end_the_session() -> None:
    driver = Driver(limits=SessionLimits(slice_nodes=2))
    driver.open()
    admitted(driver, some_node(1), some_node(2))
    effects = driver.say(push(some_node(3), ref="p"))
    error = error_of(driver, effects)
    assert (error.reject_class, error.ref, error.kind) == ("rate_nodes", "p", "retry")
    assert code_of(effects) == 4008


def test_more_bytes_than_granted_end_the_session() -> None:
    driver = Driver(limits=SessionLimits(slice_bytes=200))
    driver.open()
    admitted(driver)
    effects = driver.say(push(some_node(2), ref="p"))
    assert error_of(driver, effects).reject_class == "rate_bytes"
    assert code_of(effects) == 4008


def test_a_starved_client_is_told_of_new_credit_and_a_silent_one_is_not() -> None:
    driver = Driver(limits=SessionLimits(slice_nodes=10, live_nodes_per_second=5))
    driver.open()
    assert driver.session.tick(LATER_MS) == []
    admit = admitted(driver, *(some_node(clock) for clock in range(1, 11)))
    driver.session.pack_settled(admit.ticket, messages.PackAck())
    assert driver.session.tick(LATER_MS) == []
    (told,) = driver.messages(driver.session.tick(LATER_MS + 1_000))
    assert isinstance(told, messages.Credit)
    assert told.nodes == 15
    assert driver.session.tick(LATER_MS + 1_001) == []


def test_a_reader_is_never_told_of_credit() -> None:
    driver = Driver(limits=SessionLimits(slice_nodes=1))
    driver.open(identity=None)
    driver.say(push(some_node()))
    assert driver.session.tick(LATER_MS) == []


# reading


AFTER = messages.After(epoch=EPOCH, seq=2)
IDS = [b"a" * 32, b"b" * 32]


def test_each_kind_of_request_becomes_its_read() -> None:
    driver = Driver(facts=Facts(5))
    driver.open()
    assert driver.say(messages.Request(after=AFTER, ref="a", page=7)) == [ReadAfter(2, 7, "a")]
    assert driver.say(messages.Request(frontier=IDS, ref="f")) == [
        ReadMissing(tuple(IDS), 1024, "f")
    ]
    assert driver.say(messages.Request(ids=IDS)) == [ReadNodes(tuple(IDS), 1024, None)]


def test_pages_respect_the_agreed_pack_size() -> None:
    driver = Driver(facts=Facts(5))
    driver.open(caps={"max_pack_nodes": 3, "max_frame_bytes": 600_000})
    assert driver.say(messages.Request(frontier=[], page=9)) == [ReadMissing((), 3, None)]
    assert driver.session.pack_bytes_limit < 600_000


def test_a_client_cannot_agree_on_frames_too_small_for_a_node() -> None:
    driver = Driver()
    driver.open(caps={"max_frame_bytes": 10})
    assert driver.session.pack_bytes_limit > 300_000


@pytest.mark.parametrize(
    "message",
    [
        messages.Request(ref="r"),
        messages.Request(ref="r", after=AFTER, ids=[]),
        messages.Request(ref="r", frontier=[], ids=[]),
        messages.Request(ref="r", after=messages.After(epoch=EPOCH, seq=6)),
        messages.Request(ref="r", frontier=[b"x" * 32] * 3),
        messages.Request(ref="r", ids=[b"x" * 32] * 3),
    ],
)
def test_an_impossible_request_is_refused_by_field(message: messages.Request) -> None:
    driver = Driver(facts=Facts(5), limits=SessionLimits(frontier_ids=2))
    driver.open()
    error = error_of(driver, driver.say(message))
    assert (error.reject_class, error.ref) == ("invalid_field", "r")
    assert error.detail["field"] in ("request", "after.seq", "frontier", "ids")


def test_a_request_in_another_epoch_is_refused() -> None:
    driver = Driver(facts=Facts(5))
    driver.open()
    wrong = messages.Request(after=messages.After(epoch=b"x" * 16, seq=1))
    assert error_of(driver, driver.say(wrong)).reject_class == "epoch_unknown"


def test_one_after_and_a_few_requests_at_a_time() -> None:
    driver = Driver(facts=Facts(5), limits=SessionLimits(queued_requests=3))
    driver.open()
    (read,) = driver.say(messages.Request(after=AFTER))
    assert isinstance(read, ReadAfter)
    second = driver.say(messages.Request(after=AFTER, ref="2"))
    error = error_of(driver, second)
    assert (error.reject_class, error.ref, error.kind) == ("queue_full", "2", "retry")
    driver.say(messages.Request(ids=IDS))
    (walk,) = driver.say(messages.Request(frontier=IDS))
    assert isinstance(walk, ReadMissing)
    fourth = driver.say(messages.Request(ids=IDS))
    assert error_of(driver, fourth).reject_class == "queue_full"
    driver.session.request_done(read, 5)
    (again,) = driver.say(messages.Request(after=AFTER))
    assert isinstance(again, ReadAfter)
    driver.session.request_failed(walk, Reject(RejectClass.STORE_UNAVAILABLE))
    assert isinstance(driver.say(messages.Request(ids=IDS))[0], ReadNodes)


@BOTH
def test_pages_and_ends_carry_the_ref_of_their_request(codec: Codec) -> None:
    driver = Driver(codec=codec, facts=Facts(5))
    driver.open()
    (read,) = driver.say(messages.Request(ids=IDS, ref="q"))
    assert isinstance(read, ReadNodes)
    assert driver.messages(driver.session.page(read, b"nodes", 3, 4)) == [
        messages.Pack(ref="q", lineage=LINEAGE, nodes=b"nodes", from_seq=3, to_seq=4)
    ]
    assert driver.messages(driver.session.request_done(read, 5, (IDS[1],))) == [
        messages.RequestEnd(ref="q", seq=5, missing=[IDS[1]])
    ]


def test_a_failed_request_is_an_error_with_its_ref() -> None:
    driver = Driver(facts=Facts(5))
    driver.open()
    (read,) = driver.say(messages.Request(ids=IDS, ref="q"))
    assert isinstance(read, ReadNodes)
    reject = Reject(RejectClass.STORE_UNAVAILABLE)
    error = error_of(driver, driver.session.request_failed(read, reject))
    assert (error.reject_class, error.ref) == ("store_unavailable", "q")


def test_an_end_without_a_request_is_a_misuse() -> None:
    driver = Driver(facts=Facts(5))
    driver.open()
    with pytest.raises(ProtocolMisuse):
        driver.session.request_done(ReadAfter(1, 2, None), 3)


def test_reads_are_forgotten_once_the_session_is_over() -> None:
    driver = Driver(facts=Facts(5))
    driver.open()
    (read,) = driver.say(messages.Request(ids=IDS))
    assert isinstance(read, ReadNodes)
    driver.session.disconnected()
    assert driver.session.page(read, b"", 1, 1) == []
    assert driver.session.request_done(read, 1) == []
    assert driver.session.request_failed(read, Reject(RejectClass.INTERNAL)) == []


# leaving


def test_t44_a_drain_answers_the_packs_in_flight_and_then_closes() -> None:
    driver = Driver()
    driver.open()
    admit = admitted(driver, ref="flying")
    (notice,) = driver.messages(driver.session.drain(9_000, 1_234))
    assert notice == messages.Notice(drain=messages.Drain(deadline_ms=9_000, retry_after_ms=1_234))
    assert driver.session.state is State.DRAINING
    assert driver.session.drain(9_000, 1) == []
    assert driver.session.tick(LATER_MS) == []
    late = driver.say(push(some_node(2), ref="late"))
    assert late == []
    effects = driver.session.pack_settled(admit.ticket, messages.PackAck(from_seq=1, to_seq=1))
    ack, error = driver.messages(effects)
    assert isinstance(ack, messages.PackAck)
    assert ack.ref == "flying"
    assert isinstance(error, messages.Error)
    assert (error.ref, error.reject_class, error.retry_after_ms) == ("late", "draining", 1_234)
    assert code_of(effects) == 1012
    assert driver.session.drain(1, 1) == []


@pytest.mark.parametrize("state", ["greeting", "opening", "open"])
def test_t44_a_session_without_packs_in_flight_leaves_at_once(state: str) -> None:
    driver = Driver()
    driver.session.start(0)
    if state != "greeting":
        driver.say(driver.hello())
    if state == "open":
        driver.session.room_opened(driver.facts, 0)
    effects = driver.session.drain(1_000, 500)
    assert code_of(effects) == 1012
    assert driver.session.is_closed


def test_t44_the_last_word_of_a_drain_is_a_checkpoint_of_what_was_acknowledged() -> None:
    driver = Driver(facts=Facts(3))
    driver.open()
    admit = admitted(driver)
    driver.session.drain(9_000, 1_000)
    # Everything but a pack is answered as ever.
    (pong,) = driver.messages(driver.say(messages.Ping()))
    assert isinstance(pong, messages.Pong)
    driver.facts.head_seq = 4
    effects = driver.session.pack_settled(admit.ticket, messages.PackAck(from_seq=4, to_seq=4))
    ack, checkpoint = driver.messages(effects)
    assert isinstance(ack, messages.PackAck)
    assert isinstance(checkpoint, messages.Checkpoint)
    assert (checkpoint.seq, checkpoint.frontier) == (4, [driver.facts.id_at(4)])
    assert code_of(effects) == 1012


def test_t44_a_drain_of_an_idle_session_brings_what_the_log_has_grown_since() -> None:
    driver = Driver(facts=Facts(3))
    driver.open()
    driver.facts.head_seq = 5
    effects = driver.session.drain(1_000, 500)
    notice, checkpoint = driver.messages(effects)
    assert isinstance(notice, messages.Notice)
    assert isinstance(checkpoint, messages.Checkpoint)
    assert checkpoint.seq == 5
    assert code_of(effects) == 1012


def test_a_live_session_gets_a_checkpoint_an_interval_while_the_log_grows() -> None:
    driver = Driver(facts=Facts(3), limits=SessionLimits(checkpoint_interval_ms=1_000))
    driver.open(identity=None)
    assert driver.session.tick(5_000) == []
    driver.facts.head_seq = 4
    assert driver.session.tick(5_999) == []
    (checkpoint,) = driver.messages(driver.session.tick(6_000))
    assert isinstance(checkpoint, messages.Checkpoint)
    assert checkpoint.seq == 4
    assert driver.session.tick(7_000) == []


def test_a_session_whose_epoch_is_renewed_under_it_is_asked_to_come_back() -> None:
    for state in ("open", "draining"):
        driver = driver_in(state, Codec.MSGPACK)
        effects = driver.session.epoch_renewed()
        assert code_of(effects) == 4001
        assert driver.session.close_reason == "epoch renewed"
        assert driver.session.epoch_renewed() == []


def test_a_stalled_reader_is_asked_to_come_back() -> None:
    driver = Driver()
    driver.open()
    assert code_of(driver.session.stall()) == 4001
    assert driver.session.stall() == []


def test_a_fault_of_the_server_names_its_incident() -> None:
    driver = Driver()
    driver.open()
    effects = driver.session.fail("abc123")
    error = error_of(driver, effects)
    assert (error.reject_class, error.incident) == ("internal", "abc123")
    assert code_of(effects) == 1011
    assert driver.session.fail("again") == []


def test_a_disconnect_keeps_the_first_reason() -> None:
    driver = Driver()
    driver.open()
    driver.session.disconnected()
    assert driver.session.close_code is None
    assert driver.session.receive_wrong_kind() == []


# misuse


def test_methods_in_the_wrong_state_are_misuse() -> None:
    fresh = Driver()
    with pytest.raises(ProtocolMisuse):
        fresh.session.receive(b"", 0)
    with pytest.raises(ProtocolMisuse):
        fresh.session.room_opened(fresh.facts, 0)
    with pytest.raises(ProtocolMisuse):
        fresh.session.room_refused(Reject(RejectClass.INTERNAL))
    fresh.session.start(0)
    with pytest.raises(ProtocolMisuse):
        fresh.session.start(0)
    opened = Driver()
    opened.open()
    with pytest.raises(ProtocolMisuse):
        opened.session.room_opened(opened.facts, 0)


def test_a_session_without_an_origin_is_misuse() -> None:
    with pytest.raises(ProtocolMisuse):
        ServerSession(
            room_id="room",
            codec=Codec.JSON,
            signer=SERVER,
            origins=(),
            nonce=NONCE,
            session_id="s",
            limits=SessionLimits(),
            offer=own_offer(),
            software=messages.Software(),
        )


# anything at all

STATES = st.sampled_from(["greeting", "opening", "open", "draining", "closed"])


def driver_in(state: str, codec: Codec) -> Driver:
    driver = Driver(codec=codec, facts=Facts(5))
    driver.facts.snapshot_seq = 2
    driver.session.start(0)
    if state != "greeting":
        driver.say(driver.hello(caps=own_offer()))
    if state in ("open", "draining", "closed"):
        driver.session.room_opened(driver.facts, 0)
    if state == "draining":
        admitted(driver)
        driver.session.drain(1_000, 10)
    if state == "closed":
        driver.session.stall()
    return driver


def valid_frames(driver: Driver) -> list[bytes]:
    return [
        driver.frame(each)
        for each in (
            driver.hello(frontier=IDS),
            push(some_node(), ref="p"),
            messages.Request(after=AFTER, ref="a"),
            messages.Request(ids=IDS),
            messages.Ping(t=3, ref="t"),
            messages.Request(have=[(3, bytes(8)), (2, bytes(8))], ref="c"),
            messages.Request(frontier=IDS, stop_at_unknown=True, ref="w"),
            messages.Request(before=AFTER, signatures=False),
            messages.Request(snapshot=True),
            messages.Request(hash=messages.HashOf(patterns=["a/**"])),
            messages.Subscribe(patterns=["a", "b/*"], ref="s"),
            messages.Presence(data={"a": [1, 2.5, None, "x"]}, ttl_ms=9),
            messages.Signal(to=messages.Identity(pubkey=CLIENT.public_key), data=[True]),
        )
    ]


def check_effects(driver: Driver, effects: list[Any]) -> None:
    """Every answer is a typed message, an admission, a read or one close at the end."""
    driver.messages(effects)
    closes = [index for index, each in enumerate(effects) if isinstance(each, Close)]
    assert closes in ([], [len(effects) - 1])
    assert bool(closes) <= driver.session.is_closed
    assert driver.facts.head_seq == 5


@settings(deadline=None)
@given(state=STATES, codec=st.sampled_from(Codec), frames=st.lists(st.binary(max_size=80)))
def test_random_frames_never_raise_in_any_state(
    state: str, codec: Codec, frames: list[bytes]
) -> None:
    driver = driver_in(state, codec)
    for frame in frames:
        was_closed = driver.session.is_closed
        effects = driver.session.receive(frame, 1)
        check_effects(driver, effects)
        assert not (was_closed and effects)


@settings(deadline=None)
@given(
    state=STATES,
    codec=st.sampled_from(Codec),
    choices=st.lists(
        st.tuples(
            st.integers(0, 12),
            st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
            st.integers(0, 60_000),
        ),
        max_size=12,
    ),
)
def test_mutated_frames_never_raise_and_end_in_an_answer_a_close_or_nothing(
    state: str, codec: Codec, choices: list[tuple[int, list[tuple[int, int]], int]]
) -> None:
    driver = driver_in(state, codec)
    now_ms = 0
    for which, changes, elapsed_ms in choices:
        now_ms += elapsed_ms
        frame = bytearray(valid_frames(driver)[which])
        for position, value in changes:
            frame[position % len(frame)] = value
        effects = driver.session.receive(bytes(frame), now_ms)
        check_effects(driver, effects)
        for effect in effects:
            if isinstance(effect, OpenRoom):
                effects = driver.session.room_opened(driver.facts, now_ms)
            elif isinstance(effect, Admit):
                effects = driver.session.pack_settled(effect.ticket, messages.PackAck())
            elif isinstance(effect, ReadBodies):
                effects = driver.session.subscribed(effect, 5)
                effects += driver.session.request_done(effect, 5)
            elif isinstance(effect, Read):
                effects = driver.session.request_done(effect, 5)
            else:
                continue
            check_effects(driver, effects)
        check_effects(driver, driver.session.tick(now_ms))


def test_t30_packs_that_cost_no_credit_draw_on_the_messages() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=1))
    driver.open()
    empty = push()
    broken = push(data=b"")
    for _ in range(5):
        (admit,) = driver.say(empty)
        assert isinstance(admit, Admit)
        driver.session.pack_settled(admit.ticket, messages.PackAck())
        assert error_of(driver, driver.say(broken)).reject_class == "invalid_field"
    (admit,) = driver.say(push(some_node()))
    assert isinstance(admit, Admit)
    # The refusal keeps its place behind the pack before it.
    assert driver.say(empty) == []
    effects = driver.session.pack_settled(admit.ticket, messages.PackAck())
    assert [type(each) for each in driver.messages(effects)] == [messages.PackAck, messages.Error]
    for _ in range(10):
        effects = driver.say(empty)
    assert code_of(effects) == 4008


def test_t30_packs_that_are_refused_draw_on_the_messages_whatever_credit_is_left() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=1))
    driver.open()
    stranger = push(some_node(lineage=b"S" * 32), lineage=b"S" * 32)
    for _ in range(10):
        assert error_of(driver, driver.say(stranger)).reject_class == "lineage_mismatch"
    assert error_of(driver, driver.say(stranger)).reject_class == "rate_messages"
    for _ in range(9):
        driver.say(stranger)
    assert code_of(driver.say(stranger)) == 4008


def test_t30_control_frames_draw_on_the_messages() -> None:
    driver = Driver(limits=SessionLimits(messages_per_second=1))
    assert driver.session.receive_control(0) == []
    driver.open()
    for _ in range(10):
        assert driver.session.receive_control(0) == []
    assert error_of(driver, driver.session.receive_control(0)).reject_class == "rate_messages"
    for _ in range(10):
        effects = driver.session.receive_control(0)
    assert code_of(effects) == 4008
    assert driver.session.receive_control(0) == []
