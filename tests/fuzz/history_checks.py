"""What else must hold of a room of strangers: its graph, admission, saved places, rewriting."""

from __future__ import annotations

from collections.abc import Sequence

from roomlog.core.anchors import SavedAnchor, resolve_anchor
from roomlog.core.difference import Difference
from roomlog.core.errors import ClockExhaustedError, InvalidValueError, NodeTooLargeError
from roomlog.core.graph import Graph
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.server.admission import PendingNodes, Refusals, admit
from tests.fuzz.built_nodes import AUTHORS, KEYS, LINEAGE
from tests.fuzz.choices import Choices
from tests.oracle.naive_room import NaiveRoom

SERVER_NOW_MS = 1_000
SKEW_MS = 5_000


def check_graph(replica: Replica, oracle: NaiveRoom, choices: Choices) -> None:
    """Ancestry, differences and heads are those of the sets."""
    nodes = list(replica.nodes())
    if not nodes:
        return
    graph = replica.graph
    versions = [
        sorted({graph.index_of(choices.one_of(nodes).id) for _ in range(1 + choices.below(3))})
        for _ in range(2)
    ]
    first, second = ([graph.id_of(lv) for lv in version] for version in versions)
    history, other = oracle.version(first), oracle.version(second)
    only_first, only_second = graph.diff(*versions)
    assert ids_of(graph, only_first) == history - other
    assert ids_of(graph, only_second) == other - history
    assert ids_of(graph, graph.ancestors(versions[0])) == history
    difference = Difference(graph, *versions)
    while not difference.advance(1):
        pass
    assert difference.ranges() == only_first
    heads = graph.heads_of(versions[0])
    assert {graph.id_of(lv) for lv in heads} == {
        each
        for each in first
        if not any(each in oracle.histories[rest] for rest in first if rest != each)
    }
    below, above = versions[0][0], versions[1][0]
    is_below = graph.id_of(below) in oracle.histories[graph.id_of(above)]
    assert graph.contains([above], below) is is_below
    assert graph.is_ancestor(below, above) is (is_below and below != above) or below == above


def ids_of(graph: Graph, ranges: Sequence[tuple[int, int]]) -> frozenset[bytes]:
    return frozenset(graph.id_of(lv) for start, end in ranges for lv in range(start, end))


def check_admission(nodes: Sequence[Node], replica: Replica, choices: Choices) -> None:
    """What a server admits of signed nodes, every replica takes; each gets one answer."""
    graph, refusals = Graph(), Refusals()
    admitted: list[Node] = []
    position = 0
    while position < len(nodes):
        pack = nodes[position : position + 1 + choices.below(4)]
        position += len(pack)
        pending: PendingNodes = {}
        verdict = admit(
            pack,
            graph=graph,
            pending=pending,
            next_seq=len(graph) + 1,
            author=AUTHORS[0].public_key,
            now_ms=SERVER_NOW_MS,
            skew_ms=SKEW_MS,
            refusals=refusals,
            most_of_others=choices.one_of((0, 2, 99)),
        )
        answered = len(verdict.accepted) + len(verdict.duplicates) + len(verdict.rejected)
        assert answered == len(pack)
        for index, seq in verdict.duplicates:
            lv = graph.index_of(pack[index].id)
            assert lv < 0 or seq == lv + 1
        for node in verdict.accepted:
            graph.add(node.id, node.author, node.clock, node.parents)
            admitted.append(node)
    copy = Replica("room", lineage=LINEAGE)
    result = copy.add_nodes(admitted)
    assert not result.rejected
    assert not result.waiting
    assert len(result.accepted) == len({node.id for node in admitted}) == len(graph)
    assert all(node.id in replica for node in admitted)


def check_anchors(replica: Replica, other: Replica, choices: Choices) -> None:
    """A place that somebody saved is at one place on every replica, or nowhere on any."""
    nodes = list(replica.nodes())
    if not nodes:
        return
    version = tuple(choices.one_of(nodes).id for _ in range(1 + choices.below(2)))
    side = "left" if choices.is_one_in(2) else "right"
    saved = SavedAnchor(version, choices.below(20), side)  # type: ignore[arg-type]
    key = choices.one_of(KEYS)
    found: list[int | None] = []
    for each in (replica, other):
        try:
            anchor = resolve_anchor(each, key, saved)
        except InvalidValueError:
            found.append(None)
        else:
            found.append(anchor.position)
            texts = each.state()["texts"]
            assert 0 <= anchor.position <= len(str(texts.get(key, "")))
    assert found[0] == found[1]


def check_rewriting(nodes: Sequence[Node], choices: Choices) -> None:
    """What a server refuses is gone, and the rest is a room like any other."""
    own_key = AUTHORS[0].public_key
    replica = Replica("room", AUTHORS[0], LINEAGE)
    replica.add_nodes(nodes, verify=False)
    own = [node for node in replica.nodes() if node.author == own_key]
    if not own:
        return
    refused = choices.one_of(own)
    count = len(refused.operations())
    indexes = None
    if count and choices.is_one_in(2):
        indexes = tuple(sorted({choices.below(count) for _ in range(2)}))
    try:
        rebase = replica.without({refused.id: indexes})
    except (ClockExhaustedError, NodeTooLargeError):
        return
    assert refused.id not in rebase.replica
    for node in rebase.replica.nodes():
        assert refused.id not in node.parents
    fresh = Replica("room", lineage=LINEAGE)
    result = fresh.add_nodes(list(rebase.replica.nodes()), verify=False)
    assert not result.rejected
    assert not result.waiting
    assert fresh.state_hash().hex == rebase.replica.state_hash().hex
    oracle = NaiveRoom()
    for node in rebase.replica.nodes():
        oracle.add(node)
    assert rebase.replica.state_hash().hex == oracle.state_hash()
