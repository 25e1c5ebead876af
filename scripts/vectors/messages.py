"""Messages: frames in both encodings, and frames that are refused.

Each entry of "client" and "server", by who sends it, is one message: "message" is what a receiver
has of it, {"bytes": hex} standing for bytes; "json" is the text of a frame and "msgpack" the bytes
of one. What is left out there holds its default. A sender may write the names in another order,
write defaults out, and use other widths of MessagePack; JSON may have spaces. Frames of "also" mean
the same as the named entry. Within "detail" only a name tells base64 from other text in JSON.

Those of "refused", all from a client, are answered by an `error` of the class, with the `ref` if it
could be read; where the class is null the connection is closed with 1007.
"""

from __future__ import annotations

import msgspec
from scripts.vectors._material import IDENTITIES, LINEAGE, as_json, change

from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.protocol.codec import Codec, encode
from roomlog.protocol.messages import (
    After,
    Challenge,
    Checkpoint,
    Credit,
    CreditTotals,
    Cursor,
    Deprecation,
    Drain,
    Error,
    HashOf,
    Hello,
    Identity,
    Message,
    Moved,
    Notice,
    Pack,
    PackAck,
    Peer,
    PeerJoined,
    PeerLeft,
    Pending,
    Ping,
    Pong,
    Presence,
    PresenceEntry,
    PresenceLeft,
    PresenceShown,
    PresenceSnapshot,
    PushPack,
    RejectedNode,
    Request,
    RequestEnd,
    Signal,
    SignalReceived,
    SignedCheckpoint,
    Snapshot,
    Software,
    StateHashReport,
    Subscribe,
    SubscribeAck,
    Welcome,
)

_KEY = IDENTITIES[0].public_key
_NONCE = bytes(range(32))
_EPOCH = bytes(range(64, 80))
_SIGNATURE = bytes(range(128, 192))
_NODE = change(MapSet("a", 1))
_PACK = encode_pack([_NODE])
_IDS = [bytes([number]) * 32 for number in (1, 2)]
_GREATEST = 2**63 - 1
_DATA = {"at": [1.5, -1, None, True, 2**64 - 1], "who": "\u00e9\U0001f600"}

CLIENT: dict[str, Message] = {
    "hello, the least": Hello(proto=1, nonce=_NONCE),
    "hello, all of it": Hello(
        proto=1,
        nonce=_NONCE,
        origin="ws://127.0.0.1:7878",
        pubkey=_KEY,
        proof=_SIGNATURE,
        label="laptop",
        peer_type="person",
        client=Software(name="vectors", version="1"),
        caps={"cursor_resume": True, "max_frame_bytes": 65536},
        token="secret",
        lineage=LINEAGE,
        cursor=Cursor(epoch=_EPOCH, seq=_GREATEST, id=_IDS[0]),
        frontier=_IDS,
        pending=Pending(nodes=3, bytes=500),
        checkpoint=SignedCheckpoint(
            lineage=LINEAGE, epoch=_EPOCH, seq=7, frontier=_IDS, signature=_SIGNATURE
        ),
        subscribe=["notes/**"],
    ),
    "pack": PushPack(lineage=LINEAGE, nodes=_PACK, ref="1"),
    "request after": Request(after=After(epoch=_EPOCH, seq=0), page=100, ref="r"),
    "request have": Request(have=[(1, bytes(8)), (300, bytes(range(248, 256)))], ref="r"),
    "request before": Request(before=After(epoch=_EPOCH, seq=70_000), signatures=False, ref="r"),
    "request frontier": Request(frontier=_IDS, stop_at_unknown=True, ref="r"),
    "request frontier, none": Request(frontier=[], ref="r"),
    "request ids": Request(ids=_IDS, ref="r"),
    "request snapshot": Request(snapshot=True, ref="r"),
    "request hash": Request(hash=HashOf(), ref="r"),
    "request hash, some keys": Request(hash=HashOf(patterns=["a", "b/*"]), ref="r"),
    "subscribe": Subscribe(patterns=["a", "b/*"], ref="r"),
    "subscribe to everything": Subscribe(ref="r"),
    "presence": Presence(data=_DATA, ttl_ms=5_000),
    "presence, taken away": Presence(),
    "signal": Signal(to=Identity(pubkey=_KEY, label="laptop"), data=["hi"], ref="r"),
    "signal to no label": Signal(to=Identity(pubkey=_KEY), data=0),
    "ping": Ping(t=-1, ref="r"),
    "ping, the least": Ping(),
}

