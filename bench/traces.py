"""The recorded editing histories that the benchmarks replay.

They are looked for in ROOMLOG_TRACES, else in `../shared/traces` beside the checkout. Origin:
github.com/josephg/editing-traces (CC BY 4.0).
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

# One edit of a text: position, number of characters deleted there, text inserted there.
Patch = tuple[int, int, str]


def directory() -> Path:
    named = os.environ.get("ROOMLOG_TRACES")
    return Path(named) if named else Path(__file__).parents[2] / "shared" / "traces"


def load(name: str) -> dict[str, Any]:
    """The trace as recorded; ends the program, saying what to set, when it is not there."""
    path = directory() / f"{name}.json.gz"
    if not path.exists():
        sys.exit(f"{path} is missing: set ROOMLOG_TRACES to the directory of the editing traces")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        loaded: dict[str, Any] = json.load(file)
    return loaded


def sequential_patches(trace: dict[str, Any]) -> list[Patch]:
    """Every edit of a sequential trace, in order."""
    return [
        (position, deleted, inserted)
        for transaction in trace["txns"]
        for position, deleted, inserted in transaction["patches"]
    ]


def agent_versions(transactions: list[dict[str, Any]]) -> list[dict[int, int]]:
    """For each transaction, how many of each agent's transactions its parents have seen.

    ValueError when an agent's own transactions do not form a chain: then counts say nothing.
    """
    seen_by: list[dict[int, int]] = []
    after: list[dict[int, int]] = []
    written: dict[int, int] = {}
    for transaction in transactions:
        version: dict[int, int] = {}
        for parent in transaction["parents"]:
            for agent, count in after[parent].items():
                version[agent] = max(version.get(agent, 0), count)
        agent = transaction["agent"]
        if version.get(agent, 0) != written.get(agent, 0):
            raise ValueError(f"agent {agent} forks; this trace needs one document per branch")
        seen_by.append(version)
        written[agent] = written.get(agent, 0) + 1
        after.append({**version, agent: written[agent]})
    return seen_by
