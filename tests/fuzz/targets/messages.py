"""Frames of both directions in both codecs, and what is judged about a message by itself."""
# ruff: noqa: PT017 - what is refused is looked at in its place: these are checks, not tests.

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from random import Random
from typing import Any, Final

import msgspec

from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Purpose
from roomlog.protocol import messages
from roomlog.protocol.answers import Answers
from roomlog.protocol.capabilities import CAPABILITIES, meet, own_offer
from roomlog.protocol.checkpoint import check_checkpoint, checkpoint_payload, is_log_lost
from roomlog.protocol.codec import (
    Codec,
    MessageRefused,
    Undecodable,
    client_frames,
    encode,
    server_frames,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.log_cut import cut_of
from roomlog.protocol.message_cost import LEAST_COST, cost_of
from roomlog.protocol.messages import Message
from roomlog.protocol.presence_data import MOST_DEPTH, social_effect
from roomlog.protocol.subscription_list import accepted_patterns
from tests.fuzz.choices import Choices
from tests.fuzz.naive_values import shown
from tests.fuzz.target import Target
from tests.fuzz.value_edits import edited_value
from tests.fuzz.vectors import entries
from tests.protocol.session_driver import SERVER, Facts

CLIENT_MSGPACK, CLIENT_JSON, SERVER_MSGPACK, SERVER_JSON, CUT = range(5)
LIMITS: Final = SessionLimits()
SMALL: Final = SessionLimits(presence_bytes=48, signal_bytes=48, presence_ttl_max_ms=50)
READERS: Final = {
    CLIENT_MSGPACK: (Codec.MSGPACK, client_frames),
    CLIENT_JSON: (Codec.JSON, client_frames),
    SERVER_MSGPACK: (Codec.MSGPACK, server_frames),
    SERVER_JSON: (Codec.JSON, server_frames),
}
_OTHER: Final = {Codec.MSGPACK: Codec.JSON, Codec.JSON: Codec.MSGPACK}
_FREE_FIELDS: Final[dict[str, object]] = {"data": None, "caps": {}, "detail": {}, "coverage": {}}
_MALFORMED: Final = (
    RejectClass.INVALID_MESSAGE,
    RejectClass.INVALID_FIELD,
    RejectClass.UNKNOWN_TYPE,
)


def check(data: bytes) -> None:
    """The first byte says what the others are."""
    which = data[0] % 5 if data else CLIENT_MSGPACK
    if which == CUT:
        check_cut(Choices(data[1:]))
        return
    codec, reader = READERS[which]
    frame = data[1:]
    try:
        message = reader(codec).read(frame)
    except Undecodable:
        return
    except MessageRefused as refused:
        check_refusal(refused)
        return
    check_both_codecs(codec, reader, message)
    check_cost(message, len(frame))
    if isinstance(message, messages.Hello):
        check_hello(message)
    elif isinstance(message, messages.Presence | messages.Signal):
        check_social(message, LIMITS)
        check_social(message, SMALL)
    elif isinstance(message, messages.Subscribe):
        check_patterns(message)


def check_refusal(refused: MessageRefused) -> None:
    """What was wrong can be told, in either codec."""
    assert refused.reject.reject_class in _MALFORMED
    assert refused.ref is None or 1 <= len(refused.ref) <= 64
    for codec in Codec:
        sent = Answers(codec).error(refused.reject, refused.ref)
        error = server_frames(codec).read(sent.frame)
        assert isinstance(error, messages.Error)
        assert error.ref == refused.ref
        assert error.reject_class == refused.reject.reject_class.wire


def check_both_codecs(codec: Codec, reader: Any, message: Message) -> None:
    """The same message in the other codec is the same message."""
    plain = without_free_fields(message)
    for each in (codec, _OTHER[codec]):
        assert reader(each).read(encode(each, plain)) == plain


def without_free_fields(message: Any) -> Any:
    """The message without the fields whose values one codec alone may carry."""
    if isinstance(message, messages.Snapshot):
        return message
    changes: dict[str, object] = {
        name: empty for name, empty in _FREE_FIELDS.items() if hasattr(message, name)
    }
    for name in ("entries", "rejected"):
        if hasattr(message, name):
            changes[name] = [without_free_fields(each) for each in getattr(message, name)]
    return msgspec.structs.replace(message, **changes) if changes else message


def check_cost(message: Message, frame_bytes: int) -> None:
    """Everything costs something, and no more than a flooded session has."""
    if isinstance(message, messages.ClientMessage) and not isinstance(message, messages.PushPack):
        assert LEAST_COST <= cost_of(message, frame_bytes) < 1 << 32


def check_hello(hello: messages.Hello) -> None:
    """Capabilities meet in what both have; a checkpoint is believed for its signature alone."""
    ours = own_offer()
    met = meet(ours, hello.caps)
    assert set(met) <= {row.name for row in CAPABILITIES} & set(hello.caps)
    assert meet(met, met) == met
    assert meet(hello.caps, ours) == met
    shown_checkpoint = hello.checkpoint
    if shown_checkpoint is None:
        return
    ids = shown_checkpoint.frontier
    is_ascending = all(left < right for left, right in itertools.pairwise(ids))
    payload = checkpoint_payload(
        lineage=shown_checkpoint.lineage,
        epoch=shown_checkpoint.epoch,
        seq=shown_checkpoint.seq,
        frontier=ids,
    )
    shown_checkpoint.signature = SERVER.sign(Purpose.CHECKPOINT, payload)
    assert check_checkpoint(SERVER.public_key, shown_checkpoint) is is_ascending
    is_log_lost(shown_checkpoint, Facts(3))


def check_social(message: messages.Presence | messages.Signal, limits: SessionLimits) -> None:
    """What is let through reads the same to everybody, whatever codec they speak."""
    try:
        effect = social_effect(message, limits)
    except Reject as reject:
        assert reject.reject_class in (
            RejectClass.INVALID_FIELD,
            RejectClass.PRESENCE_TOO_LARGE,
            RejectClass.MESSAGE_TOO_LARGE,
        )
        for codec in Codec:
            server_frames(codec).read(Answers(codec).error(reject, message.ref).frame)
        return
    limit = limits.signal_bytes if isinstance(message, messages.Signal) else limits.presence_bytes
    assert len(msgspec.msgpack.encode(effect.data)) <= limit
    assert is_plain(effect.data, 0)
    relayed = messages.PresenceShown(pubkey=bytes(32), session="s", data=effect.data)
    for codec in Codec:
        again = server_frames(codec).read(encode(codec, relayed))
        assert isinstance(again, messages.PresenceShown)
        assert shown(again.data) == shown(effect.data)


def is_plain(value: object, depth: int) -> bool:
    """What presence may be, as it is written."""
    if value is None or isinstance(value, bool | str):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    if isinstance(value, float):
        return math.isfinite(value)
    if depth == MOST_DEPTH:
        return False
    if isinstance(value, list):
        return all(is_plain(each, depth + 1) for each in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and is_plain(each, depth + 1) for key, each in value.items()
    )


def check_patterns(message: messages.Subscribe) -> None:
    """Accepted patterns are the given ones, ascending, each once."""
    try:
        accepted = accepted_patterns(message.patterns, LIMITS)
    except Reject as reject:
        assert reject.reject_class is RejectClass.SUBSCRIPTION_INVALID
        for codec in Codec:
            server_frames(codec).read(Answers(codec).error(reject, message.ref).frame)
        return
    assert list(accepted) == sorted(set(message.patterns))
    assert accepted_patterns(list(accepted), LIMITS) == accepted


def check_cut(choices: Choices) -> None:
    """The greatest number at which both logs have the same node, or what is wrong."""
    room = Facts(choices.below(40))
    have: list[tuple[int, bytes]] = []
    seq = choices.below(60)
    while choices.are_left and len(have) < 300:
        same = not choices.is_one_in(3)
        have.append((seq, room.id_at(seq)[:8] if same else bytes(7) + b"\xff"))
        seq = max(0, seq + choices.one_of((1, 1, 2, 3, -1, 0, 1 << 60)))
    if choices.is_one_in(2):
        have.reverse()
    # Facts name a node by its number, which the first 8 bytes do not show.
    try:
        cut = cut_of(have, room, LIMITS.have_pairs)
    except Reject as reject:
        assert reject.reject_class is RejectClass.INVALID_FIELD
        return
    assert len(have) <= LIMITS.have_pairs
    matching = [at for at, prefix in have if at <= room.head_seq and prefix == bytes(8)]
    assert cut == max(matching, default=0)


def seeds() -> Iterable[bytes]:
    """Every frame of the vectors."""
    for part, which in (("client", CLIENT_MSGPACK), ("server", SERVER_MSGPACK)):
        for entry in entries("messages", part):
            yield bytes((which,)) + bytes.fromhex(entry["msgpack"])
            yield bytes((which + 1,)) + entry["json"].encode()
    for entry in entries("messages", "refused", "also"):
        if "msgpack" in entry:
            yield bytes((CLIENT_MSGPACK,)) + bytes.fromhex(entry["msgpack"])
        if "json" in entry:
            yield bytes((CLIENT_JSON,)) + entry["json"].encode("utf-8", errors="surrogatepass")
    yield bytes((CUT, 30, 1)) + bytes(20)
    for depth in (3, 15, 16, 17):
        data = "[" * depth + "]" * depth
        yield bytes((CLIENT_JSON,)) + b'{"type":"presence","data":' + data.encode() + b"}"


def mutate(data: bytes, most_bytes: int, random: Random) -> bytes | None:
    """Change a field, and write the frame in either codec."""
    if not data or data[0] % 5 == CUT:
        return None
    which = data[0] % 5
    is_json = READERS[which][0] is Codec.JSON
    try:
        value = (msgspec.json if is_json else msgspec.msgpack).decode(data[1:])
        edited = edited_value(value, random)
        if is_json or random.random() < 0.1:
            return bytes((which | 1,)) + msgspec.json.encode(edited)
        return bytes((which,)) + msgspec.msgpack.encode(edited)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
        return None


TARGET = Target(check, seeds, mutate=mutate)
