"""Where two histories part, when their logs have no order in common.

For each head that the server lacks, the newest of its ancestors that the server has is looked for
along newest parents: at doubling distances, then by halving, several levels in one question. Where
there are many heads, first where their branches begin: a server often lacks them as a whole. What
joined such a chain from the side is looked for in the same way. It costs an id or two for each such
head and level, so it grows with the logarithm of the difference.
"""

from __future__ import annotations

from typing import Final, final

from roomlog.core.graph import BASE_ID, Graph
from roomlog.protocol.client_events import broken
from roomlog.protocol.node_chain import NodeChain, Span, Spans

MOST_DISTANCE: Final = 1 << 24
"""How far below a head is looked."""
MOST_QUESTIONS: Final = 96
"""How many questions are asked in all: more than heads and sides at `MOST_DISTANCE` need."""
MOST_SIDES: Final = 3
"""How often what joined from the side is followed: merges in merged branches."""

FEW_HEADS: Final = 8
"""With more of them, where a head's branch begins is worth a question of its own."""
_DOUBLINGS: Final = 4
"""How many doubling distances one question is about."""
_PARTS: Final = 4
"""Into how many parts one question cuts what lies between: a power of 2."""


@final
class FrontierWalk:
    """One search. `graph` None: nothing is known of what lies below the heads.

    What stands below the heads of a snapshot is no history, and is not asked about.
    """

    def __init__(self, frontier: list[bytes], graph: Graph | None, most_ids: int) -> None:
        self.is_over = False
        """Whether the server has answered with what is missing."""
        self.is_closing = False
        """Whether everything is known that will be: the next ids are the answer, maybe none."""
        self._frontier = frontier
        self._graph = graph
        self._most_ids = most_ids
        self._is_known: dict[bytes, bool] = {}
        are_many = len(frontier) > FEW_HEADS
        self._searches = [_Search(graph, node_id, are_many=are_many) for node_id in frontier]
        self._asked: list[bytes] = []
        self._witness: bytes | None = None
        self._questions = 0
        self._sides = 0

    @property
    def known(self) -> list[bytes]:
        """The newest nodes that the server has, as far as is known."""
        ids = list(dict.fromkeys(each.boundary for each in self._searches if each.boundary))
        graph = self._graph
        if graph is not None:
            # Several ids may stand for one place: the base of a snapshot.
            heads = set(graph.heads_of([graph.index_of(each) for each in ids if each in graph]))
            ids = [each for each in ids if each not in graph or graph.index_of(each) in heads]
        return ids[: self._most_ids]

    @property
    def unknown(self) -> list[bytes]:
        """The oldest nodes found that the server lacks."""
        return [search.deepest for search in self._searches if search.deepest is not None]

    def ids(self) -> list[bytes]:
        """What to ask next; none when the server has nothing of it."""
        probes = self._probes()
        while not probes and self._follow_sides():
            probes = self._probes()
        self._questions += 1
        if not probes or self._questions > MOST_QUESTIONS:
            self.is_closing = True
            self._asked = self.known
            return self._asked
        # As long as one of them is unknown, the server sends nothing.
        witness = [] if self._witness is None else [self._witness]
        self._asked = [*witness, *probes][: self._most_ids]
        return self._asked

    def learn(self, unknown: list[int]) -> None:
        """Which of the ids asked last the server lacks, by index.

        What it lacked before it may have by now: others give back what it lost as well. Once none
        is lacking it has sent all that is in the history of none of them, and the walk is over.
        Raises `ServerFault` for what cannot be.
        """
        lacking = set(unknown)
        if len(lacking) != len(unknown) or not lacking <= set(range(len(self._asked))):
            raise broken("request-end", "unknown ids that were not asked for")
        if self.is_closing and lacking:
            raise broken("request-end", "ids are unknown that were known before")
        for index, node_id in enumerate(self._asked):
            self._is_known[node_id] = index not in lacking
        if lacking:
            self._witness = self._asked[min(lacking)]
        else:
            self.is_over = True
        self._probes()

    def _probes(self) -> list[bytes]:
        """What every search asks next; each takes note of what is known by now."""
        probes: dict[bytes, None] = {}
        for search in self._searches:
            probes.update(dict.fromkeys(search.next_ids(self._is_known)))
        return list(probes)

    def _follow_sides(self) -> bool:
        """Begin to look for what joined the chains from the side; whether there is any."""
        graph = self._graph
        if graph is None or self._sides == MOST_SIDES:
            return False
        self._sides += 1
        explored: list[Span] = []
        for search in self._searches:
            explored += search.explored()
        if not explored:
            return False
        heads = [graph.index_of(each) for each in self._frontier if not self._is_known[each]]
        known = [lv for lv in map(graph.index_of, self.known) if lv >= 0]
        within = Spans(graph.diff([lv for lv in heads if lv >= 0], known)[0])
        outside = Spans(explored)
        joined: set[int] = set()
        for start, end in explored:
            joined.update(_parents_from_aside(graph, start, end))
        base = graph.index_of(BASE_ID)
        sides = graph.heads_of(
            [lv for lv in joined if lv > base and lv in within and lv not in outside]
        )
        room = self._most_ids - 1
        self._searches += [
            _Search(graph, graph.id_of(lv), within, outside) for lv in reversed(sides[-room:])
        ]
        return bool(sides)


