"""What proves that two logs are the same up to a cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.graph import Graph
from roomlog.core.node import Node
from roomlog.protocol.client_events import CatchUpChanged, CutFound
from roomlog.protocol.cut_check import CutCheck
from tests.protocol.paired_sessions import Pair, PlainRoom, chain, change


def graph_of(nodes: list[Node]) -> Graph:
    graph = Graph()
    for node in nodes:
        graph.add(node.id, node.author, node.clock, node.parents)
    return graph


def test_a_node_without_its_parent_breaks_it_for_good() -> None:
    nodes = chain(5)
    check = CutCheck(graph_of(nodes[:2]), [nodes[-1].id])
    assert check.takes(nodes[2:3])
    assert not check.is_complete()
    assert not check.takes([nodes[4]])
    assert check.is_broken
    assert not check.takes([nodes[3]])
    assert not check.is_complete()


def test_all_heads_must_be_held_or_have_come() -> None:
    nodes = chain(3)
    side = change("side", nodes[0])
    check = CutCheck(graph_of([*nodes[:2], side]), [nodes[2].id, side.id])
    assert not check.is_complete()
    assert check.takes([nodes[2]])
    assert check.is_complete()


@given(data=st.data())
def test_it_holds_exactly_if_the_two_logs_have_the_same_nodes_up_to_the_cut(
    data: st.DataObject,
) -> None:
    history: list[Node] = []
    for number in range(8):
        places = data.draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        history.append(change(f"k/{number}", *[history[place] for place in sorted(places)]))
    log = list(data.draw(st.permutations(history)))
    log.sort(key=lambda node: node.clock)
    held_size = data.draw(st.integers(0, 8))
    held: list[Node] = []
    for node in data.draw(st.permutations(history)):
        known = {each.id for each in held}
        if len(held) < held_size and known.issuperset(node.parents):
            held.append(node)
    cut = data.draw(st.integers(0, 8))
    named = {parent for node in log for parent in node.parents}
    check = CutCheck(graph_of(held), [node.id for node in log if node.id not in named])
    took = all(check.takes([node]) for node in log[cut:])
    lacking = {node.id for node in log[:cut]} - {node.id for node in held}
    assert (took and check.is_complete()) == (not lacking)


def test_t22_the_same_node_at_the_same_seq_above_others_is_no_cut() -> None:
    base = chain(30)
    lost, kept, new = change("lost", base[-1]), change("kept", base[-1]), change("new", base[-1])
    after = [kept, *chain(10, start=[kept], key="after")]
    held = [*base, lost, *after]
    # Restored at 30, went on with another node, and was given back only what its author had.
    room = PlainRoom([*base, new, *after], b"f" * 16)
    pair = Pair(room, held=held, epoch=b"e" * 16).run()
    assert pair.events_of(CutFound)[0].seq == len(held)
    assert [event.catch_up for event in pair.events_of(CatchUpChanged)] == ["walk"]
    assert new.id in pair.nodes
    # The same, behind a cursor of a copy that kept its epoch.
    room = PlainRoom([*base, new, *after], b"e" * 16)
    pair = Pair(room, held=held, epoch=b"e" * 16).run()
    assert pair.server.catch_up == "cut"
    assert new.id in pair.nodes


def test_t22_what_stands_on_an_unheard_of_node_behind_a_cut_is_read_by_a_walk() -> None:
    base = chain(30)
    lost, kept, new = change("lost", base[-1]), change("kept", base[-1]), change("new", base[-1])
    after = [kept, *chain(10, start=[kept], key="after")]
    merged = change("merged", new, after[-1])
    log = [*base, new, *after, merged, *chain(20, start=[merged], key="more")]
    pair = Pair(PlainRoom(log, b"f" * 16), held=[*base, lost, *after], epoch=b"e" * 16).run()
    assert [event.catch_up for event in pair.events_of(CatchUpChanged)] == ["walk"]
    assert {node.id for node in log} <= pair.nodes.keys()
    assert pair.client.is_live
