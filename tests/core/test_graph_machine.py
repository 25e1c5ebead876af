"""A graph that grows between questions answers as one kept as a dict of sets."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roomlog.core.difference import Difference
from roomlog.core.graph import BASE_ID, Graph
from roomlog.core.projection import KeyProjection
from roomlog.core.snapshot.critical import MAX_HEADS, CriticalPlace, newest_critical
from tests.core.building import index_id, maximal
from tests.state_machines import machine_test

KEYS = "abc"
AUTHORS = [bytes([number]) * 32 for number in range(3)]
picks = st.lists(st.integers(0, 1 << 16), max_size=4)


def numbers_of(ranges: list[tuple[int, int]]) -> list[int]:
    """Half-open ranges one by one; they must ascend and not touch."""
    ends = [end for _, end in ranges[:-1]]
    assert all(start < end for start, end in ranges)
    assert all(end < start for end, (start, _) in zip(ends, ranges[1:], strict=True))
    return [lv for start, end in ranges for lv in range(start, end)]


class GraphMachine(RuleBasedStateMachine):
    """One graph; the model is, for each local version, the set of all at or below it."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()
        self.ids: list[bytes] = []
        self.parents: list[tuple[int, ...]] = []
        self.authors: list[bytes] = []
        self.clocks: list[int] = []
        self.below: list[set[int]] = []
        self.projections = {key: KeyProjection() for key in KEYS}
        self.touched: dict[str, list[int]] = {key: [] for key in KEYS}
        self.differences: list[tuple[Difference, list[int], list[int]]] = []
        self.places: list[tuple[CriticalPlace, int]] = []
        self.based = 0

    @initialize(ghosts=st.none() | st.integers(0, 20))
    def begin(self, ghosts: int | None) -> None:
        """A first node, or a base with some ghosts below it and a node on top."""
        if ghosts is not None:
            ids = [b"ghost" + index_id(number) for number in range(ghosts)]
            self.graph.add_base(ids, 7)
            self.based = ghosts + 1
            for number, node_id in enumerate([*ids, BASE_ID]):
                self._model(
                    node_id, b"", 7 if node_id == BASE_ID else 0, [number - 1][: number > 0]
                )
        self.write([], AUTHORS[0], "root", 1, set())

    def _model(self, node_id: bytes, author: bytes, clock: int, parents: list[int]) -> None:
        lv = len(self.ids)
        self.ids.append(node_id)
        self.authors.append(author)
        self.clocks.append(clock)
        self.parents.append(tuple(parents))
        self.below.append({lv}.union(*(self.below[parent] for parent in parents)))

    def chosen(self, numbers: list[int]) -> list[int]:
        """A version: local versions, ascending, mostly near the end."""
        count = len(self.ids)
        if not count:
            return []
        spread = [count - 1 - number % min(count, 8 if number % 3 else count) for number in numbers]
        return sorted(set(spread))

    def history(self, version: list[int]) -> set[int]:
        return set().union(*(self.below[lv] for lv in version))

    @rule(
        numbers=picks,
        author=st.sampled_from(AUTHORS),
        shape=st.sampled_from(["line", "line", "line", "any", "heads", "root"]),
        count=st.sampled_from([1, 1, 2, 5, 17]),
        keys=st.sets(st.sampled_from(KEYS)),
    )
    def write(
        self, numbers: list[int], author: bytes, shape: str, count: int, keys: set[str]
    ) -> None:
        for _ in range(count):
            lv = len(self.ids)
            parents = {
                "line": [lv - 1][: lv > 0],
                "any": self.chosen(numbers),
                "heads": maximal(set(range(lv)), self.below),
                "root": [self.based - 1][: self.based],
            }[shape]
            clock = 1 + max((self.clocks[parent] for parent in parents), default=0)
            # In any order: a graph sorts them itself.
            ids = [self.ids[parent] for parent in reversed(parents)]
            assert self.graph.add(index_id(lv), author, clock, ids) == lv
            self._model(index_id(lv), author, clock, parents)
            for key in sorted(keys):
                projection, touched = self.projections[key], self.touched[key]
                expected = maximal(self.below[lv] & set(touched), self.below)
                if lv % 2:
                    assert projection.touch(self.graph, lv) == expected
                else:
                    assert projection.parents(self.graph, lv) == expected
                    projection.add(self.graph, lv)
                touched.append(lv)
            shape = "line"

    @rule(number=st.integers(0, 1 << 16), others=picks)
    def add_again(self, number: int, others: list[int]) -> None:
        lv = self.based + number % (len(self.ids) - self.based)
        for parents in (self.parents[lv], self.chosen(others)):
            ids = [self.ids[parent] for parent in parents]
            assert self.graph.add(self.ids[lv], AUTHORS[0], 99, ids) == lv

    @rule(numbers=picks, number=st.integers(0, 1 << 16), most=st.integers(0, 4))
    def ask_about_a_version(self, numbers: list[int], number: int, most: int) -> None:
        graph, version = self.graph, self.chosen(numbers)
        history = self.history(version)
        lv = number % len(self.ids)
        assert graph.contains(version, lv) == (lv in history)
        assert graph.contains_within(version, lv, most) in (-1, int(lv in history))
        assert numbers_of(graph.ancestors(version)) == sorted(history)
        assert graph.heads_of(list(reversed(version))) == maximal(set(version), self.below)
        for key, projection in self.projections.items():
            seen = history & set(self.touched[key])
            assert projection.below(graph, version) == maximal(seen, self.below)

    @rule(a=picks, b=picks)
    def ask_for_a_difference(self, a: list[int], b: list[int]) -> None:
        one, other = self.chosen(a), self.chosen(b)
        only_one, only_other = self.graph.diff(one, other)
        assert numbers_of(only_one) == sorted(self.history(one) - self.history(other))
        assert numbers_of(only_other) == sorted(self.history(other) - self.history(one))
        self.differences.append((Difference(self.graph, one, other), one, other))

    @precondition(lambda self: self.differences)
    @rule(number=st.integers(0, 1 << 16), chains=st.integers(0, 3))
    def go_on_with_a_difference(self, number: int, chains: int) -> None:
        difference, one, other = self.differences[number % len(self.differences)]
        is_last = difference.advance(chains)
        assert is_last == difference.is_complete
        expected = self.history(one) - self.history(other)
        found = numbers_of(difference.ranges())
        assert set(found) <= expected
        if is_last:
            assert found == sorted(expected)

    @precondition(lambda self: not self.based)
    @rule(number=st.integers(0, 1 << 16), least=st.integers(0, 1 << 16))
    def look_for_a_critical_place(self, number: int, least: int) -> None:
        count = len(self.ids)
        most_seq = count - number % count
        least_seq = 1 + least % most_seq
        critical = [seq for seq in range(1, count + 1) if self.is_critical(seq)]
        wanted = [seq for seq in critical if least_seq <= seq <= most_seq]
        assert newest_critical(self.graph, most_seq, least_seq) == max(wanted, default=0)
        seq = 1 + least % count
        self.places.append((CriticalPlace(self.graph, seq), seq))

    def is_critical(self, seq: int) -> bool:
        early = set(range(seq))
        if len(maximal(early, self.below)) > MAX_HEADS:
            return False
        return all(early <= self.below[lv] for lv in range(seq, len(self.ids)))

    @precondition(lambda self: self.places)
    @rule(number=st.integers(0, 1 << 16), parents=picks)
    def watch_a_place(self, number: int, parents: list[int]) -> None:
        place, seq = self.places[number % len(self.places)]
        assert place.heads == maximal(set(range(seq)), self.below)
        holds = place.holds()
        assert holds == self.is_critical(seq)
        if holds:
            version = self.chosen(parents)
            assert place.is_above(version) == (set(range(seq)) <= self.history(version))

    @invariant()
    def the_graph_is_the_model(self) -> None:
        graph, count = self.graph, len(self.ids)
        heads = maximal(set(range(count)), self.below)
        assert len(graph) == count
        assert graph.frontier == heads
        assert graph.frontier_ids() == sorted(self.ids[lv] for lv in heads)
        for key, projection in self.projections.items():
            assert projection.heads == maximal(set(self.touched[key]), self.below)
            assert len(projection) == len(self.touched[key])

    @rule()
    def ask_about_each_node(self) -> None:
        graph = self.graph
        covered = 0
        while covered < len(self.ids):
            start, end, parents = graph.entry_of(covered)
            assert start == covered
            assert parents == self.parents[start]
            assert all(self.parents[lv] == (lv - 1,) for lv in range(start + 1, end))
            covered = end
        for lv, node_id in enumerate(self.ids):
            assert graph.index_of(node_id) == lv
            assert node_id in graph
            assert graph.id_of(lv) == node_id
            assert graph.clock_of(lv) == self.clocks[lv]
            assert graph.author_of(lv) == self.authors[lv]
            assert graph.parents_of(lv) == self.parents[lv]
            for other in range(max(0, lv - 12), min(len(self.ids), lv + 12)):
                assert graph.is_ancestor(other, lv) == (other in self.below[lv])
        assert graph.index_of(b"unknown") == -1


TestAGrowingGraphAnswersAsSetsDo = machine_test(GraphMachine, weight=5)