@final
class _Search:
    """One head, and between which distances below it the server's history begins."""

    __slots__ = ("_chain", "_high", "_low", "_node_id", "_run", "boundary", "deepest")

    def __init__(
        self,
        graph: Graph | None,
        node_id: bytes,
        within: Spans | None = None,
        outside: Spans | None = None,
        *,
        are_many: bool = False,
    ) -> None:
        self.boundary: bytes | None = None
        """The newest node of the chain that the server is known to have."""
        self.deepest: bytes | None = None
        """The oldest one that it is known to lack."""
        self._node_id = node_id
        self._chain: tuple[Graph, NodeChain] | None = None
        self._run = 0
        """How many nodes the run has that ends with the head; 0 once that is of no more use."""
        if graph is not None and node_id in graph:
            lv = graph.index_of(node_id)
            self._chain = graph, NodeChain(graph, lv, within, outside)
            if are_many:
                self._run = lv - graph.entry_of(lv)[0] + 1
        self._low = -1
        self._high = -1

    def next_ids(self, is_known: dict[bytes, bool]) -> list[bytes]:
        """What to ask next; nothing when the boundary is found or will not be."""
        if self._low == 0 and self._run:
            ends = self._ends_of_run(is_known)
            if ends:
                return ends
        while distances := self._next_distances():
            ids: list[bytes] = []
            for distance in distances:
                node_id = self._at(distance)
                if node_id is None:
                    self._high = distance
                    break
                if node_id not in is_known:
                    ids.append(node_id)
                elif is_known[node_id]:
                    self._high = distance
                    self.boundary = node_id
                    break
                else:
                    # Whatever lies above it the server lacks as well.
                    self._low = distance
                    self.deepest = node_id
                    ids.clear()
            if ids:
                return ids
        return []

    def _ends_of_run(self, is_known: dict[bytes, bool]) -> list[bytes]:
        """The first node of the head's run and the one before, unless both are decided."""
        first, before = self._at(self._run - 1), self._at(self._run)
        ends = [each for each in (first, before) if each is not None]
        ids = [each for each in ends if each not in is_known]
        if not ids:
            if first is not None and not is_known[first]:
                self._low, self.deepest = self._run - 1, first
                if before is None:
                    self._high = self._run
                elif is_known[before]:
                    self._high, self.boundary = self._run, before
                else:
                    self._low, self.deepest = self._run, before
            self._run = 0
        return ids

    def explored(self) -> list[Span]:
        """The local versions of the chain that the server lacks."""
        return [] if self._chain is None else self._chain[1].above(self._low + 1)

    def _next_distances(self) -> list[int]:
        low, high = self._low, self._high
        if high >= 0:
            cuts = [low + (high - low) * part // _PARTS for part in range(1, _PARTS)]
            return [distance for distance in dict.fromkeys(cuts) if distance > low]
        if low < 0:
            return [0]
        first = max(1, 2 * low)
        doubling = [first << step for step in range(_DOUBLINGS)]
        return [distance for distance in doubling if distance <= MOST_DISTANCE]

    def _at(self, distance: int) -> bytes | None:
        if distance == 0:
            return self._node_id
        if self._chain is None:
            return None
        graph, chain = self._chain
        lv = chain.at(distance)
        return None if lv <= graph.index_of(BASE_ID) else graph.id_of(lv)


def _parents_from_aside(graph: Graph, start: int, end: int) -> list[int]:
    """The parents of a span of one run that are not its newest: only its first has such."""
    entry_start, _, parents = graph.entry_of(end - 1)
    return list(parents[:-1]) if entry_start == start else []
