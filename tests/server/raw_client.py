"""A small client that speaks the protocol by itself, without the SDK: frames in, frames out."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import struct
from typing import Any

import aiohttp
import msgspec
from blake3 import blake3

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet, Operation
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.signing import Purpose
from roomlog.identity import Identity

MSGPACK = "roomlog.v1+msgpack"
JSON = "roomlog.v1+json"
TIMEOUT_SECONDS = 10.0
# Fields that hold bytes, by name: JSON carries them as padded base64.
_BYTES = {
    "nonce",
    "server_pubkey",
    "pubkey",
    "proof",
    "lineage",
    "epoch",
    "signature",
    "nodes",
    "id",
    "root",
}


class Closed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}")
        self.code = code
        self.reason = reason


class RawClient:
    """One session."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        http: aiohttp.ClientSession,
        url: str,
        room: str,
        subprotocol: str,
        identity: Identity | None,
    ) -> None:
        self.socket = socket
        self.http = http
        self.url = url
        self.room = room
        self.subprotocol = subprotocol
        self.identity = identity
        self.challenge: dict[str, Any] = {}
        self.client_nonce = secrets.token_bytes(32)
        self.handshake = b""
        self.welcome: dict[str, Any] = {}
        self.hasher: NodeHasher | None = None
        self.heads: list[bytes] = []
        self.clock = 0
        self.packs: list[dict[str, Any]] = []
        self.acks: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []

    # frames

    async def send(self, message: dict[str, Any]) -> None:
        if self.subprotocol == JSON:
            await self.socket.send_str(json.dumps(message, default=_base64))
        else:
            await self.socket.send_bytes(msgspec.msgpack.encode(message))

    async def receive(self) -> dict[str, Any]:
        """The next message. Raises `Closed`."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            message = await self.socket.receive()
        if message.type == aiohttp.WSMsgType.BINARY:
            read = msgspec.msgpack.decode(message.data)
        elif message.type == aiohttp.WSMsgType.TEXT:
            read = _from_json(json.loads(message.data))
        else:
            raise Closed(self.socket.close_code, str(message.extra or ""))
        assert isinstance(read, dict)
        if read["type"] == "pack":
            self.packs.append(read)
        elif read["type"] == "pack-ack":
            # Fields that hold their default may be left out of any message.
            read = {"from_seq": 0, "to_seq": 0, "duplicates": [], "rejected": [], **read}
            self.acks.append(read)
        elif read["type"] == "error":
            self.errors.append(read)
        return read

    async def receive_type(self, kind: str) -> dict[str, Any]:
        """The next message of a type; others are kept in their lists."""
        while True:
            message = await self.receive()
            if message["type"] == kind:
                return message

    async def closed(self) -> Closed:
        """Read to the end."""
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed

    # the handshake

    def transcript(self, origin: str, **changed: Any) -> bytes:
        parts = {
            "server_nonce": self.challenge["nonce"],
            "client_nonce": self.client_nonce,
            "origin": origin.encode(),
            "room": self.room.encode(),
            "subprotocol": self.subprotocol.encode(),
            "server_key": self.challenge["server_pubkey"],
            "client_key": self.identity.public_key if self.identity else b"",
            "label": b"",
            "token": b"",
        }
        parts.update(changed)
        return b"".join(struct.pack(">H", len(part)) + part for part in parts.values())

    async def greet(self, *, origin: str | None = None, **fields: Any) -> dict[str, Any]:
        """Say hello; the answer, welcome or error."""
        if not self.challenge:
            self.challenge = await self.receive()
        label = str(fields.get("label", "")).encode()
        self.handshake = self.transcript(self.url if origin is None else origin, label=label)
        hello: dict[str, Any] = {"type": "hello", "proto": 1, "nonce": self.client_nonce}
        if self.identity is not None:
            hello["pubkey"] = self.identity.public_key
            hello["proof"] = self.identity.sign(Purpose.HELLO, self.handshake)
        hello.update(fields)
        await self.send(hello)
        answer = await self.receive()
        if answer["type"] == "welcome":
            self.welcome = answer
            self.hasher = NodeHasher(answer["lineage"])
            self.heads = list(answer["frontier"])
        return answer

    def welcome_payload(self) -> bytes:
        """What the server's signature must cover."""
        welcome = self.welcome
        frontier = sorted(welcome["frontier"])
        return b"".join(
            [
                blake3(self.handshake).digest(),
                welcome["lineage"],
                welcome["epoch"],
                struct.pack(">QH", welcome["seq"], len(frontier)),
                *frontier,
            ]
        )

    # nodes

    def write(
        self,
        *operations: Operation,
        parents: list[bytes] | None = None,
        clock: int | None = None,
        identity: Identity | None = None,
        hasher: NodeHasher | None = None,
    ) -> Node:
        """A new node on what this client has seen of its own, not sent."""
        used = hasher or self.hasher
        assert used is not None
        self.clock += 1
        node = make_node(
            used,
            identity or self.identity,
            CHANGE,
            self.clock if clock is None else clock,
            self.heads if parents is None else parents,
            list(operations) or [MapSet("k", secrets.token_hex(4))],
        )
        if parents is None:
            self.heads = [node.id]
        return node

    async def push(self, *nodes: Node, ref: str | None = None, **changed: Any) -> None:
        message: dict[str, Any] = {
            "type": "pack",
            "lineage": self.welcome["lineage"],
            "nodes": encode_pack(nodes),
        }
        if ref is not None:
            message["ref"] = ref
        message.update(changed)
        await self.send(message)

    async def push_and_wait(self, *nodes: Node, ref: str | None = None) -> dict[str, Any]:
        await self.push(*nodes, ref=ref)
        return await self.receive_type("pack-ack")

    def nodes_of(self, pack: dict[str, Any]) -> list[Node]:
        """The nodes of a received pack."""
        assert self.hasher is not None
        return decode_pack(pack["nodes"], self.hasher)

    async def read_through(self, seq: int) -> list[Node]:
        """Relayed nodes until the one with `seq` is there, in order."""
        nodes: list[Node] = []
        for pack in self.packs:
            nodes += self.nodes_of(pack)
        while not self.packs or self.packs[-1]["to_seq"] < seq:
            nodes += self.nodes_of(await self.receive_type("pack"))
        return nodes

    async def catch_up(self, **request: Any) -> dict[str, Any]:
        """Ask and read to the end of the answer."""
        await self.send({"type": "request", "ref": "catch-up", **request})
        return await self.receive_type("request-end")

    async def close(self) -> None:
        await self.socket.close()
        await self.http.close()

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


async def dial(
    url: str,
    room: str = "room",
    *,
    subprotocol: str = MSGPACK,
    identity: Identity | None = None,
    anonymous: bool = False,
) -> RawClient:
    """Connect without saying anything."""
    http = aiohttp.ClientSession()
    try:
        socket = await http.ws_connect(
            f"{url}/ws/{room}", protocols=(subprotocol,), max_msg_size=0, autoping=True
        )
    except BaseException:
        await http.close()
        raise
    who = None if anonymous else identity or Identity.generate()
    return RawClient(socket, http, url, room, subprotocol, who)


async def join(url: str, room: str = "room", **options: Any) -> RawClient:
    """Connect and be welcomed."""
    fields = options.pop("hello", {})
    client = await dial(url, room, **options)
    answer = await client.greet(**fields)
    assert answer["type"] == "welcome", answer
    return client


def _base64(value: Any) -> str:
    return base64.b64encode(value).decode()


def _from_json(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _from_json(each, key) for key, each in value.items()}
    if isinstance(value, list):
        listed = "id" if name in ("frontier", "missing") else ""
        return [_from_json(each, listed) for each in value]
    if isinstance(value, str) and name in _BYTES:
        return base64.b64decode(value)
    return value
