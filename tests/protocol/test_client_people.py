"""Who is in the room, what they show and say; what a server loses, and what it vouches for."""

from __future__ import annotations

import pytest

from roomlog.core.pack import encode_pack
from roomlog.core.reject import RejectKind
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.client_events import (
    Acknowledged,
    CheckpointReceived,
    ErrorReceived,
    Ignored,
    MissingAsked,
    Opened,
    PeerCame,
    PeerWent,
    PresenceChanged,
    PresenceGone,
    PresenceRefused,
    SignalReceived,
    SignalRefused,
)
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import After, Error, PackAck, Peer, SignedCheckpoint
from tests.protocol.client_wire import (
    ADA,
    EPOCH,
    LINEAGE,
    ORIGIN,
    SERVER,
    Wire,
    chain,
    only_fault,
)

BOB = Identity.from_seed(b"b" * 32).public_key
DATA = {"cursor": [1, 2.5, None, True], "name": "Bob"}
NEWS = [
    (
        messages.PresenceShown(pubkey=BOB, session="s2", data=DATA, label="phone"),
        [PresenceChanged(pubkey=BOB, label="phone", session="s2", data=DATA)],
    ),
    (
        messages.PresenceSnapshot(
            entries=[
                messages.PresenceEntry(pubkey=BOB, session="s2", data=1, label="phone"),
                messages.PresenceEntry(pubkey=BOB, session="s3", data="x"),
            ]
        ),
        [
            PresenceChanged(pubkey=BOB, label="phone", session="s2", data=1),
            PresenceChanged(pubkey=BOB, label="", session="s3", data="x"),
        ],
    ),
    (
        messages.PresenceLeft(pubkey=BOB, session="s2", reason="expired"),
        [PresenceGone(pubkey=BOB, label="", session="s2", reason="expired")],
    ),
    (
        messages.PeerJoined(pubkey=BOB, label="phone", peer_type="app"),
        [PeerCame(Peer(pubkey=BOB, label="phone", peer_type="app"))],
    ),
    (
        messages.PeerLeft(pubkey=BOB, label="phone"),
        [PeerWent(Peer(pubkey=BOB, label="phone"))],
    ),
    (
        messages.SignalReceived(pubkey=BOB, session="s2", data=DATA),
        [SignalReceived(pubkey=BOB, label="", session="s2", data=DATA)],
    ),
]


@pytest.mark.parametrize("codec", list(Codec))
def test_news_of_others_become_events(codec: Codec) -> None:
    wire = Wire(codec=codec)
    wire.open()
    for message, events in NEWS:
        assert wire.give(message) == events


def test_t43_news_that_were_not_agreed_on_are_passed_over() -> None:
    offer = own_offer()
    del offer["presence_ttl"]
    wire = Wire(offer=offer)
    wire.open(peers=[Peer(pubkey=BOB)])
    for message, _ in NEWS:
        (event,) = wire.give(message)
        assert isinstance(event, Ignored)
    with pytest.raises(ValueError, match="presence_ttl"):
        wire.session.show_presence(1)
    with pytest.raises(ValueError, match="presence_ttl"):
        wire.session.send_signal(BOB, "", 1)
    assert wire.sent() == []


def test_the_welcome_names_who_is_here() -> None:
    wire = Wire()
    wire.challenge()
    opened, came = wire.give(wire.welcome_message(peers=[Peer(pubkey=BOB, label="phone")]))
    assert isinstance(opened, Opened)
    assert came == PeerCame(Peer(pubkey=BOB, label="phone"))


def test_presence_is_shown_and_may_be_refused() -> None:
    wire = Wire()
    wire.open()
    wire.session.show_presence(DATA, ttl_ms=5000)
    wire.session.show_presence(None)
    shown, hidden = wire.sent()
    assert isinstance(shown, messages.Presence)
    assert (shown.data, shown.ttl_ms) == (DATA, 5000)
    assert isinstance(hidden, messages.Presence)
    assert (hidden.data, hidden.ttl_ms) == (None, None)
    error = Error(ref=shown.ref, reject_class="presence_too_large", message="big", kind="retry")
    report, refused = wire.give(error)
    assert isinstance(report, ErrorReceived)
    assert refused == PresenceRefused(
        reject_class="presence_too_large",
        kind=RejectKind.RETRY,
        message="big",
        retry_after_ms=None,
    )


