"""What a server lost goes back to it: in order, patiently, and not for ever."""

from __future__ import annotations

from roomlog.client.push_back import MOST_ATTEMPTS, PushBack
from roomlog.client.refusals import LONGEST_RETRY_MS
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.protocol.client_events import RefusedNode
from roomlog.protocol.pack_answer import kind_of

BOB = Identity.from_seed(b"b" * 32)


def chain(count: int) -> list[Node]:
    replica = Replica("demo", BOB)
    for number in range(count):
        replica.map("m")[str(number)] = number
        replica.commit(number)
    return list(replica.nodes())


def refusal(node: Node, reject_class: str, **detail: object) -> RefusedNode:
    return RefusedNode(
        id=node.id,
        reject_class=reject_class,
        kind=kind_of(reject_class),
        message="",
        detail=detail,
        root=None,
    )


def test_nodes_go_back_in_order_and_leave_when_the_server_has_them() -> None:
    nodes, back = chain(3), PushBack()
    assert not back.has_unsent
    back.add(nodes)
    assert back.has_unsent
    assert back.size_without(bytes(32)).nodes == 3
    assert back.size_without(BOB.public_key).nodes == 0
    assert back.take_unsent(0) == nodes
    assert back.take_unsent(0) == []
    back.settle([nodes[1].id, bytes(32)])
    assert len(back) == 2
    assert nodes[1].id not in back
    assert nodes[2].id in back


def test_a_node_whose_parent_others_have_to_bring_comes_again_later_each_time() -> None:
    nodes, back = chain(3), PushBack()
    back.add(nodes)
    waits: list[int] = []
    now_ms = 0
    for _ in range(MOST_ATTEMPTS):
        assert back.take_unsent(now_ms)
        # Refused in any order, they are sent parents first.
        assert back.refused(refusal(nodes[2], "ancestor_refused"), now_ms) == []
        assert back.refused(refusal(nodes[1], "parent_missing"), now_ms) == []
        assert back.take_unsent(now_ms) == []
        waits.append(back.paused_until_ms - now_ms)
        now_ms = back.paused_until_ms
    assert waits == sorted(waits)
    assert waits[0] >= 500
    assert waits[-1] == LONGEST_RETRY_MS
    assert back.take_unsent(now_ms) == nodes[1:]
    back.refused(refusal(nodes[1], "parent_missing"), now_ms)
    assert nodes[1].id not in back
    assert nodes[0].id in back


def test_a_closed_window_ends_it_and_a_bad_node_only_itself() -> None:
    nodes, back = chain(3), PushBack()
    back.add(nodes)
    back.take_unsent(0)
    assert back.refused(refusal(nodes[0], "signature_invalid"), 0) == []
    assert len(back) == 2
    assert back.refused(refusal(nodes[0], "author_not_session"), 0) == []
    assert back.refused(refusal(nodes[1], "author_not_session"), 0) == [nodes[1].id, nodes[2].id]
    assert len(back) == 0


def test_the_server_s_hint_is_waited_for() -> None:
    nodes, back = chain(1), PushBack()
    back.add(nodes)
    back.take_unsent(0)
    back.refused(refusal(nodes[0], "store_unavailable", retry_after_ms=7_000), 100)
    assert back.take_unsent(7_099) == []
    assert back.take_unsent(7_100) == nodes
