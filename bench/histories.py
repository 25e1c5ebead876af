"""Histories as roomlog nodes, made before anything is timed."""

from __future__ import annotations

import time
from typing import Any

from bench.traces import Patch
from roomlog.core.clock import UNITS_PER_MS
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import TextDelete, TextInsert
from roomlog.identity import Identity

ROOM = "bench"
KEY = "text"
START_MS = 1_700_000_000_000


class TimedSigner:
    """An identity that adds up how long it signs."""

    def __init__(self, identity: Identity) -> None:
        self.public_key = identity.public_key
        self.seconds = 0.0
        self._sign = identity.sign

    def sign(self, purpose: Any, payload: bytes) -> bytes:
        start = time.perf_counter()
        signature = self._sign(purpose, payload)
        self.seconds += time.perf_counter() - start
        return signature


def author(number: int) -> Identity:
    """The same keys in every run, so that packs have the same bytes."""
    return Identity.from_seed(bytes([number + 1]) * 32)


def operations(patches: list[Patch]) -> list[TextInsert | TextDelete]:
    """The patches as text operations, applied in order; a replacement is a delete and an insert."""
    made: list[TextInsert | TextDelete] = []
    for position, deleted, inserted in patches:
        if deleted:
            made.append(TextDelete(KEY, position, deleted))
        if inserted:
            made.append(TextInsert(KEY, position, inserted))
    return made


def concurrent_nodes(transactions: list[dict[str, Any]], lineage: bytes) -> list[Node]:
    """One signed node a transaction, with exactly its parents, by its agent."""
    hasher = NodeHasher(lineage)
    authors: dict[int, Identity] = {}
    nodes: list[Node] = []
    for index, transaction in enumerate(transactions):
        agent = transaction["agent"]
        if agent not in authors:
            authors[agent] = author(agent)
        # A clock of its own for each node, above every parent's: one millisecond a transaction.
        clock = (START_MS + index) * UNITS_PER_MS
        parents = [nodes[parent].id for parent in transaction["parents"]]
        made = operations(transaction["patches"])
        nodes.append(make_node(hasher, authors[agent], CHANGE, clock, parents, made))
    return nodes
