"""Who wrote what, and where a place of an earlier version is now, against the naive oracle."""

from __future__ import annotations

import os
from random import Random

import pytest

from roomlog.core.crdt.text import TextDocument, TextEdit
from tests.core.crdt.text.test_text_base import BasedRun
from tests.core.crdt.text.text_runs import Feeder
from tests.oracle.histories import TextHistory, arrival_order, random_graph, text_history
from tests.oracle.naive_text import Character

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 4


def histories(block: int, blocks: int) -> list[tuple[TextHistory, Random]]:
    made = []
    for seed in range(block, HISTORIES, blocks):
        random = Random(seed)
        graph = random_graph(random, random.choice([1, 3, 8, 20, 40]), random.choice([2, 4, 5]))
        made.append((text_history(random, graph), random))
    return made


def writers(document: TextDocument) -> list[int]:
    """The node of each visible character."""
    return [
        -1 if piece.number < 0 else document.node_span(piece.number + offset)[0]
        for piece in document.origins().pieces()
        for offset in range(piece.length)
    ]


def naive_position(
    history: TextHistory, version: frozenset[int], seen: frozenset[int], place: int, after: bool
) -> int:
    """Where a place at `version` is in the text of `seen`, by looking at every character."""
    there = history.naive.visible(version)
    now = set(map(id, history.naive.visible(seen)))
    every = list(history.naive.characters())
    if after:
        if place == len(there):
            return len(now)
        before = every[: every.index(there[place])]
    elif place == 0:
        return 0
    else:
        before = every[: every.index(there[place - 1]) + 1]
    return sum(id(character) in now for character in before)


@pytest.mark.parametrize("block", range(4))
def test_every_character_has_the_node_that_wrote_it(block: int) -> None:
    for history, random in histories(block, 4):
        feeder = Feeder(history, random, random.choice([1, 10, 200_000]))
        order = arrival_order(random, history.graph)
        cut = random.randint(0, len(order))
        for part in (order[:cut], order[cut:]):
            (feeder.one_by_one if random.random() < 0.5 else feeder.mixed)(part)
            visible = history.naive.visible(frozenset(feeder.seen))
            expected = [feeder.handles[character.node] for character in visible]
            assert writers(feeder.document) == expected
        # What follows is merged as if nobody had asked.
        assert str(feeder.document) == history.text


@pytest.mark.parametrize("block", range(4))
def test_a_place_of_an_earlier_version_is_where_its_neighbour_is(block: int) -> None:
    for history, random in histories(block, 4):
        feeder = Feeder(history, random, random.choice([1, 10, 200_000]))
        order = arrival_order(random, history.graph)
        cut = random.randint(1, len(order))
        for part in (order[:cut], order[cut:]):
            (feeder.one_by_one if random.random() < 0.5 else feeder.mixed)(part)
            seen = frozenset(feeder.seen)
            for _ in range(3):
                index = random.choice(order[:cut])
                version = history.graph.histories[index]
                if random.random() < 0.5:
                    version = version | history.graph.histories[random.choice(order[:cut])]
                nodes = [feeder.handles[head] for head in history.graph.heads(version)]
                place = random.randint(0, len(history.naive.visible(version)))
                after = random.random() < 0.5
                assert feeder.document.position_since(nodes, place, after) == naive_position(
                    history, version, seen, place, after
                )
        assert str(feeder.document) == history.text


def test_a_place_outside_of_its_version_is_refused() -> None:
    document = TextDocument(lambda node: b"")
    document.add_node(0, [], [TextEdit(0, 0, "abc")])
    document.add_node(1, [0], [TextEdit(0, 0, "xyz")])
    for nodes, position in (([], 1), ([0], 4), ([0], -1), ([1], 7)):
        with pytest.raises(IndexError):
            document.position_since(nodes, position, False)
    with pytest.raises(ValueError, match="unknown"):
        document.position_since([5], 0, False)
    assert document.position_since([], 0, False) == 0
    assert document.position_since([], 0, True) == 6
    assert document.position_since([0], 3, True) == 6


