"""Between clients and an honest server: one in a few of its messages is another when it arrives."""

from __future__ import annotations

import asyncio
import random

from roomlog.protocol.codec import Codec
from tests.client.lying_proxy import LyingProxy
from tests.simulation.actions import action
from tests.simulation.hostile.impostor import Impostor
from tests.simulation.network import BINARY, BROKEN, Link
from tests.simulation.plan import Step
from tests.simulation.world import World


class LyingLine(Impostor):
    """Passes on what both say; of what the server says, `one_in` is changed, doubled or late."""

    def __init__(self, world: World, name: str, chance: random.Random, one_in: int) -> None:
        super().__init__(world, world.servers[name], self._never)
        self._proxy = LyingProxy(0, chance.getrandbits(32), one_in=one_in)
        self._chance = chance
        self._one_in = one_in

    def _never(self, room_id: str, codec: Codec) -> None:  # type: ignore[override]
        raise AssertionError("a line begins no session of its own")

    async def _serve(self, near: Link, room_id: str, codec: Codec) -> None:
        server, network = self._server, self.world.network
        life = server.life
        if life is None or life.is_over or not server.is_listening:
            near.abort(self.life)
            return
        far = Link(
            network,
            self.life,
            life,
            near.conditions,
            origin=near.origin,
            room_id=room_id,
            codec=codec,
        )
        network.links.append(far)
        server.accept(far, room_id, codec)
        up = asyncio.ensure_future(self._up(near, far))
        down = asyncio.ensure_future(self._down(far, near))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.1)
        finally:
            for task in (up, down):
                task.cancel()
            near.abort(self.life)
            far.abort(self.life)

    async def _up(self, near: Link, far: Link) -> None:
        while (frame := await near.to_server.receive())[0] != BROKEN:
            far.to_server.send(*frame)

    async def _down(self, far: Link, near: Link) -> None:
        held: list[bytes] = []
        told: list[bytes] = self._proxy._told
        while (frame := await far.to_client.receive())[0] != BROKEN:
            opcode, payload = frame
            frames = [payload]
            if opcode == BINARY:
                if self._chance.randrange(self._one_in) == 0:
                    frames = self._proxy._lie(payload, held)
                else:
                    frames += held
                    held.clear()
                if len(told) < 200:
                    told.append(payload)
            for each in frames:
                near.to_client.send(opcode, each)


@action("hostile line")
def line(world: World, step: Step) -> None:
    """The way to the server `who` lies for `for_s` seconds, one time in `one_in`."""
    chance = world.chance(f"{step.do} {step.at_ms}")
    lying = LyingLine(world, step.who, chance, step.how.get("one_in", 8))
    lying.take_over()

    async def end() -> None:
        await asyncio.sleep(step.how.get("for_s", 10.0))
        lying.leave()

    world.loop.create_task(end())
