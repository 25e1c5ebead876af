"""Edits through handles: at once what plain Python would do, and in history what it says."""

import os
from random import Random

import pytest

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import Operation, TextDelete, TextInsert
from roomlog.core.replica import Replica
from tests.core.devices import Device, naive_room_of, plain
from tests.oracle.room_histories import LINEAGE, ROOM_ID, UnsignedAuthor

SESSIONS = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 10


def a_session(seed: int, steps: int = 60) -> list[Device]:
    """Devices, two of which share a key, that edit, commit, discard, branch and exchange."""
    random = Random(seed)
    devices = [Device(random, author) for author in (0, 0, 1, 2)]
    for _ in range(steps):
        device = random.choice(devices)
        dice = random.random()
        if dice < 0.6:
            device.edit()
        elif dice < 0.75:
            device.commit()
        elif dice < 0.78:
            committed = device.replica.export()
            device.replica.discard()
            assert not device.replica.has_open_edits
            fresh = Replica(ROOM_ID)
            fresh.import_pack(committed, verify=False)
            assert device.replica.state() == fresh.state()
            assert device.replica.state_hash() == fresh.state_hash()
        elif dice < 0.82:
            edit_a_branch(random, device)
        else:
            device.take_from(random.choice(devices))
    return devices


def edit_a_branch(random: Random, device: Device) -> None:
    """Edit an older version, bring in what is new, edit again."""
    nodes = list(device.replica.nodes())
    some = random.sample(nodes, min(len(nodes), random.randint(0, 2)))
    branch = device.replica.branch([node.id for node in some])
    parents = branch.frontier
    on_branch = Device(random, 0, branch)  # type: ignore[arg-type]
    assert branch.state() == device.replica.at(parents).state()
    on_branch.edit()
    for number, node_id in enumerate(branch.commit(device.now_ms)):
        if number == 0:
            assert list(device.replica.node(node_id).parents) == parents
        assert branch.frontier == [node_id]
    on_branch.edit()
    device.commit()
    flushed = branch.merge(device.replica.frontier)
    assert not branch.has_open_edits
    assert all(node_id in device.replica for node_id in flushed)
    assert branch.frontier == device.replica.frontier
    assert branch.state() == device.replica.state()
    assert branch.state_hash() == device.replica.state_hash()


@pytest.mark.parametrize("part", range(4))
def test_what_devices_wrote_is_what_the_naive_room_reads(part: int) -> None:
    for seed in range(part, SESSIONS, 4):
        devices = a_session(seed)
        for device in devices:
            device.commit()
        for _ in range(2):
            for device in devices:
                for other in devices:
                    if other is not device:
                        device.take_from(other)
        nodes = list(devices[0].replica.nodes())
        room = naive_room_of(nodes)
        for device in devices:
            assert plain(device.replica.state()) == room.state(), seed
            assert str(device.replica.state_hash()) == room.state_hash(), seed


def test_coalesced_edits_merge_like_single_ones() -> None:
    """The same session with one operation for each edit. Authors differ, so ties break alike."""
    for seed in range(SESSIONS):
        random = Random(seed)
        devices = [Device(random, author) for author in range(3)]
        single = NodeHasher(LINEAGE)
        twins: dict[bytes, Node] = {}
        order: list[Node] = []
        coalesced = 0
        for _ in range(25):
            device = random.choice(devices)
            if random.random() < 0.4:
                device.take_from(random.choice(devices))
                continue
            parents = device.replica.frontier
            edits = type_and_erase(random, device)
            if not edits:
                continue
            device.now_ms = 0
            (node_id,) = device.commit()
            node = device.replica.node(node_id)
            coalesced += len(edits) - len(node.operations())
            twin = make_node(
                single,
                UnsignedAuthor(node.author[0] - 1),
                CHANGE,
                node.clock,
                [twins[parent].id for parent in parents],
                edits,
            )
            twins[node_id] = twin
            order.append(twin)
        for device in devices:
            for other in devices:
                device.take_from(other)
        for device in devices:
            for other in devices:
                device.take_from(other)
        replica = Replica(ROOM_ID)
        replica.add_nodes(order, verify=False)
        assert str(replica.text("t")) == str(devices[0].replica.text("t"))
        assert str(replica.text("t")) == str(devices[2].replica.text("t"))
        assert coalesced > 0


def type_and_erase(random: Random, device: Device) -> list[Operation]:
    """A burst of typing, deletes forwards and backwards; each edit as its own operation."""
    handle = device.replica.text("t")
    caret = random.randint(0, len(handle))
    edits: list[Operation] = []
    for _ in range(random.randint(1, 12)):
        dice = random.random()
        if dice < 0.5:
            handle.insert(caret, "x")
            edits.append(TextInsert("t", caret, "x"))
            caret += random.choice([1, 1, 1, 0])
        elif dice < 0.7 and caret:
            caret -= 1
            handle.delete(caret)
            edits.append(TextDelete("t", caret, 1))
        elif caret < len(handle):
            length = random.randint(1, min(2, len(handle) - caret))
            handle.delete(caret, length)
            edits.append(TextDelete("t", caret, length))
        if random.random() < 0.1:
            caret = random.randint(0, len(handle))
    return edits


def test_typing_and_erasing_become_one_operation_each() -> None:
    device = Device(Random(1), 0)
    text = device.replica.text("t")
    for index, letter in enumerate("hello"):
        text.insert(index, letter)
    text.delete(3)
    text.delete(3)
    text.delete(2)
    text.delete(0, 2)
    text.append("!")
    (node_id,) = device.commit()
    assert device.replica.node(node_id).operations() == [
        TextInsert("t", 0, "hello"),
        TextDelete("t", 0, 5),
        TextInsert("t", 0, "!"),
    ]


def test_text_inside_what_was_just_typed_stays_its_own_operation() -> None:
    device = Device(Random(1), 0)
    text = device.replica.text("t")
    text.append("ac")
    text.insert(1, "b")
    device.replica.text("other").append("-")
    text.append("d")
    (node_id,) = device.commit()
    assert device.replica.node(node_id).operations() == [
        TextInsert("t", 0, "ac"),
        TextInsert("t", 1, "b"),
        TextInsert("other", 0, "-"),
        TextInsert("t", 3, "d"),
    ]
