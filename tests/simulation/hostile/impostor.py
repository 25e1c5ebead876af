"""A machine that answers in the place of an honest server, with or without its key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from roomlog.protocol.codec import Codec
from tests.simulation.loop import Life
from tests.simulation.network import BINARY, BROKEN, CLOSE, PING, PONG, TEXT, Link
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World

Frame = bytes | tuple[int, bytes]
"""A frame of the session's kind, or an opcode and what comes with it."""


class Talk(Protocol):
    """One session, from the side that lies."""

    outgoing: list[Frame]
    """What the client has not been given yet."""
    close_code: int | None

    def receive(self, frame: bytes) -> None: ...


class Impostor:
    """Stands at the origin of `server`. `converse` begins a session with its first frames."""

    def __init__(
        self, world: World, server: ServerMachine, converse: Callable[[str, Codec], Talk]
    ) -> None:
        self.world = world
        self.name = f"impostor of {server.name}"
        self.life = Life(self.name)
        self.is_listening = True
        self._server = server
        self._converse = converse
        self._open: dict[Link, Talk] = {}

    def take_over(self) -> None:
        """From now on whoever dials the origin comes here; whoever was there has to come again."""
        network = self.world.network
        origin = self._server.origin
        if network.servers[origin] is not self._server:
            return
        network.servers[origin] = self  # type: ignore[assignment]
        self._server.was_impersonated = True
        self.world.impostors.append(self)
        for link in network.links:
            if link.origin == origin:
                link.cut()
        for client in self.world.clients.values():
            if client.origin == origin:
                # Whom it made believe that there is no way back has to be opened again.
                client.had_damaged_line = client.was_lied_to = True
        self.world.write(self.name, "takes over")

    def leave(self) -> None:
        """The honest server is back."""
        if self.life.is_over or self.world.network.servers[self._server.origin] is not self:
            return
        self.is_listening = False
        self.world.network.end_life(self.life, is_silent=False)
        self.world.network.servers[self._server.origin] = self._server
        self.world.write(self.name, "is gone")

    def accept(self, link: Link, room_id: str, codec: Codec | None) -> None:
        """A socket was upgraded."""
        loop = self.world.loop
        serving = self._serve(link, room_id, codec or Codec.JSON)
        task = loop.in_life(self.life, loop.create_task, serving)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.world.loop.faults.append({"message": self.name, "exception": error})

    async def _serve(self, link: Link, room_id: str, codec: Codec) -> None:
        talk = self._open[link] = self._converse(room_id, codec)
        try:
            while True:
                self._flush()
                if talk.close_code is not None:
                    # Some are told why, and some are not.
                    if talk.close_code != 1006:
                        link.to_client.send(CLOSE, talk.close_code.to_bytes(2, "big") + b"so there")
                        await asyncio.sleep(0.1)
                    return
                opcode, payload = await link.to_server.receive()
                if opcode in (CLOSE, BROKEN):
                    return
                if opcode == PING:
                    link.to_client.send(PONG, payload)
                elif opcode != PONG:
                    talk.receive(payload)
        finally:
            del self._open[link]
            link.abort(self.life)

    def _flush(self) -> None:
        """What one client says may be told to the others."""
        for link, talk in self._open.items():
            frames, talk.outgoing = talk.outgoing, []
            for frame in frames:
                kind = TEXT if link.codec.is_text else BINARY
                opcode, payload = (kind, frame) if isinstance(frame, bytes) else frame
                link.to_client.send(opcode, payload)