SERVER: dict[str, Message] = {
    "challenge": Challenge(
        nonce=_NONCE, server_pubkey=_KEY, protos=[1], server=Software(name="roomlog", version="1")
    ),
    "welcome": Welcome(
        proto=1,
        room="vectors",
        lineage=LINEAGE,
        epoch=_EPOCH,
        seq=2,
        frontier=_IDS,
        caps={"cursor_resume": True},
        limits={"frame_bytes": 1_048_576},
        credit=CreditTotals(nodes=4_096, bytes=8_388_608),
        session="s1",
        catch_up="walk",
        signature=_SIGNATURE,
        checkpoint=_SIGNATURE,
        unknown=[1],
        missing=After(epoch=_EPOCH, seq=0),
        subscribed=["a"],
        peers=[Peer(pubkey=_KEY, label="laptop", peer_type="person")],
    ),
    "credit": Credit(nodes=_GREATEST, bytes=0),
    "pack": Pack(lineage=LINEAGE, nodes=_PACK, from_seq=1, to_seq=1, ref="r"),
    "pack-ack": PackAck(
        from_seq=1,
        to_seq=2,
        duplicates=[(3, 1), (4, 70_000)],
        rejected=[
            RejectedNode(id=_IDS[0], reject_class="parent_missing", detail={"parents": _IDS}),
            RejectedNode(
                id=_IDS[1],
                reject_class="ancestor_refused",
                detail={"root_class": "parent_missing"},
                root=_IDS[0],
            ),
        ],
        credit=CreditTotals(nodes=5_000, bytes=9_000_000),
        ref="1",
    ),
    "pack-ack, of nothing new": PackAck(ref="1"),
    "pong": Pong(seq=7, t=-1, ref="r"),
    "request-end": RequestEnd(seq=7, ref="r"),
    "request-end of ids": RequestEnd(seq=7, missing=_IDS, ref="r"),
    "request-end of have": RequestEnd(seq=7, cut=0, ref="r"),
    "request-end of a walk": RequestEnd(seq=7, unknown=[0, 2], ref="r"),
    "snapshot, the first": Snapshot(
        data=b"\x97\x01",
        chunks=2,
        size_bytes=300_000,
        seq=7,
        frontier=_PACK,
        state_hash=_IDS[0],
        digest=_IDS[1],
        signature=_SIGNATURE,
        ref="r",
    ),
    "snapshot, a later one": Snapshot(chunk=1, data=b"\x00\xff", ref="r"),
    "state-hash": StateHashReport(
        frontier=_IDS,
        hash=_IDS[0].hex(),
        coverage={"awaited": 0, "held": 0, "pruned": 0, "unknown_ops": 1, "patterns": ["a"]},
        ref="r",
    ),
    "checkpoint": Checkpoint(
        lineage=LINEAGE, epoch=_EPOCH, seq=7, frontier=_IDS, signature=_SIGNATURE
    ),
    "subscribe-ack": SubscribeAck(seq=7, patterns=["a"], ref="r"),
    "presence": PresenceShown(pubkey=_KEY, session="s1", data=_DATA, label="laptop"),
    "presence-snapshot": PresenceSnapshot(
        entries=[PresenceEntry(pubkey=_KEY, session="s1", data=1)]
    ),
    "presence-left": PresenceLeft(pubkey=_KEY, session="s1", reason="expired"),
    "peer-joined": PeerJoined(pubkey=_KEY, label="laptop", peer_type="person"),
    "peer-left": PeerLeft(pubkey=_KEY),
    "signal": SignalReceived(pubkey=_KEY, session="s1", data=None),
    "notice of a drain": Notice(drain=Drain(deadline_ms=10_000, retry_after_ms=1_500)),
    "notice of a deprecation": Notice(deprecation=Deprecation(what="roomlog.v1+json")),
    "notice of a move": Notice(moved=Moved(url="wss://rooms.example")),
    "error": Error(
        reject_class="invalid_field",
        message="nodes: cut short",
        kind="final",
        detail={"field": "nodes", "reason": "cut short"},
        ref="1",
    ),
    "error, a fault": Error(
        reject_class="internal", message="", kind="final", incident="i1", retry_after_ms=500
    ),
}

