"""One session of a client made of frames: it says what it likes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from roomlog.core.clock import UNITS_PER_MS
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet, Operation
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol.capabilities import own_offer
from roomlog.protocol.codec import Codec, server_frames
from roomlog.protocol.handshake import hello_proof, transcript
from roomlog.protocol.messages import Challenge, Error, Message, PackAck, Welcome
from tests.simulation.loop import Life
from tests.simulation.network import BINARY, BROKEN, CLOSE, PING, PONG, TEXT, Conditions, Link
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import EPOCH_MS, World

ANSWER_S = 20.0
"""How long an answer may take before it is given up."""


class Closed(Exception):
    """The server ended the session; 1006 without a word."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class RawSession:
    """A socket and what was said over it. `identity` None is nobody."""

    def __init__(
        self,
        world: World,
        life: Life,
        chance: random.Random,
        identity: Identity | None,
        *,
        origin: str,
        room_id: str,
        codec: Codec,
    ) -> None:
        self.world = world
        self.life = life
        self.chance = chance
        self.identity = identity
        self.origin = origin
        self.room_id = room_id
        self.codec = codec
        self.nonce = chance.randbytes(32)
        self.conditions = Conditions()
        self.link: Link
        self.challenge: Challenge
        self.welcome: Welcome
        self.hasher: NodeHasher
        self.heads: list[bytes] = []
        self.clock = 0
        self.acks: list[PackAck] = []
        self.errors: list[Error] = []
        self._read = server_frames(codec).read
        self._refs = 0

    # frames

    async def dial(self, *, offers: bool = True) -> None:
        """Open the socket and say nothing. `offers` False: no subprotocol. Raises OSError."""
        self.link = await self.world.network.dial(
            self.life,
            self.conditions,
            self.origin,
            self.room_id,
            self.codec if offers else None,
        )
        if not isinstance(self.world.network.servers[self.origin], ServerMachine):
            self.link.cut()
            raise ConnectionRefusedError("an impostor is there, who promised nothing")

    def send_frame(self, payload: bytes, opcode: int | None = None) -> None:
        """Any bytes, by default as a frame of the kind that the codec has."""
        kind = TEXT if self.codec.is_text else BINARY
        self.link.to_server.send(kind if opcode is None else opcode, payload)

    def send(self, message: Message | dict[str, Any]) -> None:
        """A message of the protocol, or anything like one."""
        encoder = msgspec.json if self.codec.is_text else msgspec.msgpack
        self.send_frame(encoder.encode(message))

    def ref(self) -> str:
        """A new one."""
        self._refs += 1
        return f"h{self._refs}"

    async def receive(self) -> Message:
        """The next message. Raises `Closed`, and TimeoutError when none comes."""
        async with asyncio.timeout(ANSWER_S):
            while True:
                opcode, payload = await self.link.to_client.receive()
                if opcode == BROKEN:
                    raise Closed(1006)
                if opcode == CLOSE:
                    self.link.to_server.send(CLOSE, payload[:2])
                    raise Closed(int.from_bytes(payload[:2], "big") or 1005)
                if opcode == PING:
                    self.link.to_server.send(PONG, payload)
                elif opcode != PONG:
                    break
        message: Message = self._read(payload)
        if isinstance(message, PackAck):
            self.acks.append(message)
        elif isinstance(message, Error):
            self.errors.append(message)
        return message

    async def receive_type(self, *kinds: type[Message]) -> Any:
        """The next message of these types; others are passed over."""
        while True:
            message = await self.receive()
            if isinstance(message, kinds):
                return message

    async def answer_to(self, ref: str) -> Any:
        """The next message with this ref that ends an answer."""
        while True:
            message = await self.receive()
            if message.ref == ref and type(message).__name__ not in ("Pack", "Snapshot"):
                return message

    async def closed(self) -> int:
        """Read to the end; the code. Raises TimeoutError when the server goes on as if nothing."""
        while True:
            try:
                await self.receive()
            except Closed as closed:
                return closed.code

    def leave(self) -> None:
        """Go, without a word."""
        self.link.abort(self.life)

    # the handshake

    def transcript(self, **changed: Any) -> bytes:
        """What a proof is about; `changed` parts make it about something else."""
        parts: dict[str, Any] = {
            "server_nonce": self.challenge.nonce,
            "client_nonce": self.nonce,
            "origin": self.origin,
            "room_id": self.room_id,
            "subprotocol": self.codec.subprotocol,
            "server_key": self.challenge.server_pubkey,
            "client_key": self.identity.public_key if self.identity else b"",
            "label": "",
            "token": "",
        }
        return transcript(**{**parts, **changed})

    def hello(self, **fields: Any) -> dict[str, Any]:
        """An honest hello, but for `fields`; what is None is left out."""
        label = fields.get("label", "")
        hello: dict[str, Any] = {
            "type": "hello",
            "proto": 1,
            "nonce": self.nonce,
            "origin": self.origin,
            "caps": own_offer(),
        }
        if self.identity is not None:
            hello["pubkey"] = self.identity.public_key
            hello["proof"] = hello_proof(self.identity, self.transcript(label=label))
        hello.update(fields)
        return {key: value for key, value in hello.items() if value is not None}

    async def hear_challenge(self) -> Challenge:
        """The server's first message. Raises `Closed`."""
        self.challenge = await self.receive_type(Challenge)
        return self.challenge

    async def greet(self, **fields: Any) -> Welcome | Error:
        """Dial, say hello, and take the answer. Raises `Closed` and OSError."""
        await self.dial()
        await self.hear_challenge()
        self.send(self.hello(**fields))
        return await self.take_welcome()

    async def take_welcome(self) -> Welcome | Error:
        """The answer to a hello."""
        answer: Welcome | Error = await self.receive_type(Welcome, Error)
        if isinstance(answer, Welcome):
            self.welcome = answer
            self.hasher = NodeHasher(answer.lineage)
            self.heads = list(answer.frontier)
        return answer

    async def join(self, **fields: Any) -> Welcome:
        """Greet and be welcomed. Raises `Closed` when refused."""
        answer = await self.greet(**fields)
        if isinstance(answer, Error):
            raise Closed(await self.closed())
        return answer

    # nodes

    def now_ms(self) -> int:
        """The world's wall clock."""
        return EPOCH_MS + int(self.world.loop.time() * 1000)

    def write(
        self,
        *operations: Operation,
        parents: list[bytes] | None = None,
        clock: int | None = None,
        signer: Identity | None = None,
        hasher: NodeHasher | None = None,
        kind: int = CHANGE,
    ) -> Node:
        """A node, valid but for what is asked otherwise; by default it stands on the one before."""
        self.clock = max(self.clock + 1, self.now_ms() * UNITS_PER_MS)
        mark = self.chance.randbytes(4).hex()
        node = make_node(
            hasher or self.hasher,
            signer or self.identity,
            kind,
            self.clock if clock is None else clock,
            self.heads[:64] if parents is None else parents,
            list(operations) or [MapSet(f"hostile/{mark}", mark)],
        )
        if parents is None:
            self.heads = [node.id]
        return node

    def push(self, *nodes: Node, **changed: Any) -> str:
        """Send one pack; its ref."""
        ref = self.ref()
        message: dict[str, Any] = {"type": "pack", "ref": ref, "lineage": self.welcome.lineage}
        if "nodes" not in changed:
            message["nodes"] = encode_pack(nodes)
        self.send({**message, **changed})
        return ref

    async def push_and_wait(self, *nodes: Node, **changed: Any) -> PackAck | Error:
        """Send one pack, and what the server says of it."""
        answer: PackAck | Error = await self.answer_to(self.push(*nodes, **changed))
        return answer

    async def ask(self, **fields: Any) -> Any:
        """Send one request; what ends its answer."""
        ref = self.ref()
        self.send({"type": "request", "ref": ref, **fields})
        return await self.answer_to(ref)
