"""Attacks by name: each a coroutine of an `Attacker`, registered as an action "hostile NAME"."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from roomlog.core.node import Node
from roomlog.core.reject import RejectClass
from roomlog.identity import Identity
from roomlog.protocol.codec import Codec
from roomlog.protocol.messages import Error, PackAck
from tests.simulation.actions import action
from tests.simulation.hostile.raw_session import Closed, RawSession
from tests.simulation.invariants.violation import Violation
from tests.simulation.loop import Life
from tests.simulation.plan import Step
from tests.simulation.world import World

NOT_NOW = frozenset(
    each.wire
    for each in (
        RejectClass.STORE_UNAVAILABLE,
        RejectClass.DRAINING,
        RejectClass.QUEUE_FULL,
        RejectClass.ROOM_FULL,
        RejectClass.RATE_MESSAGES,
        RejectClass.RATE_NODES,
        RejectClass.RATE_BYTES,
        RejectClass.NOT_NEGOTIATED,
        RejectClass.CLOCK_AHEAD,
        RejectClass.INTERNAL,
    )
)
"""What a server under other troubles, or set up otherwise, may say instead of judging."""

LONGEST_ATTACK_S = 120.0


class Attacker:
    """Somebody with a key of its own. `how` is the step's."""

    def __init__(self, world: World, name: str, step: Step) -> None:
        self.world = world
        self.name = name
        self.how = step.how
        self.room_id: str = step.how.get("room", "room")
        self.server_name: str = step.how.get("server", next(iter(world.servers)))
        self.origin = world.servers[self.server_name].origin
        self.codec = Codec.JSON if step.how.get("codec") == "json" else Codec.MSGPACK
        self.chance: random.Random = world.chance(f"{name} {step.do} {step.at_ms}")
        self.identity = Identity.from_seed(world.chance(f"{name} key").randbytes(32))
        self.life = Life(name)

    def stranger(self) -> Identity:
        """A key that nobody has used."""
        return Identity.from_seed(self.chance.randbytes(32))

    def victim(self) -> bytes | None:
        """The public key of an honest client of the room, if there is one."""
        keys = [
            client.identity.public_key
            for client in self.world.clients.values()
            if client.identity is not None and client.room_id == self.room_id
        ]
        return self.chance.choice(keys) if keys else None

    def session(
        self, identity: Identity | None = None, *, anonymous: bool = False, **changed: Any
    ) -> RawSession:
        """A new session, not dialled yet; with the attacker's own key unless told otherwise."""
        keywords = {"origin": self.origin, "room_id": self.room_id, "codec": self.codec}
        return RawSession(
            self.world,
            self.life,
            self.chance,
            None if anonymous else identity or self.identity,
            **{**keywords, **changed},
        )

    def forbid(self, node: Node, what: str) -> None:
        """From now on it is a violation if anybody takes `node`."""
        self.world.forbidden[node.id] = what

    def demand(self, holds: bool, what: str) -> None:
        """What a server must do whatever is sent to it. Raises `Violation`."""
        if not holds:
            raise Violation("hostile_client_succeeded", f"{self.name}: {what}")

    def demand_class(self, answer: object, *classes: RejectClass) -> None:
        """`answer` refuses all that was sent, for one of `classes` or because it is busy."""
        names = {each.wire for each in classes} | NOT_NOW
        if isinstance(answer, Error):
            self.demand(answer.reject_class in names, f"{answer.reject_class} not in {names}")
            return
        self.demand(isinstance(answer, PackAck), f"{answer!r} is no refusal")
        assert isinstance(answer, PackAck)
        self.demand(answer.to_seq == 0 and not answer.duplicates, f"taken: {answer!r}")
        for refused in answer.rejected:
            wire = refused.reject_class
            self.demand(wire in names, f"{wire} not in {names}")

    async def demand_close(self, session: RawSession, *codes: int) -> None:
        """The server ends `session` with one of these, or because it has other troubles."""
        code = await session.closed()
        allowed = {*codes, 1006, 1011, 1012, 1013, 4001, 4008}
        self.demand(code in allowed, f"closed with {code}, not one of {sorted(allowed)}")


Attack = Callable[[Attacker], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Register what "hostile NAME" does."""

    def register(function: Attack) -> Attack:
        ATTACKS[name] = function

        def start(world: World, step: Step) -> None:
            attacker = Attacker(world, step.who or "mallory", step)
            world.strangers.append(attacker.life)
            loop = world.loop
            task = loop.in_life(attacker.life, loop.create_task, _run(attacker, name, function))
            task.add_done_callback(lambda done: _ended(world, attacker, done))

        action(f"hostile {name}")(start)
        return function

    return register


async def _run(attacker: Attacker, name: str, function: Attack) -> None:
    with suppress(Closed, OSError, TimeoutError):
        async with asyncio.timeout(attacker.how.get("most_s", LONGEST_ATTACK_S)):
            await function(attacker)
            attacker.world.write(attacker.name, "is through with its attack")
            attacker.world.saw(f"attack {name}")


def _ended(world: World, attacker: Attacker, task: asyncio.Task[None]) -> None:
    world.network.end_life(attacker.life, is_silent=False)
    error = None if task.cancelled() else task.exception()
    if error is not None:
        world.loop.faults.append({"message": f"attack of {attacker.name}", "exception": error})
