"""Critical places, against ancestor sets by brute force."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.graph import Graph
from roomlog.core.snapshot.critical import MAX_HEADS, CriticalPlace, _Shape, newest_critical
from tests.core.building import ancestor_sets, index_id, maximal, random_parents


def graph_of(parents: Sequence[Sequence[int]]) -> Graph:
    graph = Graph()
    for lv, of_node in enumerate(parents):
        graph.add(index_id(lv), bytes(32), lv, [index_id(parent) for parent in of_node])
    return graph


def is_critical(parents: Sequence[Sequence[int]], seq: int) -> bool:
    sets = ancestor_sets(parents)
    below = set(range(seq))
    if len(maximal(below, sets)) > MAX_HEADS:
        return False
    return all(below <= sets[lv] for lv in range(seq, len(parents)))


@st.composite
def quiet_now_and_then(draw: st.DrawFn) -> list[list[int]]:
    """Parents of nodes that often name all heads, so that there are critical places."""
    source = random.Random(draw(st.integers(0, 1 << 32)))
    count = draw(st.integers(0, 24))
    if draw(st.booleans()):
        return random_parents(source, count)
    parents: list[list[int]] = []
    heads: set[int] = set()
    join = source.choice([0.3, 0.7, 0.95])
    for index in range(count):
        if source.random() < join:
            of_node = set(heads)
            if index and source.random() < 0.2:
                of_node.add(source.randrange(index))
        else:
            of_node = {source.randrange(max(0, index - 4), index)} if index else set()
        parents.append(sorted(of_node))
        heads -= of_node
        heads.add(index)
    return parents


@given(quiet_now_and_then(), st.data())
def test_the_newest_critical_place_is_that_of_brute_force(
    parents: list[list[int]], data: st.DataObject
) -> None:
    graph = graph_of(parents)
    critical = [seq for seq in range(1, len(parents) + 1) if is_critical(parents, seq)]
    assert newest_critical(graph, len(parents)) == max(critical, default=0)
    most = data.draw(st.integers(0, len(parents) + 1))
    least = data.draw(st.integers(1, len(parents) + 1))
    expected = max([seq for seq in critical if least <= seq <= most], default=0)
    assert newest_critical(graph, most, least) == expected


@given(quiet_now_and_then(), st.data())
def test_a_place_stays_critical_exactly_as_long_as_brute_force_says(
    parents: list[list[int]], data: st.DataObject
) -> None:
    if not parents:
        return
    seq = data.draw(st.integers(1, len(parents)))
    begun = data.draw(st.integers(seq, len(parents)))
    graph = graph_of(parents[:begun])
    place = CriticalPlace(graph, seq)
    assert place.heads == maximal(set(range(seq)), ancestor_sets(parents))
    assert place.holds() == is_critical(parents[:begun], seq)
    step = data.draw(st.integers(1, 4))
    for lv in range(begun, len(parents)):
        graph.add(index_id(lv), bytes(32), lv, [index_id(parent) for parent in parents[lv]])
        if lv % step == 0 or lv == len(parents) - 1:
            assert place.holds() == is_critical(parents[: lv + 1], seq)


@pytest.mark.parametrize(("count", "newest"), [(MAX_HEADS, MAX_HEADS + 1), (MAX_HEADS + 1, 1)])
def test_a_place_with_more_heads_than_a_node_can_name_counts_for_nothing(
    count: int, newest: int
) -> None:
    graph = graph_of([[]] + [[0]] * count)
    assert newest_critical(graph, count + 1) == newest
    assert CriticalPlace(graph, count + 1).holds() == (newest == count + 1)


@pytest.mark.parametrize(
    ("later", "newest"),
    [
        ([[1, 2]], 3),
        ([[1, 2], [1, 2]], 3),
        ([[1, 2], [0, 1, 2]], 3),
        ([[1, 2], [2]], 1),
        ([[1, 2], [0, 2]], 1),
        ([[1]], 1),
        ([[1, 2], []], 0),
    ],
)
def test_a_place_with_two_heads_is_critical_while_everything_later_names_both(
    later: list[list[int]], newest: int
) -> None:
    assert newest_critical(graph_of([[], [0], [0], *later]), 3) == newest


@pytest.mark.parametrize("seq", [0, 3])
def test_a_place_outside_the_log_cannot_be_watched(seq: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        CriticalPlace(graph_of([[], [0]]), seq)


def test_the_work_is_in_runs_and_not_in_nodes() -> None:
    graph = graph_of([[]] + [[lv] for lv in range(9_999)] + [[5_000], [10_000]])
    assert newest_critical(graph, 10_001) == 5_001
    assert len(_Shape(graph).starts) == 2


@given(quiet_now_and_then(), st.data())
def test_what_was_found_out_elsewhere_is_not_looked_at_again(
    parents: list[list[int]], data: st.DataObject
) -> None:
    if not parents:
        return
    looked_at = data.draw(st.integers(1, len(parents)))
    critical = [seq for seq in range(1, looked_at + 1) if is_critical(parents[:looked_at], seq)]
    if not critical:
        return
    seq = data.draw(st.sampled_from(critical))
    heads = maximal(set(range(seq)), ancestor_sets(parents))
    place = CriticalPlace(graph_of(parents), seq, heads, looked_at)
    assert place.holds() == is_critical(parents, seq)
    assert place.heads == heads
    # Heads that do not hold for what comes later change nothing about what was looked at.
    assert CriticalPlace(graph_of(parents), seq, [len(parents)], len(parents)).holds()
