"""Frames of both encodings: what can be read, and what is refused how."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.reject import RejectClass
from roomlog.protocol import messages
from roomlog.protocol.codec import (
    CODEC_BY_SUBPROTOCOL,
    Codec,
    MessageRefused,
    Undecodable,
    client_frames,
    encode,
    server_frames,
)

BOTH = pytest.mark.parametrize("codec", list(Codec))
ID = bytes(range(32))


def frame_of(codec: Codec, value: Any) -> bytes:
    if codec is Codec.JSON:
        return json.dumps(value).encode()
    return msgspec.msgpack.encode(value)


def refusal(codec: Codec, value: Any) -> MessageRefused:
    with pytest.raises(MessageRefused) as refused:
        client_frames(codec).read(frame_of(codec, value))
    return refused.value


EXAMPLES: list[messages.Message] = [
    messages.Hello(proto=1, nonce=ID, pubkey=ID, proof=ID * 2, frontier=[ID], caps={"a": 1}),
    messages.Hello(proto=1, nonce=ID, cursor=messages.Cursor(epoch=ID[:16], seq=3, id=ID)),
    messages.PushPack(lineage=ID, nodes=b"\x00\xff", ref="r"),
    messages.Request(after=messages.After(epoch=ID[:16], seq=0), page=10),
    messages.Request(frontier=[ID], stop_at_unknown=True, signatures=False),
    messages.Request(have=[(7, ID[:8]), (3, ID[8:16])]),
    messages.Request(before=messages.After(epoch=ID[:16], seq=9)),
    messages.Request(snapshot=True),
    messages.Request(hash=messages.HashOf(patterns=["a/**"])),
    messages.Hello(
        proto=1,
        nonce=ID,
        pending=messages.Pending(nodes=1, bytes=2),
        client=messages.Software(name="n", version="v"),
        subscribe=["a/*"],
        checkpoint=messages.SignedCheckpoint(
            lineage=ID, epoch=ID[:16], seq=3, frontier=[ID], signature=ID * 2
        ),
    ),
    messages.Subscribe(patterns=["a", "b/**"]),
    messages.Presence(data={"a": [1, -2.5, None, True, "ä"]}, ttl_ms=5),
    messages.Signal(to=messages.Identity(pubkey=ID, label="l"), data=2**64 - 1),
    messages.Ping(t=-5),
]
ANSWERS: list[messages.Message] = [
    messages.Challenge(
        nonce=ID, server_pubkey=ID, protos=[1], server=messages.Software(name="n", version="v")
    ),
    messages.Welcome(
        proto=1,
        room="room",
        lineage=ID,
        epoch=ID[:16],
        seq=9,
        frontier=[ID],
        caps={},
        limits={"a": 1},
        credit=messages.CreditTotals(nodes=1, bytes=2),
        session="s",
        catch_up="none",
        signature=ID * 2,
        checkpoint=ID * 2,
        missing=messages.After(epoch=ID[:16], seq=4),
        subscribed=["a"],
        peers=[messages.Peer(pubkey=ID, label="l", peer_type="t")],
    ),
    messages.Credit(nodes=2, bytes=3),
    messages.Pack(lineage=ID, nodes=b"\x01", from_seq=1, to_seq=2),
    messages.PackAck(
        from_seq=1,
        to_seq=1,
        duplicates=[(0, 5)],
        rejected=[messages.RejectedNode(id=ID, reject_class="clock_ahead", root=ID)],
        credit=messages.CreditTotals(nodes=1, bytes=2),
    ),
    messages.Pong(t=1, seq=2),
    messages.RequestEnd(seq=4, missing=[ID]),
    messages.RequestEnd(seq=4, cut=0),
    messages.RequestEnd(seq=4, unknown=[0, 2]),
    messages.Checkpoint(lineage=ID, epoch=ID[:16], seq=3, frontier=[ID], signature=ID * 2),
    messages.Snapshot(
        chunks=2,
        data=b"d",
        size_bytes=9,
        seq=3,
        frontier=b"p",
        state_hash=ID,
        digest=ID,
        signature=ID * 2,
    ),
    messages.Snapshot(chunk=1, data=b"e"),
    messages.SubscribeAck(seq=4, patterns=["a"]),
    messages.StateHashReport(frontier=[ID], hash="00", coverage={"held": 0, "patterns": ["a"]}),
    messages.PresenceShown(pubkey=ID, session="s", data=None, label="l"),
    messages.PresenceSnapshot(
        entries=[messages.PresenceEntry(pubkey=ID, session="s", data={"x": 1})]
    ),
    messages.PresenceLeft(pubkey=ID, session="s", reason="expired"),
    messages.PeerJoined(pubkey=ID, label="l", peer_type="t"),
    messages.PeerLeft(pubkey=ID),
    messages.SignalReceived(pubkey=ID, session="s", data=["x"]),
    messages.Notice(
        deprecation=messages.Deprecation(what="w"), moved=messages.Moved(url="wss://elsewhere")
    ),
    messages.Notice(drain=messages.Drain(deadline_ms=1, retry_after_ms=2)),
    messages.Error(reject_class="internal", message="m", kind="final", incident="i"),
]


@BOTH
@pytest.mark.parametrize("message", EXAMPLES, ids=lambda each: type(each).__name__)
def test_a_client_message_survives_the_trip(codec: Codec, message: messages.Message) -> None:
    assert client_frames(codec).read(encode(codec, message)) == message


@BOTH
@pytest.mark.parametrize("message", ANSWERS, ids=lambda each: type(each).__name__)
def test_a_server_message_survives_the_trip(codec: Codec, message: messages.Message) -> None:
    assert server_frames(codec).read(encode(codec, message)) == message


def test_every_message_has_an_example_here() -> None:
    shown = {type(each) for each in EXAMPLES + ANSWERS}
    assert shown == {*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES}


def of_a_newer_peer(value: Any) -> Any:
    """A message as a map, with a field nobody knows in it and in every struct within."""
    if isinstance(value, msgspec.Struct):
        pairs = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        fields = {wire: of_a_newer_peer(getattr(value, name)) for name, wire in pairs}
        tag = value.__struct_config__.tag
        return {"later": [{"type": 1}], **fields, **({"type": tag} if tag else {})}
    if isinstance(value, list | tuple):
        return [of_a_newer_peer(each) for each in value]
    return value


@BOTH
@pytest.mark.parametrize("message", EXAMPLES + ANSWERS, ids=lambda each: type(each).__name__)
def test_t43_unknown_fields_at_any_depth_of_any_message_are_ignored_on_both_sides(
    codec: Codec, message: messages.Message
) -> None:
    newer = of_a_newer_peer(message)
    encoded = msgspec.json.encode(newer) if codec is Codec.JSON else msgspec.msgpack.encode(newer)
    reader = client_frames(codec) if message in EXAMPLES else server_frames(codec)
    read: messages.Message = reader.read(encoded)
    assert read == message


def test_codecs_are_found_by_subprotocol() -> None:
    for codec in Codec:
        assert CODEC_BY_SUBPROTOCOL[codec.subprotocol] is codec
        assert codec.subprotocol.endswith("+json") == codec.is_text


@BOTH
def test_t43_unknown_fields_are_ignored(codec: Codec) -> None:
    frame = frame_of(codec, {"type": "ping", "t": 7, "later": {"x": [1]}, "room": "r"})
    assert client_frames(codec).read(frame) == messages.Ping(t=7, room="r")


@BOTH
def test_t43_an_unknown_type_is_refused_by_name_with_its_ref(codec: Codec) -> None:
    refused = refusal(codec, {"type": "teleport", "ref": "abc"})
    assert refused.reject.reject_class is RejectClass.UNKNOWN_TYPE
    assert refused.reject.detail == {"type": "teleport"}
    assert refused.ref == "abc"


@BOTH
@pytest.mark.parametrize("value", [[], 7, "text", None, True])
def test_a_frame_that_is_no_map_is_an_invalid_message(codec: Codec, value: Any) -> None:
    assert refusal(codec, value).reject.reject_class is RejectClass.INVALID_MESSAGE


@BOTH
@pytest.mark.parametrize("kind", [None, 7, ["ping"]])
def test_a_message_without_a_textual_type_is_invalid(codec: Codec, kind: Any) -> None:
    value = {"ref": "r"} if kind is None else {"type": kind, "ref": "r"}
    refused = refusal(codec, value)
    assert refused.reject.reject_class is RejectClass.INVALID_MESSAGE
    assert refused.ref == "r"


@BOTH
@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"type": "ping", "t": "soon"}, "t"),
        ({"type": "hello", "proto": 1}, "nonce"),
        ({"type": "request", "after": {"epoch": "AAAA"}}, "after.epoch"),
        ({"type": "request", "after": {"seq": 1}}, "after.epoch"),
        ({"type": "request", "page": 0}, "page"),
        ({"type": "ping", "ref": ""}, "ref"),
        ({"type": "ping", "ref": "x" * 65}, "ref"),
        ({"type": "ping", "ref": 5}, "ref"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(codec: Codec, value: Any, field: str) -> None:
    refused = refusal(codec, value)
    assert refused.reject.reject_class is RejectClass.INVALID_FIELD
    assert refused.reject.detail["field"] == field
    assert refused.ref is None


@pytest.mark.parametrize("frame", [b"\xc1", b"", b"\x81", b"\x91" * 100_000, b"\xa2\xff\xff"])
def test_what_is_no_messagepack_is_undecodable(frame: bytes) -> None:
    with pytest.raises(Undecodable):
        client_frames(Codec.MSGPACK).read(frame)


@pytest.mark.parametrize("frame", [b"{", b"", b"[" * 100_000, b'{"type":"\xff"}', b"nul"])
def test_what_is_no_json_is_undecodable(frame: bytes) -> None:
    with pytest.raises(Undecodable):
        client_frames(Codec.JSON).read(frame)


@BOTH
def test_a_frame_that_breaks_off_behind_a_wrong_field_is_undecodable(codec: Codec) -> None:
    frame = frame_of(codec, {"type": "ping", "t": "soon", "more": "and more"})
    with pytest.raises((Undecodable, MessageRefused)):
        client_frames(codec).read(frame[:-4])


def test_a_wrong_type_before_garbage_is_undecodable() -> None:
    # The typed decoder stops at the field; only reading everything finds the garbage.
    frame = b"\x83\xa4type\xa4ping\xa1t\xa1x\xa1z\xc1"
    with pytest.raises(Undecodable):
        client_frames(Codec.MSGPACK).read(frame)


@BOTH
@given(frame=st.binary(max_size=200))
def test_random_frames_are_read_refused_or_undecodable(codec: Codec, frame: bytes) -> None:
    try:
        message = client_frames(codec).read(frame)
    except (MessageRefused, Undecodable):
        return
    assert isinstance(message, messages.CLIENT_MESSAGES)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@BOTH
@given(
    kind=st.sampled_from(["hello", "pack", "request", "ping", "nothing"]),
    fields=st.dictionaries(
        st.sampled_from(
            ["nonce", "proto", "ref", "lineage", "nodes", "after", "frontier", "ids", "t", "caps"]
        ),
        json_values,
        max_size=5,
    ),
)
def test_maps_with_arbitrary_fields_never_raise_anything_else(
    codec: Codec, kind: str, fields: dict[str, Any]
) -> None:
    frame = frame_of(codec, {"type": kind, **fields})
    try:
        client_frames(codec).read(frame)
        return
    except MessageRefused as refused:
        reject_class = refused.reject.reject_class
    expected = RejectClass.UNKNOWN_TYPE if kind == "nothing" else RejectClass.INVALID_FIELD
    assert reject_class is expected