def test_a_signal_that_reaches_nobody_is_refused_by_its_ref() -> None:
    wire = Wire()
    wire.open()
    first = wire.session.send_signal(BOB, "phone", DATA)
    second = wire.session.send_signal(BOB, "", 1)
    assert first != second
    signal, _ = wire.sent()
    assert isinstance(signal, messages.Signal)
    assert signal.to == messages.Identity(pubkey=BOB, label="phone")
    assert signal.data == DATA
    error = Error(ref=second, reject_class="peer_unknown", message="nobody", kind="final")
    _, refused = wire.give(error)
    assert isinstance(refused, SignalRefused)
    assert (refused.ref, refused.kind) == (second, RejectKind.FINAL)


def test_who_has_no_key_shows_and_signals_nothing() -> None:
    wire = Wire(signer=None)
    wire.open()
    for attempt in (
        lambda: wire.session.show_presence(1),
        lambda: wire.session.send_signal(BOB, "", 1),
        lambda: wire.session.push_back(chain(1)),
    ):
        with pytest.raises(ValueError, match="with a key"):
            attempt()
    # It sees what others show all the same.
    assert wire.give(NEWS[0][0]) == NEWS[0][1]


# a server that lost its log


def test_what_a_server_lost_is_pushed_back_whoever_wrote_it() -> None:
    bob = Identity.from_seed(b"b" * 32)
    nodes = chain(2)
    wire = Wire(signer=bob)
    wire.challenge()
    opened, asked = wire.give(wire.welcome_message(missing=After(epoch=b"O" * 16, seq=4)))
    assert isinstance(opened, Opened)
    assert asked == MissingAsked(b"O" * 16, 4)
    wire.session.push_back(nodes)
    (pack,) = wire.sent()
    assert isinstance(pack, messages.PushPack)
    assert pack.nodes == encode_pack(nodes)
    ack = PackAck(ref=pack.ref, from_seq=1, to_seq=2)
    assert wire.give(ack) == [Acknowledged({nodes[0].id: 1, nodes[1].id: 2})]
    unsigned = chain(1)[0]
    unsigned.signature = None
    with pytest.raises(ValueError, match="whole and signed"):
        wire.session.push_back([unsigned])
    bodiless = chain(1)[0]
    bodiless.body = None
    with pytest.raises(ValueError, match="whole and signed"):
        wire.session.push_back([bodiless])


def test_nothing_is_pushed_back_to_a_server_that_misses_nothing() -> None:
    wire = Wire()
    wire.open()
    with pytest.raises(ValueError, match="misses nothing"):
        wire.session.push_back(chain(1))


def signature_of(seq: int, frontier: list[bytes], signer: Identity = SERVER) -> bytes:
    signature = sign_checkpoint(signer, lineage=LINEAGE, epoch=EPOCH, seq=seq, frontier=frontier)
    assert signature is not None
    return signature


def test_a_checkpoint_is_kept_once_its_signature_holds_and_shown_to_the_next_server() -> None:
    heads = [bytes([index]) * 32 for index in (1, 2)]
    wire = Wire()
    wire.challenge()
    welcome = wire.welcome_message(seq=0, frontier=heads, checkpoint=signature_of(0, heads))
    _, kept = wire.give(welcome)
    assert isinstance(kept, CheckpointReceived)
    assert (kept.checkpoint.lineage, kept.checkpoint.epoch) == (LINEAGE, EPOCH)
    later = messages.Checkpoint(
        lineage=LINEAGE, epoch=EPOCH, seq=7, frontier=heads, signature=signature_of(7, heads)
    )
    (newer,) = wire.give(later)
    assert isinstance(newer, CheckpointReceived)
    assert newer.checkpoint.seq == 7
    back = Wire(lineage=LINEAGE, checkpoint=newer.checkpoint)
    assert back.challenge().checkpoint == newer.checkpoint


