"""Lies by name: each the session of a false server, registered as "hostile server LIE"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import Codec
from tests.simulation.actions import action
from tests.simulation.hostile.false_server import FalseServer, FalseSession
from tests.simulation.hostile.impostor import Impostor
from tests.simulation.plan import Step
from tests.simulation.server_machine import ServerMachine
from tests.simulation.world import World

YEARS_MS = 10 * 365 * 24 * 3600 * 1000
LIES: dict[str, type[FalseSession]] = {}


def lie(name: str, *, has_key: bool = True) -> Callable[[type[FalseSession]], type[FalseSession]]:
    """Register a session that tells it; `has_key` False: the honest server's key is not known.

    The false server stands in the place of `step.who` for `for_s` seconds.
    """

    def register(session: type[FalseSession]) -> type[FalseSession]:
        LIES[name] = session

        def start(world: World, step: Step) -> None:
            rooms = _rooms(world, step, session, has_key=has_key)
            if not rooms:
                return
            dialled = 0

            def converse(room_id: str, codec: Codec) -> FalseSession:
                nonlocal dialled
                dialled += 1
                is_here = room_id in rooms
                sides = rooms[room_id if is_here else next(iter(rooms))]
                talk = sides[dialled % 2 if session.has_two_faces else 0].connect(codec)
                if not is_here:
                    talk.close_code = CloseCode.TRY_AGAIN_LATER.code
                return talk

            if not has_key:
                _introduce(world, world.servers[step.who])
            world.saw(f"lie {name}")
            impostor = Impostor(world, world.servers[step.who], converse)
            impostor.take_over()

            async def end() -> None:
                await asyncio.sleep(step.how.get("for_s", 10.0))
                impostor.leave()

            world.loop.create_task(end())

        action(f"hostile server {name}")(start)
        return session

    return register


def _introduce(world: World, server: ServerMachine) -> None:
    """Tell everybody the key beforehand: who trusts at first sight would trust anybody now."""
    for client in world.clients.values():
        if client.origin == server.origin:
            client.pin(server.identity.public_key)


def _rooms(
    world: World, step: Step, session: type[FalseSession], *, has_key: bool
) -> dict[str, list[FalseServer]]:
    """The rooms that the honest server can be seen to have now, each twice."""
    server = world.servers[step.who]
    chance = world.chance(f"{step.do} {step.at_ms}")
    rooms: dict[str, list[FalseServer]] = {}
    for room_id in dict.fromkeys(client.room_id for client in world.clients.values()):
        sides = [FalseServer(world, server, room_id, chance, session, step.how) for _ in range(2)]
        if all(side.is_possible for side in sides):
            rooms[room_id] = sides
            for side in sides:
                if not has_key:
                    side.without_key()
                session.prepare(side)
    return rooms
