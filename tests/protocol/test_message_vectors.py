"""The vectors of messages: read by this build, and decoded by hand without its declarations."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import msgspec
import pytest
from scripts.generate_vectors import VECTORS
from scripts.vectors.messages import as_json_message

from roomlog.protocol.codec import (
    Codec,
    FrameReader,
    MessageRefused,
    Undecodable,
    client_frames,
    server_frames,
)
from roomlog.protocol.messages import ClientMessage, ServerMessage

DOCUMENT: dict[str, Any] = json.loads((VECTORS / "messages.json").read_text(encoding="utf-8"))
BY_NAME = {entry["name"]: entry for entry in DOCUMENT["client"]}


def entries(part: str) -> list[Any]:
    return [pytest.param(entry, id=entry.get("name")) for entry in DOCUMENT[part]]


def frames(entry: dict[str, Any]) -> list[tuple[Codec, bytes]]:
    """The frames an entry gives, with their codecs."""
    found = []
    if "json" in entry:
        found.append((Codec.JSON, entry["json"].encode()))
    if "msgpack" in entry:
        found.append((Codec.MSGPACK, bytes.fromhex(entry["msgpack"])))
    return found


@pytest.mark.parametrize("entry", entries("client"))
def test_a_clients_message_is_the_same_in_both_encodings(entry: dict[str, Any]) -> None:
    for codec, frame in frames(entry):
        assert as_json_message(client_frames(codec).read(frame)) == entry["message"]


def as_text(value: Any) -> Any:
    """What JSON leaves of bytes where no type says that they are some."""
    if isinstance(value, dict) and set(value) == {"bytes"}:
        return base64.b64encode(bytes.fromhex(value["bytes"])).decode()
    if isinstance(value, dict):
        return {key: as_text(element) for key, element in value.items()}
    return [as_text(element) for element in value] if isinstance(value, list) else value


@pytest.mark.parametrize("entry", entries("server"))
def test_a_servers_message_is_the_same_in_both_encodings(entry: dict[str, Any]) -> None:
    for codec, frame in frames(entry):
        message = copy.deepcopy(entry["message"])
        if codec is Codec.JSON:
            for rejected in message.get("rejected", []):
                rejected["detail"] = as_text(rejected.get("detail", {}))
        assert as_json_message(server_frames(codec).read(frame)) == message


def by_hand(plain: Any, message: Any) -> Any:
    """What JSON says, with base64 where the message has bytes."""
    if isinstance(message, dict) and set(message) == {"bytes"} and isinstance(plain, str):
        return {"bytes": base64.b64decode(plain, validate=True).hex()}
    if isinstance(message, dict):
        assert set(plain) == set(message)
        return {key: by_hand(plain[key], message[key]) for key in plain}
    if isinstance(message, list):
        return [by_hand(one, other) for one, other in zip(plain, message, strict=True)]
    return plain


def marked(value: Any) -> Any:
    """Plain MessagePack, with bytes marked."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {key: marked(element) for key, element in value.items()}
    return [marked(element) for element in value] if isinstance(value, list) else value


@pytest.mark.parametrize("entry", entries("client") + entries("server"))
def test_a_frame_says_by_hand_what_its_message_has(entry: dict[str, Any]) -> None:
    assert by_hand(json.loads(entry["json"]), entry["message"]) == entry["message"]
    decoded = msgspec.msgpack.decode(bytes.fromhex(entry["msgpack"]))
    assert marked(decoded) == entry["message"]


@pytest.mark.parametrize("entry", entries("also"))
def test_another_way_to_write_a_message_means_the_same(entry: dict[str, Any]) -> None:
    ((codec, frame),) = frames(entry)
    read = as_json_message(client_frames(codec).read(frame))
    assert isinstance(read, dict)
    read.pop("room", None)
    assert read == BY_NAME[entry["as"]]["message"]


@pytest.mark.parametrize("entry", entries("refused"))
def test_what_is_no_message_is_refused_with_its_class(entry: dict[str, Any]) -> None:
    ((codec, frame),) = frames(entry)
    if entry["class"] is None:
        with pytest.raises(Undecodable):
            client_frames(codec).read(frame)
        return
    with pytest.raises(MessageRefused) as refused:
        client_frames(codec).read(frame)
    assert refused.value.reject.reject_class.wire == entry["class"]


def types_of(union: Any) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in union.__args__}


def test_every_message_has_a_vector() -> None:
    for part, union in (("client", ClientMessage), ("server", ServerMessage)):
        assert {entry["message"]["type"] for entry in DOCUMENT[part]} == types_of(union)


def test_a_reader_of_one_side_takes_nothing_of_the_other() -> None:
    welcome = next(entry for entry in DOCUMENT["server"] if entry["name"] == "welcome")
    for codec, frame in frames(welcome):
        reader: FrameReader[Any] = client_frames(codec)
        with pytest.raises(MessageRefused):
            reader.read(frame)
