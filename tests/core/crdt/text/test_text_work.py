"""Counted work: guards against slow merging that need no clock."""

from __future__ import annotations

from random import Random

import pytest

from roomlog.core.crdt.text import TextDocument, TextEdit

Node = tuple[int, list[int], list[TextEdit]]


def key(node: int) -> bytes:
    return node.to_bytes(8, "big")


def work(document: TextDocument) -> int:
    """Local versions touched: each once when new, and again when moved or walked again."""
    stats = document.stats
    return stats.local_versions + stats.moved + stats.rebuilt + stats.caught_up


def feed(nodes: list[Node]) -> TextDocument:
    document = TextDocument(key)
    for node in nodes:
        document.add_node(*node)
    return document


def two_typists(seed: int, turns: int) -> list[Node]:
    """Two people who type at once for a while, read each other, and pause: as in real traces."""
    random = Random(seed)
    nodes: list[Node] = [(0, [], [TextEdit(0, 0, "x" * 400)])]
    heads = [0]
    for _ in range(turns):
        length = random.randint(5, 40)
        if random.random() < 0.3:
            tips = [heads, heads]
            for _ in range(length):
                side = random.randrange(2)
                node = len(nodes)
                at = 300 if side else 20
                nodes.append((node, tips[side], [TextEdit(at, 0, "ab"[side])]))
                tips[side] = [node]
            heads = [node for tip in tips for node in tip if tip is not heads] or heads
        else:
            for offset in range(length):
                node = len(nodes)
                nodes.append((node, heads, [TextEdit(100 + offset, 0, "-")]))
                heads = [node]
    return nodes


def never_critical(count: int) -> list[Node]:
    """Two authors, each always two nodes behind the other: no version is ever critical."""
    random = Random(1)
    nodes: list[Node] = [(0, [], [TextEdit(0, 0, "x" * 50)])]
    tips = ([0], [0])
    for node in range(1, count):
        own, other = tips[node % 2], tips[1 - node % 2]
        seen = other[-2] if len(other) > 1 else other[-1]
        nodes.append((node, sorted({own[-1], seen}), [TextEdit(random.randint(0, 40), 0, "a")]))
        own.append(node)
    return nodes


def branches(count: int, interleaved: bool) -> list[Node]:
    """Two long branches with edits all over, arriving mixed or one after the other."""
    random = Random(2)
    order = [0, 1] * count if interleaved else [0] * count + [1] * count
    nodes: list[Node] = [(0, [], [TextEdit(0, 0, "x" * 100)])]
    tips = [0, 0]
    for side in order:
        node = len(nodes)
        nodes.append((node, [tips[side]], [TextEdit(random.randint(0, 100), 0, "ab"[side])]))
        tips[side] = node
    nodes.append((len(nodes), sorted(tips), [TextEdit(0, 1, "")]))
    return nodes


def test_a_history_without_concurrency_is_never_walked() -> None:
    document = feed([(n, [n - 1] if n else [], [TextEdit(0, 0, "a")]) for n in range(2000)])
    assert work(document) == document.stats.local_versions == 2000
    assert document.stats.rebuilds == 0


def test_a_batch_is_walked_only_where_it_is_concurrent() -> None:
    def line(first: int, parents: list[int], count: int) -> list[Node]:
        edit = TextEdit(0, 0, "x")
        return [(first + at, [first + at - 1] if at else parents, [edit]) for at in range(count)]

    document = TextDocument(key)
    document.add_nodes(line(0, [], 20))
    assert document.stats.rebuilds == 0
    # Two that do not know of each other, then one line again.
    document.add_nodes([*line(20, [19], 5), *line(25, [19], 5), *line(30, [24, 29], 20)])
    assert document.stats.rebuilds == 1
    assert document.stats.rebuilt + document.stats.caught_up <= 10
    assert document.stats.walker_spans == 0
    assert document.stats.local_versions == len(str(document)) == 50


def test_two_typists_cost_a_fifth_of_their_history_walked_again_at_most() -> None:
    nodes = two_typists(3, 400)
    document = feed(nodes)
    total = document.stats.local_versions
    assert document.stats.rebuilds > 10
    assert document.stats.rebuilt <= 0.2 * total
    assert document.stats.caught_up <= 0.2 * total
    # Positions far from each other: everything both wrote is there.
    assert len(document) == total


def test_twice_as_much_history_without_a_critical_version_costs_twice_the_work() -> None:
    once = feed(never_critical(2000))
    twice = feed(never_critical(4000))
    assert work(twice) <= 2.2 * work(once)
    assert once.stats.rebuilds == twice.stats.rebuilds == 1
    assert twice.stats.walker_spans == twice.stats.walker_spans_max > 3900


