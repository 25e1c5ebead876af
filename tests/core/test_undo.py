from __future__ import annotations

import os
from random import Random

import pytest

from roomlog.core.replica import Replica
from roomlog.core.undo.history import UndoHistory
from tests.core.devices import Device
from tests.core.unique_text import KEY, UniqueWriters

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "1200")) // 10


def what_is_there(replica: Replica) -> dict[str, dict[str, object]]:
    """The state without what is empty: an object that was touched once stays present."""
    return {
        kind: {key: value for key, value in objects.items() if value or kind == "maps"}
        for kind, objects in replica.state().items()
    }


@pytest.mark.parametrize("block", range(4))
def test_undo_of_everything_restores_the_state_and_redo_makes_it_again(block: int) -> None:
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        device = Device(random, 0)
        replica = device.replica
        for _ in range(random.choice([0, 6])):
            device.edit()
        device.commit()
        history = UndoHistory(replica, group_ms=0)
        kinds = random.choice(["mclt", "mclt", "m", "l", "t"])
        states = [what_is_there(replica)]
        for _ in range(random.choice([1, 5, 12])):
            for _ in range(random.choice([1, 1, 3])):
                device.edit(kinds)
            if random.random() < 0.1:
                replica.discard()
                continue
            device.now_ms += 1
            if device.commit() and what_is_there(replica) != states[-1]:
                states.append(what_is_there(replica))
        for _ in range(3):
            position = len(states) - 1
            while position:
                assert history.can_undo
                device.now_ms += 1
                assert history.undo(device.now_ms)
                if what_is_there(replica) != states[position]:
                    position -= 1
                    assert what_is_there(replica) == states[position], f"seed {seed}"
            while history.undo(device.now_ms):
                assert what_is_there(replica) == states[0]
            assert not history.can_undo
            while position < len(states) - 1:
                assert history.can_redo
                assert history.redo(device.now_ms)
                if what_is_there(replica) != states[position]:
                    position += 1
                    assert what_is_there(replica) == states[position], f"seed {seed}"
            while history.redo(device.now_ms):
                assert what_is_there(replica) == states[-1]


def assert_in_order(earlier: str, text: str) -> None:
    """The characters that both texts have stand in one order in both."""
    assert [c for c in earlier if c in text] == [c for c in text if c in earlier]


@pytest.mark.parametrize("block", range(4))
def test_undo_of_everything_leaves_the_text_of_others_exactly(block: int) -> None:
    taken_back = 0
    for seed in range(block, HISTORIES, 4):
        random = Random(seed)
        writers = UniqueWriters(random)
        replica = writers.replicas[0]
        for _ in range(random.choice([0, 3])):
            writers.others_write(replica)
        history = UndoHistory(replica, group_ms=0)
        own: set[str] = set()
        own_nodes: list[bytes] = []
        texts = [str(replica.text(KEY))]
        for _ in range(random.choice([2, 5])):
            for _ in range(random.choice([1, 2])):
                begin = writers.next_character
                writers.edit(replica)
                own.update(map(chr, range(begin, writers.next_character)))
                texts.append(str(replica.text(KEY)))
            if random.random() < 0.1:
                replica.discard()
            own_nodes += writers.commit(replica)
            writers.others_write(replica)
            texts.append(str(replica.text(KEY)))
        for each in writers.replicas:
            writers.send(each, replica)
        texts.append(str(replica.text(KEY)))
        undone = 0
        while history.undo(writers.now_ms):
            undone += 1
            texts.append(str(replica.text(KEY)))
        text = str(replica.text(KEY))
        # A room in which nobody ever saw the own nodes' effect on what others wrote.
        others_deleted = deleted_by_others(replica, own_nodes)
        others = set("".join(texts)) - own
        assert not own.intersection(text)
        assert others - others_deleted <= set(text)
        assert len(set(text)) == len(text)
        for earlier in texts:
            assert_in_order(earlier, text)
        taken_back += undone
        for _ in range(undone):
            assert history.redo(writers.now_ms)
        assert not history.redo(writers.now_ms)
        assert str(replica.text(KEY)) == next(
            earlier for earlier in reversed(texts[: len(texts) - undone])
        )
        for each in writers.replicas:
            writers.send(replica, each)
            assert str(each.text(KEY)) == str(replica.text(KEY)) or len(each) > len(replica)
    assert taken_back > HISTORIES / 4


def deleted_by_others(replica: Replica, own_nodes: list[bytes]) -> set[str]:
    """What some node of another author deletes, by replaying each of them on what it saw."""
    deleted: set[str] = set()
    for node in replica.nodes():
        assert replica.identity is not None
        if node.author == replica.identity.public_key:
            continue
        before = str(replica.at(node.parents).text(KEY))
        after = str(replica.at([node.id]).text(KEY))
        deleted |= set(before) - set(after)
    return deleted
