"""What the fan-out bench says to each kind of server: joining, one small edit, what counts as one.

A dialect knows the frames, nothing of timing. Readers decode every frame far enough to count the
edits in it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench import traces
from bench.websocket import WebSocketClient


class ReaderClient(WebSocketClient):
    """A reader; `joined` is set once the server will relay to it."""

    def __init__(self, url: str, subprotocol: str = "") -> None:
        super().__init__(url, subprotocol)
        self.joined = asyncio.Event()


class WriterClient(ReaderClient):
    """A writer; `prepare` makes its frames before anything is timed."""

    edits_a_message = 1

    def prepare(self, messages: int) -> list[bytes]:
        """So many messages of `edits_a_message` edits each."""
        raise NotImplementedError


def small_edits(count: int) -> list[traces.Patch]:
    """The first edits of automerge-paper."""
    return traces.sequential_patches(traces.load("automerge-paper"))[:count]


# y-websocket: a message is a kind (0 sync), a sync kind (2 update), and the length-prefixed update.

SYNC_UPDATE = b"\x00\x02"


class YReader(ReaderClient):
    def __init__(self, url: str, counted: Callable[[int], None]) -> None:
        super().__init__(url)
        self._counted = counted

    def received(self, data: bytes, start: int, end: int) -> None:
        if data[start : start + 2] == SYNC_UPDATE:
            length, position = read_uvarint(data, start + 2)
            if position + length != end:
                raise ValueError("an update of another length than it says")
            self._counted(1)
        else:
            # the server's first message asks for the client's state: the connection is served
            self.joined.set()


class YWriter(YReader, WriterClient):
    """y-websocket sends every update back to its writer as well: that confirms it."""

    def prepare(self, messages: int) -> list[bytes]:
        from bench import peers

        updates: list[bytes] = []
        peers.y_py_sequential(small_edits(messages), updates)
        return [SYNC_UPDATE + uvarint(len(update)) + update for update in updates]


# roomlog: the protocol's own codec; everybody proves a key of their own.


class RoomlogReader(ReaderClient):
    edits_a_message = 1

    def __init__(self, url: str, counted: Callable[[int], None]) -> None:
        from roomlog.identity import Identity
        from roomlog.protocol import codec, messages

        self._codec = codec.Codec.MSGPACK
        super().__init__(url, self._codec.subprotocol)
        self._counted = counted
        self._identity = Identity.generate()
        self._messages = messages
        self._encode = codec.encode
        self._read = codec.server_frames(self._codec).read

    def hello(self, challenge: Any) -> Any:
        from roomlog.protocol import handshake

        origin, _, room_id = self.url.rpartition("/ws/")
        nonce = os.urandom(32)
        spoken = handshake.transcript(
            server_nonce=challenge.nonce,
            client_nonce=nonce,
            origin=origin,
            room_id=room_id,
            subprotocol=self._codec.subprotocol,
            server_key=challenge.server_pubkey,
            client_key=self._identity.public_key,
            label="",
            token="",
        )
        proof = handshake.hello_proof(self._identity, spoken)
        return self._messages.Hello(
            proto=1, nonce=nonce, pubkey=self._identity.public_key, proof=proof
        )

    def received(self, data: bytes, start: int, end: int) -> None:
        message = self._read(data[start:end])
        messages = self._messages
        if isinstance(message, messages.Pack):
            count, _ = read_uvarint(message.nodes, 2)
            if count != message.to_seq - message.from_seq + 1:
                raise ValueError("a pack of another number of nodes than it says")
            self._counted(count * self.edits_a_message)
        elif isinstance(message, messages.Challenge):
            self.send(self._encode(self._codec, self.hello(message)))
        elif isinstance(message, messages.Welcome):
            self.welcomed(message)
            self.joined.set()
        elif isinstance(message, messages.PackAck):
            self.acknowledged(message)
        elif isinstance(message, messages.Error):
            raise ConnectionError(f"{message.reject_class}: {message.message}")

    def welcomed(self, welcome: Any) -> None:
        """The session is open."""

    def acknowledged(self, ack: Any) -> None:
        """Only writers push."""
        raise ValueError("an ack to a reader")


class RoomlogWriter(RoomlogReader, WriterClient):
    def __init__(self, url: str, confirmed: Callable[[int], None]) -> None:
        super().__init__(url, lambda edits: None)
        self._confirmed = confirmed
        self._welcome: Any = None

    def welcomed(self, welcome: Any) -> None:
        self._welcome = welcome

    def acknowledged(self, ack: Any) -> None:
        if ack.rejected:
            raise ValueError(f"refused: {ack.rejected[0]}")
        self._confirmed((ack.to_seq - ack.from_seq + 1) * self.edits_a_message)

    def prepare(self, messages: int) -> list[bytes]:
        return list(self._pushes(messages))

    def _pushes(self, messages: int) -> Iterator[bytes]:
        from bench.histories import operations
        from roomlog.core.clock import next_clock
        from roomlog.core.node import CHANGE, NodeHasher, make_node
        from roomlog.core.pack import encode_pack

        lineage = self._welcome.lineage
        hasher = NodeHasher(lineage)
        parents: list[bytes] = []
        clock = -1
        now_ms = time.time_ns() // 1_000_000
        patches = small_edits(messages * self.edits_a_message)
        for first in range(0, len(patches), self.edits_a_message):
            clock = next_clock(now_ms, clock)
            made = operations(patches[first : first + self.edits_a_message])
            node = make_node(hasher, self._identity, CHANGE, clock, parents, made)
            parents = [node.id]
            pack = self._messages.PushPack(lineage=lineage, nodes=encode_pack([node]))
            yield self._encode(self._codec, pack)


class TenReader(RoomlogReader):
    edits_a_message = 10


class TenWriter(RoomlogWriter):
    edits_a_message = 10


READERS: dict[str, type[YReader] | type[RoomlogReader]] = {
    "y-websocket": YReader,
    "roomlog": RoomlogReader,
    "roomlog, ten edits a node": TenReader,
}
WRITERS: dict[str, type[YWriter] | type[RoomlogWriter]] = {
    "y-websocket": YWriter,
    "roomlog": RoomlogWriter,
    "roomlog, ten edits a node": TenWriter,
}


def uvarint(number: int) -> bytes:
    """Little-endian base 128, as both wire formats have it."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_uvarint(data: bytes, position: int) -> tuple[int, int]:
    """(number, position behind it)."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
