from __future__ import annotations

import os
from random import Random

import pytest

from roomlog.core.crdt.text import TextDocument, TextEdit, rebase_edits
from tests.oracle.histories import arrival_order, random_graph, text_history
from tests.oracle.naive_rebase import naive_rebase

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 4

Node = tuple[int, list[int], list[TextEdit]]
Name = tuple[int, int]


def key(node: int) -> bytes:
    return node.to_bytes(8, "big")


def plain(changed: dict[Name, list[TextEdit]]) -> dict[Name, list[tuple[int, int, str]]]:
    return {
        name: [(edit.position, edit.delete_length, edit.inserted) for edit in edits]
        for name, edits in changed.items()
    }


def without(
    nodes: list[Node], dropped: set[Name], changed: dict[Name, list[TextEdit]]
) -> list[Node]:
    """The nodes of the history without the dropped edits."""
    return [
        (
            node,
            parents,
            [
                new
                for index, edit in enumerate(edits)
                if (node, index) not in dropped
                for new in changed.get((node, index), [edit])
            ],
        )
        for node, parents, edits in nodes
    ]


@pytest.mark.parametrize("block", range(4))
def test_rebased_edits_are_those_of_the_naive_oracle(block: int) -> None:
    changes = 0
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        graph = random_graph(random, random.choice([3, 6, 10, 20, 40]), random.choice([2, 3, 5]))
        history = text_history(random, graph)
        order = arrival_order(random, graph)
        handles = {index: 3 * at for at, index in enumerate(order)}
        keys = {handles[index]: history.keys[index] for index in order}
        raw = [
            (
                handles[index],
                [handles[parent] for parent in graph.nodes[index].parents],
                history.edits[index],
            )
            for index in order
        ]
        nodes = [(n, parents, [TextEdit(*edit) for edit in edits]) for n, parents, edits in raw]
        names = [(node, at) for node, _, edits in raw for at in range(len(edits))]
        chance = random.choice([0.05, 0.4, 1.0])
        author = random.choice([None, 0])
        dropped = {
            name
            for name in names
            if random.random() < chance
            and (author is None or graph.nodes[order[name[0] // 3]].author == author)
        }
        want, text = naive_rebase(raw, dropped, keys)
        changed = rebase_edits(nodes, dropped, keys.__getitem__)
        assert plain(changed) == want, f"seed {seed}"
        document = TextDocument(keys.__getitem__)
        document.add_nodes(without(nodes, dropped, changed))
        assert str(document) == text, f"seed {seed}"
        changes += len(changed)
    assert changes > HISTORIES // 4


def typed(letters: str) -> list[Node]:
    return [
        (at, [at - 1] if at else [], [TextEdit(at, 0, letter)]) for at, letter in enumerate(letters)
    ]


def test_nothing_dropped_changes_nothing() -> None:
    nodes = typed("abc")
    assert rebase_edits(nodes, set(), key) == {}
    assert rebase_edits(nodes, {(99, 0)}, key) == {}


def test_text_typed_after_a_dropped_letter_moves_up() -> None:
    assert plain(rebase_edits(typed("abcd"), {(1, 0)}, key)) == {
        (2, 0): [(1, 0, "c")],
        (3, 0): [(2, 0, "d")],
    }


def test_a_deletion_loses_what_is_not_there_and_splits_around_what_comes_back() -> None:
    nodes = [
        *typed("abcdef"),
        (6, [5], [TextEdit(2, 2, "")]),  # takes c and d
        (7, [6], [TextEdit(1, 2, "")]),  # takes b and e
        (8, [7], [TextEdit(0, 1, ""), TextEdit(0, 1, "")]),
    ]
    # Without the first deletion, c and d stand between b and e.
    assert plain(rebase_edits(nodes, {(6, 0)}, key)) == {
        (7, 0): [(1, 1, ""), (3, 1, "")],
        (8, 1): [(2, 1, "")],
    }
    # Without the letter b too, only e is left to take.
    assert plain(rebase_edits(nodes, {(6, 0), (1, 0)}, key))[7, 0] == [(3, 1, "")]
    # Without a, nothing is left of the deletion of a.
    assert plain(rebase_edits(nodes, {(0, 0)}, key))[8, 0] == []


def test_an_insertion_keeps_its_left_neighbour() -> None:
    nodes = [
        (0, [], [TextEdit(0, 0, "ad")]),
        (1, [0], [TextEdit(1, 0, "bc")]),
        (2, [0], [TextEdit(1, 0, "XY")]),
        (3, [1, 2], [TextEdit(3, 0, "-")]),
    ]
    # Merged as abcXYd; the hyphen goes between c and X, and stays there.
    assert plain(rebase_edits(nodes, {(1, 0)}, key)) == {(3, 0): [(1, 0, "-")]}
    assert plain(rebase_edits(nodes, {(2, 0)}, key)) == {}


def test_an_edit_without_effect_never_gains_one() -> None:
    nodes = [
        (0, [], [TextEdit(0, 0, "abcdef"), TextEdit(0, 4, "")]),
        (1, [0], [TextEdit(4, 0, "x"), TextEdit(0, 3, ""), TextEdit(9, 0, "y")]),
    ]
    assert plain(rebase_edits(nodes, {(0, 1)}, key)) == {(1, 0): [], (1, 1): []}


def test_unknown_parents_raise() -> None:
    with pytest.raises(ValueError, match="unknown"):
        rebase_edits([(1, [0], [TextEdit(0, 0, "a")])], {(1, 0)}, key)


def test_a_long_chain_of_pending_nodes_is_rebased_whole() -> None:
    count = 5000
    random = Random(1)
    nodes: list[Node] = [(0, [], [TextEdit(0, 0, "abc")])]
    length = 3
    for node in range(1, count):
        if random.random() < 0.3:
            edit = TextEdit(random.randrange(length), 1, "")
            length -= 1
        else:
            edit = TextEdit(random.randint(0, length), 0, "x")
            length += 1
        nodes.append((node, [node - 1], [edit]))
    dropped = {(node, 0) for node in range(1000, count, 2)}
    changed = rebase_edits(nodes, dropped, key)
    assert min(node for node, _ in changed) > 1000
    document = TextDocument(key)
    for node in without(nodes, dropped, changed):
        document.add_node(*node)
    kept = sum(
        len(edit.inserted) - edit.delete_length
        for _, _, edits in without(nodes, dropped, changed)
        for edit in edits
    )
    # Every edit is inside: the lengths add up.
    assert len(document) == kept
