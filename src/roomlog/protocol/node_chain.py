"""Chains down a graph along newest parents, walked no further than somebody asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import final

from roomlog.core.graph import Graph

Span = tuple[int, int]
"""Local versions from the first to before the second."""


@final
class Spans:
    """Local versions as ascending spans that do not touch."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, spans: Iterable[Span]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __contains__(self, lv: int) -> bool:
        return lv < self.end_below(lv, -1)

    def start_of(self, lv: int) -> int:
        """Where the span begins that `lv` lies in."""
        return self._starts[bisect_right(self._starts, lv) - 1]

    def end_below(self, lv: int, default: int) -> int:
        """Where the newest span ends that begins at or below `lv`."""
        index = bisect_right(self._starts, lv) - 1
        return self._ends[index] if index >= 0 else default


@final
class NodeChain:
    """From one node down, each the newest parent of the one before.

    It stays `within` these spans and `outside` of those, and ends where it would leave or enter.
    """

    __slots__ = ("_graph", "_outside", "_runs", "_starts", "_within")

    def __init__(
        self, graph: Graph, lv: int, within: Spans | None = None, outside: Spans | None = None
    ) -> None:
        self._graph = graph
        self._within = within
        self._outside = outside
        # Runs of consecutive local versions: at which distance each begins, and what it spans.
        self._starts: list[int] = [0]
        self._runs: list[Span] = [self._run_to(lv)]

    def at(self, distance: int) -> int:
        """The local version `distance` steps below the first, -1 beyond the end."""
        while True:
            index = bisect_right(self._starts, distance) - 1
            start, end = self._runs[index]
            left = distance - self._starts[index]
            if left < end - start:
                return end - 1 - left
            following = self._following(start)
            if following < 0:
                return -1
            self._starts.append(self._starts[index] + end - start)
            self._runs.append(self._run_to(following))

    def above(self, distance: int) -> list[Span]:
        """What lies at less than `distance`, which was walked already."""
        spans: list[Span] = []
        for reached, (start, end) in zip(self._starts, self._runs, strict=True):
            if reached < distance:
                spans.append((max(start, end - (distance - reached)), end))
        return spans

    def _run_to(self, lv: int) -> Span:
        start = self._graph.entry_of(lv)[0]
        if self._within is not None:
            start = max(start, self._within.start_of(lv))
        if self._outside is not None:
            start = max(start, self._outside.end_below(lv, 0))
        return start, lv + 1

    def _following(self, lv: int) -> int:
        """The next of the chain below `lv`, -1 when it ends there."""
        parents = self._graph.parents_of(lv)
        if not parents:
            return -1
        newest = parents[-1]
        if self._within is not None and newest not in self._within:
            return -1
        if self._outside is not None and newest in self._outside:
            return -1
        return newest
