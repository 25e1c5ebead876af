"""Any order of nodes becomes one in which parents come first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.client.parents_first import parents_first
from roomlog.core.node import Node, NodeHasher, make_node
from roomlog.core.operation import CounterAdd
from roomlog.identity import Identity

ADA = Identity.from_seed(b"a" * 32)
HASHER = NodeHasher(b"L" * 32)


@st.composite
def histories(draw: st.DrawFn) -> list[Node]:
    """Nodes with any parents among those before them."""
    nodes: list[Node] = []
    for number in range(draw(st.integers(0, 12))):
        places = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        parents = [nodes[place].id for place in places]
        nodes.append(make_node(HASHER, ADA, 1, number + 1, parents, [CounterAdd("c", 1)]))
    return nodes


@given(st.data(), histories())
def test_whatever_order_nodes_came_in_parents_come_first(
    data: st.DataObject, history: list[Node]
) -> None:
    came = data.draw(st.permutations(history))
    missing = data.draw(st.integers(0, len(came)))
    came = came[missing:]
    places = {node.id: at for at, node in enumerate(came)}
    ordered = parents_first(came, places)
    assert sorted(node.id for node in ordered) == sorted(places)
    here: set[bytes] = set()
    for node in ordered:
        assert here.issuperset(parent for parent in node.parents if parent in places)
        here.add(node.id)
    # What is in order already stays as it is.
    again = {node.id: at for at, node in enumerate(ordered)}
    assert parents_first(ordered, again) is ordered


def test_a_long_chain_that_came_backwards_needs_no_deep_stack() -> None:
    chain: list[Node] = []
    for clock in range(1, 3_000):
        parents = [chain[-1].id] if chain else []
        chain.append(
            make_node(HASHER, None, 1, clock, parents, [CounterAdd("c", 1)], author=b"a" * 32)
        )
    came = chain[::-1]
    assert parents_first(came, {node.id: at for at, node in enumerate(came)}) == chain
