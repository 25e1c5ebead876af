"""The place for nodes without parents: what it gives, drops and counts, as a dict of sets does."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomlog.core.node import Node
from roomlog.core.subscription import without_body
from roomlog.core.waiting import WaitingNodes
from tests.core.building import change
from tests.state_machines import machine_test

picks = st.integers(0, 1 << 16)


class WaitingMachine(RuleBasedStateMachine):
    """Nodes arrive in any order; the model knows for each which parents are still missing."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = WaitingNodes()
        self.most_nodes = 0
        self.nodes: list[Node] = []
        self.here: set[bytes] = set()
        """Ids that are taken in, by the model's shell."""
        self.missing: dict[bytes, set[bytes]] = {}
        self.bodiless: set[bytes] = set()

    @initialize(most_nodes=st.sampled_from([1, 3, 1000]))
    def begin(self, most_nodes: int) -> None:
        self.most_nodes = most_nodes
        self.waiting = WaitingNodes(max_nodes=most_nodes)
        for parents in ([], [0], [0], [1, 2]):
            self.write(parents)

    def node(self, number: int) -> Node:
        return self.nodes[number % len(self.nodes)]

    @rule(parents=st.lists(picks, max_size=3))
    def write(self, parents: list[int]) -> None:
        """A node that nobody here has got yet."""
        on = {self.node(number).id: self.node(number) for number in parents}
        clock = 1 + max([each.clock for each in on.values()], default=len(self.nodes))
        node = change(parents=list(on.values()), clock=clock)
        if all(node.id != each.id for each in self.nodes):
            self.nodes.append(node)

    @rule(number=picks, is_whole=st.booleans())
    def arrive(self, number: int, is_whole: bool) -> None:
        node = self.node(number)
        if node.id in self.here:
            return
        missing = [parent for parent in node.parents if parent not in self.here]
        if not missing:
            self.take(node.id)
            return
        fits = node.id in self.missing or len(self.missing) < self.most_nodes
        assert self.waiting.add(node if is_whole else without_body(node), missing) == fits
        if fits and node.id not in self.missing:
            self.missing[node.id] = set(missing)
            if not is_whole:
                self.bodiless.add(node.id)

    def take(self, node_id: bytes) -> None:
        """Take a node in, and whatever waited for it: each when its last parent is there."""
        taken = [node_id]
        while taken:
            done = taken.pop(0)
            self.here.add(done)
            ready = self.waiting.resolve(done)
            waiters = [each for each, missing in self.missing.items() if done in missing]
            for each in waiters:
                self.missing[each].remove(done)
            expected = {each for each in waiters if not self.missing[each]}
            assert {node.id for node in ready} == expected
            assert len(ready) == len(expected)
            for each in expected:
                del self.missing[each]
                self.bodiless.discard(each)
            taken += [node.id for node in ready]

    @rule(number=picks)
    def fill(self, number: int) -> None:
        node = self.node(number)
        assert self.waiting.fill(node) == (node.id in self.bodiless)
        self.bodiless.discard(node.id)

    @rule(number=picks)
    def refuse(self, number: int) -> None:
        """What stands on a refused node, directly or not, goes."""
        node = self.node(number)
        if node.id in self.here or node.id in self.missing:
            return
        gone, refused = set(), [node.id]
        while refused:
            root = refused.pop()
            for each in self.nodes:
                if each.id in self.missing and root in self.missing[each.id]:
                    refused.append(each.id)
                    gone.add(each.id)
        dropped = self.waiting.drop_descendants(node.id)
        assert sorted(each.id for each in dropped) == sorted(gone)
        for each in gone:
            del self.missing[each]
            self.bodiless.discard(each)

    @rule()
    def clear(self) -> None:
        self.waiting.clear()
        self.missing.clear()
        self.bodiless.clear()

    @invariant()
    def the_place_is_the_model(self) -> None:
        assert len(self.waiting) == len(self.missing)
        assert {node.id for node in self.waiting} == self.missing.keys()
        assert all((node.body is None) == (node.id in self.bodiless) for node in self.waiting)
        awaited = set().union(*self.missing.values()) - self.missing.keys()
        assert set(self.waiting.missing_ids()) == awaited
        assert (self.waiting.size_bytes == 0) == (not self.missing)
        assert all(node.id in self.waiting for node in self.waiting)


TestNodesWaitAsInADictOfSets = machine_test(WaitingMachine, weight=5)
