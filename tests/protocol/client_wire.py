"""A client's session and the server's side of its frames, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import TextInsert
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol.capabilities import Offer, own_offer
from roomlog.protocol.client_events import ClientEvent, Fault, Faulted, Opened
from roomlog.protocol.client_session import ClientSession
from roomlog.protocol.codec import Codec, client_frames, encode
from roomlog.protocol.handshake import sign_welcome, transcript, welcome_payload
from roomlog.protocol.held_log import HeldLog
from roomlog.protocol.limits import DEFAULT_LIMITS, SessionLimits
from roomlog.protocol.messages import (
    Challenge,
    CreditTotals,
    Cursor,
    Hello,
    Message,
    Pack,
    Pending,
    Request,
    SignedCheckpoint,
    Software,
    Welcome,
)

ADA = Identity.from_seed(b"a" * 32)
SERVER = Identity.from_seed(b"s" * 32)
ORIGIN = "wss://rooms.example"
LINEAGE = b"L" * 32
EPOCH = b"E" * 16
HASHER = NodeHasher(LINEAGE)


def chain(count: int, *, text: str = "x") -> list[Node]:
    nodes: list[Node] = []
    for index in range(count):
        parents = [nodes[-1].id] if nodes else []
        operation = TextInsert("t", 0, text)
        nodes.append(make_node(HASHER, ADA, CHANGE, index + 1, parents, [operation]))
    return nodes


class Wire:
    """A session and the server's side of its frames."""

    def __init__(
        self,
        *,
        signer: Identity | None = ADA,
        codec: Codec = Codec.MSGPACK,
        limits: SessionLimits = DEFAULT_LIMITS,
        pinned_key: bytes | None = None,
        lineage: bytes | None = None,
        cursor: Cursor | None = None,
        frontier: Sequence[bytes] = (),
        pending: Pending | None = None,
        held: HeldLog | None = None,
        checkpoint: SignedCheckpoint | None = None,
        subscribe: tuple[str, ...] = (),
        offer: Offer | None = None,
        wants_snapshot: bool = False,
        wants_signatures: bool = True,
    ) -> None:
        self.codec = codec
        self.signer = signer
        self.session = ClientSession(
            room_id="demo",
            origin=ORIGIN,
            nonce=b"c" * 32,
            signer=signer,
            codec=codec,
            limits=limits,
            pinned_key=pinned_key,
            lineage=lineage,
            cursor=cursor,
            frontier=frontier,
            pending=pending,
            label="desk" if signer else "",
            held=held,
            checkpoint=checkpoint,
            subscribe=subscribe,
            offer=offer,
            wants_snapshot=wants_snapshot,
            wants_signatures=wants_signatures,
        )
        self._read = client_frames(codec).read

    def give(self, message: Message) -> list[ClientEvent]:
        return self.session.receive(encode(self.codec, message))

    def sent(self) -> list[Message]:
        return [self._read(frame) for frame in self.session.take_frames()]

    def challenge(self) -> Hello:
        assert self.give(
            Challenge(
                nonce=b"s" * 32,
                server_pubkey=SERVER.public_key,
                protos=[1],
                server=Software(name="test", version="2"),
            )
        ) == []  # fmt: skip
        (hello,) = self.sent()
        assert isinstance(hello, Hello)
        return hello

    def transcript(self, origin: str = ORIGIN) -> bytes:
        return transcript(
            server_nonce=b"s" * 32,
            client_nonce=b"c" * 32,
            origin=origin,
            room_id="demo",
            subprotocol=self.codec.subprotocol,
            server_key=SERVER.public_key,
            client_key=self.signer.public_key if self.signer else b"",
            label="desk" if self.signer else "",
            token="",
        )

    def welcome_message(
        self,
        *,
        seq: int = 0,
        catch_up: str = "cursor",
        origin: str = ORIGIN,
        credit: tuple[int, int] = (4096, 1 << 23),
        **fields: object,
    ) -> Welcome:
        lineage = fields.get("lineage", LINEAGE)
        frontier = fields.get("frontier", [])
        assert isinstance(lineage, bytes)
        assert isinstance(frontier, list)
        payload = welcome_payload(
            self.transcript(origin), lineage=lineage, epoch=EPOCH, seq=seq, frontier=frontier
        )
        values: dict[str, object] = {
            "proto": 1,
            "room": "demo",
            "lineage": lineage,
            "epoch": EPOCH,
            "seq": seq,
            "frontier": frontier,
            "caps": own_offer(),
            "limits": {},
            "credit": CreditTotals(nodes=credit[0], bytes=credit[1]),
            "session": "s1",
            "catch_up": catch_up,
            "signature": sign_welcome(SERVER, payload),
        }
        return Welcome(**{**values, **fields})  # type: ignore[arg-type]

    def open(
        self,
        *,
        seq: int = 0,
        catch_up: str = "cursor",
        credit: tuple[int, int] = (4096, 1 << 23),
        **fields: object,
    ) -> Opened:
        self.challenge()
        welcome = self.welcome_message(seq=seq, catch_up=catch_up, credit=credit, **fields)
        (opened,) = self.give(welcome)
        assert isinstance(opened, Opened)
        return opened

    def pack(
        self, content: Sequence[Node], first: int, ref: str | None = None, **fields: object
    ) -> list[ClientEvent]:
        values: dict[str, object] = {
            "ref": ref,
            "lineage": LINEAGE,
            "nodes": encode_pack(content),
            "from_seq": first,
            "to_seq": first + len(content) - 1,
        }
        return self.give(Pack(**{**values, **fields}))  # type: ignore[arg-type]

    def request(self) -> Request:
        (request,) = self.sent()
        assert isinstance(request, Request)
        return request


def only_fault(events: list[ClientEvent], fault: Fault = Fault.PROTOCOL) -> Faulted:
    event = events[-1]
    assert isinstance(event, Faulted)
    assert event.fault is fault
    return event