def test_a_checkpoint_that_the_server_did_not_sign_is_a_fault() -> None:
    heads = [b"h" * 32]
    forged = {"signature": signature_of(7, heads, ADA)}
    other_seq = {"seq": 8}
    for fields in (forged, other_seq, {"lineage": b"M" * 32}, {"epoch": b"F" * 16}):
        wire = Wire()
        wire.open()
        values: dict[str, object] = {
            "lineage": LINEAGE,
            "epoch": EPOCH,
            "seq": 7,
            "frontier": heads,
            "signature": signature_of(7, heads),
            **fields,
        }
        only_fault(wire.give(messages.Checkpoint(**values)))  # type: ignore[arg-type]
    wire = Wire()
    wire.challenge()
    only_fault(wire.give(wire.welcome_message(checkpoint=signature_of(7, []))))


def test_a_checkpoint_of_whom_nobody_knows_or_too_wide_to_be_shown_is_not_kept() -> None:
    anonymous = Wire(signer=None)
    anonymous.challenge()
    welcome = anonymous.welcome_message(origin="wss://stranger", checkpoint=signature_of(0, []))
    assert len(anonymous.give(welcome)) == 1
    wire = Wire()
    wire.open()
    heads = [b"%032d" % index for index in range(1025)]
    wide = messages.Checkpoint(
        lineage=LINEAGE, epoch=EPOCH, seq=2000, frontier=heads, signature=b"s" * 64
    )
    assert wire.give(wide) == []


def test_a_checkpoint_without_a_lineage_is_the_callers_bug() -> None:
    checkpoint = SignedCheckpoint(
        lineage=LINEAGE, epoch=EPOCH, seq=1, frontier=[], signature=b"s" * 64
    )
    with pytest.raises(ValueError, match="lineage"):
        ClientSession(room_id="r", origin=ORIGIN, nonce=b"n" * 32, checkpoint=checkpoint)


# plain clients and old servers


@pytest.mark.parametrize("codec", list(Codec))
def test_t43_a_welcome_without_any_new_field_opens_a_session_that_works(codec: Codec) -> None:
    wire = Wire(codec=codec, offer={})
    hello = wire.challenge()
    assert hello.caps == {}
    opened = wire.give(wire.welcome_message(caps={}, limits={}))
    assert len(opened) == 1
    assert wire.session.caps == {}
    nodes = chain(2)
    wire.session.push(nodes[:1])
    (pack,) = wire.sent()
    assert isinstance(pack, messages.PushPack)
    wire.give(PackAck(ref=pack.ref, from_seq=1, to_seq=1))
    assert len(wire.pack(nodes[1:], 2)) == 1
    assert wire.session.held_seq == 2


def test_a_client_without_limits_of_its_own_keeps_the_servers() -> None:
    wire = Wire(offer={})
    wire.open(caps={}, limits={"pack_nodes": 2, "frame_bytes": 1 << 16})
    wire.session.push(chain(5))
    assert len(wire.sent()) == 3
    big = Wire(offer={})
    big.open(caps={}, limits={"frame_bytes": 3000})
    big.session.push(chain(4, text="x" * 1000))
    assert len(big.sent()) == 2


def test_without_cursor_resume_no_cursor_is_brought() -> None:
    cursor = messages.Cursor(epoch=EPOCH, seq=1, id=b"i" * 32)
    offer = own_offer()
    del offer["cursor_resume"]
    wire = Wire(lineage=LINEAGE, cursor=cursor, frontier=[b"i" * 32], offer=offer)
    hello = wire.challenge()
    assert hello.cursor is None
    assert hello.frontier == [b"i" * 32]
