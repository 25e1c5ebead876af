"""Sessions that make load: writers that count acknowledgments, readers that count deliveries.

A reader decodes frames but not nodes: the load should be the server's, not the reader's.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, final

from roomlog.cli.failure import Failure
from roomlog.client.address import Address
from roomlog.client.websocket import WebSocket, WebSocketClosed
from roomlog.core.clock import next_clock
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import Codec, FrameReader, encode, server_frames
from roomlog.protocol.handshake import hello_proof, transcript
from roomlog.protocol.limits import DEFAULT_LIMITS
from roomlog.protocol.messages import (
    Challenge,
    Credit,
    Error,
    Hello,
    Message,
    Pack,
    PackAck,
    PushPack,
    ServerMessage,
    Software,
    Welcome,
)

NONCE_BYTES: Final = 32
CREDIT_POLL_S: Final = 0.05


@final
class LoadSession:
    """One session: a writer when it has an identity, else a reader."""

    def __init__(self, address: Address, room_id: str, identity: Identity | None) -> None:
        self._address = address
        self._room_id = room_id
        self._identity = identity
        self._codec = Codec.MSGPACK
        self._socket = WebSocket(
            address.room_url(room_id), self._codec, DEFAULT_LIMITS.frame_limit(self._codec.value)
        )
        self._frames: FrameReader[ServerMessage] = server_frames(self._codec)
        self.welcome: Welcome
        self.acknowledged_s: list[tuple[float, float]] = []
        """(moment sent, moment acknowledged) of every own node that was admitted."""
        self.sent_at_s: dict[int, float] = {}
        """Moment sent by seq, of own nodes."""
        self.received: list[tuple[int, int, float]] = []
        """(first seq, last seq, moment received) of every relayed pack."""
        self.refusals: dict[str, int] = {}
        self.close_code = 0
        """The code the server closed with, 0 while it has not."""
        self._in_flight: list[float] = []
        self._credit_nodes = 0
        self._credit_bytes = 0
        self._sent_nodes = 0
        self._sent_bytes = 0
        self._wake = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LoadSession:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Dial and shake hands. Raises `Failure`."""
        try:
            await self._socket.__aenter__()
            challenge = await self._read()
            if not isinstance(challenge, Challenge):
                raise Failure("--url: the server did not begin with a challenge")
            await self.send(self._hello(challenge))
            welcome = await self._read()
        except (OSError, TimeoutError, WebSocketClosed) as error:
            self.close_code = error.code if isinstance(error, WebSocketClosed) else 0
            raise Failure(f"--url: cannot open a session: {error}") from None
        except Exception as error:
            if type(error).__module__.startswith("aiohttp"):
                raise Failure(f"--url: cannot open a session: {error}") from None
            raise
        if not isinstance(welcome, Welcome):
            detail = welcome.message if isinstance(welcome, Error) else type(welcome).__name__
            raise Failure(f"--url: no welcome: {detail}")
        self.welcome = welcome
        self._credit_nodes, self._credit_bytes = welcome.credit.nodes, welcome.credit.bytes
        self._listening = asyncio.ensure_future(self._listen())

    def _hello(self, challenge: Challenge) -> Hello:
        nonce = secrets.token_bytes(NONCE_BYTES)
        identity = self._identity
        proof = None
        if identity is not None:
            handshake = transcript(
                server_nonce=challenge.nonce,
                client_nonce=nonce,
                origin=self._address.origin,
                room_id=self._room_id,
                subprotocol=self._codec.value,
                server_key=challenge.server_pubkey,
                client_key=identity.public_key,
                label="",
                token="",
            )
            proof = hello_proof(identity, handshake)
        return Hello(
            proto=1,
            nonce=nonce,
            origin=self._address.origin,
            pubkey=None if identity is None else identity.public_key,
            proof=proof,
            client=Software(name="roomlog-loadtest"),
        )

    async def write(self, *, in_flight: int, rate: float, until_s: float) -> None:
        """Push one-edit nodes until the moment, each in a pack of its own.

        At most `in_flight` are unacknowledged at once; `rate` a second, 0 as fast as credit
        allows.
        """
        assert self._identity is not None
        hasher = NodeHasher(self.welcome.lineage)
        parents: list[bytes] = []
        clock = 0
        number = 0
        due_s = time.perf_counter()
        prefix = self._identity.public_key.hex()[:12]
        while (now_s := time.perf_counter()) < until_s:
            if rate > 0 and now_s < due_s:
                await asyncio.sleep(min(due_s, until_s) - now_s)
                continue
            clock = next_clock(time.time_ns() // 1_000_000, clock)
            operation = MapSet(f"load/{prefix}/{number % 64}", number)
            node = make_node(hasher, self._identity, CHANGE, clock, parents, [operation])
            pack = encode_pack([node])
            while not self._may_send(len(pack), in_flight):
                if not await self._changed(until_s):
                    return
            parents = [node.id]
            number += 1
            due_s = max(due_s, now_s - 1.0) + (1 / rate if rate > 0 else 0)
            self._sent_nodes += 1
            self._sent_bytes += len(pack)
            self._in_flight.append(time.perf_counter())
            await self.send(PushPack(lineage=self.welcome.lineage, nodes=pack))

    async def write_nodes(self, count: int) -> None:
        """Push one pack of one-edit nodes, well within the first credit."""
        assert self._identity is not None
        hasher = NodeHasher(self.welcome.lineage)
        nodes: list[Node] = []
        clock = next_clock(time.time_ns() // 1_000_000, 0)
        for number in range(count):
            parents = [nodes[-1].id] if nodes else []
            operation = MapSet(f"load/{number}", number)
            nodes.append(
                make_node(hasher, self._identity, CHANGE, clock + number, parents, [operation])
            )
        pack = encode_pack(nodes)
        self._sent_nodes += count
        self._sent_bytes += len(pack)
        self._in_flight.append(time.perf_counter())
        await self.send(PushPack(lineage=self.welcome.lineage, nodes=pack))

    async def drained(self, timeout_s: float) -> bool:
        """Wait until everything sent is answered; whether it was."""
        until_s = time.perf_counter() + timeout_s
        while self._in_flight:
            if not await self._changed(until_s):
                return False
        return True

    async def received_up_to(self, seq: int, timeout_s: float) -> bool:
        """Wait until the relay has brought a seq; whether it did."""
        until_s = time.perf_counter() + timeout_s
        while not (self.received and self.received[-1][1] >= seq) and self.welcome.seq < seq:
            if not await self._changed(until_s):
                return False
        return True

    async def ended(self) -> None:
        """Wait until the server ends the session. Raises `Failure`."""
        assert self._listening is not None
        await self._listening

    async def send(self, message: Message) -> None:
        """Write a message, whatever it is."""
        await self.send_bytes(encode(self._codec, message))

    async def send_bytes(self, frame: bytes) -> None:
        """Write a frame, whatever is in it."""
        await self._socket.send(frame)

    async def close(self) -> None:
        """Leave."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            await self._socket.close(CloseCode.NORMAL.code)
        await self._socket.__aexit__(None, None, None)

    def _may_send(self, size_bytes: int, in_flight: int) -> bool:
        self._raise_if_over()
        return (
            len(self._in_flight) < in_flight
            and self._sent_nodes < self._credit_nodes
            and self._sent_bytes + size_bytes <= self._credit_bytes
        )

    def _raise_if_over(self) -> None:
        if self._listening is not None and self._listening.done():
            self._listening.result()

    async def _changed(self, until_s: float) -> bool:
        """Wait for the next message; False when the moment came first."""
        self._raise_if_over()
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0.0, until_s - time.perf_counter())):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._raise_if_over()
        return True

    async def _listen(self) -> None:
        handlers: dict[type[Message], Callable[..., None]] = {
            Pack: self._on_pack,
            PackAck: self._on_ack,
            Credit: self._on_credit,
            Error: self._on_error,
        }
        try:
            while True:
                message = await self._read()
                handler = handlers.get(type(message))
                if handler is not None:
                    handler(message)
                    self._wake.set()
        except WebSocketClosed as error:
            self.close_code = error.code
            self._wake.set()
            raise Failure(f"the server ended a session: {error}") from None

    def _on_pack(self, message: Pack) -> None:
        self.received.append((message.from_seq, message.to_seq, time.perf_counter()))

    def _on_ack(self, message: PackAck) -> None:
        # What was sent past `write` is nobody's measurement.
        sent_s = self._in_flight.pop(0) if self._in_flight else 0.0
        if message.from_seq and sent_s:
            self.acknowledged_s.append((sent_s, time.perf_counter()))
            for seq in range(message.from_seq, message.to_seq + 1):
                self.sent_at_s[seq] = sent_s
        for node in message.rejected:
            self.refusals[node.reject_class] = self.refusals.get(node.reject_class, 0) + 1
        if message.credit is not None:
            self._credit_nodes = max(self._credit_nodes, message.credit.nodes)
            self._credit_bytes = max(self._credit_bytes, message.credit.bytes)

    def _on_credit(self, message: Credit) -> None:
        self._credit_nodes = max(self._credit_nodes, message.nodes)
        self._credit_bytes = max(self._credit_bytes, message.bytes)

    def _on_error(self, message: Error) -> None:
        self.refusals[message.reject_class] = self.refusals.get(message.reject_class, 0) + 1

    async def _read(self) -> ServerMessage:
        return self._frames.read(await self._socket.receive())