ALSO: list[tuple[str, str, str]] = [
    ("ping", "json", ' {"ref" : "r",\n"type":"p\\u0069ng", "t":-1, "new":{"x":[1.5]}, "room":"a"}'),
    ("ping", "json", '{"type":"ping","t":7,"t":-1,"ref":"r"}'),
    ("ping", "msgpack", "84a474797065d90470696e67a174d3ffffffffffffffffa3726566a172a161d40500"),
    ("presence, taken away", "json", '{"type":"presence","data":null,"ttl_ms":null}'),
    ("request hash", "json", '{"type":"request","hash":{"patterns":[]},"page":null,"ref":"r"}'),
]

_TEXT_FOR_BYTES = b"\x82\xa4type\xa7request\xa3ids\x91\xd9\x20" + b"x" * 32
REFUSED: list[tuple[str, str, str, str | None]] = [
    ("no JSON", "json", "{", None),
    ("no number of JSON", "json", '{"type":"presence","data":NaN}', None),
    ("half a surrogate pair", "json", '{"type":"presence","data":"\\ud800"}', None),
    ("no MessagePack", "msgpack", "c1", None),
    ("a byte left over", "msgpack", "81a474797065a470696e6700", None),
    ("no map", "json", "[1]", "invalid_message"),
    ("no type", "json", '{"t":1}', "invalid_message"),
    ("type is a number", "json", '{"type":1}', "invalid_message"),
    ("type is binary", "msgpack", "81a474797065c40470696e67", "invalid_message"),
    ("unknown type", "json", '{"type":"shout"}', "unknown_type"),
    ("a server's type", "json", '{"type":"welcome"}', "unknown_type"),
    ("field missing", "json", '{"type":"pack","nodes":""}', "invalid_field"),
    ("null where none is", "json", '{"type":"request","snapshot":null}', "invalid_field"),
    ("base64 without padding", "json", '{"type":"request","ids":["AA"]}', "invalid_field"),
    (
        "base64 for addresses",
        "json",
        '{"type":"pack","nodes":"","lineage":"' + "-_" * 21 + '8="}',
        "invalid_field",
    ),
    ("bytes as text", "msgpack", _TEXT_FOR_BYTES.hex(), "invalid_field"),
    ("31 bytes", "json", '{"type":"request","ids":["' + "A" * 42 + '=="]}', "invalid_field"),
    ("an integer as a float", "json", '{"type":"ping","t":1.0}', "invalid_field"),
    ("an integer of 65 bits", "json", '{"type":"ping","t":18446744073709551616}', "invalid_field"),
    ("text as binary", "msgpack", "82a474797065a470696e67a3726566c40172", "invalid_field"),
    ("empty ref", "json", '{"type":"ping","ref":""}', "invalid_field"),
    ("ref too long", "json", '{"type":"ping","ref":"' + "r" * 65 + '"}', "invalid_field"),
    ("page 0", "json", '{"type":"request","ids":[],"page":0}', "invalid_field"),
    ("no pairs", "json", '{"type":"request","have":[]}', "invalid_field"),
    ("seq below 0", "json", '{"type":"request","have":[[-1,"AAAAAAAAAAA="]]}', "invalid_field"),
]


def _entries(messages: dict[str, Message]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "message": as_json_message(message),
            "json": encode(Codec.JSON, message).decode(),
            "msgpack": encode(Codec.MSGPACK, message).hex(),
        }
        for name, message in messages.items()
    ]


def as_json_message(message: Message) -> object:
    """A message without its defaults; bytes as objects that say so, maps as they are."""

    def marked(value: object) -> object:
        if isinstance(value, dict):
            return {key: marked(element) for key, element in value.items()}
        if isinstance(value, list | tuple):
            return [marked(element) for element in value]
        return as_json(value) if isinstance(value, bytes) else value

    return marked(msgspec.to_builtins(message, builtin_types=(bytes,)))


def vectors() -> dict[str, object]:
    """Every message of both sides, and what is none."""
    return {
        "client": _entries(CLIENT),
        "server": _entries(SERVER),
        "also": [{"as": name, codec: frame} for name, codec, frame in ALSO],
        "refused": [
            {"name": name, codec: frame, "class": reject_class}
            for name, codec, frame, reject_class in REFUSED
        ],
    }
