"""Links between machines, with everything that can happen to them.

A link is one WebSocket: two lanes, each in order as TCP is. Conditions belong to the machine that
dials, as its way to the rest of the world: how slow it is, and what is wrong with it.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roomlog.protocol.codec import Codec
from tests.simulation.loop import NOBODY, Life, SimulatedLoop

if TYPE_CHECKING:
    from tests.simulation.server_machine import ServerMachine

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
BROKEN = -1
"""In the place of an opcode: the socket is gone, without a word."""
MALFORMED = -2
"""In the place of an opcode: bytes that are no frame of RFC 6455, such as an unmasked one."""

SEND_AGAIN_S = 0.2
LONGEST_AGAIN_S = 10.0

Frame = tuple[int, bytes]


@dataclass
class Conditions:
    """How one machine reaches others. What is None or False is not the matter."""

    least_delay_s: float = 0.0005
    most_delay_s: float = 0.02
    bytes_per_second: float | None = None
    is_partitioned: bool = False
    """Nobody can be dialled, and nothing that is sent arrives before it is over."""
    is_refused: bool = False
    """Nobody answers a dial."""
    to_server: list[str] = field(default_factory=list)
    """What happens to the next frames of each link: "drop", "duplicate", "swap"."""
    to_client: list[str] = field(default_factory=list)


class Lane:
    """One direction of a link."""

    def __init__(self, link: Link, name: str, life: Life) -> None:
        self.name = name
        self.inbox: deque[Frame] = deque()
        self.waiting_bytes = 0
        """Sent and not yet delivered."""
        self.most_waiting_bytes = 0
        self.is_frozen = False
        """Nothing arrives any more, and nobody is told."""
        self.is_paused = False
        """The receiver does not read."""
        self._link = link
        self._receiver = life
        self._last_at = 0.0
        self._held: Frame | None = None
        self._on_its_way: deque[Frame] = deque()
        self._paused: list[Frame] = []
        self._is_sent_again = False
        self._receiving: asyncio.Future[None] | None = None
        self._drained: list[asyncio.Future[None]] = []
        self.is_ended = False

    def send(self, opcode: int, payload: bytes) -> None:
        """Put a frame on its way, with whatever is wrong with the line."""
        if self.is_ended:
            return
        network = self._link.network
        network.checksum = zlib.crc32(payload, network.checksum)
        for look in network.observers:
            look(self._link, self.name, opcode, payload)
        faults = getattr(self._link.conditions, self.name)
        if faults and opcode in (TEXT, BINARY):
            fault = faults.pop(0)
            self._link.network.saw(f"frame {fault}")
            if fault == "drop":
                return
            if fault == "duplicate":
                self._put(opcode, payload)
            if fault == "swap" and self._held is None:
                self._held = (opcode, payload)
                return
        self._put(opcode, payload)
        if self._held is not None:
            held, self._held = self._held, None
            self._put(*held)

    def _put(self, opcode: int, payload: bytes) -> None:
        network, conditions = self._link.network, self._link.conditions
        size_bytes = len(payload) + 4
        now = network.loop.time()
        delay_s = network.chance.uniform(conditions.least_delay_s, conditions.most_delay_s)
        begins = max(now, self._last_at)
        if conditions.bytes_per_second is not None:
            begins += size_bytes / conditions.bytes_per_second
        at = max(self._last_at, begins, now + delay_s)
        self._last_at = at
        self.waiting_bytes += size_bytes
        self.most_waiting_bytes = max(self.most_waiting_bytes, self.waiting_bytes)
        self._on_its_way.append((opcode, payload))
        network.loop.in_life(NOBODY, network.loop.call_at, at, self._next_arrives)

    def _next_arrives(self) -> None:
        # Timers of one moment have no order among them; frames have.
        self._arrive(self._on_its_way.popleft())

    def _arrive(self, frame: Frame) -> None:
        if self.is_ended or self.is_frozen:
            return
        if self._link.conditions.is_partitioned:
            self._is_sent_again = self._is_sent_again or self._send_again_in(SEND_AGAIN_S)
        if self.is_paused or self._is_sent_again:
            self._paused.append(frame)
            return
        self.waiting_bytes -= len(frame[1]) + 4
        self._deliver(frame)
        for waiter in self._drained:
            if not waiter.done():
                waiter.set_result(None)
        self._drained.clear()

    def resume(self) -> None:
        """The receiver reads again."""
        self.is_paused = False
        if not self._is_sent_again:
            self._release()

    def _release(self) -> None:
        paused, self._paused = self._paused, []
        for frame in paused:
            self._arrive(frame)

    def _send_again_in(self, wait_s: float) -> bool:
        """TCP sends again what was not received, at growing intervals, until somebody gives up."""
        loop = self._link.network.loop
        loop.in_life(NOBODY, loop.call_later, wait_s, self._send_again, wait_s)
        return True

    def _send_again(self, waited_s: float) -> None:
        if self._link.conditions.is_partitioned and not self.is_ended:
            self._send_again_in(min(waited_s * 2, LONGEST_AGAIN_S))
            return
        self._is_sent_again = False
        if not self.is_paused:
            self._release()

    def end(self) -> None:
        """The receiver learns that the socket is gone; what was on its way is lost."""
        if not self.is_ended:
            self.is_ended = True
            self._deliver((BROKEN, b""))
            for waiter in self._drained:
                if not waiter.done():
                    waiter.set_exception(ConnectionResetError("the socket is gone"))
            self._drained.clear()

    def _deliver(self, frame: Frame) -> None:
        if not self._receiver.is_over:
            self.inbox.append(frame)
            receiving, self._receiving = self._receiving, None
            if receiving is not None and not receiving.done():
                receiving.set_result(None)

    async def receive(self) -> Frame:
        """The next frame; again and again `BROKEN` once the socket is gone."""
        while not self.inbox:
            if self.is_ended:
                return BROKEN, b""
            self._receiving = self._link.network.loop.create_future()
            await self._receiving
        return self.inbox.popleft()

    async def drained(self, most_bytes: int) -> None:
        """Return when no more than `most_bytes` wait. Raises ConnectionError."""
        while self.waiting_bytes > most_bytes:
            if self.is_ended:
                raise ConnectionResetError("the socket is gone")
            waiter: asyncio.Future[None] = self._link.network.loop.create_future()
            self._drained.append(waiter)
            await waiter


class Link:
    """One WebSocket between two lives."""

    def __init__(
        self,
        network: Network,
        client: Life,
        server: Life,
        conditions: Conditions,
        *,
        origin: str,
        room_id: str,
        codec: Codec | None,
    ) -> None:
        self.network = network
        self.client = client
        self.server = server
        self.conditions = conditions
        self.origin = origin
        self.room_id = room_id
        # A server tells somebody without a codec in JSON that it needs one.
        self.codec = codec or Codec.JSON
        self.to_server = Lane(self, "to_server", server)
        self.to_client = Lane(self, "to_client", client)

    @property
    def is_over(self) -> bool:
        return self.to_server.is_ended and self.to_client.is_ended

    def cut(self) -> None:
        """Both ends learn that the socket is gone."""
        self.to_server.end()
        self.to_client.end()

    def abort(self, by: Life) -> None:
        """One end lets go: the other learns it, if the line is well, after a while."""
        network = self.network
        own, other = (
            (self.to_client, self.to_server)
            if by is self.client
            else (self.to_server, self.to_client)
        )
        own.end()
        if not other.is_frozen and not self.conditions.is_partitioned:
            delay_s = network.chance.uniform(0.0005, 0.02)
            network.loop.in_life(NOBODY, network.loop.call_later, delay_s, other.end)

    def freeze(self) -> None:
        """Half open: neither end hears of the other any more."""
        self.to_server.is_frozen = self.to_client.is_frozen = True


class Network:
    """All links of a world."""

    def __init__(
        self, loop: SimulatedLoop, chance: random.Random, saw: Callable[[str], None]
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.saw = saw
        """Told by name of every fault that took effect."""
        self.observers: list[Callable[[Link, str, int, bytes], None]] = []
        """Shown every frame as it is sent: its link, lane, opcode and payload."""
        self.checksum = 0
        """Of all frames sent so far: two runs of one plan have it in common."""
        self.links: list[Link] = []
        self.servers: dict[str, ServerMachine] = {}
        """By origin, such as "ws://north:80"."""

    async def dial(
        self, client: Life, conditions: Conditions, origin: str, room_id: str, codec: Codec | None
    ) -> Link:
        """A new link to whoever listens there. Raises OSError, TimeoutError."""
        await asyncio.sleep(self.chance.uniform(conditions.least_delay_s, conditions.most_delay_s))
        if conditions.is_partitioned:
            await asyncio.sleep(10.0)
            raise TimeoutError("nobody answered")
        server = self.servers[origin]
        life = server.life
        if conditions.is_refused or life is None or life.is_over or not server.is_listening:
            raise ConnectionRefusedError(f"nobody listens at {origin}")
        link = Link(self, client, life, conditions, origin=origin, room_id=room_id, codec=codec)
        self.links = [each for each in self.links if not each.is_over]
        self.links.append(link)
        server.accept(link, room_id, codec)
        return link

    def end_life(self, life: Life, *, is_silent: bool) -> None:
        """A machine is gone: its system closes its sockets, unless its power went (`is_silent`)."""
        life.is_over = True
        for link in self.links:
            if life in (link.client, link.server):
                if is_silent:
                    link.freeze()
                else:
                    link.abort(life)