def test_local_edits_that_are_not_ended_are_read_too_and_can_go_on() -> None:
    document = TextDocument(lambda node: b"")
    document.add_node(0, [], [TextEdit(0, 0, "abc")])
    assert document.open_node == -1
    document.insert(3, 1, "xx")
    assert document.open_node == 3
    assert writers(document) == [0, 3, 3, 0, 0]
    assert document.position_since([0], 1, True) == 3
    document.insert(3, 3, "y")
    document.delete(3, 0, 1)
    assert str(document) == "xxybc"
    assert writers(document) == [3, 3, 3, 0, 0]
    document.add_node(4, [0], [TextEdit(2, 0, "-")])
    assert writers(document) == [3, 3, 3, 0, 4, 0]


def test_characters_of_a_base_have_no_node_and_keep_their_places() -> None:
    for seed in range(HISTORIES // 2):
        random = Random(seed)
        run = BasedRun(random)
        history = run.history
        if len(run.order) > 1:
            run.document.add_nodes([run.node(index) for index in run.order[:-1]])
        run.document.add_node(*run.node(run.order[-1]))
        everything = frozenset(range(len(run.graph.nodes)))
        below = run.graph.histories[run.base]
        visible = history.naive.visible(everything)
        expected = [
            -1 if character.node in below else run.handles[character.node] for character in visible
        ]
        assert writers(run.document) == expected
        place = random.randint(0, len(run.base_text))
        for after in (False, True):
            assert run.document.position_since([run.handle], place, after) == naive_position(
                history, below, everything, place, after
            )


@pytest.mark.parametrize("block", range(2))
def test_a_listener_hears_every_change_of_the_text_in_order(block: int) -> None:
    for history, random in histories(block, 2):
        feeder = Feeder(history, random, random.choice([1, 10, 200_000]))
        heard: list[int] = []

        def listen(
            position: int,
            deleted: int,
            inserted: int,
            version: int,
            heard: list[int] = heard,
            feeder: Feeder = feeder,
        ) -> None:
            assert (deleted > 0) != (inserted > 0)
            assert (version >= 0) == (inserted > 0)
            heard[position : position + deleted] = range(version, version + inserted)
            assert len(heard) == len(feeder.document)

        feeder.document.listeners = [listen]
        order = arrival_order(random, history.graph)
        if random.random() < 0.2:
            feeder.document.add_nodes([feeder.node(index) for index in order])
        else:
            feeder.mixed(order)
        assert heard == [
            piece.number + offset
            for piece in feeder.document.origins().pieces()
            for offset in range(piece.length)
        ]


@pytest.mark.parametrize("block", range(4))
def test_the_text_of_an_earlier_version_is_found_character_by_character(block: int) -> None:
    for history, random in histories(block, 4):
        feeder = Feeder(history, random)
        order = arrival_order(random, history.graph)
        feeder.mixed(order)
        version = history.graph.histories[random.choice(order)]
        nodes = [feeder.handles[head] for head in history.graph.heads(version)]
        now = history.naive.visible(frozenset(feeder.seen))
        expected = [
            now.index(character) if character in now else -1
            for character in history.naive.visible(version)
        ]
        found: list[int] = []
        for length, position in feeder.document.positions_of(nodes):
            found.extend([-1] * length if position < 0 else range(position, position + length))
        assert found == expected
    assert TextDocument(lambda node: b"").positions_of([]) == []


@pytest.mark.parametrize("block", range(4))
def test_segments_name_each_character_by_its_node_and_its_place_there(block: int) -> None:
    for history, random in histories(block, 4):
        feeder = Feeder(history, random)
        feeder.mixed(arrival_order(random, history.graph))
        written: dict[int, list[Character]] = {}
        for character in history.naive.characters():
            written.setdefault(character.node, []).append(character)
        names = {
            id(character): (feeder.handles[node], place, len(characters))
            for node, characters in written.items()
            for place, character in enumerate(in_order_of_writing(characters))
        }
        shown: list[tuple[int, int, int]] = []
        for handle, place, total, length in feeder.document.segments():
            assert length > 0
            shown.extend((handle, place + offset, total) for offset in range(length))
        visible = history.naive.visible(frozenset(feeder.seen))
        assert shown == [names[id(character)] for character in visible]


def in_order_of_writing(characters: list[Character]) -> list[Character]:
    """Characters of one node as it inserted them; those of one edit chain to each other."""
    ordered: list[Character] = []
    waiting = list(characters)
    while waiting:
        edit = min(character.edit or (0, 0) for character in waiting)
        of_edit = [character for character in waiting if character.edit == edit]
        first = next(each for each in of_edit if each.left_origin not in of_edit)
        ordered.append(first)
        waiting.remove(first)
    return ordered
