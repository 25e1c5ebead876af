"""Editing traces of github.com/josephg/editing-traces, as work for each of their agents.

Sequential form: `{startContent, endContent, txns: [{patches}]}`. Concurrent form:
`{endContent, numAgents, txns: [{parents, agent, patches}]}`. A patch is
`[position, deleted, inserted]`; positions are Unicode code points of the merged parents with the
transaction's earlier patches applied.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Patch = tuple[int, int, str]


@dataclass
class Step:
    """What one agent writes as one node: `patches` on exactly the state after `parents`."""

    index: int
    parents: list[int]
    patches: list[Patch]


@dataclass
class History:
    """A trace as steps; their indexes count from 0, parents before children."""

    end_content: str
    is_concurrent: bool
    steps: dict[int, list[Step]] = field(default_factory=dict)
    """By agent, in the order in which the agent wrote them."""
    edit_count: int = 0

    @property
    def step_count(self) -> int:
        return sum(len(steps) for steps in self.steps.values())

    def readers(self) -> dict[int, set[int]]:
        """For each step, the other agents that build on it."""
        author = {step.index: agent for agent, steps in self.steps.items() for step in steps}
        readers: dict[int, set[int]] = {}
        for agent, steps in self.steps.items():
            for step in steps:
                for parent in step.parents:
                    if author[parent] != agent:
                        readers.setdefault(parent, set()).add(agent)
        return readers

    def heads(self) -> set[int]:
        """The steps that nobody builds on."""
        indexes = {step.index for steps in self.steps.values() for step in steps}
        parents = {
            parent for steps in self.steps.values() for step in steps for parent in step.parents
        }
        return indexes - parents


def load_history(path: Path, edits_per_node: int, agent_count: int | None) -> History:
    """Read a trace, gzipped or not. Raises ValueError when it has another form."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        trace = json.loads(file.read())
    if not isinstance(trace, dict) or "endContent" not in trace or "txns" not in trace:
        raise ValueError(f"{path}: no trace: it lacks endContent or txns")
    start = trace.get("startContent") or ""
    transactions = trace["txns"]
    is_concurrent = "numAgents" in trace or any("parents" in each for each in transactions)
    if is_concurrent:
        history = _concurrent(trace["endContent"], start, transactions)
        agents = max(int(trace.get("numAgents") or 0), agent_count or 0)
    else:
        history = _sequential(trace["endContent"], start, transactions, edits_per_node)
        agents = max(1, agent_count or 0)
    for agent in range(agents):
        history.steps.setdefault(agent, [])
    history.edit_count = len(transactions)
    return history


def _patches(transaction: dict[str, Any]) -> list[Patch]:
    return [
        (int(position), int(deleted), str(inserted))
        for position, deleted, inserted in transaction.get("patches") or []
    ]


def _sequential(
    end: str, start: str, transactions: list[dict[str, Any]], edits_per_node: int
) -> History:
    history = History(end, is_concurrent=False)
    steps = history.steps.setdefault(0, [])
    if start:
        steps.append(Step(0, [], [(0, 0, start)]))
    for first in range(0, len(transactions), edits_per_node):
        patches: list[Patch] = []
        for transaction in transactions[first : first + edits_per_node]:
            patches += _patches(transaction)
        index = len(steps)
        steps.append(Step(index, [index - 1] if index else [], patches))
    return history


def _concurrent(end: str, start: str, transactions: list[dict[str, Any]]) -> History:
    history = History(end, is_concurrent=True)
    # A start is a step of its own that everything without parents builds on.
    shift = 1 if start else 0
    if start:
        first_agent = int(transactions[0].get("agent", 0)) if transactions else 0
        history.steps.setdefault(first_agent, []).append(Step(0, [], [(0, 0, start)]))
    for number, transaction in enumerate(transactions):
        parents = [int(parent) + shift for parent in transaction.get("parents") or []]
        if not parents and start:
            parents = [0]
        if any(not 0 <= parent < number + shift for parent in parents):
            raise ValueError(f"txns[{number}]: a parent that does not come before it")
        step = Step(number + shift, parents, _patches(transaction))
        history.steps.setdefault(int(transaction.get("agent", 0)), []).append(step)
    return history
