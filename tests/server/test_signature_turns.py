"""Long packs are checked in turns: nobody waits for another's, and nothing changes its order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.reject import Reject, RejectClass
from roomlog.identity import Identity
from roomlog.server import signature_turns
from roomlog.server.signature_turns import AT_ONCE, CheckedSignatures, SignatureTurns
from tests.server.conftest import Join, Start, eventually
from tests.server.test_admission import resigned


def chain(count: int) -> list[Node]:
    hasher, identity = NodeHasher(os.urandom(32)), Identity.generate()
    nodes: list[Node] = []
    for clock in range(1, count + 1):
        parents = [nodes[-1].id] if nodes else []
        nodes.append(make_node(hasher, identity, CHANGE, clock, parents, [MapSet("k", clock)]))
    return nodes


def nothing_known(_: bytes) -> bool:
    return False


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The ids of the nodes whose signature was checked, in order."""
    checked: list[bytes] = []
    check = signature_turns.check_signature

    def recorded(node: Node) -> None:
        checked.append(node.id)
        check(node)

    monkeypatch.setattr(signature_turns, "check_signature", recorded)
    return checked


def test_every_signature_is_checked_once_however_often_it_is_asked_for(
    checks: list[bytes],
) -> None:
    nodes = chain(2 * AT_ONCE + 5)
    bad = {3, AT_ONCE, 2 * AT_ONCE + 4}
    for index in bad:
        nodes[index] = resigned(nodes[index], bytes(64))
    signatures = CheckedSignatures(nodes)
    turns = 0
    while not signatures.is_complete:
        before = len(checks)
        signatures.advance(nothing_known)
        assert len(checks) - before <= AT_ONCE
        turns += 1
    assert turns == 3
    for _ in range(2):
        for index in range(len(nodes)):
            if index in bad:
                with pytest.raises(Reject) as refusal:
                    signatures.check(index)
                assert refusal.value.reject_class is RejectClass.SIGNATURE_INVALID
            else:
                signatures.check(index)
    assert checks == [node.id for node in nodes]


def test_t2_a_forged_node_of_a_long_pack_is_refused_wherever_it_stands() -> None:
    for forged in (0, AT_ONCE - 1, AT_ONCE, 2 * AT_ONCE + 4):
        nodes = chain(2 * AT_ONCE + 5)
        nodes[forged] = resigned(nodes[forged], bytes(64))
        signatures = CheckedSignatures(nodes)
        while not signatures.is_complete:
            signatures.advance(nothing_known)
        for index in range(len(nodes)):
            if index != forged:
                signatures.check(index)
        with pytest.raises(Reject) as refusal:
            signatures.check(forged)
        assert refusal.value.reject_class is RejectClass.SIGNATURE_INVALID


def test_a_node_that_was_known_and_is_not_any_more_is_checked_when_it_is_judged(
    checks: list[bytes],
) -> None:
    # It was under way when its turn came, and its commit failed since.
    nodes = [resigned(node, bytes(64)) for node in chain(2)]
    signatures = CheckedSignatures(nodes)
    signatures.advance(lambda node_id: node_id == nodes[0].id)
    assert checks == [nodes[1].id]
    with pytest.raises(Reject):
        signatures.check(0)


async def test_sessions_take_turns_and_their_packs_stay_in_order(checks: list[bytes]) -> None:
    turns: SignatureTurns[str] = SignatureTurns(lambda error: None)
    packs = {name: chain(3 * AT_ONCE) for name in ("a1", "a2", "b1")}
    of = {node.id: name for name, nodes in packs.items() for node in nodes}
    finished: list[str] = []
    done = asyncio.Event()

    def after(name: str) -> Callable[[], None]:
        def finish() -> None:
            finished.append(name)
            if len(finished) == len(packs):
                done.set()

        return finish

    for name, nodes in packs.items():
        turns.add(name[0], CheckedSignatures(nodes), nothing_known, after(name))
    async with asyncio.timeout(10):
        await done.wait()
    rounds = [of[checks[start]] for start in range(0, len(checks), AT_ONCE)]
    assert rounds == ["a1", "b1", "a1", "b1", "a1", "b1", "a2", "a2", "a2"]
    assert finished == ["a1", "b1", "a2"]
    assert not turns.has("a")
    assert not turns.has("b")


async def test_a_fault_while_a_pack_is_taken_over_spares_the_others() -> None:
    faults: list[BaseException] = []
    turns: SignatureTurns[str] = SignatureTurns(faults.append)
    done = asyncio.Event()

    def broken() -> None:
        raise RuntimeError("a bug")

    turns.add("a", CheckedSignatures(chain(1)), nothing_known, broken)
    turns.add("a", CheckedSignatures(chain(1)), nothing_known, done.set)
    async with asyncio.timeout(10):
        await done.wait()
    assert [type(fault) for fault in faults] == [RuntimeError]


async def test_t38_a_long_pack_does_not_hold_up_another_session(start: Start, enter: Join) -> None:
    service = await start()
    bulk, live = await enter(service), await enter(service, "another")
    long = [bulk.write() for _ in range(4_000)]
    bad = long[3_999] = resigned(long[3_999], bytes(64))
    after = bulk.write()
    order: list[str] = []

    async def pushed() -> None:
        await bulk.push(*long)
        await bulk.push(after)
        await bulk.receive_type("pack-ack")
        order.append("long")
        await bulk.receive_type("pack-ack")
        order.append("after")

    async def edited() -> None:
        await eventually(lambda: service.hub._signature_turns._task is not None)
        await live.push_and_wait(live.write())
        order.append("live")

    async with asyncio.timeout(30):
        await asyncio.gather(pushed(), edited())
    assert order == ["live", "long", "after"]
    first, second = bulk.acks
    assert (first["from_seq"], first["to_seq"]) == (1, 3_999)
    assert [(each["id"], each["class"]) for each in first["rejected"]] == [
        (bad.id, "signature_invalid")
    ]
    # What was pushed behind it was judged behind it.
    assert [each["class"] for each in second["rejected"]] == ["ancestor_refused"]


async def test_t44_a_drain_waits_for_packs_whose_signatures_are_being_checked(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    await writer.push(*[writer.write() for _ in range(3_000)])
    await eventually(lambda: service.hub._signature_turns._task is not None)
    stopping = asyncio.create_task(service.stop())
    await writer.receive_type("notice")
    assert (await writer.receive_type("pack-ack"))["to_seq"] == 3_000
    assert (await writer.closed()).code == 1012
    assert await stopping


async def test_the_packs_of_an_owner_who_is_gone_are_dropped_and_counted() -> None:
    turns: SignatureTurns[str] = SignatureTurns(lambda fault: None)
    checked: list[str] = []
    nothing = CheckedSignatures([])
    for owner in ("gone", "gone", "here"):
        turns.add(owner, nothing, lambda _: False, lambda who=owner: checked.append(who))
    assert turns.forget("gone") == 2
    assert turns.forget("nobody") == 0
    assert not turns.has("gone")
    for _ in range(5):
        await asyncio.sleep(0)
    assert checked == ["here"]
