"""Concurrent traces whose outcome no tie-break decides: each step inserts at its own place."""

from __future__ import annotations

import random
from typing import Any

from roomlog import Identity, Replica

FIRST_SEPARATOR = 0x4E00


def generated_trace(agents: int, steps: int, seed: int) -> dict[str, Any]:
    """A history of `steps` transactions in which agents fork, merge, and sometimes do nothing.

    The first one writes a separator for each of the others, behind which only that one inserts.
    """
    source = random.Random(seed)
    replica = Replica("generated", Identity.from_seed(b"g" * 32))
    separators = [chr(FIRST_SEPARATOR + index) for index in range(steps)]
    versions: list[list[bytes]] = []
    transactions: list[dict[str, Any]] = []
    for index in range(steps):
        recent = range(max(0, index - 12), index)
        count = min(len(recent), source.choice([1, 1, 1, 2, 3]))
        parents = sorted(source.sample(recent, count)) if index else []
        branch = replica.branch(sorted({each for at in parents for each in versions[at]}))
        text = branch.text("text")
        patches: list[list[Any]] = []
        if index == 0:
            patches.append([0, 0, "".join(separators)])
        elif source.random() < 0.85:
            place = str(text).index(separators[index]) + 1
            patches.append([place, 0, f"{index}é👋"])
            old = [at for at, character in enumerate(str(text)) if character.isdigit()]
            if old and source.random() < 0.5:
                at = source.choice(old)
                patches.append([at if at < place else at + len(patches[0][2]), 1, ""])
        for position, deleted, inserted in patches:
            if deleted:
                text.delete(position, deleted)
            if inserted:
                text.insert(position, inserted)
        written = branch.commit(index)
        versions.append(written or branch.frontier)
        transactions.append(
            {"parents": parents, "agent": source.randrange(agents), "patches": patches}
        )
    return {
        "kind": "concurrent",
        "endContent": str(replica.text("text")),
        "numAgents": agents,
        "txns": transactions,
    }
