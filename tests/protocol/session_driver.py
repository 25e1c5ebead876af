"""A client's frames and a room's facts for driving a `ServerSession` without any I/O."""

from __future__ import annotations

from typing import Any

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol import messages
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.codec import Codec, encode, server_frames
from roomlog.protocol.effects import Close, Send, ServerEffect
from roomlog.protocol.handshake import hello_proof, transcript
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.server_session import ServerSession

SERVER = Identity.from_seed(b"s" * 32)
CLIENT = Identity.from_seed(b"c" * 32)
LINEAGE = b"l" * 32
EPOCH = b"e" * 16
NONCE = b"n" * 32
CLIENT_NONCE = b"m" * 32
ORIGINS = ("wss://rooms.example", "ws://localhost:7878")
SOFTWARE = messages.Software(name="roomlog", version="test")


class Facts:
    """A room of `head_seq` nodes whose ids are their seq."""

    lineage = LINEAGE
    epoch = EPOCH

    def __init__(self, head_seq: int = 0) -> None:
        self.head_seq = head_seq
        self.snapshot_seq = 0
        self.missing: messages.After | None = None
        self.present: list[messages.Peer] = []

    def id_at(self, seq: int) -> bytes:
        return seq.to_bytes(32, "big")

    def frontier_ids(self) -> list[bytes]:
        return [self.id_at(self.head_seq)] if self.head_seq else []

    def seq_of(self, node_id: bytes) -> int:
        seq = int.from_bytes(node_id, "big")
        return seq if 1 <= seq <= self.head_seq else 0

    def knows(self, node_id: bytes) -> bool:
        return self.seq_of(node_id) > 0

    def missing_of(self, known_epoch: bytes | None) -> messages.After | None:
        return self.missing

    def checkpoint_signature(self) -> bytes | None:
        return sign_checkpoint(
            SERVER,
            lineage=self.lineage,
            epoch=self.epoch,
            seq=self.head_seq,
            frontier=self.frontier_ids(),
        )

    def peers(self) -> list[messages.Peer]:
        return self.present


class Driver:
    """One session and the client that talks to it."""

    def __init__(
        self,
        *,
        codec: Codec = Codec.MSGPACK,
        limits: SessionLimits | None = None,
        facts: Facts | None = None,
        is_codec_known: bool = True,
    ) -> None:
        self.codec = codec
        self.limits = limits or SessionLimits()
        self.facts = facts or Facts()
        self.session = ServerSession(
            room_id="room",
            codec=codec if is_codec_known else None,
            signer=SERVER,
            origins=ORIGINS,
            nonce=NONCE,
            session_id="session",
            limits=self.limits,
            offer=own_offer(self.limits),
            software=SOFTWARE,
        )
        self.handshake = b""

    def frame(self, message: messages.Message) -> bytes:
        return encode(self.codec, message)

    def hello(
        self,
        *,
        origin: str = ORIGINS[0],
        identity: Identity | None = CLIENT,
        label: str = "",
        token: str | None = None,
        **fields: Any,
    ) -> messages.Hello:
        key = identity.public_key if identity else b""
        self.handshake = transcript(
            server_nonce=NONCE,
            client_nonce=CLIENT_NONCE,
            origin=origin,
            room_id="room",
            subprotocol=self.codec.subprotocol,
            server_key=SERVER.public_key,
            client_key=key,
            label=label,
            token=token or "",
        )
        values: dict[str, Any] = {"label": label, "token": token}
        if identity is not None:
            values["pubkey"] = key
            values["proof"] = hello_proof(identity, self.handshake)
        values.update(fields)
        return messages.Hello(proto=values.pop("proto", 1), nonce=CLIENT_NONCE, **values)

    def say(self, message: messages.Message, now_ms: int = 0) -> list[ServerEffect]:
        return self.session.receive(self.frame(message), now_ms)

    def open(self, now_ms: int = 0, **hello: Any) -> messages.Welcome:
        """Through the handshake."""
        self.session.start(now_ms)
        self.say(self.hello(**hello), now_ms)
        (welcome,) = self.messages(self.session.room_opened(self.facts, now_ms))
        assert isinstance(welcome, messages.Welcome), welcome
        return welcome

    def messages(self, effects: list[ServerEffect]) -> list[messages.Message]:
        """What the frames among the effects say."""
        reader = server_frames(self.codec)
        return [reader.read(each.frame) for each in effects if isinstance(each, Send)]


def error_of(driver: Driver, effects: list[ServerEffect]) -> messages.Error:
    """The one error among the effects."""
    errors = [each for each in driver.messages(effects) if isinstance(each, messages.Error)]
    assert len(errors) == 1, effects
    return errors[0]


def code_of(effects: list[ServerEffect]) -> int | None:
    """The close code among the effects."""
    codes = [each.code.code for each in effects if isinstance(each, Close)]
    assert len(codes) <= 1
    return codes[0] if codes else None


def some_node(clock: int = 1, lineage: bytes = LINEAGE) -> Node:
    return make_node(NodeHasher(lineage), CLIENT, CHANGE, clock, [], [MapSet("k", clock)])


def push(
    *nodes: Node, ref: str | None = None, lineage: bytes = LINEAGE, data: bytes | None = None
) -> messages.PushPack:
    packed = encode_pack(nodes) if data is None else data
    return messages.PushPack(ref=ref, lineage=lineage, nodes=packed)
