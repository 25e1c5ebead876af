"""Chains and spans against sets and plain loops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.graph import Graph
from roomlog.protocol.node_chain import NodeChain, Span, Spans

SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda each: (each[0], sum(each)))
)


def members(spans: list[Span]) -> set[int]:
    return {lv for start, end in spans for lv in range(start, end)}


@given(SPANS)
def test_spans_have_what_any_of_them_has(spans: list[Span]) -> None:
    joined = Spans(spans)
    inside = members(spans)
    for lv in range(-1, 60):
        assert (lv in joined) is (lv in inside)
        below = [each for each in range(lv + 1) if each in inside]
        if not below:
            assert joined.end_below(lv, -7) == -7
        else:
            end = below[-1] + 1
            while end in inside:
                end += 1
            assert joined.end_below(lv, -7) == end
        if lv in inside:
            start = lv
            while start - 1 in inside:
                start -= 1
            assert joined.start_of(lv) == start


@st.composite
def graphs(draw: st.DrawFn, most: int = 40) -> Graph:
    graph = Graph()
    for lv in range(draw(st.integers(1, most))):
        parents = draw(
            st.just([lv - 1] if lv else [])
            | st.lists(st.integers(max(0, lv - 6), max(0, lv - 1)), max_size=3, unique=True)
        )
        ids = [graph.id_of(parent) for parent in parents if parent < lv]
        graph.add(b"%032d" % lv, b"a" * 32, lv + 1, sorted(ids))
    return graph


@given(graphs(), st.data())
def test_a_chain_is_the_newest_parent_again_and_again(graph: Graph, data: st.DataObject) -> None:
    head = data.draw(st.integers(0, len(graph) - 1))
    within = data.draw(st.none() | SPANS.map(lambda spans: [*spans, (head, head + 1)]))
    outside = data.draw(
        st.none() | SPANS.map(lambda spans: [s for s in spans if not s[0] <= head < s[1]])
    )
    expected = [head]
    while graph.parents_of(expected[-1]):
        following = graph.parents_of(expected[-1])[-1]
        if within is not None and following not in members(within):
            break
        if outside is not None and following in members(outside):
            break
        expected.append(following)
    chain = NodeChain(
        graph,
        head,
        None if within is None else Spans(within),
        None if outside is None else Spans(outside),
    )
    for distance in data.draw(st.lists(st.integers(0, len(graph) + 2), max_size=12)):
        lv = expected[distance] if distance < len(expected) else -1
        assert chain.at(distance) == lv
        if lv >= 0:
            assert members(chain.above(distance)) == set(expected[:distance])
