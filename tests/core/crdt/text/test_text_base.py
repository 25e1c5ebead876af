"""A document that begins at a critical version says what one with the whole history says."""

from __future__ import annotations

import os
from random import Random

import pytest

from roomlog.core.crdt.text import TextDocument, TextEdit, rebase_edits
from tests.core.crdt.text.text_runs import apply_effects
from tests.oracle.histories import Graph, TextHistory, arrival_order, random_graph, text_history

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 3

Node = tuple[int, list[int], list[TextEdit]]


def cut_graph(random: Random) -> tuple[Graph, int]:
    """A random graph, one node over all of it, and another random graph on top of that node."""
    graph = random_graph(random, random.choice([1, 3, 12]), random.choice([2, 4]))
    base = graph.add(0, 0, frozenset(range(len(graph.nodes))))
    below = graph.histories[base]
    upper = random_graph(random, random.choice([1, 3, 8, 20, 40]), random.choice([2, 3, 5]))
    for index, node in enumerate(upper.nodes):
        view = frozenset(base + 1 + other for other in upper.histories[index] if other != index)
        graph.add(node.author, node.device, below | view)
    return graph, base


class BasedRun:
    """The upper part of a history, given to a document that knows the lower part as text only."""

    def __init__(self, random: Random, span_limit: int = 200_000) -> None:
        self.random = random
        self.graph, self.base = cut_graph(random)
        self.history: TextHistory = text_history(random, self.graph)
        self.handle = random.choice([0, 3])
        self.handles = {self.base: self.handle}
        self.keys: dict[int, bytes] = {}
        self.base_text = self.history.naive.text(self.graph.histories[self.base])
        self.document = TextDocument(
            self.keys.__getitem__, span_limit, base=(self.handle, self.base_text)
        )
        self.order = [index for index in arrival_order(random, self.graph) if index > self.base]

    def node(self, index: int) -> Node:
        handle = max(self.handles.values()) + self.random.choice([1, 1, 4])
        self.handles[index] = handle
        # The base has no key: nothing may ask for it.
        self.keys[handle] = self.history.keys[index]
        parents = [self.handles[parent] for parent in self.graph.nodes[index].parents]
        return handle, parents, [TextEdit(*edit) for edit in self.history.edits[index]]

    def expected(self, seen: list[int]) -> str:
        return self.history.naive.text(self.graph.histories[self.base] | frozenset(seen))


@pytest.mark.parametrize("block", range(4))
def test_nodes_above_a_base_give_the_text_of_the_whole_history(block: int) -> None:
    same_place = 0
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        run = BasedRun(random, random.choice([1, 10, 200_000]))
        same_place += run.history.same_place > 0
        document = run.document
        assert str(document) == run.base_text
        at = 0
        while at < len(run.order):
            size = random.choice([1, 1, 2, 5, 9, len(run.order)])
            part = run.order[at : at + size]
            at += size
            before = str(document)
            nodes = [run.node(index) for index in part]
            effects = document.add_node(*nodes[0]) if size == 1 else document.add_nodes(nodes)
            assert effects is not None
            assert apply_effects(before, effects) == str(document)
            assert str(document) == run.expected(run.order[:at]), f"seed {seed}"
    assert same_place * 10 >= HISTORIES / 4


def test_local_edits_on_a_base_meet_concurrent_ones_in_the_order_of_their_keys() -> None:
    keys = {8: b"b", 9: b"a"}
    document = TextDocument(keys.__getitem__, base=(7, "held"))
    document.insert(8, 2, "xx")
    document.delete(8, 0, 1)
    assert document.add_node(9, [7], [TextEdit(2, 0, "yy"), TextEdit(0, 2, "")]) == [
        TextEdit(1, 0, "yy"),
        TextEdit(0, 1, ""),
    ]
    assert str(document) == "yyxxld"


def test_an_empty_base_is_a_version_too() -> None:
    keys = {1: b"b", 2: b"a", 3: b"c", 4: b"d"}
    document = TextDocument(keys.__getitem__, base=(0, ""))
    assert document.add_nodes(
        [
            (1, [0], [TextEdit(0, 0, "one")]),
            (2, [0], [TextEdit(0, 0, "two")]),
            (3, [1, 2], [TextEdit(1, 0, "!")]),
            (4, [0], [TextEdit(1, 0, "outside")]),
        ]
    )
    assert str(document) == "t!woone"


def test_a_node_without_the_base_in_its_history_is_refused_and_changes_nothing() -> None:
    document = TextDocument(lambda node: b"", base=(4, "text"))
    with pytest.raises(ValueError, match="base"):
        document.add_node(5, [], [TextEdit(0, 0, "a")])
    with pytest.raises(ValueError, match="base"):
        document.add_nodes([(5, [], [TextEdit(0, 0, "a")])])
    with pytest.raises(ValueError, match="unknown"):
        document.add_node(5, [3], [TextEdit(0, 0, "a")])
    with pytest.raises(ValueError, match="after"):
        document.add_node(4, [4], [TextEdit(0, 0, "a")])
    assert str(document) == "text"
    document.add_node(5, [4], [TextEdit(0, 0, "a")])
    assert str(document) == "atext"


def test_walks_that_reach_back_further_and_further_end_at_the_base() -> None:
    keys = {0: b"0"}
    handles: dict[int, int] = {0: 0}
    document = TextDocument(keys.__getitem__, base=(0, "0123456789"))
    for node in range(1, 40):
        keys[node] = bytes([node])
        document.add_node(node, [node - 1], [TextEdit(10, 0, "x")])
        handles[node] = node
    for late in range(40):
        keys[40 + late] = bytes([40 + late])
        document.add_node(40 + late, [39 - late], [TextEdit(0, 1, ""), TextEdit(9, 0, "y")])
    # All 40 delete the same character, and each writes beside a different number of x.
    assert str(document)[:9] == "123456789"
    assert sorted(str(document)[9:]) == ["x"] * 39 + ["y"] * 40


@pytest.mark.parametrize("block", range(2))
def test_edits_are_rebased_on_a_base_as_on_the_whole_history(block: int) -> None:
    changes = 0
    for seed in range(block, HISTORIES, 2):
        random = Random(seed)
        run = BasedRun(random)
        below = [index for index in arrival_order(random, run.graph) if index <= run.base]
        handles = {index: at for at, index in enumerate([*below, *run.order])}
        keys = {handles[index]: run.history.keys[index] for index in handles}
        nodes: list[Node] = [
            (
                handle,
                [handles[parent] for parent in run.graph.nodes[index].parents],
                [TextEdit(*edit) for edit in run.history.edits[index]],
            )
            for index, handle in handles.items()
        ]
        chance = random.choice([0.05, 0.4])
        dropped = {
            (node, at)
            for node, _, edits in nodes
            for at in range(len(edits))
            if node > handles[run.base] and random.random() < chance
        }
        whole = rebase_edits(nodes, dropped, keys.__getitem__)
        upper = nodes[handles[run.base] + 1 :]
        base = (handles[run.base], run.base_text)
        assert rebase_edits(upper, dropped, keys.__getitem__, base) == whole, f"seed {seed}"
        changes += len(whole)
    assert changes > HISTORIES / 2
