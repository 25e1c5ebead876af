"""Every fault there is, and which of them a seed goes through."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from roomlog.identity import Identity
from roomlog.store.sqlite import SqliteStore
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.migrations import MIGRATIONS
from tests.cli.stores import write_room
from tests.crash import damage, signals, starvation
from tests.crash.killed_writer import MODES
from tests.crash.round import Round

FIRST_BUILD = Build("0.1.0", 1, 1, 1, MIGRATIONS[:1])


@dataclass(frozen=True)
class Fault:
    """`befall` is called under load, or before there is a server if `is_before`."""

    name: str
    befall: Callable[[Round], Awaitable[None]]
    is_before: bool = False
    place: Callable[[Round], AbstractContextManager[None]] | None = None
    clients: int = 1
    """How many clients there are in processes of their own."""

    def killed_modes(self, here: Round) -> list[str]:
        return here.choose.sample(MODES, self.clients)


async def older_store(here: Round) -> None:
    """A store as the first schema had it, with a room, and a migration that dies."""
    store = SqliteStore.open(here.store, store_id=bytes(16), now_ms=1, build=FIRST_BUILD)
    Identity.load_or_create(store.key_path)
    _, replica = write_room(store, "demo")
    store.close()
    here.authors |= {node.author for node in replica.nodes()}
    await signals.kill_in_migration(here)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill", signals.kill),
        Fault("damage", damage.damage),
        Fault("full disk", starvation.fill_disk, place=starvation.small_disk),
        Fault("killed clients", signals.kill_clients, clients=3),
        Fault("rolling restart", signals.roll),
        Fault("kill in snapshot", signals.kill_in_snapshot),
        Fault("drain", signals.drain),
        Fault("kill in renewal", signals.kill_in_renewal),
        Fault("stopped server", signals.stop_server),
        Fault("limited files", starvation.limit_files),
        Fault("kill at founding", signals.kill_at_founding, is_before=True),
        Fault("kill in refounding", signals.refound),
        Fault("directory away", starvation.move_away),
        Fault("kill in migration", older_store, is_before=True),
        Fault("kill in drain", signals.kill_in_drain),
        Fault("stopped clients", signals.stop_client, clients=2),
        Fault("kill at start", signals.kill_at_start),
        Fault("directory replaced", starvation.replace_directory),
        Fault("read-only disk", starvation.read_only),
        Fault("ended twice", signals.end_twice),
    )
}
LIGHT = ("kill", "drain", "kill in drain", "killed clients", "ended twice", "stopped server")
"""Those that may come beside any other."""


def faults_of(seed: int) -> list[Fault]:
    """The fault at the seed's place of the table, and every other time one of the light ones."""
    names = list(FAULTS)
    first = FAULTS[names[seed % len(names)]]
    choose = random.Random(seed)
    if first.is_before or choose.random() < 0.4:
        return [first, FAULTS[choose.choice(LIGHT)]]
    return [first]
