"""One simulated world: time, chance, network and machines, and the journal of what happened."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from roomlog.core.hashing import hash_bytes
from tests.simulation.loop import Life, SimulatedLoop
from tests.simulation.moments import Moments
from tests.simulation.network import Network

if TYPE_CHECKING:
    from tests.simulation.client_machine import ClientMachine
    from tests.simulation.hostile.impostor import Impostor
    from tests.simulation.invariants.invariants import Invariants
    from tests.simulation.server_machine import ServerMachine

EPOCH_MS = 1_790_000_000_000
"""The wall clock when a world begins."""


class World:
    """Everything of one run. `directory` is empty and the run's alone."""

    def __init__(self, seed: int, directory: Path, *, most_steps: int = 2_000_000) -> None:
        self.seed = seed
        self.directory = directory
        self.loop = SimulatedLoop(self.chance("threads"), most_steps=most_steps)
        self.seen: Counter[str] = Counter()
        """How often each thing happened that the coverage report asks for."""
        self.journal: list[str] = []
        self.network = Network(self.loop, self.chance("network"), self.saw)
        self.servers: dict[str, ServerMachine] = {}
        self.clients: dict[str, ClientMachine] = {}
        self.strangers: list[Life] = []
        """Whoever is hostile and at it."""
        self.impostors: list[Impostor] = []
        """Who stands in the place of an honest server."""
        self.forbidden: dict[bytes, str] = {}
        """Nodes that nobody may ever take, by id, and what is wrong with each."""
        self.invariants: Invariants
        self.moments = Moments(self.loop)

    def chance(self, purpose: str) -> random.Random:
        """A stream of chance of its own: what one purpose draws changes no other."""
        return random.Random(f"{self.seed} {purpose}")

    def saw(self, what: str) -> None:
        """Something happened that coverage counts."""
        self.seen[what] += 1

    def write(self, who: str, what: str) -> None:
        """A line of the journal: what two runs of one plan must have in common."""
        what = what.replace(str(self.directory), "")
        self.journal.append(f"{self.loop.time():.6f} {who} {what}")

    def journal_hash(self) -> str:
        """What to compare two runs by."""
        return hash_bytes("\n".join(self.journal).encode()).hex()[:16]

    def close(self) -> None:
        """The run is over: every life ends, and nothing that is left over does anything."""
        for machine in (*self.servers.values(), *self.clients.values()):
            if machine.life is not None:
                machine.life.is_over = True
        for life in (*self.strangers, *(each.life for each in self.impostors)):
            life.is_over = True
        self.loop.forget()
