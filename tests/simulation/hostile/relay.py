"""T55: a look-alike at another origin passes on every word between a client and the real server."""

from __future__ import annotations

import asyncio

from roomlog.client.status import Phase
from roomlog.protocol.codec import Codec, server_frames
from roomlog.protocol.messages import Welcome
from tests.simulation.actions import action
from tests.simulation.client_machine import ClientMachine
from tests.simulation.invariants.violation import Violation
from tests.simulation.loop import Life
from tests.simulation.network import BINARY, BROKEN, TEXT, Conditions, Lane, Link
from tests.simulation.plan import Step
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World

LOOK_ALIKE = "ws://look-alike:7878"


class Relay:
    """Listens at an origin of its own and dials the real server for everybody who comes."""

    def __init__(self, world: World, server: ServerMachine, *, is_writer: bool) -> None:
        self.life = Life("relay")
        self.is_writer = is_writer
        """Whether who is lured has a key to prove."""
        self.is_listening = True
        self._world = world
        self._server = server

    def accept(self, link: Link, room_id: str, codec: Codec | None) -> None:
        """A socket was upgraded."""
        loop = self._world.loop
        loop.in_life(self.life, loop.create_task, self._serve(link, room_id, codec))

    async def _serve(self, near: Link, room_id: str, codec: Codec | None) -> None:
        try:
            far = await self._world.network.dial(
                self.life, Conditions(), self._server.origin, room_id, codec
            )
        except OSError:
            near.abort(self.life)
            return
        await asyncio.wait(
            [
                asyncio.ensure_future(_pass_on(near.to_server, far.to_server)),
                asyncio.ensure_future(self._answer(far, near)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        await asyncio.sleep(0.5)
        near.abort(self.life)
        far.abort(self.life)

    async def _answer(self, far: Link, near: Link) -> None:
        """What the real server says, which is no welcome for anybody's key."""
        read = server_frames(far.codec).read
        while (frame := await far.to_client.receive())[0] != BROKEN:
            opcode, payload = frame
            if self.is_writer and opcode in (TEXT, BINARY) and isinstance(read(payload), Welcome):
                text = "the server welcomed a key by a proof for another origin"
                violation = Violation("proof_was_relayed", text)
                self._world.loop.faults.append({"message": text, "exception": violation})
            near.to_client.send(opcode, payload)


async def _pass_on(source: Lane, to: Lane) -> None:
    while True:
        opcode, payload = await source.receive()
        if opcode == BROKEN:
            return
        to.send(opcode, payload)


@action("hostile relay")
def relay(world: World, step: Step) -> object:
    """The client `who` is made to dial the look-alike for `for_s` seconds, then the real one."""
    client = world.clients.get(step.who)
    if client is None or client.origin == LOOK_ALIKE:
        return None
    return _lure(world, client, step.how.get("for_s", 5.0))


async def _lure(world: World, client: ClientMachine, for_s: float) -> None:
    real = world.servers[_server_of(world, client)]
    trap = Relay(world, real, is_writer=client.identity is not None)
    world.strangers.append(trap.life)
    world.network.servers[LOOK_ALIKE] = trap  # type: ignore[assignment]
    client.had_damaged_line = True
    honest_origin, client.origin = client.origin, LOOK_ALIKE
    _open_again(client)
    try:
        for _ in range(int(for_s * 10)):
            await asyncio.sleep(0.1)
            document = client.document
            if document is None or client.identity is None:
                continue
            status = document.status
            if status.phase in (Phase.LIVE, Phase.CATCHING_UP):
                raise Violation("proof_was_relayed", f"{client.name} is {status.phase.value}")
    finally:
        client.origin = honest_origin
        _open_again(client)
        world.network.end_life(trap.life, is_silent=False)


def _server_of(world: World, client: ClientMachine) -> str:
    """The name of the server whose room the client has."""
    for name, server in world.servers.items():
        if server.origin == client.origin:
            return name
    raise AssertionError(f"{client.name} dials {client.origin}")


def _open_again(client: ClientMachine) -> None:
    client.kill(power_loss=False)
    client.start()