@pytest.mark.parametrize("count", [100, 1500])
def test_two_branches_mixed_in_one_batch_cost_little_more_than_one_after_the_other(
    count: int,
) -> None:
    apart = TextDocument(key)
    apart.add_nodes(branches(count, interleaved=False))
    mixed = TextDocument(key)
    mixed.add_nodes(branches(count, interleaved=True))
    assert len(apart) == len(mixed)
    assert work(mixed) <= 3 * work(apart)
    assert work(mixed) <= 3 * mixed.stats.local_versions


def test_a_batch_on_top_of_branches_that_came_mixed_replays_them_in_a_good_order() -> None:
    count = 800
    nodes = branches(count, interleaved=True)
    document = TextDocument(key)
    document.add_nodes(nodes[:-1])
    late = [
        (len(nodes) + n, [0 if n == 0 else len(nodes) + n - 1], [TextEdit(7, 0, "z")])
        for n in range(10)
    ]
    document.add_nodes(late)
    assert work(document) <= 6 * document.stats.local_versions


def test_nodes_that_come_ever_later_do_not_each_replay_everything() -> None:
    count = 4000
    document = TextDocument(key)
    for node in range(count):
        document.insert(node, 0, "a")
    late = 60
    for number in range(late):
        parent = count - 2 - number * (count // late)
        document.add_node(count + number, [parent], [TextEdit(0, 0, "z")])
    assert len(document) == count + late
    # Each replaying all that is after its parent would take about 30 times the history.
    assert document.stats.rebuilt <= 4 * count


def test_a_late_node_replays_only_what_is_after_its_parents() -> None:
    document = TextDocument(key)
    for node in range(5000):
        document.insert(node, 0, "a")
    document.add_node(5000, [4899], [TextEdit(0, 0, "z")])
    assert document.stats.rebuilt == 100


def test_the_walk_is_dropped_when_writing_goes_on_without_concurrency() -> None:
    document = TextDocument(key)
    document.add_node(0, [], [TextEdit(0, 0, "abc")])
    document.add_node(1, [0], [TextEdit(0, 0, "d")])
    document.add_node(2, [0], [TextEdit(3, 0, "e")])
    assert document.stats.walker_spans > 0
    heads = [1, 2]
    for node in range(3, 203):
        document.add_node(node, heads, [TextEdit(0, 0, "f")])
        heads = [node]
    assert document.stats.walker_spans == 0
    # One node beside the last begins a new walk, close by.
    document.add_node(203, [201], [TextEdit(0, 0, "h")])
    assert document.stats.rebuilds == 2
    assert document.stats.rebuilt == 1 + 1
    assert document.stats.caught_up == 0


def test_a_pause_between_two_concurrent_stretches_keeps_the_walk() -> None:
    document = TextDocument(key)
    document.add_node(0, [], [TextEdit(0, 0, "abc")])
    document.add_node(1, [0], [TextEdit(0, 0, "d")])
    document.add_node(2, [0], [TextEdit(3, 0, "e")])
    document.add_node(3, [1, 2], [TextEdit(0, 0, "f")])
    document.add_node(4, [3], [TextEdit(0, 0, "g")])
    # Its author has not seen node 2: nothing after node 0 is critical any more.
    document.add_node(5, [1], [TextEdit(0, 0, "h")])
    assert document.stats.rebuilds == 1
    assert document.stats.caught_up == 2
    assert len(document) == 8


def test_thousands_of_concurrent_pieces_give_one_text_live_and_batched() -> None:
    random = Random(9)
    nodes: list[Node] = [(0, [], [TextEdit(0, 0, "x" * 3000)])]
    tips = [0, 0]
    lengths = [3000, 3000]
    for node in range(1, 1601):
        side = 0 if node <= 800 else 1
        position = random.randrange(lengths[side])
        if random.random() < 0.5:
            edit = TextEdit(position, 0, "ab"[side] * 2)
            lengths[side] += 2
        else:
            size = min(random.choice([1, 2, 9]), lengths[side] - position)
            edit = TextEdit(position, size, "")
            lengths[side] -= size
        nodes.append((node, [tips[side]], [edit]))
        tips[side] = node
    live = feed(nodes)
    batch = TextDocument(key)
    batch.add_nodes(nodes)
    mixed = TextDocument(key)
    mixed.add_nodes(nodes[:1200])
    mixed.add_nodes(nodes[1200:])
    assert str(live) == str(batch) == str(mixed)
    assert live.stats.walker_spans_max > 1500
